#pragma once
// qtforge/core/detail/plugin_visit.hpp: inside a plugin for one call of an interface that its caller knows at run time
// only.

#include <qtforge/core/detail/interface_calls.hpp>
#include <qtforge/core/detail/loaded_plugin.hpp>

#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Keeps the plugin loaded, and with it the descriptions of its interfaces, while it lives. Empty if it is gone.
class PluginVisit {
 public:
  /// @param site  what the caller does, for reports; it lives longer than this
  PluginVisit(const PluginHandle& plugin, const CallSite& site) : plugin_(*plugin), pin_(plugin_.calls_, site) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(pin_); }

  /// The interfaces that the plugin describes itself.
  [[nodiscard]] std::vector<const InterfaceInfo*> interfaces() const {
    std::vector<const InterfaceInfo*> found;
    InterfaceQuestion::show(*plugin_.plugin_, &found, [](void* self, const InterfaceInfo* offered) {
      static_cast<std::vector<const InterfaceInfo*>*>(self)->push_back(offered);
    });
    return found;
  }

  /// The plugin's functions for one of interfaces().
  [[nodiscard]] expected<Implementation> implementation(const InterfaceInfo& info) const {
    return InterfaceQuestion::ask(*plugin_.plugin_, info);
  }

 private:
  LoadedPlugin& plugin_;
  CallGate::Pin pin_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
