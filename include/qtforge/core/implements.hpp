#pragma once
// qtforge/core/implements.hpp: Implements: how a plugin in C++ offers interfaces.

#include <qtforge/core/detail/bound_methods.hpp>
#include <qtforge/core/iplugin.hpp>

#include <tuple>

namespace qtforge::inline QTFORGE_ABI {

/// Base of a plugin that offers interfaces. It names the member function behind each method once:
///
///     class Blur : public qtforge::Implements<Blur, ImageFilter> {
///      public:
///       BinaryMessage apply(BinaryMessage image, double amount);
///       std::string title() const;
///
///       static constexpr auto methods() {
///         return std::tuple(bind<"apply">(&Blur::apply), bind<"title">(&Blur::title));
///       }
///     };
///     QTFORGE_PLUGIN(Blur);
///
/// A member function takes what the method takes, by value or const reference, and returns its result or an expected<>
/// of it; const, noexcept and inherited ones will do, and std::string_view for a std::string. What does not fit does not
/// compile: QTFORGE_PLUGIN names the method, what the interface wants and what is bound. Two interfaces may share a
/// method of one name and signature. Methods are called on the callers' threads, several at once, from the loading of
/// the plugin on and until the unloading of it begins; what they throw is the caller's error.
template <class Plugin, AnyInterface... Interfaces>
  requires(sizeof...(Interfaces) > 0)
class Implements : public IPlugin {
 public:
  using ImplementingClass = Plugin;
  using ImplementedInterfaces = std::tuple<Interfaces...>;

 protected:
  /// `function` is what `Name` of the interface calls.
  template <FixedString Name, class Function>
#if !defined(__clang__)
    requires detail::fits<Plugin, detail::WantedOf<Name, Interfaces...>, Function>
#endif
  static constexpr auto bind(Function function) {
    return detail::BoundMethod<Name, Function>{function};
  }
#if !defined(__clang__)
  // What QTFORGE_PLUGIN finds GCC reports at the macro's own lines, but this at the author's, with all three arguments.
  template <FixedString Method, class IsBoundTo, class InterfaceWants = detail::WantedOf<Method, Interfaces...>>
    requires(!detail::fits<Plugin, InterfaceWants, IsBoundTo>)
  static void bind(IsBoundTo function) = delete;
#endif

 private:
  expected<detail::Implementation> implementation(const detail::InterfaceInfo& wanted) final {
    if constexpr (detail::FitsItsInterfaces<Plugin>) {
      auto* self = static_cast<Plugin*>(this);
      detail::Implementation found;
      const bool offered = (offer<Interfaces>(wanted, self, found) || ...);
      if (!offered) return detail::interfaceMissing(wanted);
      if (found.info->fingerprint == wanted.fingerprint) return found;
      return detail::interfaceMismatch(wanted, *found.info);
    } else {
      static_assert(detail::FitsItsInterfaces<Plugin>, "methods() does not fit the interfaces: see QTFORGE_PLUGIN");
      return detail::interfaceMissing(wanted);
    }
  }

  void showInterfaces(void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) final {
    (take(taker, &Interfaces::info), ...);
  }

  template <class I>
  static bool offer(const detail::InterfaceInfo& wanted, Plugin* self, detail::Implementation& to) {
    if (std::string_view(wanted.name) != I::name) return false;
    to = {detail::thunksOf<Plugin, I>(), self, &I::info};
    return true;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI
