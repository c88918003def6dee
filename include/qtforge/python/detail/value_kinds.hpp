#pragma once
// qtforge/python/detail/value_kinds.hpp: which C++ types have a counterpart in Python, as python_conversion.hpp lists them.

#include <qtforge/communication/detail/payload_type.hpp>
#include <qtforge/core/detail/interface_types.hpp>
#include <qtforge/python/detail/micros.hpp>
#include <qtforge/python/detail/value_type.hpp>
#include <qtforge/python/python_conversion.hpp>

#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <tuple>
#include <variant>

namespace qtforge::inline QTFORGE_ABI::python {

class PythonValue;  // python_value.hpp

namespace detail {

using qtforge::detail::kindOf;

template <class T>
inline constexpr bool isScalar = kindOf<T> != TypeKind::None && kindOf<T> != TypeKind::Optional &&
                                 kindOf<T> != TypeKind::List && kindOf<T> != TypeKind::Map;

template <class T>
inline constexpr bool isNumber = kindOf<T> == TypeKind::Int || kindOf<T> == TypeKind::Uint || kindOf<T> == TypeKind::Real;
template <>
inline constexpr bool isNumber<std::byte> = true;

template <class T>
inline constexpr bool isOptional = false;
template <class T>
inline constexpr bool isOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool isVariant = false;
template <class... T>
inline constexpr bool isVariant<std::variant<T...>> = true;
template <class T>
inline constexpr bool isSpan = false;
template <class T, std::size_t N>
inline constexpr bool isSpan<std::span<T, N>> = isNumber<std::remove_cv_t<T>>;
template <class T>
inline constexpr bool isArray = false;
template <class T, std::size_t N>
inline constexpr bool isArray<std::array<T, N>> = true;
template <class T>
inline constexpr bool isTuple = false;
template <class... T>
inline constexpr bool isTuple<std::tuple<T...>> = true;
template <class A, class B>
inline constexpr bool isTuple<std::pair<A, B>> = true;

template <class T>
concept Sequence = requires(T& t, typename T::value_type element) {
  t.insert(t.end(), std::move(element));
  t.begin();
} && !std::convertible_to<const T&, std::string_view>;

template <class T>
concept Mapping = Sequence<T> && requires { typename T::mapped_type; };

template <class T>
concept SideBySide = requires(T& t) {
  { t.data() } -> std::convertible_to<const typename T::value_type*>;
  t.size();
} && isNumber<typename T::value_type>;

template <class T>
inline constexpr bool isNothing = std::same_as<T, std::nullptr_t> || std::same_as<T, std::monostate>;

/// Which Extended kind T is; Plain for all others, whether they have a description or not.
template <class T>
consteval ValueKind extendedKindOf() {
  if constexpr (HasOwnConversion<T>) return ValueKind::Converted;
  else if constexpr (isScalar<T> || std::same_as<T, std::string_view> || std::is_void_v<T>) return ValueKind::Plain;
  else if constexpr (isNothing<T>) return ValueKind::Nothing;
  else if constexpr (std::same_as<T, PythonValue>) return ValueKind::Any;
  else if constexpr (std::same_as<T, Buffer>) return ValueKind::Bytes;
  else if constexpr (std::same_as<T, std::filesystem::path>) return ValueKind::Path;
  else if constexpr (isSpan<T>) return ValueKind::Span;
  else if constexpr (Micros<T>::known) return Micros<T>::isTime ? ValueKind::TimePoint : ValueKind::Duration;
  else if constexpr (isVariant<T>) return ValueKind::Variant;
  else if constexpr (isTuple<T>) return ValueKind::Tuple;
  else if constexpr (isOptional<T>) return ValueKind::Plain;
  else if constexpr (SideBySide<T> && (isArray<T> || requires(T& t) { t.resize(1); })) return ValueKind::Numbers;
  else if constexpr (isArray<T>) return ValueKind::Array;
  else if constexpr (Mapping<T>) return ValueKind::Dict;
  else if constexpr (qtforge::detail::ConvertsItself<T>) return ValueKind::Converted;
  else if constexpr (Sequence<T>) return ValueKind::Plain;
  else if constexpr (qtforge::detail::isDescribed<T>) return ValueKind::Record;
  else if constexpr (!std::is_pointer_v<T> && (boost::json::has_value_from<T>::value || boost::json::has_value_to<T>::value))
    return ValueKind::Converted;
  else return ValueKind::Plain;
}

/// Whether T has a description. Of what it is made of nothing is asked.
template <class T>
inline constexpr bool isValue = extendedKindOf<T>() != ValueKind::Plain || isScalar<T> || isOptional<T> || Sequence<T> ||
                                std::same_as<T, std::string_view> || std::is_void_v<T>;

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI::python
