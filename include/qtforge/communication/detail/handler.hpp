#pragma once
// qtforge/communication/detail/handler.hpp: a user's handler as a HandlerTable: its payload type found, its call typed.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/value_of.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI::detail {

struct DeducePayload {};

template <class F>
struct FirstParameter : FirstParameter<decltype(&F::operator())> {};
template <class R, class A>
struct FirstParameter<R (*)(A)> : std::type_identity<std::remove_cvref_t<A>> {};
template <class R, class A>
struct FirstParameter<R (*)(A) noexcept> : std::type_identity<std::remove_cvref_t<A>> {};
#define QTFORGE_DETAIL_MEMBER(qualifiers) \
  template <class C, class R, class A>    \
  struct FirstParameter<R (C::*)(A) qualifiers> : std::type_identity<std::remove_cvref_t<A>> {};
QTFORGE_DETAIL_MEMBER()
QTFORGE_DETAIL_MEMBER(const)
QTFORGE_DETAIL_MEMBER(noexcept)
QTFORGE_DETAIL_MEMBER(const noexcept)
#undef QTFORGE_DETAIL_MEMBER
template <class Bound>  // boost::asio::bind_executor and its like
  requires requires { typename Bound::target_type; }
struct FirstParameter<Bound> : FirstParameter<typename Bound::target_type> {};

template <class T, class Handler>
struct PayloadOfImpl : std::type_identity<T> {};
template <class Handler>
struct PayloadOfImpl<DeducePayload, Handler> : FirstParameter<Handler> {};
template <class T, class Handler>
using PayloadOf = typename PayloadOfImpl<T, Handler>::type;

inline Error payloadMismatch(const Arrival& arrival, const std::string& wanted) {
  return Error(Errc::PayloadMismatch, "a message on \"" + std::string(std::string_view(arrival.topic)) + "\" is " +
                                          describe(arrival.payload) + ", the handler takes " + wanted);
}

/// The payload where it is, if it is a T, else null.
template <class T>
const T* payloadItself(const PayloadView& payload) noexcept {
  bool same = false;
  if constexpr (std::is_same_v<T, boost::json::value>) same = payload.kind == PayloadKind::Json;
  else if constexpr (std::is_same_v<T, BinaryMessage>) same = payload.kind == PayloadKind::Binary;
  else if constexpr (SharedAsItself<T>)
    same = payload.kind == PayloadKind::Typed && sameType(*payload.type, PayloadTypeOf<T>::table());
  return same ? static_cast<const T*>(payload.object) : nullptr;
}

template <class T>
Error shapeMismatch(const Arrival& arrival, const Error& error) {
  return payloadMismatch(arrival, boost::core::type_name<T>() + ", of which its JSON has not the shape: " + error.message());
}

/// Calls `f` with a T made of the form in which it travels.
template <HasPayloadForm T, class F>
expected<void> withRead(Arrival& arrival, F&& f) {
  if constexpr (TravelsAsBinary<T>) {
    const auto* binary = arrival.binary();
    if (!binary) return payloadMismatch(arrival, boost::core::type_name<T>() + ", which is binary");
    const expected<T> value = PayloadForm<T>::read(*binary);
    if (!value) return value.error();
    f(*value);
    return {};
  } else {
    static const Attachments none;
    const auto json = arrival.json();
    if (!json) return json.error();
    if (!*json) return payloadMismatch(arrival, boost::core::type_name<T>());
    const expected<T> value = PayloadForm<T>::read(**json, arrival.attachments ? *arrival.attachments : none);
    if (!value) return shapeMismatch<T>(arrival, value.error());
    f(*value);
    return {};
  }
}

/// Calls `f` with a T made of the payload's JSON.
template <class T, class F>
expected<void> withConverted(Arrival& arrival, F&& f) {
  if constexpr (boost::json::has_value_to<T>::value) {
    const auto json = arrival.json();
    if (!json) return json.error();
    if (!*json) return payloadMismatch(arrival, boost::core::type_name<T>());
    const auto value = valueOf<T>(**json);
    if (!value) return shapeMismatch<T>(arrival, value.error());
    f(*value);
    return {};
  } else {
    static_assert(SharedAsItself<T>, "handlers take Message, BinaryMessage, boost::json::value, or what "
                                     "boost::json::value_to makes of it");
    return payloadMismatch(arrival, boost::core::type_name<T>());
  }
}

/// Calls `f` with the payload as T.
template <class T, class F>
expected<void> withPayload(Arrival& arrival, F&& f) {
  if constexpr (std::is_same_v<T, Message>) {
    f(arrival.message());
    return {};
  } else if constexpr (HasPayloadForm<T>) {
    return withRead<T>(arrival, std::forward<F>(f));
  } else if (const T* itself = payloadItself<T>(arrival.payload)) {
    f(*itself);
    return {};
  } else if constexpr (std::is_same_v<T, BinaryMessage>) {
    return payloadMismatch(arrival, "BinaryMessage");
  } else if constexpr (std::is_same_v<T, boost::json::value>) {
    const auto json = arrival.json();
    if (!json) return json.error();
    if (!*json) return payloadMismatch(arrival, "JSON");
    f(**json);
    return {};
  } else {
    return withConverted<T>(arrival, std::forward<F>(f));
  }
}

/// What a handler says beforehand of what it wants; specialised in filter.hpp.
template <class F>
struct PredicateOf {
  static constexpr bool present = false;
};
template <class Bound>
  requires requires { typename Bound::target_type; }
struct PredicateOf<Bound> : PredicateOf<typename Bound::target_type> {
  template <class T>
  static bool accepts(Bound& bound, const T& payload) {
    return PredicateOf<typename Bound::target_type>::accepts(bound.get(), payload);
  }
};

/// HandlerTable::accepts for a handler of type F that takes T and is held in `Held::handler`; null where it takes all.
template <class T, class F, class Held>
constexpr auto acceptsFunction() -> std::int32_t (*)(void*, Arrival*, bool*, ErrorSink) {
  if constexpr (PredicateOf<F>::present)
    return [](void* self, Arrival* arrival, bool* wanted, ErrorSink sink) {
      return guarded(sink, [&] {
        return withPayload<T>(*arrival, [&](const T& payload) {
          *wanted = PredicateOf<F>::accepts(static_cast<Held*>(self)->handler, payload);
        });
      });
    };
  else return nullptr;
}

[[gnu::cold, gnu::noinline]] inline std::int32_t failCaught(ErrorSink sink) noexcept { return fail(sink, caughtError()); }

/// A handler of type F that takes T, behind a table of functions.
template <class T, class F>
class HeldHandler {
 public:
  template <class G>
  explicit HeldHandler(G&& held) : handler(std::forward<G>(held)) {}

  static const HandlerTable table;

  F handler;

 private:
  static std::int32_t call(void* self, Arrival* arrival, ErrorSink sink) {
    auto& handler = static_cast<HeldHandler*>(self)->handler;
    if constexpr (!std::is_same_v<T, Message>) {
      if (const T* itself = payloadItself<T>(arrival->payload)) [[likely]] {
        try {
          std::invoke(handler, *itself);
          return 0;
        } catch (...) {
          return failCaught(sink);
        }
      }
    }
    return callWithMade(handler, *arrival, sink);
  }

  // Out of line, so that the usual call needs no room for it.
  [[gnu::noinline]] static std::int32_t callWithMade(F& handler, Arrival& arrival, ErrorSink sink) {
    return guarded(sink, [&] {
      return withPayload<T>(arrival, [&](const T& payload) { std::invoke(handler, payload); });
    });
  }

  static constexpr HandlerTable makeTable() {
    HandlerTable made{&call, nullptr, [](void* self) { delete static_cast<HeldHandler*>(self); }};
    made.accepts = acceptsFunction<T, F, HeldHandler>();
    return made;
  }
};

template <class T, class F>
inline constexpr HandlerTable HeldHandler<T, F>::table = HeldHandler<T, F>::makeTable();

struct NoExecutor {};

/// ExecutorTable::waitsForCaller of an executor that can tell.
template <class Executor>
constexpr auto waitsForCallerFunction() -> bool (*)(void*) {
  if constexpr (requires(const Executor& executor) { executor.waitsForCaller(); })
    return [](void* self) { return static_cast<const Executor*>(self)->waitsForCaller(); };
  else return nullptr;
}

/// The executor that `handler` was bound to (boost::asio::bind_executor), behind a table; none: an empty reference.
template <class Handler>
ExecutorRef associatedExecutor(const Handler& handler) {
  using Associated = boost::asio::associated_executor<std::decay_t<Handler>, NoExecutor>;
  using Executor = typename Associated::type;
  if constexpr (std::is_same_v<Executor, NoExecutor>) {
    return {};
  } else {
    static constexpr ExecutorTable table{
        [](void* self, Task task) {
          boost::asio::post(*static_cast<Executor*>(self), UniqueTask(task));
        },
        [](void* self) { delete static_cast<Executor*>(self); }, waitsForCallerFunction<Executor>()};
    return {&table, new Executor(Associated::get(handler, NoExecutor{})), retainOwnLease()};
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
