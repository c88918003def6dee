#pragma once
// qtforge/communication/receiver.hpp: a subscription without a handler, whose messages are received when they are wanted.

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/detail/receive_queue.hpp>

#include <boost/asio/async_result.hpp>

#include <algorithm>
#include <optional>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

struct FirstOf {
  expected<Message> operator()(ReceivedMessages&& received) const {
    if (!received) return received.error();
    return std::move(received->front());
  }
};
struct AllOf {
  ReceivedMessages operator()(ReceivedMessages&& received) const { return std::move(received); }
};

}  // namespace detail

/// Owns a subscription whose messages wait in its mailbox until they are received: `bus.subscribe(pattern)`. What meets
/// a full mailbox goes by the policy, as with handlers.
///
/// The asynchronous functions take an Asio completion token; see communication/async.hpp for where and when handlers are
/// called. Several may wait: they are served in order. Cancelled by their cancellation slot (terminal, partial and total
/// are alike: a message is received whole or not at all), or dropped with their execution context, they have taken no
/// message.
///
/// Its end, like `unsubscribe()`, completes what waits with Errc::ShuttingDown.
/// @par Thread safety  one object from one thread at a time; its handlers and cancellation may be on others.
class Receiver {
 public:
  Receiver(Receiver&&) noexcept = default;
  Receiver& operator=(Receiver&&) noexcept = default;

  /// The oldest message that is there; none while others wait for one.
  [[nodiscard]] std::optional<Message> tryReceive() {
    auto messages = queue_ ? queue_->take(1) : std::vector<Message>();
    if (messages.empty()) return std::nullopt;
    return std::move(messages.front());
  }

  /// The oldest message, when there is one.
  ///
  /// @param token  for the signature `void(expected<Message>)`; errors: Errc::Cancelled, Errc::ShuttingDown
  template <class Token>
  auto asyncReceive(Token&& token) {
    return receive<Message, detail::FirstOf>(1, std::forward<Token>(token));
  }

  /// The oldest messages, at least one and at most `most`, which is at least 1.
  ///
  /// @param token  for the signature `void(expected<std::vector<Message>>)`; errors as asyncReceive
  template <class Token>
  auto asyncReceiveSome(std::size_t most, Token&& token) {
    return receive<std::vector<Message>, detail::AllOf>(std::max<std::size_t>(1, most), std::forward<Token>(token));
  }

  /// Waits until what was put into the mailbox before, and what waited for a place in it, is received or gone by the
  /// policy. A message is received once a receive has it, whether or not its handler was called yet.
  ///
  /// @param timeout  without it, as long as it takes
  /// @param token    for the signature `void(expected<void>)`; errors:
  ///   - Errc::TimedOut      naming the subscription
  ///   - Errc::ShuttingDown  the subscription or its bus has ended, and with it what was not received
  ///   - Errc::Cancelled
  template <class Token>
  auto asyncDrain(std::chrono::nanoseconds timeout, Token&& token) {
    return boost::asio::async_initiate<Token, void(expected<void>)>(
        [](auto handler, const detail::ReceiveQueue::Share& queue, std::chrono::nanoseconds limit) {
          detail::beginInto<void>(queue->bus(), std::move(handler), [&](auto&, void*& operation, auto sink) {
            return queue->beginDrain(limit.count(), operation, sink);
          });
        },
        token, queue_, timeout);
  }
  template <class Token>
  auto asyncDrain(Token&& token) {
    return asyncDrain(std::chrono::nanoseconds::max(), std::forward<Token>(token));
  }

  void unsubscribe() noexcept { subscription_.unsubscribe(); }
  [[nodiscard]] SubscriptionStats stats() const noexcept { return subscription_.stats(); }

 private:
  friend class MessageBus;
  Receiver(Subscription subscription, detail::ReceiveQueue::Share queue) noexcept
      : queue_(std::move(queue)), subscription_(std::move(subscription)) {}

  template <class Result, class Convert, class Token>
  auto receive(std::size_t most, Token&& token) {
    return boost::asio::async_initiate<Token, void(expected<Result>)>(
        [](auto handler, const detail::ReceiveQueue::Share& queue, std::size_t limit) {
          detail::receiveInto<Convert>(queue, limit, std::move(handler));
        },
        token, queue_, most);
  }

  detail::ReceiveQueue::Share queue_;
  Subscription subscription_;  // last: its end completes what waits
};

inline expected<Receiver> MessageBus::subscribe(std::string_view pattern, const SubscribeOptions& options) const {
  if (options.delivery == DeliveryMode::Direct)
    return Error(Errc::InvalidArgument, "subscribe: Direct delivery calls a handler; without one messages are queued");
  const auto where = at();
  if (!where.core) return detail::noRuntime();
  auto queue = std::make_shared<detail::ReceiveQueue>(where.table);
  auto args = subscribeArgs(pattern, options);
  args.handler = &detail::ReceiveQueue::table;
  args.self = new detail::ReceiveQueue::Share(queue);
  auto subscription = subscribeWith(where, args);
  if (!subscription) return subscription.error();
  queue->open(subscription->handle());
  return Receiver(std::move(*subscription), std::move(queue));
}

}  // namespace qtforge::inline QTFORGE_ABI
