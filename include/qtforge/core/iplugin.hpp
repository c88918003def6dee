#pragma once
// qtforge/core/iplugin.hpp: what a plugin is, with a default for everything, and the states it goes through.

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/configuration.hpp>
#include <qtforge/core/detail/plugin_ledger.hpp>
#include <qtforge/core/interface_handle.hpp>
#include <qtforge/core/service.hpp>
#include <qtforge/core/stop_signal.hpp>
#include <qtforge/core/store.hpp>
#include <qtforge/utils/error.hpp>
#include <qtforge/utils/log.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Unloaded -> Loaded -> Initialized <-> Active; Error after a hook that failed. See core/lifecycle.hpp.
enum class PluginState : int { Unloaded = 0, Loaded = 1, Initialized = 2, Active = 3, Error = 4 };

[[nodiscard]] inline std::string_view toString(PluginState state) noexcept {
  constexpr std::string_view names[] = {"Unloaded", "Loaded", "Initialized", "Active", "Error"};
  const auto index = static_cast<int>(state);
  return index < 0 || index > 4 ? "?" : names[index];
}

class IPlugin;
namespace detail {

/// The plugin as the class whose member function that is.
template <class Plugin, class Function>
Plugin* asOwner(Function Plugin::*, IPlugin* plugin) {
  return static_cast<Plugin*>(plugin);
}

enum class PluginHook : std::int32_t { Initialize = 0, Activate = 1, Deactivate = 2, Cleanup = 3 };

struct InterfaceQuestion;
struct PluginLife;
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

  /// Loaded -> Initialized: subscribe, open, start. Called again after `cleanup` where the host tries again.
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

  /// The host's log under the plugin's name. This and what follows is there as config() is, for any thread.
  [[nodiscard]] Logger log() const {
    const auto* host = services();
    return host ? Logger(std::string(std::string_view(host->name))) : Logger();
  }

  /// The plugin's folder, absolute; empty for one that nobody manages.
  [[nodiscard]] std::filesystem::path path() const {
    const auto* host = services();
    return host ? std::filesystem::path(std::string_view(host->folder)) : std::filesystem::path();
  }

  /// The topic or pattern `name` as this instance of the plugin uses it: behind the prefix that the host gave it. For
  /// plugins that may be loaded several times.
  [[nodiscard]] std::string topic(std::string_view name) const {
    const auto* host = services();
    if (!host || host->topicPrefix.size == 0) return std::string(name);
    return std::string(std::string_view(host->topicPrefix)) + '.' + std::string(name);
  }

  /// A folder for files of the plugin's own, which outlives it; made when it is first asked for.
  ///
  /// @return the folder, or
  ///   - Errc::FileFailed      it cannot be made, or the host set no place for data and the user has none
  ///   - Errc::PluginNotFound  nobody manages the plugin
  [[nodiscard]] expected<std::filesystem::path> dataDir() const {
    const auto* host = services();
    if (!host) return unmanaged("dataDir");
    Error error;
    if (host->makeDataFolder(host->self, detail::sinkInto(error)) != 0) return error;
    return std::filesystem::path(std::string_view(host->dataFolder));
  }

  /// The plugin's store.
  ///
  /// @return the store, or
  ///   - Errc::FileFailed      it cannot be read, or is no JSON object: mend the file that is named, or remove it
  ///   - Errc::PluginNotFound  nobody manages the plugin
  ///   - Errc::PluginUnloaded  asked for by its destructor
  [[nodiscard]] expected<Store> store() {
    const auto* host = services();
    if (!host) return unmanaged("store");
    auto core = ledger_.store(*host);
    if (!core) return core.error();
    return Store(std::move(*core));
  }

  // ---- What these begin is taken back after `cleanup` where that was since `initialize` began, else before the
  // destructor: threads are told to end, timers and subscriptions end and functions are called, the last first, threads
  // are waited for.

  /// Has `f` called then. Where it throws that is logged, and the others follow. Not called if the constructor throws.
  ///
  /// @return nothing, or
  ///   - Errc::PluginUnloaded  the plugin is being unloaded; for the functions below too
  expected<void> onUnload(std::function<void()> f) { return ledger_.onUnload(std::move(f)); }

  /// Has `f` called at an interval, as by Timer::every. To stop it earlier make a Timer, and keep that.
  ///
  /// @return nothing, or
  ///   - errors of Timer::every
  ///   - Errc::PluginNotFound  nobody manages the plugin (yet: see config()); for the functions below too
  expected<void> every(std::chrono::nanoseconds interval, std::function<void()> f) {
    return services() ? ledger_.every(interval, std::move(f)) : unmanaged("every");
  }

  /// Has `f` called once, as by Timer::once. Errors: as every().
  expected<void> later(std::chrono::nanoseconds delay, std::function<void()> f) {
    return services() ? ledger_.later(delay, std::move(f)) : unmanaged("later");
  }

  /// Subscribes as MessageBus::subscribe, also a member function: `subscribe("sensor.>", &Gauge::onReading)`. To end it
  /// earlier call that, and keep the Subscription. Errors: as there and every().
  template <class Handler>
  expected<void> subscribe(std::string_view pattern, Handler&& handler, const SubscribeOptions& options = {}) {
    if (!services()) return unmanaged("subscribe");
    using Given = std::decay_t<Handler>;
    auto& bus = MessageBus::instance();
    if constexpr (std::is_member_function_pointer_v<Given>)
      return ledger_.subscribe(bus.subscribe<typename detail::FirstParameter<Given>::type>(
          pattern, std::bind_front(handler, detail::asOwner(handler, this)), options));
    else return ledger_.subscribe(bus.subscribe(pattern, std::forward<Handler>(handler), options));
  }

  /// Runs `f` in a thread of its own, which should return when its signal asks for it: that is waited for as long as it
  /// takes, and after 2 s the log says so. What it throws is logged.
  ///
  /// @return nothing, or errors as every(), and
  ///   - Errc::LimitExceeded  no thread can be started
  expected<void> runInThread(std::function<void(StopSignal)> f) {
    return services() ? ledger_.runInThread(std::move(f), log()) : unmanaged("runInThread");
  }

  /// Offers an object to others under a name, by which they find it as they find a plugin. It must be there until it is
  /// taken back, and calls of it are waited for then: so keep it in a member of the plugin.
  ///
  /// @return nothing, or
  ///   - errors as onUnload(), and Errc::PluginNotFound: nobody manages the plugin
  ///   - Errc::InvalidArgument  not a name
  ///   - Errc::DuplicatePlugin  a plugin or service is called like that, or almost
  ///   - Errc::ShuttingDown     the manager is ending
  template <OfferableService S>
  expected<void> offer(std::string_view name, S& service) {
    return services() ? ledger_.offer(*services(), std::string(name), S::offered(service)) : unmanaged("offer");
  }

  /// Another plugin, or a service that one offers, by an interface: for plugins, as PluginManager::find is for hosts, but
  /// among all managers of the process. Errors: as there, and Errc::PluginNotFound where nobody manages this plugin.
  template <AnyInterface I>
  [[nodiscard]] expected<InterfaceHandle<I>> find(std::string_view name) const {
    const auto* host = services();
    if (!host) return unmanaged("find");
    detail::Callee* callee = nullptr;
    detail::Implementation found;
    Error error;
    if (host->find(host->others, name, &I::info, &callee, &found, detail::sinkInto(error)) != 0) return error;
    return InterfaceHandle<I>(detail::CalleeRef(callee, false), found);
  }

 private:
  friend struct detail::InterfaceQuestion;
  friend struct detail::PluginLife;

  static Error unmanaged(const char* what) {
    return Error(Errc::PluginNotFound, std::string(what) + ": no plugin manager has loaded this plugin");
  }
  [[nodiscard]] const detail::PluginServices* services() const noexcept {
    return services_ ? services_ : detail::ownServices();
  }

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

  detail::ConfigurationSource configuration_;         // set by the manager, in its own binary
  const detail::PluginServices* services_ = nullptr;  // likewise
  detail::PluginLedger ledger_;
};

/// Runs the hooks of a plugin, and takes back what it has left at the end.
struct detail::PluginLife {
  static expected<void> run(IPlugin& plugin, PluginHook hook) {
    switch (hook) {
      case PluginHook::Initialize: plugin.ledger_.beginInitialize(); return plugin.initialize();
      case PluginHook::Activate: return plugin.activate();
      case PluginHook::Deactivate: return plugin.deactivate();
      case PluginHook::Cleanup: {
        const CleanupEnd end{plugin};  // also if it throws
        plugin.cleanup();
        return {};
      }
    }
    return Error(Errc::InvalidArgument, "the host asked for a lifecycle hook that this plugin does not know");
  }

  /// What the manager has for it.
  static void give(IPlugin& plugin, const ConfigurationSource& configuration, const PluginServices* services) noexcept {
    plugin.configuration_ = configuration;
    plugin.services_ = services;
  }

  /// Before the destructor.
  static void end(IPlugin& plugin) { plugin.ledger_.end(plugin.log()); }

 private:
  struct CleanupEnd {
    IPlugin& plugin;
    ~CleanupEnd() { plugin.ledger_.endCleanup(plugin.log()); }
  };
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
