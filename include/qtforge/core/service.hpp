#pragma once
// qtforge/core/service.hpp: Service: an object in C++ that a plugin offers to others, under a name of its own.

#include <qtforge/core/detail/interface_offer.hpp>
#include <qtforge/core/detail/plugin_services.hpp>

#include <concepts>

namespace qtforge::inline QTFORGE_ABI {

/// Base of an object that is offered by IPlugin::offer. It binds the methods of its interfaces as Implements does:
///
///     class Cache : public qtforge::Service<Cache, KeyValue> {
///      public:
///       std::optional<std::string> get(const std::string& key) const;
///       void put(std::string key, std::string value);
///
///       static constexpr auto methods() { return std::tuple(bind<"get">(&Cache::get), bind<"put">(&Cache::put)); }
///     };
///
/// Its methods are called on their callers' threads, several at once, as long as it is offered.
template <class Object, AnyInterface... Interfaces>
class Service : public detail::InterfaceOffer<Object, Interfaces...> {
 public:
  /// For the library's own use.
  [[nodiscard]] static detail::OfferedObject offered(Object& object) noexcept {
    detail::OfferedObject offer;
    offer.self = &object;
    offer.implementation = [](void* self, const detail::InterfaceInfo* wanted, detail::Implementation* out, detail::ErrorSink sink) {
      return detail::guarded(sink, [&]() -> expected<void> {
        auto found = Service::implementationOf(*static_cast<Object*>(self), *wanted);
        if (!found) return found.error();
        *out = *found;
        return {};
      });
    };
    offer.showInterfaces = [](void*, void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) {
      Service::showTo(taker, take);
    };
    return offer;
  }
};

/// What IPlugin::offer takes. Where a class that derives from Service does not fit, detail::checkPlugin<It>() says why.
template <class T>
concept OfferableService = requires(T& object) {
  { T::offered(object) } -> std::same_as<detail::OfferedObject>;
} && detail::FitsItsInterfaces<T>;

}  // namespace qtforge::inline QTFORGE_ABI
