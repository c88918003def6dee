#pragma once
// qtforge/communication/detail/bus_drain.hpp: waiting until what was published is handled.

#include <qtforge/communication/detail/bus_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline std::uint64_t nestedPublishes() {
  std::uint64_t sum = 0;
  ThreadRecords::instance().forEach(
      [&](const ThreadRecord& record) { sum += record.nested.load(std::memory_order_acquire); });
  return sum;
}

// Pass by pass: what is queued when a pass begins is handled when it ends. The passes end with one in which no handler
// published: nothing that was published before can then have left anything.
inline expected<void> BusCore::drainUntil(std::chrono::steady_clock::time_point deadline) {
  for (bool more = true; more;) {
    const auto before = nestedPublishes();
    std::vector<std::uint64_t> targets;
    auto subscriptions = list([](const SubscriptionCore& s) { return s.mailbox().busy(); });
    for (auto* subscription : subscriptions) targets.push_back(subscription->mailbox().enqueued());
    Error late;
    for (std::size_t i = 0; i < subscriptions.size(); ++i) {
      auto* subscription = subscriptions[i];
      auto& mailbox = subscription->mailbox();
      if (late.code() == Errc::Ok && !mailbox.waitHandled(targets[i], deadline))
        late = Error(Errc::TimedOut, "drain: " + subscription->describe() + " still has " +
                                         std::to_string(mailbox.pending()) + " messages queued");
    }
    for (auto* subscription : subscriptions) subscription->release();
    if (late.code() != Errc::Ok) return late;
    if (closed()) return closedError();
    more = nestedPublishes() != before;
  }
  return {};
}

inline expected<void> BusCore::drain(std::chrono::nanoseconds timeout, const Yield* yield) {
  if (ThreadRecords::mine().callDepth > 0)
    return Error(Errc::WouldDeadlock, "drain: called from inside a handler, which it would wait for");
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  if (yield) yield->release(yield->self);
  auto done = drainUntil(deadline);
  if (yield) yield->acquire(yield->self);
  return done;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
