#pragma once
// qtforge/core/plugin_manager.hpp: PluginManager loads plugins, hands out handles to them, and ends them in order.

#include <qtforge/core/dependency_order.hpp>
#include <qtforge/core/detail/live_managers.hpp>
#include <qtforge/core/interface_handle.hpp>
#include <qtforge/core/native_plugin_loader.hpp>
#include <qtforge/core/plugin_handle.hpp>
#include <qtforge/core/plugin_loader.hpp>

#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// What happens to plugins that need the one that is unloaded.
enum class Unload {
  Refuse,   ///< nothing is unloaded
  Cascade,  ///< they go first
};

/// How to load a plugin otherwise than its manifest says: several times, each under a name of its own.
struct LoadOptions {
  std::string name = {};                   ///< what it is called; empty: what it calls itself
  std::string topicPrefix = {};            ///< a topic that its topic() puts before others; empty: none
  boost::json::object configuration = {};  ///< settings, as for LoadedPlugin::configure; in force from its constructor on
};

/// A plugin that could not be loaded or taken a step further.
struct PluginFailure {
  std::filesystem::path path;  ///< its folder
  std::string name;            ///< empty where even that could not be read
  Error error;
};

/// How it went for several plugins: each is in one of the lists.
struct PluginReport {
  std::vector<PluginHandle> done;  ///< in the order in which it was done
  std::vector<PluginFailure> failed;
  std::vector<Manifest> waiting;  ///< those that are loaded when they are first used

  /// Whether all went well.
  [[nodiscard]] explicit operator bool() const noexcept { return failed.empty(); }
};

/// Owns plugins of any kind. Native plugins can be loaded from the start, others through loaders that are added.
///
/// The destructor, or the end of the process if that comes first, unloads all plugins in reverse order: deactivate,
/// cleanup, destruction, each once. Together they have Runtime's shutdown timeout for it. Hooks then run on helper
/// threads; a plugin that is stuck is named, left to itself, and the others go on. Ended from inside a handler or
/// timer, the hooks run on that thread.
/// What happens is published on `qtforge.plugins`: {"plugin", "event", "message", "traceback"} with the events loaded,
/// initialized, activated, deactivated, cleaned, configured, waiting, overdue, unloaded, kept, error.
/// @par Thread safety  any thread, but for the destructor. No lock is held while plugin code runs.
class PluginManager {
 public:
  PluginManager() : core_(std::make_shared<detail::ManagerCore>()) {
    core_->addLoader(std::make_shared<NativePluginLoader>());
  }
  PluginManager(const PluginManager&) = delete;
  PluginManager& operator=(const PluginManager&) = delete;
  ~PluginManager();

  /// Takes a loader for another kind of plugin. What several loaders accept goes to the one that was added last.
  void addLoader(std::unique_ptr<IPluginLoader> loader) {
    if (loader) core_->addLoader(std::move(loader));
  }

  /// Where plugins that are loaded from now on keep files of their own, each in a folder of its name. Without it in
  /// `$XDG_DATA_HOME/qtforge/plugins`, else in `$HOME/.local/share/qtforge/plugins`.
  void setDataFolder(const std::filesystem::path& folder) { core_->setDataFolder(std::filesystem::absolute(folder)); }

  /// How long the load and each hook of plugins that are loaded from now on may take: 1 ms to 365 days, at first 120 s.
  /// Nothing can end code that does not return. When the time is over the caller of a Python plugin's hook gets its error
  /// at once, and the hook goes on in its lane; the caller of a C++ plugin's gets it when the hook returns, and meanwhile
  /// the log and `qtforge.plugins` (event overdue) say that it is late.
  void setHookLimit(std::chrono::milliseconds limit) { core_->setHookLimit(limit); }

  /// Loads one plugin: a folder with a plugin.json, or a native plugin's `.so`. None of its hooks is called yet.
  ///
  /// @return the plugin in state Loaded, or, with the path as it was given in the message,
  ///   - Errc::ManifestNotFound    nothing at `path`, or a folder without plugin.json
  ///   - Errc::ManifestInvalid, Errc::EntryPointInvalid
  ///   - Errc::NoLoader            no loader was added for what it is: the message says which
  ///   - Errc::DuplicatePlugin     the name, or the native library, is loaded already
  ///   - Errc::DependencyMissing, Errc::DependencyVersion  what it needs is not loaded, or in another version
  ///   - Errc::ConfigurationInvalid  a variable QTFORGE_<PLUGIN>_<KEY> of the environment, or a value in `options`, does not
  ///                                 fit its setting
  ///   - Errc::InvalidArgument, Errc::InvalidTopic  a name or prefix in `options` that is none
  ///   - Errc::PluginIncompatible  it refuses this version of the plugin interface
  ///   - Errc::HookFailed          its constructor threw
  ///   - Errc::TimedOut            it took longer than setHookLimit allows
  ///   - Errc::ShuttingDown        the process or the manager is ending
  ///   - Errc::InterfaceMissing, Errc::InterfaceMismatch  it does not implement what its manifest declares; see
  ///                               addInterface
  ///   - what the loader says: see NativePluginLoader::load, PythonPluginLoader::load
  ///
  /// A plugin can be loaded several times, under different names in `options`: each has its own state, modules, data folder
  /// and settings (with QTFORGE_<NAME>_<KEY> in the environment). A native library is mapped from a copy then.
  /// @par Blocking  for the file system and the plugin's constructor.
  expected<PluginHandle> loadPlugin(const std::filesystem::path& path, const LoadOptions& options = {});

  /// Loads every plugin that has a subfolder with a plugin.json in `folder`, each after what it needs, and those that do
  /// not need each other at the same time. Their order among plugins() does not depend on that.
  ///
  /// A plugin whose manifest has "activation" is loaded, initialized and activated when it is first used, unless one that is
  /// loaded at once needs it: when a message is published that a pattern of its `onTopic` matches, on a thread of the runtime;
  /// by findAll of an interface that its `onInterface` names; and in any case by find<I>(name), by activate(name), and with a
  /// plugin that needs it. Its subscriptions are given the messages that have woken it, and what came until they were there.
  ///
  /// @param threads  how many at most; 0: one per processor, at most 8; 1: the calling thread alone, where constructors of
  ///                 native plugins must run there. Called from a handler, timer or lane it is 1.
  /// @return the plugins that are loaded now and why others are not: errors as loadPlugin, and
  ///   - Errc::DependencyCycle     with the path "a -> b -> a"
  ///   or, instead of a report,
  ///   - Errc::ManifestNotFound    `folder` cannot be read
  expected<PluginReport> loadPlugins(const std::filesystem::path& folder, std::size_t threads = 0);

  /// @return the plugin of that name, or
  ///   - Errc::PluginNotFound  with the nearest name that there is
  [[nodiscard]] expected<PluginHandle> find(std::string_view name) const { return core_->find(name); }

  /// A plugin, or a service that a plugin offers, by an interface that it implements, in whatever language.
  ///
  /// A Python plugin implements what it has the methods of: their existence, kind, number of parameters and, where it
  /// gives them, annotations are checked here, once for each interface.
  /// @return its handle, or
  ///   - Errc::PluginNotFound     with the nearest name that there is
  ///   - Errc::InterfaceMissing   it does not implement the interface; of a Python plugin all that is wrong is named
  ///   - Errc::InterfaceMismatch  it does, but with other methods than the caller's: they are named. Also for a Python
  ///                              plugin that declares the interface in its manifest, where something is wrong with it
  ///   - Errc::PluginUnloaded     it is being unloaded
  template <AnyInterface I>
  [[nodiscard]] expected<InterfaceHandle<I>> find(std::string_view name) const {
    auto callee = core_->findCallee(name);
    if (!callee) return callee.error();
    return detail::interfaceOf<I>(std::move(*callee));
  }

  /// All plugins that implement an interface, in the order in which they were loaded, then all services that do. One whose interface of that name
  /// has other methods is left out, with a warning in the log.
  template <AnyInterface I>
  [[nodiscard]] std::vector<InterfaceHandle<I>> findAll() const {
    std::vector<InterfaceHandle<I>> found;
    for (const auto& callee : core_->callees(I::name)) {
      auto one = detail::interfaceOf<I>(callee);
      if (one) found.push_back(std::move(*one));
      else if (one.error() == Errc::InterfaceMismatch) detail::pluginLogger().warning(one.error().message());
    }
    return found;
  }

  /// From now on a plugin whose manifest has this interface in "interfaces" is loaded only if it implements it; else
  /// loadPlugin returns what find<I>() would. For an interface that was never added nothing is checked before find<I>().
  template <AnyInterface I>
  void addInterface() {
    core_->addInterface(I::info);
  }

  /// Loads, initializes and activates a plugin that waits for that.
  ///
  /// @return the plugin, also one that is loaded already, in whatever state, or
  ///   - Errc::PluginNotFound
  ///   - errors as loadPlugin, and of the hooks as LoadedPlugin::initialize
  ///   - Errc::WouldDeadlock  another thread is activating it, and this one, of a lane or in a handler, cannot wait for it
  expected<PluginHandle> activate(std::string_view name) {
    if (auto woken = core_->wake(name); !woken) return woken.error();
    return core_->find(name);
  }

  /// Puts what lies in the plugin's folder now in its place, while it runs: the new version is loaded beside the old one,
  /// initialized and activated as far as that one was, gets its state, and takes over its subscriptions with all that is
  /// queued in them, its services, and what handles lead to. Then the old one is deactivated, cleaned up and ended. Calls of
  /// the old one finish before, those that come meanwhile wait. Where anything fails the old one goes on, nothing is lost,
  /// and the error is told. A plugin in Error is brought to where the host wanted it last.
  ///
  /// What comes of it is logged and published on `qtforge.reload`: {"plugin", "ok", "from", "milliseconds"}, and "to", the new
  /// version, or "error" and "traceback". docs/guides/plugin-authors.md says what is handed over. Of those who ask at the same
  /// time all get the result of one reload that began after they asked.
  ///
  /// @return the plugin, or, and nothing has changed,
  ///   - Errc::PluginNotFound     no plugin of that name, or it waits for its activation
  ///   - Errc::IllegalTransition  plugins in its language cannot be reloaded (those in C++), or a step of it runs
  ///   - Errc::WouldDeadlock      this thread is inside a hook, handler or method of it, or runs handlers while another thread
  ///                              reloads it
  ///   - Errc::ManifestInvalid    it has another name or lane than before, or the errors of loadPlugin for the new version;
  ///                              Errc::DependencyVersion, Errc::DependencyCycle also for those that need it
  ///   - Errc::InterfaceMissing, Errc::InterfaceMismatch  of an interface that others have found in the old one
  ///   - Errc::ConfigurationInvalid  what the host has set does not fit the new version's settings
  ///   - Errc::HookFailed         its initialize, activate or restore_state, or the old one's save_state, failed
  ///   - Errc::TimedOut           one of them, or a call of the old one, took longer than setHookLimit allowed at the load
  ///   - Errc::PluginUnloaded, Errc::ShuttingDown
  /// @par Blocking  for all that.
  expected<PluginHandle> reloadPlugin(std::string_view name) { return core_->reload(name); }

  /// All plugins, in the order in which they were loaded.
  [[nodiscard]] std::vector<PluginHandle> plugins() const { return core_->plugins(); }

  /// Initializes every plugin in state Loaded, in order; one whose dependency is not initialized is not tried.
  PluginReport initializeAll() {
    return stepAll(PluginState::Loaded, PluginState::Initialized, &LoadedPlugin::initialize);
  }

  /// Activates every plugin in state Initialized, in order; one whose dependency is not active is not tried.
  PluginReport activateAll() {
    return stepAll(PluginState::Initialized, PluginState::Active, &LoadedPlugin::activate);
  }

  /// Deactivates, cleans up and destroys a plugin, on the calling thread. Hooks that fail are logged and published, and
  /// the plugin goes all the same. Calls of its interfaces that run, and guards of them, are waited for before, at most
  /// Runtime's shutdown timeout; new calls fail from here on.
  ///
  /// @return nothing, or
  ///   - Errc::PluginNotFound
  ///   - Errc::PluginInUse        others need it: they are named. For Cascade: one that is being loaded now
  ///   - Errc::IllegalTransition  a step of it (or of one that needs it) runs, maybe further out on this thread
  ///   - Errc::TimedOut           calls or guards did not end in time: they are named, and the plugin stays as it was. Or its
  ///                              hooks have run, and a handler or timer of it runs for longer than setHookLimit allows: it
  ///                              is named, and the plugin stays in Error, to be unloaded when that has ended
  ///   - Errc::WouldDeadlock      this thread is inside a method of it
  /// @par Blocking  for calls of its interfaces, its hooks, and calls of its handlers and timers on other threads. What a C++
  /// plugin waits for in its own `cleanup` and destructor has no limit; so do its IPlugin::subscribe, every, later and
  /// runInThread.
  expected<void> unloadPlugin(std::string_view name, Unload others = Unload::Refuse) {
    if (others == Unload::Cascade)
      for (const auto& dependent : core_->dependents(name))
        if (auto gone = core_->unload(dependent); !gone && !(gone.error() == Errc::PluginNotFound)) return gone;
    return core_->unload(name);
  }

  /// Unloads all plugins, the last loaded first, on the calling thread.
  ///
  /// @return nothing, or the first error of unloadPlugin; the other plugins are unloaded all the same
  expected<void> unloadAll() {
    expected<void> result;
    auto all = plugins();
    for (auto plugin = all.rbegin(); plugin != all.rend(); ++plugin) {
      auto gone = core_->unload((*plugin)->name());
      if (!gone && !(gone.error() == Errc::PluginNotFound) && result) result = gone;
    }
    return result;
  }

 private:
  struct Found {
    std::shared_ptr<IPluginLoader> loader;
    Manifest manifest;
  };
  class FolderLoad;
  expected<Found> inspect(const std::filesystem::path& path) const;
  expected<void> reserve(const Found& found);
  static expected<PluginHandle> load(detail::ManagerCore& core, Found found, const std::filesystem::path& path,
                                     detail::PluginInstance instance);
  PluginReport stepAll(PluginState from, PluginState to, expected<void> (LoadedPlugin::*step)());

  std::shared_ptr<detail::ManagerCore> core_;
};

}  // namespace qtforge::inline QTFORGE_ABI

#include <qtforge/core/detail/plugin_manager_impl.hpp>
