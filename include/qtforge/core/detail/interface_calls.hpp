#pragma once
// qtforge/core/detail/interface_calls.hpp: from a call with its arguments to the thunk of a method.

#include <qtforge/core/detail/call_gate.hpp>
#include <qtforge/core/interface.hpp>
#include <qtforge/utils/detail/failure_room.hpp>

#include <array>
#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class Signature, class... Arguments>
inline constexpr bool canCall = false;
template <class R, class... P, class... Arguments>
  requires(sizeof...(P) == sizeof...(Arguments))
inline constexpr bool canCall<R(P...), Arguments...> = (std::convertible_to<Arguments, P> && ...);

/// The interface has a method `Name`, and it takes these arguments.
template <class I, FixedString Name, class... Arguments>
concept CallableMethod = HasMethod<I, Name> && canCall<typename MethodNamed<I, Name>::Type, Arguments...>;

template <class I, FixedString Name>
using ResultOf = typename MethodNamed<I, Name>::Parts::Result;

template <class I, FixedString Name>
inline constexpr CallSite callSite{I::name, MethodNamed<I, Name>::name};
template <class I>
inline constexpr CallSite guardSite{I::name, {}};

/// @param label  whose method it is
inline Error isUnloaded(const std::string& label, std::string_view what) {
  return Error(Errc::PluginUnloaded, label + ": " + std::string(what) + ": the plugin has been unloaded, or is being unloaded");
}
inline Error pointsToNothing(std::string_view interface) {
  return Error(Errc::PluginUnloaded, "a handle of \"" + std::string(interface) + "\" that points to no plugin was used");
}

/// A parameter's value: what was given if it is of its type, else made of it.
template <class P, class Argument>
struct Converted {
  std::remove_cvref_t<P> value;
  explicit Converted(Argument&& argument) : value(static_cast<std::remove_cvref_t<P>>(std::forward<Argument>(argument))) {}
  Passed<P> get() noexcept { return static_cast<Passed<P>>(value); }
};
template <class P, class Argument>
  requires(std::same_as<Argument, std::remove_cvref_t<P>> ||  // an rvalue
           (std::is_reference_v<P> && std::same_as<std::remove_cvref_t<Argument>, std::remove_cvref_t<P>>))
struct Converted<P, Argument> {
  Argument&& value;
  explicit Converted(Argument&& argument) noexcept : value(std::forward<Argument>(argument)) {}
  Passed<P> get() noexcept { return static_cast<Passed<P>>(value); }
};

[[gnu::cold, gnu::noinline]] inline Error inMethod(const Error& error, const std::string& label, std::string_view method) {
  return error.within(label + ": " + std::string(method) + "()");
}

/// Room for a result that a thunk makes.
template <class R>
union ResultRoom {
  ResultRoom() noexcept {}
  ~ResultRoom() {}
  R value;
};

// In line, both of them: else arguments and result go through memory twice, which takes longer than the call.
template <class Signature>
struct ThunkCall;
template <class R, class... P>
struct ThunkCall<R(P...)> {
  template <class... Arguments>
  [[gnu::always_inline]] static expected<R> call(AnyThunk thunk, void* self, const std::string& label,
                                                 std::string_view method, Arguments&&... arguments) {
    const auto function = reinterpret_cast<typename SignatureParts<R(P...)>::Thunk>(thunk);
    FailureRoom failure;
    const ErrorSink sink = failure.sink();
    if constexpr (std::is_void_v<R>) {
      if (function(self, nullptr, &sink, Converted<P, Arguments>(std::forward<Arguments>(arguments)).get()...) != 0)
        return inMethod(failure.take(), label, method);
      return {};
    } else {
      ResultRoom<R> room;
      if (function(self, &room.value, &sink, Converted<P, Arguments>(std::forward<Arguments>(arguments)).get()...) != 0)
        return inMethod(failure.take(), label, method);
      struct End {
        R& value;
        ~End() { std::destroy_at(&value); }
      } const end{room.value};
      return expected<R>(std::move(room.value));
    }
  }
};

/// @param label  whose methods they are, for errors
template <class I, FixedString Name, class... Arguments>
[[gnu::always_inline]] inline expected<ResultOf<I, Name>> callThunk(const AnyThunk* methods, void* self,
                                                                    const std::string& label, Arguments&&... arguments) {
  using M = MethodNamed<I, Name>;
  constexpr auto index = I::indexOf(Name.view());
  return ThunkCall<typename M::Type>::call(methods[index], self, label, M::name, std::forward<Arguments>(arguments)...);
}

/// Thunks for ErasedImplementation, in the interface's order.
template <class I>
const AnyThunk* forwardersOf() {
  static const auto thunks = []<std::size_t... At>(std::index_sequence<At...>) {
    return std::array<AnyThunk, I::count>{reinterpret_cast<AnyThunk>(
        &I::template MethodAt<At>::Parts::template forward<typename I::template MethodAt<At>,
                                                           static_cast<std::uint32_t>(At)>)...};
  }(std::make_index_sequence<I::count>());
  return thunks.data();
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
