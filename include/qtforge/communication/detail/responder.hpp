#pragma once
// qtforge/communication/detail/responder.hpp: a user's function that answers requests, as a HandlerTable.

#include <qtforge/communication/detail/handler.hpp>
#include <qtforge/communication/detail/sending.hpp>

#include <functional>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class T>
inline constexpr bool isExpected = false;
template <class T>
inline constexpr bool isExpected<expected<T>> = true;

/// Answers requests with what `function` returns; its errors and exceptions are the requester's.
template <class T, class Function>
class HeldResponder {
 public:
  template <class G>
  HeldResponder(G&& function, const BusTable* bus, void* core, void* client)
      : handler(std::forward<G>(function)), bus_(bus), core_(core), client_(client) {}

  static const HandlerTable table;

  Function handler;

 private:
  static std::int32_t call(void* self, Arrival* arrival, ErrorSink sink) {
    return static_cast<HeldResponder*>(self)->answer(*arrival, sink);
  }

  static constexpr HandlerTable makeTable() {
    HandlerTable made{&call, nullptr, [](void* self) { delete static_cast<HeldResponder*>(self); }};
    made.accepts = acceptsFunction<T, Function, HeldResponder>();
    return made;
  }

  std::int32_t answer(Arrival& arrival, ErrorSink sink) {
    Message request = Message::adopt(nullptr);
    Error error;
    const auto code = guarded(sinkInto(error), [&]() -> expected<void> {
      request = arrival.message();
      expected<void> sent;
      auto called = withPayload<T>(arrival, [&](const T& payload) { sent = reply(request, payload); });
      return called ? sent : called;
    });
    if (code == 0) return 0;
    if (!request.record() || request.correlation() == 0) {  // only published: the failure is told as any handler's
      sink(error);
      return code;
    }
    const auto message = error.message(), type = error.pythonType(), traceback = error.traceback();
    bus_->refuse(core_, request.replyTo(), code, std::string_view(message), std::string_view(type),
                 std::string_view(traceback));
    return 0;
  }

  expected<void> reply(const Message& request, const T& payload) {
    using Result = std::invoke_result_t<Function&, const T&>;
    if constexpr (std::is_void_v<Result>) {
      std::invoke(handler, payload);
      return send(request, boost::json::value());
    } else if constexpr (isExpected<Result>) {
      auto result = std::invoke(handler, payload);
      if (!result) return result.error();
      if constexpr (std::is_void_v<typename Result::value_type>) return send(request, boost::json::value());
      else return send(request, std::move(*result));
    } else {
      return send(request, std::invoke(handler, payload));
    }
  }

  template <class Answer>
  expected<void> send(const Message& request, Answer&& answer) {
    if (request.replyTo().empty()) return {};
    PublishArgs args;
    args.topic = request.replyTo();
    return withPublishArgs(args, std::forward<Answer>(answer), [&](PublishArgs& ready) -> expected<void> {
      Delivery delivery;
      Error error;
      if (bus_->publish(core_, client_, &ready, &delivery, sinkInto(error)) != 0) return error;
      return {};
    });
  }

  const BusTable* bus_;
  void* core_;
  void* client_;
};

template <class T, class Function>
inline constexpr HandlerTable HeldResponder<T, Function>::table = HeldResponder<T, Function>::makeTable();

}  // namespace qtforge::inline QTFORGE_ABI::detail
