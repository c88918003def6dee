#pragma once
// qtforge/core/detail/interface_types.hpp: the C++ types that methods of an interface may have, and how each crosses.

#include <qtforge/communication/detail/layout.hpp>
#include <qtforge/communication/payload.hpp>
#include <qtforge/core/detail/interface_info.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class T>
inline constexpr TypeKind kindOf = TypeKind::None;

template <class T>
  requires(std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
           !std::same_as<T, char16_t> && !std::same_as<T, char32_t> && !std::is_const_v<T> && sizeof(T) <= 8)
inline constexpr TypeKind kindOf<T> = std::same_as<T, bool> ? TypeKind::Bool
                                      : std::signed_integral<T> ? TypeKind::Int
                                                                : TypeKind::Uint;
template <> inline constexpr TypeKind kindOf<float> = TypeKind::Real;
template <> inline constexpr TypeKind kindOf<double> = TypeKind::Real;
template <> inline constexpr TypeKind kindOf<std::string> = TypeKind::Text;
template <> inline constexpr TypeKind kindOf<boost::json::value> = TypeKind::Json;
template <> inline constexpr TypeKind kindOf<boost::json::object> = TypeKind::JsonObject;
template <> inline constexpr TypeKind kindOf<boost::json::array> = TypeKind::JsonArray;
template <> inline constexpr TypeKind kindOf<BinaryMessage> = TypeKind::Binary;

// None of Python stands for nothing: an optional of what None is a value of would lose one of the two.
template <class T>
  requires(kindOf<T> != TypeKind::None && kindOf<T> != TypeKind::Optional && kindOf<T> != TypeKind::Json)
inline constexpr TypeKind kindOf<std::optional<T>> = TypeKind::Optional;
template <class T>
  requires(kindOf<T> != TypeKind::None)
inline constexpr TypeKind kindOf<std::vector<T>> = TypeKind::List;
template <class T>
  requires(kindOf<T> != TypeKind::None)
inline constexpr TypeKind kindOf<std::map<std::string, T>> = TypeKind::Map;

/// A value that both languages have: bool, integers, float, double, std::string, std::optional, std::vector and
/// std::map<std::string, ...> of them, boost::json::value, object and array, BinaryMessage.
template <class T>
concept HasPythonConversion = kindOf<T> != TypeKind::None;

/// T or const T& of such a value, or std::string_view.
template <class P>
concept MethodParameter = HasPythonConversion<P> || std::same_as<P, std::string_view> ||
                          (std::is_lvalue_reference_v<P> && std::is_const_v<std::remove_reference_t<P>> &&
                           HasPythonConversion<std::remove_cvref_t<P>>);

template <class R>
concept MethodResult = HasPythonConversion<R> || std::is_void_v<R>;

/// How a parameter goes through a thunk.
template <class P>
using Passed = std::conditional_t<std::is_arithmetic_v<P> || std::same_as<P, std::string_view> || std::is_reference_v<P>,
                                  P, P&&>;

// ---- Their descriptions -----------------------------------------------------------------------------------------------

template <class T>
struct ContainerFunctions;

template <class T>
struct ContainerFunctions<std::optional<T>> {
  using Element = T;
  static bool each(const std::optional<T>& from, auto&& visit) { return !from || visit(Text(), *from); }
  static void add(std::optional<T>& to, Text, T&& element) { to.emplace(std::move(element)); }
};
template <class T>
struct ContainerFunctions<std::vector<T>> {
  using Element = T;
  static bool each(const std::vector<T>& from, auto&& visit) {
    for (const T& element : from)  // of std::vector<bool> too: a bool that lives as long as the step
      if (!visit(Text(), element)) return false;
    return true;
  }
  static void add(std::vector<T>& to, Text, T&& element) { to.push_back(std::move(element)); }
};
template <class T>
struct ContainerFunctions<std::map<std::string, T>> {
  using Element = T;
  static bool each(const std::map<std::string, T>& from, auto&& visit) {
    for (const auto& [key, element] : from)
      if (!visit(Text(std::string_view(key)), element)) return false;
    return true;
  }
  static void add(std::map<std::string, T>& to, Text key, T&& element) {
    to.insert_or_assign(std::string(std::string_view(key)), std::move(element));
  }
};

template <class T>
struct TypeInfoOf {
  static constexpr TypeInfo make() noexcept;
};

template <class T>
inline constexpr TypeInfo typeInfo = TypeInfoOf<T>::make();

template <>
inline constexpr TypeInfo typeInfo<void> = {TypeKind::Void};

template <>
inline constexpr TypeInfo typeInfo<std::string_view> = {
    TypeKind::TextView, sizeof(std::string_view), alignof(std::string_view), nullptr,
    [](void* place) { new (place) std::string_view(); }, [](void*) {}};

template <class T>
constexpr TypeInfo TypeInfoOf<T>::make() noexcept {
  TypeInfo info{kindOf<T>, sizeof(T), alignof(T)};
  info.construct = [](void* place) { new (place) T(); };
  info.destroy = [](void* object) { std::destroy_at(static_cast<T*>(object)); };
  if constexpr (kindOf<T> == TypeKind::Optional || kindOf<T> == TypeKind::List || kindOf<T> == TypeKind::Map) {
    using Functions = ContainerFunctions<T>;
    using Element = typename Functions::Element;
    info.element = &typeInfo<Element>;
    info.each = [](const void* container, void* self, bool (*visit)(void*, Text, const void*)) {
      return Functions::each(*static_cast<const T*>(container),
                             [&](Text key, const Element& element) { return visit(self, key, &element); });
    };
    info.add = [](void* container, Text key, void* self, bool (*fill)(void*, void*)) {
      try {
        Element element{};
        if (!fill(self, &element)) return false;
        Functions::add(*static_cast<T*>(container), key, std::move(element));
        return true;
      } catch (const std::bad_alloc&) {
        return false;
      }
    };
  }
  return info;
}

// ---- The fingerprint --------------------------------------------------------------------------------------------------

constexpr bool isContainer(TypeKind kind) {
  return kind == TypeKind::Optional || kind == TypeKind::List || kind == TypeKind::Map;
}

// Without a comparison of `element` with null, which GCC 12's sanitizer does not take for constant.
constexpr void addType(Fingerprint& to, const TypeInfo& type) {
  to.add(static_cast<std::uint64_t>(type.kind));
  to.add(type.size);
  if (isContainer(type.kind)) addType(to, *type.element);
}

// ---- JSON that leaves a plugin ----------------------------------------------------------------------------------------

template <class T>
inline constexpr bool holdsJson = kindOf<T> == TypeKind::Json || kindOf<T> == TypeKind::JsonObject || kindOf<T> == TypeKind::JsonArray;
template <class T>
inline constexpr bool holdsJson<std::optional<T>> = holdsJson<T>;
template <class T>
inline constexpr bool holdsJson<std::vector<T>> = holdsJson<T>;
template <class T>
inline constexpr bool holdsJson<std::map<std::string, T>> = holdsJson<T>;

/// Moves JSON out of memory resources that are the plugin's own, whose code goes when it is unloaded.
template <class T>
void settle(T& value) {
  if constexpr (kindOf<T> == TypeKind::Optional) {
    if (value) settle(*value);
  } else if constexpr (kindOf<T> == TypeKind::List) {
    for (auto& element : value) settle(element);
  } else if constexpr (kindOf<T> == TypeKind::Map) {
    for (auto& member : value) settle(member.second);
  } else if (*value.storage() != *boost::json::storage_ptr()) {
    T moved(std::move(value), boost::json::storage_ptr());
    std::destroy_at(&value);
    new (&value) T(std::move(moved));
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
