#pragma once
// qtforge/core/detail/other_plugins.hpp: a plugin's way to the others: what it finds, and what it offers.

#include <qtforge/core/detail/live_managers.hpp>

#include <memory>
#include <string>

namespace qtforge::inline QTFORGE_ABI::detail {

/// @par Thread safety  any thread.
class OtherPlugins {
 public:
  OtherPlugins(std::weak_ptr<ManagerCore> manager, LoadedPlugin& plugin) : manager_(std::move(manager)), plugin_(plugin) {}
  OtherPlugins(const OtherPlugins&) = delete;
  OtherPlugins& operator=(const OtherPlugins&) = delete;

  /// Puts the functions into what the plugin is given.
  void serve(PluginServices& services) {
    services.others = this;
    services.find = [](void* self, Text name, const InterfaceInfo* wanted, Callee** callee, Implementation* out, ErrorSink sink) {
      return guarded(sink, [&]() -> expected<void> {
        auto found = of(self).find(std::string_view(name), *wanted, *out);
        if (!found) return found.error();
        *callee = found->detach();
        return {};
      });
    };
    services.offer = [](void* self, Text name, const OfferedObject* object, ErrorSink sink) {
      return guarded(sink, [&]() -> expected<void> {
        const auto manager = of(self).manager_.lock();
        if (!manager) {
          if (object->destroy) object->destroy(object->self);
          return Error(Errc::ShuttingDown, "offer: the plugin manager has ended");
        }
        return manager->offer(of(self).plugin_, std::string(std::string_view(name)), *object);
      });
    };
    services.withdraw = [](void* self, Text name) {
      guarded({}, [&]() -> expected<void> {
        if (const auto manager = of(self).manager_.lock()) manager->services().withdraw(of(self).plugin_, std::string_view(name));
        return {};
      });
    };
  }

 private:
  static OtherPlugins& of(void* self) noexcept { return *static_cast<OtherPlugins*>(self); }

  [[nodiscard]] static expected<CalleeRef> find(std::string_view name, const InterfaceInfo& wanted, Implementation& out) {
    auto callee = LiveManagers::instance().findCallee(name);
    if (!callee) return callee.error();
    const auto found = ask(*callee, wanted);
    if (!found) return found.error();
    out = *found;
    return callee;
  }

  const std::weak_ptr<ManagerCore> manager_;
  LoadedPlugin& plugin_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
