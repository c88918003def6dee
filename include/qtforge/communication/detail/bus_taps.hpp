#pragma once
// qtforge/communication/detail/bus_taps.hpp: what is published, shown to tools.

#include <qtforge/communication/detail/bus_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline expected<void> BusCore::checkTap(const SubscribeArgs& args) {
  const auto refused = [](const char* why) { return Error(Errc::InvalidArgument, std::string("tap: ") + why); };
  if (args.every == 0) return refused("each 0th message; give at least 1");
  switch (static_cast<OverflowPolicy>(args.policy)) {
    case OverflowPolicy::DropOldest:
    case OverflowPolicy::DropNewest:
    case OverflowPolicy::Latest: break;
    default: return refused("its policy would hold publishers up or fail them; give DropOldest, DropNewest or Latest");
  }
  if (static_cast<DeliveryMode>(args.delivery) != DeliveryMode::Queued)
    return refused("Direct delivery would hold publishers up");
  if (args.responds || args.group.size > 0) return refused("it is no receiver: it neither responds nor shares");
  return {};
}

inline void BusCore::showTaps(Passage& passage) {
  ThreadRecord& record = passage.thread;
  taps_.forEach([&](SubscriptionCore& tap) {
    if (!matchesTokens(tap.pattern, passage.args.topic)) return;
    if (record.callDepth > 0 && tap.calledBy(record)) return;  // its own handler's: it would feed itself for ever
    if (tap.filters() && !wants(tap, passage)) return;
    if (tap.tapEvery > 1 && tap.tapSeen.fetch_add(1, std::memory_order_relaxed) % tap.tapEvery != 0) return;
    // What fails here is not the publisher's concern: a payload that is nested too deeply or cannot be copied, an executor
    // of the tap that has ended.
    const auto failed = guarded({}, [&]() -> expected<void> {
      Delivery counts;  // a tap is no receiver
      Error failure;
      tap.enqueue(record, passage.message(), passage.args, counts, failure);
      return {};
    });
    if (failed != 0) tap.refused.fetch_add(1, std::memory_order_relaxed);
  });
  if (record.callDepth > 0) countNested(record);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
