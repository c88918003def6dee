#pragma once
// qtforge/core/detail/bound_methods.hpp: a plugin's member functions as methods of its interfaces: whether they fit, and
// the functions through which they are called.

#include <qtforge/core/interface.hpp>

#include <array>
#include <concepts>
#include <tuple>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI::detail {

template <FixedString Name, class Function>
struct BoundMethod {
  static constexpr std::string_view name = Name.view();
  using Type = Function;
  Function function;
};

inline Error interfaceMismatch(const InterfaceInfo& caller, const InterfaceInfo& plugin) {
  return Error(Errc::InterfaceMismatch, "its interface \"" + std::string(std::string_view(plugin.name)) +
                                            "\" is not the caller's: " + differences(caller, plugin));
}

// ---- Which function is behind a method --------------------------------------------------------------------------------

template <class Plugin>
concept NamesItsMethods = requires { Plugin::methods(); };

template <class Plugin>
using MethodsOf = decltype(Plugin::methods());

template <std::size_t I, class Plugin>
using BoundAt = std::tuple_element_t<I, MethodsOf<Plugin>>;

/// How often `name` is bound, and where last.
struct Place {
  std::size_t times = 0, index = 0;
};
template <class Plugin>
constexpr Place findBound(std::string_view name) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    Place place;
    ((BoundAt<I, Plugin>::name == name ? void(place = {place.times + 1, I}) : void()), ...);
    return place;
  }(std::make_index_sequence<std::tuple_size_v<MethodsOf<Plugin>>>());
}

// ---- Whether it fits --------------------------------------------------------------------------------------------------

template <class T>
struct WithoutExpected {
  using Type = std::remove_cvref_t<T>;
};
template <class T>
struct WithoutExpected<expected<T>> {
  using Type = T;
};

/// Parameter A of a member function takes P of an interface.
template <class P, class A>
inline constexpr bool takes = std::same_as<std::remove_cvref_t<P>, std::remove_cvref_t<A>> ||
                              (std::same_as<std::remove_cvref_t<P>, std::string> && std::same_as<A, std::string_view>);

template <class Plugin, class Signature, class Function>
inline constexpr bool fits = false;

template <class Plugin, class Class, class Signature, class R, class... A>
inline constexpr bool fitsAs = false;
template <class Plugin, class Class, class Wanted, class... P, class R, class... A>
  requires(sizeof...(P) == sizeof...(A))
inline constexpr bool fitsAs<Plugin, Class, Wanted(P...), R, A...> =
    std::derived_from<Plugin, Class> && (takes<P, A> && ...) && (std::is_convertible_v<Passed<P>, A> && ...) &&
    std::same_as<Wanted, typename WithoutExpected<std::remove_cvref_t<R>>::Type>;

template <class Plugin, class Signature, class Class, class R, class... A>
inline constexpr bool fits<Plugin, Signature, R (Class::*)(A...)> = fitsAs<Plugin, Class, Signature, R, A...>;
template <class Plugin, class Signature, class Class, class R, class... A>
inline constexpr bool fits<Plugin, Signature, R (Class::*)(A...) const> = fitsAs<Plugin, Class, Signature, R, A...>;
template <class Plugin, class Signature, class Class, class R, class... A>
inline constexpr bool fits<Plugin, Signature, R (Class::*)(A...) noexcept> = fitsAs<Plugin, Class, Signature, R, A...>;
template <class Plugin, class Signature, class Class, class R, class... A>
inline constexpr bool fits<Plugin, Signature, R (Class::*)(A...) const noexcept> =
    fitsAs<Plugin, Class, Signature, R, A...>;

/// The signature that the first of the interfaces with such a method has.
struct NoInterfaceHasIt {};
template <FixedString Name, class... Interfaces>
struct FindWanted {
  using Type = NoInterfaceHasIt;
};
template <FixedString Name, class I, class... Others>
struct FindWanted<Name, I, Others...> : FindWanted<Name, Others...> {};
template <FixedString Name, class I, class... Others>
  requires HasMethod<I, Name>
struct FindWanted<Name, I, Others...> {
  using Type = typename MethodNamed<I, Name>::Type;
};
template <FixedString Name, class... Interfaces>
using WantedOf = typename FindWanted<Name, Interfaces...>::Type;

// ---- What does not fit, as a type, since a compiler prints types ------------------------------------------------------

/// All is well.
struct PluginThatFits {};

template <class Plugin>
struct NoMethodsFunction {};  // static constexpr auto methods() { return std::tuple(bind<"name">(&Plugin::name), ...); }
template <FixedString Method, class InterfaceWants>
struct MethodNotBound {};
template <FixedString Method>
struct MethodBoundTwice {};
template <FixedString Method>
struct MethodOfNoInterface {};
template <FixedString Method, class InterfaceWants, class IsBound>
struct MethodThatDoesNotFit {};
template <class Signature>
struct InterfaceWants {};
template <class Function>
struct IsBoundTo {};

// The name of a method as a FixedString of its own length.
template <class M>
struct NameOf {
  static constexpr auto value = [] {
    char text[M::name.size() + 1] = {};
    std::copy_n(M::name.data(), M::name.size(), text);
    return FixedString<M::name.size() + 1>(text);
  }();
};

template <class Plugin, class M>
constexpr auto checkMethod() {
  constexpr auto place = findBound<Plugin>(M::name);
  using Wants = InterfaceWants<typename M::Type>;
  if constexpr (place.times == 0) {
    return MethodNotBound<NameOf<M>::value, Wants>();
  } else if constexpr (place.times > 1) {
    return MethodBoundTwice<NameOf<M>::value>();
  } else {
    using Function = typename BoundAt<place.index, Plugin>::Type;
    if constexpr (fits<Plugin, typename M::Type, Function>) return PluginThatFits();
    else return MethodThatDoesNotFit<NameOf<M>::value, Wants, IsBoundTo<Function>>();
  }
}

/// The first that is no PluginThatFits.
template <class First, class... Others>
constexpr auto firstProblem(First first, Others... others) {
  if constexpr (sizeof...(Others) == 0 || !std::same_as<First, PluginThatFits>) return first;
  else return firstProblem(others...);
}

template <class Plugin, class I>
constexpr auto checkInterface() {
  return [&]<std::size_t... At>(std::index_sequence<At...>) {
    return firstProblem(checkMethod<Plugin, typename I::template MethodAt<At>>()...);
  }(std::make_index_sequence<I::count>());
}

template <class Bound, class... Interfaces>
constexpr auto checkBound(const std::tuple<Interfaces...>*) {
  if constexpr (((Interfaces::indexOf(Bound::name) < Interfaces::count) || ...)) return PluginThatFits();
  else return MethodOfNoInterface<NameOf<Bound>::value>();
}

template <class Plugin, class... Interfaces>
constexpr auto checkInterfaces(const std::tuple<Interfaces...>* all) {
  if constexpr (!NamesItsMethods<Plugin>) {
    return NoMethodsFunction<Plugin>();
  } else {
    return [&]<std::size_t... At>(std::index_sequence<At...>) {
      return firstProblem(checkInterface<Plugin, Interfaces>()..., checkBound<BoundAt<At, Plugin>>(all)...);
    }(std::make_index_sequence<std::tuple_size_v<MethodsOf<Plugin>>>());
  }
}

template <class Class>
concept OffersInterfaces = requires { typename Class::ImplementedInterfaces; };

/// A PluginThatFits, or what is wrong.
template <class Class>
constexpr auto checkPlugin() {
  if constexpr (OffersInterfaces<Class>)
    return checkInterfaces<typename Class::ImplementingClass>(
        static_cast<const typename Class::ImplementedInterfaces*>(nullptr));
  else
    return PluginThatFits();
}

/// Each method of the interfaces that it implements is bound, to a member function of the right type.
template <class Class>
concept FitsItsInterfaces = std::same_as<decltype(checkPlugin<Class>()), PluginThatFits>;

// ---- How it is called -------------------------------------------------------------------------------------------------

template <class Plugin, class M, class Parts = typename M::Parts, class Signature = typename M::Type>
struct BoundThunk;

template <class Plugin, class M, class Parts, class R, class... P>
struct BoundThunk<Plugin, M, Parts, R(P...)> {
  static CallResult call(void* self, void* result, const ErrorSink* sink, Passed<P>... arguments) noexcept {
    constexpr auto function = std::get<findBound<Plugin>(M::name).index>(Plugin::methods()).function;
    auto& plugin = *static_cast<Plugin*>(self);
    using Returned = std::invoke_result_t<decltype(function), Plugin&, Passed<P>...>;
    try {
      if constexpr (std::is_void_v<Returned>) {
        (plugin.*function)(static_cast<Passed<P>>(arguments)...);
      } else if constexpr (std::same_as<std::remove_cvref_t<Returned>, expected<R>>) {
        auto&& returned = (plugin.*function)(static_cast<Passed<P>>(arguments)...);
        if (!returned) return fail(*sink, returned.error());
        if constexpr (!std::is_void_v<R>) give(result, *std::forward<decltype(returned)>(returned));
      } else {
        give(result, (plugin.*function)(static_cast<Passed<P>>(arguments)...));
      }
      return 0;
    } catch (...) {
      return fail(*sink, caughtError());
    }
  }

  template <class Value>
  static void give(void* result, Value&& value) {
    auto* made = new (result) R(std::forward<Value>(value));
    if constexpr (holdsJson<R>) settle(*made);
    else (void)made;
  }
};

/// In the interface's order. A cast keeps them from being constexpr; they are made at compile time all the same.
template <class Plugin, class I>
const AnyThunk* thunksOf() {
  static const auto thunks = []<std::size_t... At>(std::index_sequence<At...>) {
    return std::array<AnyThunk, I::count>{
        reinterpret_cast<AnyThunk>(&BoundThunk<Plugin, typename I::template MethodAt<At>>::call)...};
  }(std::make_index_sequence<I::count>());
  return thunks.data();
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
