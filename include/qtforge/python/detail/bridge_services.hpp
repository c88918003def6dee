#pragma once
// qtforge/python/detail/bridge_services.hpp: objects that Python plugins offer to others.

#include <qtforge/core/detail/plugin_services.hpp>
#include <qtforge/core/version.hpp>
#include <qtforge/python/detail/bridge_bus.hpp>
#include <qtforge/python/detail/python_interface.hpp>

#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// An object of a plugin as a service.
class PythonService {
 public:
  PythonService(std::shared_ptr<PluginContext> context, std::string_view name, PyObject* object)
      : name_(name), implementations_(std::move(context), object) {
    std::lock_guard lock(mutex());
    all().insert(this);
  }
  PythonService(const PythonService&) = delete;
  PythonService& operator=(const PythonService&) = delete;
  ~PythonService() {
    std::lock_guard lock(mutex());
    all().erase(this);
  }

  /// It goes with the service.
  static qtforge::detail::OfferedObject offered(std::unique_ptr<PythonService> service) noexcept {
    qtforge::detail::OfferedObject offer;
    offer.self = service.release();
    offer.implementation = &implementation;
    offer.showInterfaces = [](void*, void*, void (*)(void*, const InterfaceInfo*)) {};
    offer.destroy = [](void* self) { delete static_cast<PythonService*>(self); };
    return offer;
  }

  /// The service behind an offer; null if that is no Python object.
  static const PythonService* of(const qtforge::detail::OfferedObject& offer) noexcept {
    return offer.implementation == &implementation ? static_cast<const PythonService*>(offer.self) : nullptr;
  }
  [[nodiscard]] PyObject* object() const noexcept { return implementations_.object(); }
  [[nodiscard]] const std::shared_ptr<PluginContext>& context() const noexcept { return implementations_.context(); }

 private:
  friend class ServiceExchange;

  static std::int32_t implementation(void* self, const InterfaceInfo* wanted, qtforge::detail::Implementation* out, ErrorSink sink) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      auto found = static_cast<PythonService*>(self)->implementations_.find(*wanted);
      if (!found) return found.error();
      *out = *found;
      return {};
    });
  }

  static std::mutex& mutex() {
    static auto* mutex = new std::mutex();  // guards all(); taken under it: that of PythonImplementations
    return *mutex;
  }
  static std::set<PythonService*>& all() {
    static auto* services = new std::set<PythonService*>();
    return *services;
  }

  const std::string name_;
  PythonImplementations implementations_;
};

/// Offers an object; the GIL is released meanwhile. Errors: see IPlugin::offer.
inline expected<void> offerObject(const std::shared_ptr<PluginContext>& context, std::string_view name, PyObject* object) {
  const auto offer = PythonService::offered(std::make_unique<PythonService>(context, name, object));
  Error error;
  const auto& services = *context->services;
  const GilRelease released;
  if (services.offer(services.others, name, &offer, qtforge::detail::sinkInto(error)) != 0) return error;
  return {};
}

inline void withdrawObject(const PluginContext& context, std::string_view name) {
  const auto& services = *context.services;
  const GilRelease released;
  services.withdraw(services.others, name);
}

inline PyObject* bridgeOffer(PyObject* plugin, PyObject* name, PyObject* object) {
  const Gil gil{GilHeld()};
  const auto context = contextOf(plugin);
  const auto text = textArgument(name, "name");
  if (!text) return nullptr;
  if (!context || !context->services) return raise(Error(Errc::PluginNotFound, "offer: a plugin that a host made is needed"), gil);
  if (context->replaced)
    return raise(Error(Errc::PluginUnloaded, "offer: another version of the plugin is in its place"), gil);
  if (context->held.load(std::memory_order_relaxed)) {
    if (auto fine = checkPluginName(*text); !fine) return raise(fine.error().within("offer"), gil);
    for (const auto& [known, _] : context->heldOffers)
      if (known == *text) return raise(Error(Errc::DuplicatePlugin, "offer: it offers a service '" + known + "' already"), gil);
    context->heldOffers.emplace_back(*text, Ref::borrow(object));
    Py_RETURN_NONE;
  }
  if (auto done = offerObject(context, *text, object); !done) return raise(done.error(), gil);
  Py_RETURN_NONE;
}

inline PyObject* bridgeWithdraw(PyObject* plugin, PyObject* name) {
  const auto context = contextOf(plugin);
  awaitReplacement(context);  // which looks at the services
  const auto text = textArgument(name, "name");
  if (!text) return nullptr;
  // The services of a version that was replaced are those of the next.
  if (!context || !context->services || context->replaced) Py_RETURN_NONE;
  if (context->held.load(std::memory_order_relaxed)) {
    std::erase_if(context->heldOffers, [&](const auto& offer) { return offer.first == *text; });
    Py_RETURN_NONE;
  }
  withdrawObject(*context, *text);
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
