#pragma once
// qtforge/core/iplugin.hpp: what a plugin is, with a default for everything, and the states it goes through.

#include <qtforge/core/configuration.hpp>
#include <qtforge/core/detail/interface_info.hpp>
#include <qtforge/utils/error.hpp>
#include <qtforge/utils/log.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Unloaded -> Loaded -> Initialized <-> Active; Error after a hook that failed. See core/lifecycle.hpp.
enum class PluginState : int { Unloaded = 0, Loaded = 1, Initialized = 2, Active = 3, Error = 4 };

[[nodiscard]] inline std::string_view toString(PluginState state) noexcept {
  constexpr std::string_view names[] = {"Unloaded", "Loaded", "Initialized", "Active", "Error"};
  const auto index = static_cast<int>(state);
  return index < 0 || index > 4 ? "?" : names[index];
}

class LoadedPlugin;
namespace detail {
struct InterfaceQuestion;
}

/// A plugin. Override what you need, often only `initialize`; the manager calls the hooks, one at a time and in the
/// order of the states. What a hook throws is turned into its Error.
///
/// The describing functions are asked once, after construction; an empty answer means "as the manifest says".
class IPlugin {
 public:
  IPlugin() = default;
  IPlugin(const IPlugin&) = delete;
  IPlugin& operator=(const IPlugin&) = delete;
  virtual ~IPlugin() = default;

  [[nodiscard]] virtual std::string name() const { return {}; }
  [[nodiscard]] virtual std::string version() const { return {}; }
  [[nodiscard]] virtual std::string description() const { return {}; }
  [[nodiscard]] virtual std::string author() const { return {}; }
  /// Names of plugins that must be loaded before, with an optional version range: "Core >= 1.0.0".
  [[nodiscard]] virtual std::vector<std::string> dependencies() const { return {}; }

  /// Loaded -> Initialized: subscribe, open, start.
  virtual expected<void> initialize() { return {}; }
  /// Initialized -> Active.
  virtual expected<void> activate() { return {}; }
  /// Active -> Initialized.
  virtual expected<void> deactivate() { return {}; }
  /// Initialized (or Error) -> Loaded: let go of what `initialize` took. Called before destruction in any case in which
  /// `initialize` was called.
  virtual void cleanup() {}

  /// Asked while the plugin is Initialized or Active, before its settings change: `config()` still gives those before.
  /// Where this fails or throws nothing changes. In other states nobody is asked: `initialize` finds what is in force.
  virtual expected<void> onConfigChanged(const Configuration& before, const Configuration& after) {
    (void)before, (void)after;
    return {};
  }

  /// Whether the plugin works with this version of the plugin interface (qtforge::pluginApiVersion).
  [[nodiscard]] virtual bool isCompatible(std::string_view pluginApi) const { return !pluginApi.empty(); }

  /// The settings in force, as the manifest declares them: `config().get<int>("timeout")`. In a native plugin also in
  /// the constructor; a plugin that a loader of the host's own made has them once it is loaded, one that nobody manages
  /// has none.
  /// @par Thread safety  any thread.
  [[nodiscard]] Configuration config() const {
    return detail::readConfiguration(configuration_.read ? configuration_ : detail::ownConfiguration());
  }

 private:
  friend class LoadedPlugin;
  friend struct detail::InterfaceQuestion;
  /// How to call the interface. For Implements, and for loaders of other languages; valid as long as the plugin. Any
  /// thread, several at once.
  ///
  /// @return the implementation, or
  ///   - Errc::InterfaceMissing   it does not implement it
  ///   - Errc::InterfaceMismatch  with other methods: the message names them
  virtual expected<detail::Implementation> implementation(const detail::InterfaceInfo& wanted) {
    return detail::interfaceMissing(wanted);
  }
  /// Shows the interfaces that it can describe itself; valid as long as the plugin.
  virtual void showInterfaces(void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) {
    (void)taker;
    (void)take;
  }

  detail::ConfigurationSource configuration_;  // set by the manager, in its own binary
};

/// Asks a plugin about its interfaces.
struct detail::InterfaceQuestion {
  static void show(IPlugin& plugin, void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) {
    plugin.showInterfaces(taker, take);
  }
  static expected<Implementation> ask(IPlugin& plugin, const InterfaceInfo& wanted) {
    return plugin.implementation(wanted);
  }
};

}  // namespace qtforge::inline QTFORGE_ABI
