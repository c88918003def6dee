#pragma once
// qtforge/communication/async.hpp: publish, request and drain for those who must not wait: with Asio's completion tokens.
//
// Where and when a completion handler is called, here and in receiver.hpp: once, on the executor that is associated with
// it, without one on the runtime's threads, and never before the function that starts the operation returns. Where the
// operation ends at once, the immediate executor that is associated with the handler is used (Boost 1.82 and later), and
// that may call it before the function returns. An operation that waits counts as work of the handler's executor: run()
// does not return. When that executor's context ends, the operation ends with it and the handler goes without a call;
// the context of an executor that does not tell it (boost::asio::any_completion_executor) must outlive the operation.
// Terminal, partial and total cancellation are alike. Memory for what waits comes from the associated allocator.

#include <qtforge/communication/detail/async_bus.hpp>

#include <boost/asio/async_result.hpp>

#include <chrono>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

template <class T, class Token>
auto MessageBus::asyncPublish(std::string_view topic, T&& payload, const PublishOptions& options, Token&& token) const {
  return boost::asio::async_initiate<Token, void(expected<Delivery>)>(
      [](auto handler, const At& where, auto message) {
        detail::beginInto<Delivery>(where.table, std::move(handler), [&](auto& outcome, void*& operation, auto sink) {
          return message.withArgs(sink, [&](detail::PublishArgs& args) {
            return where.table->asyncPublish(where.core, where.client, &args, &outcome.delivery, &operation, sink);
          });
        });
      },
      token, at(), detail::keepMessage(topic, std::forward<T>(payload), options));
}

template <class T, class Token>
auto Publisher::asyncPublish(T&& payload, const PublishOptions& options, Token&& token) const {
  return boost::asio::async_initiate<Token, void(expected<Delivery>)>(
      [](auto handler, const Publisher& publisher, auto message) {
        const auto& where = publisher.at_;
        detail::beginInto<Delivery>(where.table, std::move(handler), [&](auto& outcome, void*& operation, auto sink) {
          return message.withArgs(sink, [&](detail::PublishArgs& args) {
            args.publisher = publisher.handle_;
            return where.table->asyncPublish(where.core, where.client, &args, &outcome.delivery, &operation, sink);
          });
        });
      },
      token, *this, detail::keepMessage({}, std::forward<T>(payload), options));
}

template <class T, class Token>
auto MessageBus::asyncRequest(std::string_view topic, T&& payload, std::chrono::nanoseconds timeout,
                              Token&& token) const {
  return boost::asio::async_initiate<Token, void(expected<Message>)>(
      [](auto handler, const At& where, auto message, std::chrono::nanoseconds limit) {
        detail::beginInto<Message>(where.table, std::move(handler), [&](auto& outcome, void*& operation, auto sink) {
          return message.withArgs(sink, [&](detail::PublishArgs& args) {
            return where.table->asyncRequest(where.core, where.client, &args, limit.count(), &outcome.answer, &operation,
                                             sink);
          });
        });
      },
      token, at(), detail::keepMessage(topic, std::forward<T>(payload), {}), timeout);
}

template <class Token>
auto MessageBus::asyncDrain(std::chrono::nanoseconds timeout, Token&& token) const {
  return boost::asio::async_initiate<Token, void(expected<void>)>(
      [](auto handler, const At& where, std::chrono::nanoseconds limit) {
        detail::beginInto<void>(where.table, std::move(handler), [&](auto&, void*& operation, auto sink) {
          return where.table->asyncDrain(where.core, where.client, limit.count(), &operation, sink);
        });
      },
      token, at(), timeout);
}

template <class Token>
auto Subscription::asyncDrain(std::chrono::nanoseconds timeout, Token&& token) const {
  return boost::asio::async_initiate<Token, void(expected<void>)>(
      [](auto handler, const Subscription* subscription, std::chrono::nanoseconds limit) {
        detail::beginInto<void>(subscription->table_, std::move(handler), [&](auto&, void*& operation, auto sink) {
          if (!subscription->handle_)
            return detail::fail(sink, Error(Errc::ShuttingDown, "drain: the subscription has ended"));
          return subscription->table_->drainSubscription(subscription->handle_, limit.count(), &operation, sink);
        });
      },
      token, this, timeout);
}

}  // namespace qtforge::inline QTFORGE_ABI
