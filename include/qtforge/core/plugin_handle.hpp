#pragma once
// qtforge/core/plugin_handle.hpp: a loaded plugin as the host sees it: what it is called, its state and its steps.

#include <qtforge/core/detail/callee.hpp>
#include <qtforge/core/detail/plugin_version.hpp>
#include <qtforge/core/detail/reload_turns.hpp>
#include <qtforge/core/interface_handle.hpp>
#include <qtforge/core/iplugin.hpp>
#include <qtforge/core/lifecycle.hpp>
#include <qtforge/core/manifest.hpp>

#include <boost/json/value.hpp>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

class IPluginLoader;

namespace detail {
class Client;
class ManagerCore;
class NextVersion;

/// Marks that this thread runs hooks of a plugin, and which ones further out.
struct HookScope;

/// Where a plugin came from, to be loaded from there again.
struct PluginOrigin {
  std::shared_ptr<IPluginLoader> loader;
  std::filesystem::path path;  // as the host gave it, but absolute: links in it may lead elsewhere later
  bool named = false;          // see PluginInstance
  std::string topicPrefix;
  std::filesystem::path dataFolder;
  std::chrono::milliseconds hookLimit{0};
};

}  // namespace detail

/// One plugin of a PluginManager. Reached through PluginHandle; stays valid after the plugin is unloaded.
///
/// Steps run on the calling thread (a Python plugin's code on its lane, while the caller waits). No lock is held while
/// plugin code runs, so a hook may ask its own plugin's state. A step that fails says `plugin 'X': initialize: ...`, is
/// logged and published on `qtforge.plugins`.
/// @par Thread safety  any thread. One step at a time: others meanwhile get Errc::IllegalTransition.
class LoadedPlugin : public detail::Callee {
 public:
  LoadedPlugin(const LoadedPlugin&) = delete;
  LoadedPlugin& operator=(const LoadedPlugin&) = delete;

  /// What the plugin says of itself, else the manifest's. Known after the unload too. After a reload all but the name may be
  /// another; what was returned before stays valid.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& version() const noexcept { return facts().version; }
  [[nodiscard]] const std::string& description() const noexcept { return facts().description; }
  [[nodiscard]] const std::string& author() const noexcept { return facts().author; }
  [[nodiscard]] const std::vector<Dependency>& dependencies() const noexcept { return facts().dependencies; }
  [[nodiscard]] const Manifest& manifest() const noexcept { return facts().manifest; }

  /// While a step's hook runs, the state before it.
  [[nodiscard]] PluginState state() const noexcept { return lifecycle_.state(); }

  /// Loaded -> Initialized; from Error another try, for which the plugin cleans up first. Where that fails, it stays in
  /// Error, and the next try initializes without.
  ///
  /// @return nothing, or
  ///   - Errc::HookFailed         the hook failed, returned false or threw; pythonType() and traceback() say more for
  ///                              Python. The state is Error: initialize() tries again, cleanup() leads to Loaded.
  ///   - Errc::TimedOut           the hook took longer than PluginManager::setHookLimit allows, or was stopped (PythonConfig's
  ///                              executionTimeout). The state is Error.
  ///   - Errc::IllegalTransition  in another state, or while another step runs: both are named
  ///   - Errc::PluginUnloaded     the plugin is gone
  expected<void> initialize() { return run(LifecycleStep::Initialize); }
  /// Initialized -> Active. Errors as initialize().
  expected<void> activate() { return run(LifecycleStep::Activate); }
  /// Active -> Initialized. Errors as initialize().
  expected<void> deactivate() { return run(LifecycleStep::Deactivate); }
  /// To Loaded from any state, deactivating an active plugin first; nothing to do from Loaded. Errors as
  /// initialize(); when deactivating failed and the cleaning did not, the error comes and the state is Loaded.
  expected<void> cleanup() { return run(LifecycleStep::Cleanup); }

  /// The settings in force: what the host set, else what the environment says (QTFORGE_<PLUGIN>_<KEY>, read when the
  /// plugin was loaded), else the file of keepConfiguration, else the manifest's default. Known after the unload too.
  [[nodiscard]] Configuration configuration() const;

  /// Sets settings. What `values`, an object, does not name stays as it is; null takes a setting back to what it was
  /// without the host. All values are taken or none.
  ///
  /// While the plugin is Initialized or Active it is asked, by its onConfigChanged (Python: on_config_changed), and may
  /// refuse. In state Loaded and Error it is not: `initialize` finds the values.
  /// @return nothing, or
  ///   - Errc::ConfigurationInvalid  no such setting, or not a value for it: all that is wrong, with JSON pointers
  ///   - Errc::HookFailed            the plugin refused, with its reason; nothing has changed
  ///   - Errc::TimedOut              its hook took longer than it may; nothing has changed
  ///   - Errc::FileFailed            they cannot be kept in the file of keepConfiguration: nothing has changed unless
  ///                                 the message says so
  ///   - Errc::IllegalTransition     while a step or another change runs: also for a hook of the plugin itself
  ///   - Errc::PluginUnloaded        the plugin is gone
  /// @par Blocking  for the plugin's hook and the file.
  expected<void> configure(const boost::json::value& values);

  /// Sets what is in `file`, a JSON object, and from then on keeps there what the host sets: after each change the file
  /// is replaced as a whole. A file that is not there is made with the first change, readable by its owner alone.
  ///
  /// @return nothing, or errors as configure(), and nothing has changed:
  ///   - Errc::ConfigurationInvalid  what is in the file is no JSON object, or does not fit the settings; the file stays
  ///   - Errc::FileFailed            it cannot be read. Later, for configure(): somebody else has changed it
  /// @par Blocking  for the plugin's hook and the file.
  expected<void> keepConfiguration(const std::filesystem::path& file);

  /// To Error from Initialized and Active, told as a hook's failure is: for its loader, when its code cannot be relied on.
  ///
  /// @return whether it did; not while a step runs
  bool fail(const Error& reason);

 private:
  friend class detail::ManagerCore;
  friend class detail::NextVersion;
  friend class PluginHandle;

  // How long its handlers and timers may take to end; none: as long as they run.
  using Patience = std::optional<std::chrono::milliseconds>;

  // What is told on `qtforge.plugins`, after the machine is free again: who hears it may take the next step.
  struct Event {
    const char* what;
    Error error;
  };

  // Defined in core/detail/loaded_plugin.hpp.
  LoadedPlugin(Manifest manifest, detail::Client* client, std::chrono::milliseconds watchLimit);
  expected<void> adopt(std::unique_ptr<IPlugin> plugin, bool named);
  expected<void> run(LifecycleStep step);
  expected<void> begin(LifecycleStep step);
  expected<void> runHooks(LifecycleStep step) { return runHooks(step, origin_.hookLimit); }
  expected<void> runHooks(LifecycleStep step, Patience patience);
  void endStep(void (Lifecycle::*end)() noexcept = &Lifecycle::finish);
  void waitReloaded();
  expected<void> callHook(LifecycleHook hook, Patience patience);
  expected<void> callHook(LifecycleHook hook, IPlugin& plugin) const;
  template <class Prepare>
  expected<void> change(Prepare&& prepare);
  expected<void> offer(const Configuration& before, const Configuration& after);
  [[nodiscard]] Error failure(std::string text, const Error& error) const;
  LoadedPlugin& plugin() noexcept override { return *this; }
  expected<detail::Implementation> implementation(const detail::InterfaceInfo& wanted) override;
  void showInterfaces(void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) override;
  void abandon();
  expected<void> destroy(Patience patience);
  static Patience patienceAfter(const Error& first, Patience patience);
  static std::chrono::steady_clock::time_point endOf(Patience patience);
  void tell(const Event& event) const;

  [[nodiscard]] const detail::PluginFacts& facts() const noexcept { return *facts_.load(std::memory_order_acquire); }
  void setFacts(detail::PluginFacts facts);

  /// Never null. Whoever holds it keeps the plugin's object from going.
  [[nodiscard]] std::shared_ptr<detail::PluginBody> body() const {
    std::lock_guard lock(bodyMutex_);
    return body_;
  }
  void setBody(std::shared_ptr<detail::PluginBody> body) {
    std::lock_guard lock(bodyMutex_);
    body_.swap(body);
  }

  // Waits for a running step to end; false at the deadline.
  bool waitIdle(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(idleMutex_);
    return idle_.wait_until(lock, deadline, [&] { return lifecycle_.running() == LifecycleStep::None; });
  }

  std::string name_;  // unchanged once it is shared
  std::atomic<const detail::PluginFacts*> facts_{nullptr};
  std::vector<std::unique_ptr<const detail::PluginFacts>> told_;  // all that facts_ ever was: touched by the winner of a step
  detail::Client* client_;
  const std::chrono::milliseconds watchLimit_;  // of its functions; 0: they keep it themselves
  detail::PluginOrigin origin_;                 // unchanged once it is shared
  mutable std::mutex bodyMutex_;                // guards body_; a leaf
  std::shared_ptr<detail::PluginBody> body_;    // its plugin is touched by the winner of a step, and by who is inside gate()
  Lifecycle lifecycle_;
  std::atomic<const char*> doing_{""};  // the hook that runs, for reports
  std::atomic<PluginState> wanted_{PluginState::Loaded};  // where the host wants it, for a reload of one in Error
  std::mutex idleMutex_;                // pairs with idle_
  std::condition_variable idle_;
  detail::ReloadTurns reloads_;
};

/// Points to a loaded plugin: `handle->name()`, `handle->activate()`. Copies are cheap and mean the same plugin.
///
/// It does not keep the plugin loaded: after the unload its texts are still there, and steps give Errc::PluginUnloaded.
/// @par Thread safety  one object from one thread at a time; the plugin from any thread.
class PluginHandle {
 public:
  /// Points to nothing: only for assignment, and for the question whether it does.
  PluginHandle() noexcept = default;

  [[nodiscard]] LoadedPlugin* operator->() const noexcept { return plugin_.get(); }
  [[nodiscard]] LoadedPlugin& operator*() const noexcept { return *plugin_; }
  [[nodiscard]] explicit operator bool() const noexcept { return plugin_ != nullptr; }

  /// The plugin by an interface. Errors: see PluginManager::find; Errc::PluginUnloaded also where this points to nothing.
  template <AnyInterface I>
  [[nodiscard]] expected<InterfaceHandle<I>> as() const {
    if (!plugin_) return detail::pointsToNothing(I::name);
    return detail::interfaceOf<I>(plugin_);
  }

  friend bool operator==(const PluginHandle& one, const PluginHandle& other) noexcept { return one.plugin_ == other.plugin_; }

 private:
  friend class detail::ManagerCore;
  template <AnyInterface I>
  friend class InterfaceHandle;
  explicit PluginHandle(boost::intrusive_ptr<LoadedPlugin> plugin) noexcept : plugin_(std::move(plugin)) {}
  static PluginHandle of(detail::Callee* callee) { return callee ? PluginHandle(&callee->plugin()) : PluginHandle(); }
  boost::intrusive_ptr<LoadedPlugin> plugin_;
};

}  // namespace qtforge::inline QTFORGE_ABI
