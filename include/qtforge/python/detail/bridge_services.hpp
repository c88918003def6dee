#pragma once
// qtforge/python/detail/bridge_services.hpp: objects that Python plugins offer to others.

#include <qtforge/core/detail/plugin_services.hpp>
#include <qtforge/python/detail/bridge_bus.hpp>
#include <qtforge/python/detail/python_interface.hpp>

#include <memory>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// An object of a plugin as a service.
class PythonService {
 public:
  PythonService(std::shared_ptr<PluginContext> context, PyObject* object)
      : context_(std::move(context)), object_(Ref::borrow(object)) {}

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
  [[nodiscard]] PyObject* object() const noexcept { return object_.get(); }
  [[nodiscard]] const std::shared_ptr<PluginContext>& context() const noexcept { return context_; }

 private:
  static std::int32_t implementation(void* self, const InterfaceInfo* wanted, qtforge::detail::Implementation* out, ErrorSink sink) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      auto& service = *static_cast<PythonService*>(self);
      auto found = service.implementations_.find(service.context_, service.object_.get(), *wanted);
      if (!found) return found.error();
      *out = *found;
      return {};
    });
  }

  const std::shared_ptr<PluginContext> context_;
  const SharedRef object_;
  PythonImplementations implementations_;
};

inline PyObject* bridgeOffer(PyObject* plugin, PyObject* name, PyObject* object) {
  const Gil gil{GilHeld()};
  const auto context = contextOf(plugin);
  const auto text = textArgument(name, "name");
  if (!text) return nullptr;
  if (!context || !context->services) return raise(Error(Errc::PluginNotFound, "offer: a plugin that a host made is needed"), gil);
  const auto offer = PythonService::offered(std::make_unique<PythonService>(context, object));
  Error error;
  const auto& services = *context->services;
  const auto failed = [&] {
    const GilRelease released;
    return services.offer(services.others, *text, &offer, qtforge::detail::sinkInto(error));
  }();
  if (failed != 0) return raise(error, gil);
  Py_RETURN_NONE;
}

inline PyObject* bridgeWithdraw(PyObject* plugin, PyObject* name) {
  const auto context = contextOf(plugin);
  const auto text = textArgument(name, "name");
  if (!text) return nullptr;
  if (context && context->services) {
    const auto& services = *context->services;
    const GilRelease released;
    services.withdraw(services.others, *text);
  }
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
