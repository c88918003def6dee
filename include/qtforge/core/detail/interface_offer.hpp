#pragma once
// qtforge/core/detail/interface_offer.hpp: what a class in C++ that offers interfaces has, plugin or service.

#include <qtforge/core/detail/bound_methods.hpp>

#include <tuple>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class Object, AnyInterface... Interfaces>
  requires(sizeof...(Interfaces) > 0)
class InterfaceOffer {
 public:
  using ImplementingClass = Object;
  using ImplementedInterfaces = std::tuple<Interfaces...>;

 protected:
  /// `function` is what `Name` of the interface calls.
  template <FixedString Name, class Function>
#if !defined(__clang__)
    requires fits<Object, WantedOf<Name, Interfaces...>, Function>
#endif
  static constexpr auto bind(Function function) {
    return BoundMethod<Name, Function>{function};
  }
#if !defined(__clang__)
  // What QTFORGE_PLUGIN finds GCC reports at the macro's own lines, but this at the author's, with all three arguments.
  template <FixedString Method, class IsBoundTo, class InterfaceWants = WantedOf<Method, Interfaces...>>
    requires(!fits<Object, InterfaceWants, IsBoundTo>)
  static void bind(IsBoundTo function) = delete;
#endif

  static expected<Implementation> implementationOf(Object& object, const InterfaceInfo& wanted) {
    if constexpr (FitsItsInterfaces<Object>) {
      Implementation found;
      const bool offered = (give<Interfaces>(wanted, object, found) || ...);
      if (!offered) return interfaceMissing(wanted);
      if (found.info->fingerprint == wanted.fingerprint) return found;
      return interfaceMismatch(wanted, *found.info);
    } else {
      static_assert(FitsItsInterfaces<Object>, "methods() does not fit the interfaces: see QTFORGE_PLUGIN");
      return interfaceMissing(wanted);
    }
  }

  static void showTo(void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) {
    (take(taker, &Interfaces::info), ...);
  }

 private:
  template <class I>
  static bool give(const InterfaceInfo& wanted, Object& object, Implementation& to) {
    if (std::string_view(wanted.name) != I::name) return false;
    to = {thunksOf<Object, I>(), &object, &I::info};
    return true;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
