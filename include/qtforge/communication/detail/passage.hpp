#pragma once
// qtforge/communication/detail/passage.hpp: a message that is being published: made when the first receiver needs it.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/message_record.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One publish on its way: the payload as it is, and as a shared message once somebody needs that.
class Passage {
 public:
  Passage(Client& client, std::string_view topic, PublishArgs& args, ThreadRecord& record)
      : arrival{topic, args.json, args.binary, args.attachments, this,
                [](Arrival* a) { return static_cast<Passage*>(a->context)->shared(*a); }},
        client_(client),
        args_(args),
        thread_(record) {}
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  const Message& message() {
    shared(arrival);
    return message_;
  }

  Arrival arrival;

 private:
  MessageRecord* shared(Arrival& a) {
    if (message_.record()) return message_.record();
    freeReturned(thread_);
    Message owner = Message::adopt(makeRecord(a.topic, thread_));
    MessageRecord* made = owner.record();
    if (args_.binary) made->payload = args_.adopt ? std::move(*args_.binary) : *args_.binary;
    else if (args_.json) made->payload = takeJson();
    if (args_.attachments) {
      if (args_.adopt) made->attachments = std::move(*args_.attachments);
      else made->attachments = *args_.attachments;
    }
    if (args_.headers) made->headers = *args_.headers;
    made->replyTo = std::string(std::string_view(args_.replyTo));
    made->correlation = args_.correlation;
    made->id = (thread_.number << 40) + ++thread_.messages;
    made->time = std::chrono::system_clock::now();
    made->sender = client_.name();
    message_ = std::move(owner);
    a.topic = made->topic;
    a.json = std::get_if<boost::json::value>(&made->payload);
    a.binary = std::get_if<BinaryMessage>(&made->payload);
    a.attachments = &made->attachments;
    return made;
  }

  boost::json::value takeJson() {
    // A value on a memory resource of the caller's own must not outlive it.
    const bool ours = args_.json->storage().get() == boost::json::storage_ptr().get();
    if (args_.adopt && ours) return std::move(*args_.json);
    return boost::json::value(*args_.json, boost::json::storage_ptr());
  }

  Client& client_;
  PublishArgs& args_;
  ThreadRecord& thread_;
  Message message_ = Message::adopt(nullptr);  // until somebody needs it
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
