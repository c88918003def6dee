#pragma once
// qtforge/communication/filter.hpp: handlers that get only some messages, or something made of them.

#include <qtforge/communication/detail/handler.hpp>

#include <boost/asio/associator.hpp>

#include <functional>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

enum class Adapts { Filter, Transform };

/// A handler with a function before it.
template <Adapts kind, class Function, class Handler>
struct Adapted {
  Function function;
  Handler handler;

  template <class T>
  decltype(auto) operator()(T&& payload) {
    if constexpr (kind == Adapts::Filter) return std::invoke(handler, std::forward<T>(payload));
    else return std::invoke(handler, std::invoke(function, std::forward<T>(payload)));
  }
};

template <class Predicate, class Handler>
struct FirstParameter<Adapted<Adapts::Filter, Predicate, Handler>> : FirstParameter<Handler> {};
template <class Function, class Handler>
struct FirstParameter<Adapted<Adapts::Transform, Function, Handler>> : FirstParameter<Function> {};

template <class Predicate, class Handler>
struct PredicateOf<Adapted<Adapts::Filter, Predicate, Handler>> {
  static constexpr bool present = true;
  template <class T>
  static bool accepts(Adapted<Adapts::Filter, Predicate, Handler>& filter, const T& payload) {
    if (!std::invoke(filter.function, payload)) return false;
    if constexpr (PredicateOf<Handler>::present) return PredicateOf<Handler>::accepts(filter.handler, payload);
    else return true;
  }
};
template <class Function, class Handler>
struct PredicateOf<Adapted<Adapts::Transform, Function, Handler>> {
  static constexpr bool present = false;
  static_assert(!PredicateOf<Handler>::present, "filter around transform, not inside: it is asked before the transform");
};

}  // namespace detail

/// A handler for `subscribe` that gets only messages for which `predicate(payload)` is true. The others never reach the
/// mailbox: they take no place in it, and none is made for them.
///
/// @param predicate  takes what `handler` takes; called on the publishers' threads, several at a time. What it throws
///                   counts as a failure of the handler, and the message goes.
template <class Predicate, class Handler>
[[nodiscard]] auto filter(Predicate&& predicate, Handler&& handler) {
  return detail::Adapted<detail::Adapts::Filter, std::decay_t<Predicate>, std::decay_t<Handler>>{
      std::forward<Predicate>(predicate), std::forward<Handler>(handler)};
}

/// A handler for `subscribe` that calls `handler(function(payload))`, both where the handler is called.
///
/// @param function  takes one of the payloads that handlers take
template <class Function, class Handler>
[[nodiscard]] auto transform(Function&& function, Handler&& handler) {
  return detail::Adapted<detail::Adapts::Transform, std::decay_t<Function>, std::decay_t<Handler>>{
      std::forward<Function>(function), std::forward<Handler>(handler)};
}

}  // namespace qtforge::inline QTFORGE_ABI

/// What is associated with the inner handler, its executor first of all, is associated with the outer one.
template <template <class, class> class Associator, qtforge::detail::Adapts kind, class Function, class Handler,
          class Default>
struct boost::asio::associator<Associator, qtforge::detail::Adapted<kind, Function, Handler>, Default>
    : Associator<Handler, Default> {
  static auto get(const qtforge::detail::Adapted<kind, Function, Handler>& outer) noexcept {
    return Associator<Handler, Default>::get(outer.handler);
  }
  static auto get(const qtforge::detail::Adapted<kind, Function, Handler>& outer, const Default& fallback) noexcept {
    return Associator<Handler, Default>::get(outer.handler, fallback);
  }
};
