#pragma once
// qtforge/communication/detail/bus_reports.hpp: what the bus tells of its handlers and mailboxes: to the log, and in messages.

#include <qtforge/communication/detail/bus_publish.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline void BusCore::publishInternal(std::string_view topic, boost::json::value payload) {
  PublishArgs args;
  args.topic = topic;
  args.payload = {PayloadKind::Json, &payload, nullptr};
  args.adopt = true;
  Delivery delivery;
  Error failure;
  if (!publish(library_, args, delivery, Authority::Library, failure) && failure.code() != Errc::ShuttingDown)
    log_(3, "a report on " + std::string(topic) + " was lost: " + failure.message());
}

inline void BusCore::handlerFailed(const SubscriptionCore& subscription, std::string_view topic, const Error& error) {
  log_(4, subscription.describe() + ": its handler failed on \"" + std::string(topic) + "\": " + error.report());
  if (isReservedTopic(topic)) return;  // no report of a failing report
  publishInternal("qtforge.errors", {{"plugin", subscription.client().name()},
                                     {"pattern", subscription.pattern},
                                     {"topic", topic},
                                     {"code", static_cast<int>(error.code())},
                                     {"message", error.message()},
                                     {"type", error.pythonType()},
                                     {"traceback", error.traceback()}});
}

inline void BusCore::handlerTook(const SubscriptionCore& subscription, std::string_view topic, std::chrono::nanoseconds time) {
  log_(1, subscription.describe() + ": its handler took " + shownDuration(time) + " on \"" + std::string(topic) + '"');
}

inline void BusCore::mismatch(const SubscriptionCore& subscription, const Error& error) {
  log_(3, subscription.describe() + ": " + error.message() + "; counted, not logged again");
}

inline void BusCore::unanswered(const SubscriptionCore& subscription, const Message& request) {
  requests_.lost(request.correlation(),
                 subscription.closed() || subscription.mailbox().closed()
                     ? Error(Errc::NoResponder, "request: " + subscription.describe() + " has ended without answering \"" +
                                                    std::string(request.topic()) + "\"")
                     : Error(Errc::Overflow, "request: " + subscription.describe() + ": newer messages went for \"" +
                                                 std::string(request.topic()) + "\" in its full mailbox"));
}

inline void BusCore::overflow(const SubscriptionCore& subscription) {
  log_(3, subscription.describe() + ": its mailbox of " + std::to_string(subscription.mailbox().capacity()) +
              " messages overflows; logged once until it is empty");
  if (!isReservedTopic(subscription.pattern) && !subscription.tap)  // it would see the report, and overflow again
    publishInternal("qtforge.bus.overflow",
                    {{"plugin", subscription.client().name()}, {"pattern", subscription.pattern}});
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
