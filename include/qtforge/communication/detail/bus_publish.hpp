#pragma once
// qtforge/communication/detail/bus_publish.hpp: where publish happens, and requests.

#include <qtforge/communication/detail/answer_wait.hpp>
#include <qtforge/communication/detail/bus_taps.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline bool BusCore::publish(Client& client, PublishArgs& args, Delivery& delivery, Authority authority, Error& failure) {
  bool refreshed = false;
  const bool sent = publishReading(client, args, delivery, authority, failure, refreshed);
  if (refreshed) [[unlikely]]
    ThreadRecords::instance().reclaim();  // what was refreshed left something to free
  return sent;
}

inline bool BusCore::publishReading(Client& client, PublishArgs& args, Delivery& delivery, Authority authority,
                                    Error& failure, bool& refreshed) {
  const auto state = state_.load(std::memory_order_relaxed);
  if (state & isClosed) return keepFirst(failure, endedError());
  ThreadRecord& record = ThreadRecords::mine();
  ReadSection reading(record);
  const TopicEntry* entry = args.publisher ? static_cast<PublisherCore*>(args.publisher)->entry
                                           : index_.find(args.topic);
  const std::string_view topic = entry ? std::string_view(entry->name) : std::string_view(args.topic);
  if (!entry) [[unlikely]]
    if (auto valid = checkTopic(topic); !valid) return keepFirst(failure, valid.error());
  if (authority == Authority::User && (entry ? entry->reserved : isReservedTopic(topic))) [[unlikely]]
    return answer(client, topic, args, record, delivery, failure);

  Passage passage(client, topic, args, record);
  client.sent.add(1, record.number);
  if (entry) entry->published.add(1, record.number);
  if (state & isTapped) [[unlikely]]
    showTaps(passage, record, args);
  if (args.extras && args.extras->replyTo.size > 0) passage.message();  // if it cannot be made, nobody is to answer it
  bool ok = true, grouped = false;
  if (args.extras && args.extras->retain) {
    ok = retain(passage.message(), failure);
    entry = index_.find(topic);  // who subscribed before that counts on this publisher
  }
  index_.forEachMatch(topic, entry, [&](SubscriptionCore& subscription) {
    if (subscription.group) [[unlikely]]
      grouped = true;
    else ok &= deliver(subscription, passage, record, args, delivery, failure);
  });
  if (grouped) [[unlikely]]
    ok &= deliverToGroups(topic, entry, passage, record, args, delivery, failure);
  if (record.callDepth > 0)  // after it was queued: drain() looks at the count first, then at the mailboxes
    record.nested.store(record.nested.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  if (entry && index_.stale(*entry)) [[unlikely]]
    refreshed = refresh(*entry);
  return ok;
}

inline bool BusCore::answer(Client& client, std::string_view topic, PublishArgs& args, ThreadRecord& record,
                            Delivery& delivery, Error& failure) {
  const auto request = RequestTable::numberOf(topic);
  if (request == 0) return keepFirst(failure, reservedError(topic));
  client.sent.add(1, record.number);
  PublishExtras extras;
  if (!args.extras) args.extras = &extras;
  args.extras->correlation = request;
  Passage passage(client, topic, args, record);
  if (state_.load(std::memory_order_relaxed) & isTapped) [[unlikely]]
    showTaps(passage, record, args);
  delivery.called += requests_.answer(request, passage.message());
  return true;
}

inline bool BusCore::deliver(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record, PublishArgs& args,
                             Delivery& delivery, Error& failure) {
  auto* extras = args.extras;
  if (extras && extras->retain && passage.message().record()->extras->retainedAs <= subscription.retainedUpTo) return true;
  if (record.callDepth == maxNestedCalls && subscription.calledByPublishers()) [[unlikely]]
    return refuseNested(subscription, delivery, failure);
  if (subscription.filters() && !wants(subscription, passage, record, args)) return true;
  if (!subscription.responds) return handOver(subscription, passage, record, args, delivery, failure);
  if (extras && extras->wait && subscription.delivery == DeliveryMode::Queued && !extras->wait->ask(subscription))
    return keepFirst(failure, AnswerWait::deadlock(subscription));
  const auto before = delivery.receivers();
  const bool done = handOver(subscription, passage, record, args, delivery, failure);
  if (extras) extras->responders += delivery.receivers() - before;
  return done;
}

inline bool BusCore::wants(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record,
                           const PublishArgs& args) {
  const Yielding yielding(yieldFor(subscription, args));
  return subscription.wants(record, passage.arrival);
}

inline bool BusCore::deliverToGroups(std::string_view topic, const TopicEntry* entry, Passage& passage,
                                     ThreadRecord& record, PublishArgs& args, Delivery& delivery, Error& failure) {
  MatchedMembers members;
  index_.forEachMatch(topic, entry, [&](SubscriptionCore& subscription) {
    if (subscription.group) members.add(subscription);
  });
  bool ok = true;
  Error refused;  // by a member; it does not matter once another takes the message
  members.offerToEach(
      [&](SubscriptionCore& member) {
        const auto before = delivery.receivers();
        deliver(member, passage, record, args, delivery, refused);
        return delivery.receivers() != before;
      },
      [&](bool taken) {
        if (!taken && refused.code() != Errc::Ok) ok = keepFirst(failure, refused);
        refused = Error();
      });
  return ok;
}

inline bool BusCore::handOver(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record, PublishArgs& args,
                              Delivery& delivery, Error& failure) {
  if (subscription.delivery == DeliveryMode::Queued)
    return subscription.enqueue(record, passage.message(), args, delivery, failure);
  const Yielding yielding(yieldFor(subscription, args));
  if (subscription.callDirect(record, passage.arrival)) ++delivery.called;
  return true;
}

inline bool BusCore::refuseNested(SubscriptionCore& subscription, Delivery& delivery, Error& failure) {
  subscription.refused.fetch_add(1, std::memory_order_relaxed);
  ++delivery.dropped;
  return keepFirst(failure, Error(Errc::LimitExceeded, subscription.describe() +
                                                           ": direct handlers publish to each other " +
                                                           std::to_string(maxNestedCalls) +
                                                           " calls deep; make one of them Queued"));
}

inline expected<std::uint64_t> BusCore::request(Client& client, PublishArgs& args, Reply reply) {
  const auto number = requests_.add(client, reply);
  const auto topic = RequestTable::topicOf(number);
  auto& extras = *args.extras;
  extras.replyTo = std::string_view(topic);
  extras.correlation = number;
  Delivery delivery;
  Error failure;
  bool sent = false;
  try {
    sent = publish(client, args, delivery, Authority::User, failure);
  } catch (...) {  // its reply must not stay in the table
    keepFirst(failure, caughtError());
  }
  if (extras.responders > 0) return number;  // one has it, or has answered already
  if (sent && delivery.dropped > 0)
    failure = Error(Errc::Overflow, "request: a mailbox on \"" + std::string(std::string_view(args.topic)) +
                                        "\" is full and did not take it");
  else if (sent)
    failure = Error(Errc::NoResponder,
                    "request: nobody responds to \"" + std::string(std::string_view(args.topic)) + "\"");
  if (!requests_.forget(number)) return number;  // somebody answered by publishing to its reply topic
  return failure;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
