#pragma once
// qtforge/core/interface.hpp: Interface: methods with names and types by which a plugin is used, whatever its language.

#include <qtforge/core/detail/interface_types.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

/// A string literal as a template argument.
template <std::size_t N>
struct FixedString {
  char text[N];

  constexpr FixedString(const char (&literal)[N]) { std::copy_n(literal, N, text); }
  [[nodiscard]] constexpr std::string_view view() const noexcept { return {text, N - 1}; }
};

namespace detail {

/// "apply(image, amount)" taken apart.
struct Declaration {
  std::string_view text;

  static constexpr bool isWord(std::string_view word) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    if (word.empty() || !letter(word.front())) return false;
    return std::all_of(word.begin(), word.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  }
  // As find(), whose comparison with null GCC 12's sanitizer does not take for constant in a template's argument.
  static constexpr std::size_t position(std::string_view in, char wanted) {
    for (std::size_t i = 0; i < in.size(); ++i)
      if (in[i] == wanted) return i;
    return in.npos;
  }
  static constexpr std::string_view trimmed(std::string_view word) {
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    return word;
  }

  [[nodiscard]] constexpr std::string_view name() const { return trimmed(text.substr(0, position(text, '('))); }
  [[nodiscard]] constexpr std::string_view list() const {
    const auto begin = position(text, '('), end = text.rfind(')');
    if (begin == text.npos || end == text.npos || end < begin) return {};
    return trimmed(text.substr(begin + 1, end - begin - 1));
  }
  [[nodiscard]] constexpr std::size_t parameterCount() const {
    return list().empty() ? 0 : 1 + static_cast<std::size_t>(std::count(list().begin(), list().end(), ','));
  }
  [[nodiscard]] constexpr std::string_view parameter(std::size_t index) const {
    auto rest = list();
    for (; index > 0; --index) rest.remove_prefix(position(rest, ',') + 1);
    return trimmed(rest.substr(0, position(rest, ',')));
  }
  [[nodiscard]] constexpr bool isWellFormed() const {
    const auto whole = trimmed(text);
    if (!isWord(name()) || whole.empty() || whole.back() != ')') return false;
    for (std::size_t i = 0; i < parameterCount(); ++i) {
      if (!isWord(parameter(i))) return false;
      for (std::size_t j = 0; j < i; ++j)
        if (parameter(j) == parameter(i)) return false;
    }
    return true;
  }
};

template <class Signature>
inline constexpr bool isMethodSignature = false;
template <class R, class... P>
inline constexpr bool isMethodSignature<R(P...)> = MethodResult<R> && (MethodParameter<P> && ...);

template <class Signature>
inline constexpr std::size_t arityOf = 0;
template <class R, class... P>
inline constexpr std::size_t arityOf<R(P...)> = sizeof...(P);

/// A function type whose result and parameters both languages have; see HasPythonConversion.
template <class Signature>
concept SignatureWithPythonConversion = isMethodSignature<Signature>;

/// "name(a, b)" with a name of its own for each parameter.
template <FixedString Text, class Signature>
concept NamesEveryParameter =
    Declaration{Text.view()}.isWellFormed() && Declaration{Text.view()}.parameterCount() == arityOf<Signature>;

template <class Signature>
struct SignatureParts;
template <class R, class... P>
struct SignatureParts<R(P...)> {
  using Result = R;
  using Thunk = CallResult (*)(void* self, void* result, const ErrorSink* sink, Passed<P>... arguments);

  template <std::size_t... I>
  static constexpr auto describe(Declaration declaration, std::index_sequence<I...>) {
    return std::array<ParameterInfo, sizeof...(P)>{
        ParameterInfo{declaration.parameter(I), &typeInfo<std::remove_cvref_t<P>>, std::is_reference_v<P>}...};
  }

  static CallResult invoke(AnyThunk thunk, void* self, void* result, void* const* arguments, const ErrorSink* sink) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return reinterpret_cast<Thunk>(thunk)(
          self, result, sink, static_cast<Passed<P>>(*static_cast<std::remove_cvref_t<P>*>(arguments[I]))...);
    }(std::index_sequence_for<P...>());
  }

  /// A thunk for implementations that are called through ErasedImplementation.
  template <class M, std::uint32_t Index>
  static CallResult forward(void* self, void* result, const ErrorSink* sink, Passed<P>... arguments) {
    const auto* erased = static_cast<const ErasedImplementation*>(self);
    const void* places[sizeof...(P) + 1] = {static_cast<const void*>(std::addressof(arguments))...};
    if constexpr (std::is_void_v<R>) {
      return erased->invoke(erased, Index, &M::info, nullptr, places, sink);
    } else {
      R made{};
      const auto failed = erased->invoke(erased, Index, &M::info, &made, places, sink);
      if (failed == 0) new (result) R(std::move(made));
      return failed;
    }
  }
};

}  // namespace detail

/// One method: its name and those of its parameters, which Python's help() shows, and its C++ signature.
///
/// Parameters: T, const T& or std::string_view; T, also as result: bool, integers, float, double, std::string,
/// boost::json::value, object and array, BinaryMessage, and std::optional, std::vector and std::map<std::string, ...> of
/// them. What else does not compile.
template <FixedString Text, class Signature>
  requires detail::SignatureWithPythonConversion<Signature> && detail::NamesEveryParameter<Text, Signature>
struct Method {
  using Type = Signature;
  using Parts = detail::SignatureParts<Signature>;
  static constexpr std::string_view name = detail::Declaration{Text.view()}.name();
  static constexpr auto parameters =
      Parts::describe(detail::Declaration{Text.view()}, std::make_index_sequence<detail::arityOf<Signature>>());
  static constexpr detail::MethodInfo info{name, &detail::typeInfo<typename Parts::Result>, parameters.data(),
                                           static_cast<std::uint32_t>(parameters.size()), &Parts::invoke};
};

namespace detail {

template <class... Methods>
constexpr bool areDistinct() {
  const std::array<std::string_view, sizeof...(Methods)> names{Methods::name...};
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (names[i] == names[j]) return false;
  return true;
}

template <class... Methods>
concept DistinctMethodNames = areDistinct<Methods...>();

}  // namespace detail

/// An interface: its name, with its version by custom ("image.filter/1"), and its methods.
///
///     using ImageFilter = qtforge::Interface<"image.filter/1",
///         qtforge::Method<"apply(image, amount)", BinaryMessage(BinaryMessage, double)>,
///         qtforge::Method<"title()", std::string()>>;
///
/// A plugin offers it with Implements, or in Python by methods of those names; a host asks PluginManager for it. Both
/// sides must have the same name and the same methods in the same order; names of parameters may differ.
template <FixedString Name, class... Methods>
  requires(sizeof...(Methods) > 0) && detail::DistinctMethodNames<Methods...>
struct Interface {
  static constexpr std::string_view name = Name.view();

  /// The method of that name, or sizeof...(Methods).
  static constexpr std::size_t indexOf(std::string_view method) {
    const std::array<std::string_view, sizeof...(Methods)> names{Methods::name...};
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), method) - names.begin());
  }
  template <std::size_t Index>
  using MethodAt = std::tuple_element_t<Index, std::tuple<Methods...>>;
  static constexpr std::size_t count = sizeof...(Methods);

  static constexpr detail::MethodInfo methods[] = {Methods::info...};

  /// Of the methods' order, names and types.
  static constexpr std::uint64_t fingerprint = [] {
    detail::Fingerprint made;
    for (const auto& method : methods) {
      made.add(std::string_view(method.name));
      detail::addType(made, *method.result);
      made.add(method.count);
      for (std::uint32_t i = 0; i < method.count; ++i) {
        detail::addType(made, *method.parameters[i].type);
        made.add(method.parameters[i].byReference);
      }
    }
    return made.value();
  }();

  static constexpr detail::InterfaceInfo info{sizeof(detail::InterfaceInfo), count, fingerprint, name, methods};
};

namespace detail {

template <class T>
inline constexpr bool isInterface = false;
template <FixedString Name, class... Methods>
inline constexpr bool isInterface<Interface<Name, Methods...>> = true;

template <class I, FixedString Name>
concept HasMethod = I::indexOf(Name.view()) < I::count;

/// Stands for a method that an interface does not have.
struct NoSuchMethod {
  using Type = void();
  using Parts = SignatureParts<void()>;
  static constexpr std::string_view name = "?";
};

template <class I, std::size_t Index>
struct MethodOrNone {
  using Type = NoSuchMethod;
};
template <class I, std::size_t Index>
  requires(Index < I::count)
struct MethodOrNone<I, Index> {
  using Type = typename I::template MethodAt<Index>;
};

/// NoSuchMethod where there is none.
template <class I, FixedString Name>
using MethodNamed = typename MethodOrNone<I, I::indexOf(Name.view())>::Type;

}  // namespace detail

/// An Interface<...>, for templates.
template <class T>
concept AnyInterface = detail::isInterface<T>;

}  // namespace qtforge::inline QTFORGE_ABI
