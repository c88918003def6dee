#pragma once
// qtforge/communication/detail/layout.hpp: a fingerprint of a C++ type's name and layout, by which two binaries find out
// whether they mean the same type.

#include <qtforge/utils/config.hpp>

#include <boost/core/detail/string_view.hpp>
#include <boost/core/span.hpp>
#include <boost/core/type_name.hpp>
#include <boost/describe/bases.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Described with Boost.Describe, all members public.
template <class T>
inline constexpr bool isDescribed = std::conjunction_v<std::is_class<T>, boost::describe::has_describe_bases<T>,
                                                       boost::describe::has_describe_members<T>>;

template <class T>
using MembersOf = boost::describe::describe_members<T, boost::describe::mod_any_access | boost::describe::mod_inherited>;

template <class C, class M>
std::type_identity<M> memberType(M C::*);
template <class D>  // of describe_members
using TypeOfMember = typename decltype(memberType(D::pointer))::type;

/// Whether nothing in T refers to memory of somebody else, as far as its description tells. `Seen`: types around it.
template <class T, class... Seen>
struct Owns {
  static constexpr bool value = [] {
    if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
    else if constexpr (std::is_pointer_v<T> || std::is_reference_v<T>) return false;
    else if constexpr (isDescribed<T>)
      return []<class... D>(boost::mp11::mp_list<D...>) {
        return (Owns<TypeOfMember<D>, T, Seen...>::value && ...);
      }(boost::mp11::mp_rename<MembersOf<T>, boost::mp11::mp_list>());
    else return true;
  }();
};
template <class C, class Traits, class... Seen>
struct Owns<std::basic_string_view<C, Traits>, Seen...> : std::false_type {};
template <class T, std::size_t N, class... Seen>
struct Owns<std::span<T, N>, Seen...> : std::false_type {};
template <class C, class... Seen>
struct Owns<boost::core::basic_string_view<C>, Seen...> : std::false_type {};
template <class T, std::size_t N, class... Seen>
struct Owns<boost::span<T, N>, Seen...> : std::false_type {};
template <class T, class... Seen>
struct Owns<std::reference_wrapper<T>, Seen...> : std::false_type {};
template <class T, class... Seen>  // a move keeps the memory resource, which is the publisher's
struct Owns<std::pmr::polymorphic_allocator<T>, Seen...> : std::false_type {};
template <class... Seen>  // likewise
struct Owns<boost::json::value, Seen...> : std::false_type {};
template <class... Seen>
struct Owns<boost::json::object, Seen...> : std::false_type {};
template <class... Seen>
struct Owns<boost::json::array, Seen...> : std::false_type {};
template <class... Seen>
struct Owns<boost::json::string, Seen...> : std::false_type {};
template <class T, std::size_t N, class... Seen>
struct Owns<std::array<T, N>, Seen...> : Owns<T, Seen...> {};
template <class T, std::size_t N, class... Seen>
struct Owns<T[N], Seen...> : Owns<T, Seen...> {};
template <template <class...> class C, class... A, class... Seen>
  requires(!isDescribed<C<A...>> && sizeof...(A) > 0)
struct Owns<C<A...>, Seen...> : std::bool_constant<(Owns<A, C<A...>, Seen...>::value && ...)> {};

template <class T>
inline constexpr bool ownsItsMembers = Owns<T>::value;

// An address that is another one in each binary.
__attribute__((visibility("hidden"))) inline const char thisBinary = 0;

/// 64-bit FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv) over what it is fed.
class Fingerprint {
 public:
  constexpr void add(std::string_view text) noexcept {
    for (const char c : text) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    add(text.size());
  }
  constexpr void add(std::uint64_t number) noexcept {
    for (int i = 0; i < 8; ++i, number >>= 8) value_ = (value_ ^ (number & 0xffU)) * 0x100000001b3U;
  }

  /// Name, size, and what it is made of. Of a class that nobody described only its own binary knows the layout.
  template <class T, class... Seen>
  void addType() {
    const std::string name = boost::core::type_name<T>();
    add(name);
    if constexpr (std::is_object_v<T> && !(std::is_same_v<T, Seen> || ...)) {
      add(sizeof(T));
      add(alignof(T));
      if constexpr (isDescribed<T>) {
        []<class... D>(Fingerprint& print, boost::mp11::mp_list<D...>) {
          (print.addMember<D, T, Seen...>(), ...);
        }(*this, boost::mp11::mp_rename<MembersOf<T>, boost::mp11::mp_list>());
      } else if constexpr (std::is_class_v<T> || std::is_union_v<T>) {
        const bool known = name.starts_with("std::") || name.starts_with("boost::");
        if (!known) add(reinterpret_cast<std::uintptr_t>(&thisBinary));
        Parts<T>::template addTo<T, Seen...>(*this);
      }
    }
  }

  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }

 private:
  // The type arguments of a class template.
  template <class T>
  struct Parts {
    template <class...>
    static void addTo(Fingerprint&) {}
  };
  template <template <class...> class C, class... A>
  struct Parts<C<A...>> {
    template <class... Seen>
    static void addTo(Fingerprint& print) {
      (print.addType<A, Seen...>(), ...);
    }
  };
  template <class E, std::size_t N>
  struct Parts<std::array<E, N>> {
    template <class... Seen>
    static void addTo(Fingerprint& print) {
      print.addType<E, Seen...>();
    }
  };

  template <class D, class T, class... Seen>
  void addMember() {
    add(D::name);
    alignas(T) static const std::byte somewhere[sizeof(T)]{};  // no T lives there: only addresses are taken
    const auto* object = reinterpret_cast<const T*>(somewhere);
    add(static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&(object->*D::pointer)) - somewhere));
    addType<TypeOfMember<D>, T, Seen...>();
  }

  std::uint64_t value_ = 0xcbf29ce484222325U;
};

template <class T>
std::uint64_t fingerprintOf() {
  Fingerprint print;
  print.addType<T>();
  return print.value();
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
