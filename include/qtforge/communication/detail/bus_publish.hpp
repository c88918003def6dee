#pragma once
// qtforge/communication/detail/bus_publish.hpp: where publish happens, and requests.

#include <qtforge/communication/detail/answer_wait.hpp>
#include <qtforge/communication/detail/attachment_places.hpp>
#include <qtforge/communication/detail/bus_taps.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline bool BusCore::publish(Client& client, PublishArgs& args, Delivery& delivery, Authority authority, Error& failure) {
  Passage passage(client, args, ThreadRecords::mine(), delivery);
  bool refreshed = false, sent;
  {
    const ReadSection reading(passage.thread);
    sent = publishReading(passage, authority, failure, refreshed);
  }
  if (refreshed) [[unlikely]]
    ThreadRecords::instance().reclaim();  // what was refreshed left something to free
  return sent;
}

[[gnu::always_inline]] inline bool BusCore::publishReading(Passage& passage, Authority authority, Error& failure,
                                                           bool& refreshed) {
  auto& args = passage.args;
  const TopicEntry* entry;
  if (args.publisher) {
    entry = static_cast<PublisherCore*>(args.publisher)->entry;
    args.topic = std::string_view(entry->name);
  } else {
    entry = index_.find(args.topic);
  }
  if (entry && !args.extras && !entry->reserved && state_.load(std::memory_order_relaxed) == 0 &&
      passage.thread.callDepth < maxNestedCalls) [[likely]] {
    HandlerCalls::Round round(passage.thread);
    std::uint32_t called = 0;
    bool ok = true;
    SubscriptionCore* queues = nullptr;  // the last one takes the message over, which saves changes of its count
    const auto known = [&] { countPublished(passage, entry); };
    const auto offer = [&](SubscriptionCore& subscription) __attribute__((always_inline)) {
      if (auto* before = std::exchange(queues, nullptr)) {
        round.leave();
        ok &= before->enqueue(passage.thread, passage.message(), args, passage.delivery, failure);
      }
      if (subscription.delivery == DeliveryMode::Direct)
        called += subscription.callNext(round, passage.thread.number, args);
      else queues = &subscription;
    };
    if (index_.forEachPlain(*entry, known, offer)) [[likely]] {
      round.leave();
      if (queues) ok &= queues->enqueue(passage.thread, passage.takeMessage(), args, passage.delivery, failure);
      passage.delivery.called += called;
      if (passage.thread.callDepth > 0) countNested(passage.thread);
      return ok;
    }
  }
  return publishToAny(passage, entry, authority, failure, refreshed);
}

[[gnu::noinline]] inline bool BusCore::publishToAny(Passage& passage, const TopicEntry* entry, Authority authority,
                                                    Error& failure, bool& refreshed) {
  bool ok = true, grouped = false;
  if (!begin(passage, entry, authority, failure, ok)) return ok;
  ThreadRecord& thread = passage.thread;
  index_.forEachMatch(passage.args.topic, entry, [&](SubscriptionCore& subscription) {
    if (subscription.group) [[unlikely]]
      grouped = true;
    else ok &= deliver(subscription, passage, failure);
  });
  if (grouped) [[unlikely]]
    ok &= deliverToGroups(passage, entry, failure);
  if (thread.callDepth > 0) countNested(thread);
  if (entry && index_.stale(*entry)) [[unlikely]]
    refreshed = refresh(*entry);
  return ok;
}

inline bool BusCore::begin(Passage& passage, const TopicEntry*& entry, Authority authority, Error& failure, bool& ok) {
  const auto refuse = [&](Error error) { return ok = keepFirst(failure, std::move(error)); };
  const auto state = state_.load(std::memory_order_relaxed);
  if (state & isClosed) return refuse(endedError());
  const std::string_view topic = passage.args.topic;
  if (!entry)
    if (auto valid = checkTopic(topic); !valid) return refuse(valid.error());
  if (auto fit = checkAttachments(passage.args); !fit) [[unlikely]]
    return refuse(fit.error());
  if (authority == Authority::User && (entry ? entry->reserved : isReservedTopic(topic))) [[unlikely]] {
    const auto request = RequestTable::numberOf(topic);
    if (request == 0) return refuse(reservedError(topic));
    answer(passage, request);
    return false;
  }
  countPublished(passage, entry);
  if (state & isTapped) [[unlikely]]
    showTaps(passage);
  const auto* extras = passage.args.extras;
  if (!extras) return true;
  if (extras->replyTo.size > 0) passage.message();  // if it cannot be made, nobody is to answer it
  if (extras->retain) {
    ok = retain(passage.message(), failure);
    entry = index_.find(topic);  // who subscribed before that counts on this publisher
  }
  return true;
}

inline void BusCore::answer(Passage& passage, std::uint64_t request) {
  passage.client.sent.add(1, passage.thread.number);
  PublishExtras extras;
  if (!passage.args.extras) passage.args.extras = &extras;
  passage.args.extras->correlation = request;
  if (state_.load(std::memory_order_relaxed) & isTapped) [[unlikely]]
    showTaps(passage);
  passage.delivery.called += requests_.answer(request, passage.message());
}

inline bool BusCore::deliver(SubscriptionCore& subscription, Passage& passage, Error& failure) {
  auto* extras = passage.args.extras;
  auto& delivery = passage.delivery;
  if (extras && extras->retain && passage.message().record()->extras->retainedAs <= subscription.retainedUpTo) return true;
  if (passage.thread.callDepth == maxNestedCalls && subscription.calledByPublishers()) [[unlikely]]
    return refuseNested(subscription, delivery, failure);
  if (subscription.filters() && !wants(subscription, passage)) return true;
  if (!subscription.responds) return handOver(subscription, passage, failure);
  if (extras && extras->wait && subscription.delivery == DeliveryMode::Queued && !extras->wait->ask(subscription))
    return keepFirst(failure, AnswerWait::deadlock(subscription));
  const auto before = delivery.receivers();
  const bool done = handOver(subscription, passage, failure);
  if (extras) extras->responders += delivery.receivers() - before;
  return done;
}

inline bool BusCore::wants(SubscriptionCore& subscription, Passage& passage) {
  const Yielding yielding(yieldFor(subscription, passage.args));
  return subscription.wants(passage.thread, passage.args);
}

inline bool BusCore::deliverToGroups(Passage& passage, const TopicEntry* entry, Error& failure) {
  MatchedMembers members;
  index_.forEachMatch(passage.args.topic, entry, [&](SubscriptionCore& subscription) {
    if (subscription.group) members.add(subscription);
  });
  bool ok = true;
  Error refused;  // by a member; it does not matter once another takes the message
  members.offerToEach(
      [&](SubscriptionCore& member) {
        const auto before = passage.delivery.receivers();
        deliver(member, passage, refused);
        return passage.delivery.receivers() != before;
      },
      [&](bool taken) {
        if (!taken && refused.code() != Errc::Ok) ok = keepFirst(failure, refused);
        refused = Error();
      });
  return ok;
}

inline bool BusCore::handOver(SubscriptionCore& subscription, Passage& passage, Error& failure) {
  if (subscription.delivery == DeliveryMode::Queued)
    return subscription.enqueue(passage.thread, passage.message(), passage.args, passage.delivery, failure);
  const Yielding yielding(yieldFor(subscription, passage.args));
  if (subscription.callDirect(passage.thread, passage.args)) ++passage.delivery.called;
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
  if (extras.responders > 0) {  // one has it, or has answered already
    requests_.asked(number, extras.responders);
    return number;
  }
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
