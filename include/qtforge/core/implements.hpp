#pragma once
// qtforge/core/implements.hpp: Implements: how a plugin in C++ offers interfaces.

#include <qtforge/core/detail/interface_offer.hpp>
#include <qtforge/core/iplugin.hpp>

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
class Implements : public IPlugin, public detail::InterfaceOffer<Plugin, Interfaces...> {
  using Offer = detail::InterfaceOffer<Plugin, Interfaces...>;

  expected<detail::Implementation> implementation(const detail::InterfaceInfo& wanted) final {
    return Offer::implementationOf(*static_cast<Plugin*>(this), wanted);
  }
  void showInterfaces(void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) final {
    Offer::showTo(taker, take);
  }
};

}  // namespace qtforge::inline QTFORGE_ABI
