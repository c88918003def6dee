#pragma once
// qtforge/communication/detail/passage.hpp: a message that is being published: made when the first receiver needs it.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/message_record.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Whether arrays and objects are nested more than `most` deep. Goes no deeper than that itself.
inline bool nestedDeeperThan(const boost::json::value& value, int most) noexcept {
  if (const auto* object = value.if_object()) {
    if (most == 0) return true;
    for (const auto& member : *object)
      if (member.value().is_structured() && nestedDeeperThan(member.value(), most - 1)) return true;
  } else if (const auto* array = value.if_array()) {
    if (most == 0) return true;
    for (const auto& item : *array)
      if (item.is_structured() && nestedDeeperThan(item, most - 1)) return true;
  }
  return false;
}

/// One publish on its way: the payload as it is, and as a shared message once somebody needs that.
class Passage {
 public:
  Passage(Client& client, std::string_view topic, PublishArgs& args, ThreadRecord& record) noexcept
      : client_(client), args_(args), thread_(record) {
    arrival.topic = topic;
    arrival.payload = args.payload;
    arrival.attachments = args.extras ? args.extras->attachments : nullptr;
    arrival.context = this;
    arrival.record = [](Arrival* a) { return static_cast<Passage*>(a->context)->shared(); };
  }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  const Message& message() {
    shared();
    return message_;
  }

  Arrival arrival;

 private:
  MessageRecord* shared() {
    if (message_.record()) return message_.record();
    takeReturned(thread_);
    MessageRecord* made = makeRecord(plan(), thread_);
    Message owner = Message::adopt(made);
    made->sender = &client_.internedName();
    made->id = (thread_.number << 40) + ++thread_.messages;
    made->time = std::chrono::system_clock::now();
    if (made->extras && args_.extras) fillExtras(*made->extras, *args_.extras);
    if (args_.source) sharePayload(*made);
    else takePayload(*made);
    message_ = std::move(owner);
    arrival.topic = made->topic();
    arrival.payload = made->view();
    if (made->extras) arrival.attachments = &made->extras->attachments;
    return made;
  }

  [[nodiscard]] RecordPlan plan() const noexcept {
    RecordPlan plan{arrival.topic, args_.source || args_.payload.kind == PayloadKind::Typed || hasExtras()};
    if (args_.source) {
      plan.payloadSize = 0;
    } else if (args_.payload.kind == PayloadKind::Binary) {
      plan.payloadSize = sizeof(BinaryMessage);
      plan.payloadAlignment = alignof(BinaryMessage);
    } else if (args_.payload.kind == PayloadKind::Typed) {
      plan.payloadSize = args_.payload.type->size;
      plan.payloadAlignment = args_.payload.type->alignment;
    }
    return plan;
  }

  [[nodiscard]] bool hasExtras() const noexcept {
    const auto* given = args_.extras;
    return given && (given->retain || given->correlation != 0 || given->replyTo.size > 0 || given->headers ||
                     (given->attachments && !given->attachments->empty()));
  }

  void fillExtras(MessageExtras& to, PublishExtras& from) const {
    if (from.attachments) {
      if (args_.adopt) to.attachments = std::move(*from.attachments);
      else to.attachments = *from.attachments;
    }
    if (from.headers) to.headers = *from.headers;
    to.replyTo = std::string(std::string_view(from.replyTo));
    to.correlation = from.correlation;
  }

  // Of a message that was published before.
  void sharePayload(MessageRecord& made) const {
    args_.source->references.fetch_add(1, std::memory_order_relaxed);
    made.extras->source = args_.source;
    made.extras->type = args_.payload.type;
    made.payload = args_.payload.object;
    made.kind = args_.payload.kind;
  }

  void takePayload(MessageRecord& made) const {
    void* place = const_cast<void*>(made.payload);
    void* given = const_cast<void*>(args_.payload.object);
    switch (args_.payload.kind) {
      case PayloadKind::Json: takeJson(place, *static_cast<boost::json::value*>(given)); break;
      case PayloadKind::Binary:
        if (args_.adopt) new (place) BinaryMessage(std::move(*static_cast<BinaryMessage*>(given)));
        else new (place) BinaryMessage(*static_cast<const BinaryMessage*>(given));
        break;
      case PayloadKind::Typed: {
        const auto* type = args_.payload.type;
        Error error;
        if (type->construct(place, given, args_.adopt, sinkInto(error)) != 0) throw Exception(error);
        made.extras->type = type;
        made.extras->lease = type->retainLease();
        break;
      }
      case PayloadKind::None: return;
    }
    made.kind = args_.payload.kind;
  }

  void takeJson(void* place, boost::json::value& given) const {
    if (given.is_structured() && nestedDeeperThan(given, maxPayloadDepth))
      throw Exception(Error(Errc::LimitExceeded, "a message on \"" + std::string(std::string_view(arrival.topic)) +
                                                     "\": its payload is nested deeper than " +
                                                     std::to_string(maxPayloadDepth) + " arrays and objects"));
    // A value on a memory resource of the caller's own must not outlive it.
    const bool ours = given.storage().get() == boost::json::storage_ptr().get();
    if (args_.adopt && ours) new (place) boost::json::value(std::move(given));
    else new (place) boost::json::value(std::as_const(given), boost::json::storage_ptr());
  }

  Client& client_;
  PublishArgs& args_;
  ThreadRecord& thread_;
  Message message_ = Message::adopt(nullptr);  // until somebody needs it
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
