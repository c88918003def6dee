#pragma once
// qtforge/core/detail/manager_core.hpp: a manager's plugins: who is there, who needs whom, who comes and goes.

#include <qtforge/core/dependency_order.hpp>
#include <qtforge/core/detail/bounded_end.hpp>
#include <qtforge/core/detail/data_folder.hpp>
#include <qtforge/core/detail/dormant_plugins.hpp>
#include <qtforge/core/detail/loaded_plugin.hpp>
#include <qtforge/core/detail/nearest_word.hpp>
#include <qtforge/core/detail/plugin_watch.hpp>
#include <qtforge/core/detail/service_registry.hpp>
#include <qtforge/core/plugin_loader.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::chrono::milliseconds longestHookLimit = std::chrono::hours(24 * 365);

/// What one load of a plugin has of its own; see LoadOptions.
struct PluginInstance {
  bool named = false;
  std::string topicPrefix = {};
  boost::json::object configuration = {};
  std::shared_ptr<Backlog> backlog = nullptr;  // of one that messages have woken
  std::filesystem::path path = {};             // see PluginOrigin
};

class ManagerCore : public std::enable_shared_from_this<ManagerCore> {
 public:
  using Plugin = boost::intrusive_ptr<LoadedPlugin>;

  void addLoader(std::shared_ptr<IPluginLoader> loader) {
    std::lock_guard lock(mutex_);
    loaders_.insert(loaders_.begin(), std::move(loader));
  }

  void setDataFolder(std::filesystem::path folder) {
    std::lock_guard lock(mutex_);
    dataFolder_ = std::move(folder);
  }

  void setHookLimit(std::chrono::milliseconds limit) {
    std::lock_guard lock(mutex_);
    hookLimit_ = std::clamp(limit, std::chrono::milliseconds(1), longestHookLimit);
  }

  [[nodiscard]] std::vector<std::shared_ptr<IPluginLoader>> loaders() const {
    std::lock_guard lock(mutex_);
    return loaders_;
  }

  /// Has plugins that declare this interface in their manifest checked when they are loaded.
  void addInterface(const InterfaceInfo& info) {
    std::lock_guard lock(mutex_);
    const auto same = [&](const auto* known) { return std::string_view(known->name) == std::string_view(info.name); };
    std::erase_if(interfaces_, same);
    interfaces_.push_back(&info);
  }

  /// Takes the name, and a place among the plugins, for load() or release().
  expected<void> reserve(const Manifest& manifest) {
    std::lock_guard lock(mutex_);
    if (auto open = checkOpen(); !open) return open;
    if (auto free = checkFree(manifest.name); !free) return free;
    entries_.push_back({manifest.name, manifest.dependencies, nullptr, Stage::Loading, std::nullopt});
    return {};
  }

  /// Of a plugin that was reserved: it is loaded when it is used.
  void letWait(const Manifest& manifest, DormantPlugins::BringUp bringUp, const DormantPlugins::WakeSoon& wakeSoon) {
    {
      std::lock_guard lock(mutex_);
      for (auto& entry : entries_)
        if (entry.name == manifest.name) entry.waiting = manifest.version;
    }
    dormant_.add(manifest, std::move(bringUp), wakeSoon);
    tellOfPlugin(manifest.name, "waiting");
  }

  void release(std::string_view name) {
    std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const Entry& e) { return e.name == name; });
  }

  /// Loads what `manifest` describes, whose name was reserved. Errors: see PluginManager::loadPlugin.
  expected<PluginHandle> load(const std::shared_ptr<IPluginLoader>& loader, Manifest manifest, const PluginInstance& instance) {
    const auto reserved = manifest.name;
    const auto watched = watch(reserved, loader, instance.path);
    auto loaded = loadReserved(loader, std::move(manifest), instance);
    if (watched && !loaded) watched->remove(reserved);
    return loaded;
  }

  [[nodiscard]] expected<PluginHandle> find(std::string_view name) const {
    std::vector<std::string_view> known;
    std::lock_guard lock(mutex_);
    for (const auto& entry : entries_) {
      if (entry.stage != Stage::Ready) continue;
      if (entry.name == name) return PluginHandle(entry.plugin);
      known.push_back(entry.name);
    }
    auto text = "no plugin '" + std::string(name) + "' is loaded";
    if (dormant_.contains(name)) text += ": it waits for its activation, and activate() would load it";
    else if (const auto nearest = nearestWord(name, known)) text += "; did you mean '" + std::string(*nearest) + "'?";
    return Error(Errc::PluginNotFound, text);
  }

  /// Brings a plugin up, if it waits for that. Errors: see DormantPlugins::wake.
  expected<void> wake(std::string_view name) {
    if (!dormant_.contains(name)) return {};
    const auto free = letGo();
    return dormant_.wake(name);
  }

  /// Has loaders let go what this thread may hold and others want while it waits for them.
  [[nodiscard]] std::vector<std::shared_ptr<void>> letGo() const {
    std::vector<std::shared_ptr<void>> free;
    for (const auto& loader : loaders()) free.push_back(loader->letGo());
    return free;
  }

  /// Of a plugin that was woken: what its subscriptions find from here on is what is published from here on.
  static void endBacklog(const PluginHandle& plugin) { plugin.plugin_->client_->setBacklog(nullptr); }

  /// The plugin of that name, which is woken if it must be, else the service. Errors: as find(), and of DormantPlugins::wake.
  [[nodiscard]] expected<CalleeRef> findCallee(std::string_view name) {
    auto plugin = find(name);
    if (!plugin) {
      if (auto woken = wake(name); !woken) return woken.error();
      plugin = find(name);
    }
    if (plugin) return CalleeRef(plugin->plugin_);
    if (const auto service = services_.find([&](const auto& offered) { return offered.name() == name; })) return CalleeRef(service);
    return plugin.error();
  }

  /// Plugins in the order in which they were loaded, then services in that in which they were offered; those that wait for
  /// the interface are woken before.
  [[nodiscard]] std::vector<CalleeRef> callees(std::string_view interface) {
    for (const auto& name : dormant_.waitingFor(interface))
      if (auto woken = wake(name); !woken) pluginLogger().warning(woken.error().message());
    std::vector<CalleeRef> found;
    for (const auto& plugin : plugins()) found.emplace_back(plugin.plugin_);
    for (const auto& service : services_.all()) found.emplace_back(service);
    return found;
  }

  /// Errors: see IPlugin::offer.
  expected<void> offer(LoadedPlugin& owner, std::string name, const OfferedObject& object) {
    const ServiceRegistry::Service service(new OfferedService(&owner, std::move(name), object));
    if (auto fine = checkPluginName(service->name()); !fine) return fine.error().within("offer");
    std::lock_guard lock(mutex_);
    if (auto open = checkOpen(); !open) return open;
    if (auto free = checkFree(service->name()); !free) return free.error().within("offer");
    services_.add(service);
    return {};
  }

  [[nodiscard]] ServiceRegistry& services() noexcept { return services_; }

  /// In the order in which they were loaded.
  [[nodiscard]] std::vector<PluginHandle> plugins() const {
    std::vector<PluginHandle> found;
    std::lock_guard lock(mutex_);
    for (const auto& entry : entries_)
      if (entry.stage == Stage::Ready) found.push_back(PluginHandle(entry.plugin));
    return found;
  }

  [[nodiscard]] std::optional<Version> versionOf(std::string_view name) const {
    std::lock_guard lock(mutex_);
    const auto* known = entry(name);
    if (known && known->waiting) return known->waiting;
    return known && known->stage == Stage::Ready ? std::optional(known->plugin->facts().semantic) : std::nullopt;
  }

  /// Names of those that need `name`, directly or through others; the last loaded first.
  [[nodiscard]] std::vector<std::string> dependents(std::string_view name) const {
    std::vector<std::string> found;
    std::vector<std::string_view> wanted{name};
    std::lock_guard lock(mutex_);
    for (const auto& later : after(name)) {
      if (!std::any_of(wanted.begin(), wanted.end(), [&](auto other) { return later.needs(other); })) continue;
      wanted.push_back(later.name);
      found.insert(found.begin(), later.name);
    }
    return found;
  }

  /// Puts what lies in a plugin's folder now in its place. Errors: see PluginManager::reloadPlugin.
  expected<PluginHandle> reload(std::string_view name);

  /// Unloads one plugin that nobody needs. Errors: see PluginManager::unloadPlugin.
  expected<void> unload(std::string_view name);

  /// Unloads everything for good, the last loaded first, once; later calls do nothing. @return what is stuck
  std::vector<std::string> close(Deadline deadline, Ending ending);

 private:
  enum class Stage { Loading, Ready, Leaving };

  struct Entry {
    std::string name;
    std::vector<Dependency> dependencies;
    Plugin plugin;  // none while it is loading
    Stage stage = Stage::Loading;
    std::optional<Version> waiting;  // the version of one that is not loaded before it is used

    [[nodiscard]] bool needs(std::string_view other) const {
      return std::any_of(dependencies.begin(), dependencies.end(), [&](const auto& d) { return d.name == other; });
    }
  };

  // ---- With mutex_ held ----

  [[nodiscard]] const Entry* entry(std::string_view name) const {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name == name; });
    return found == entries_.end() ? nullptr : &*found;
  }
  /// Those that were loaded after `name`: only they can have found it there.
  [[nodiscard]] std::span<const Entry> after(std::string_view name) const {
    const auto* found = entry(name);
    return found ? std::span<const Entry>(found + 1, entries_.data() + entries_.size()) : std::span<const Entry>();
  }
  [[nodiscard]] const Entry* ready(std::string_view name) const {
    const auto* found = entry(name);
    return found && found->stage == Stage::Ready ? found : nullptr;
  }
  [[nodiscard]] Entry* ready(std::string_view name) { return const_cast<Entry*>(std::as_const(*this).ready(name)); }

  [[nodiscard]] expected<void> checkOpen() const {
    if (closed_) return Error(Errc::ShuttingDown, "the plugin manager is ending");
    return {};
  }

  [[nodiscard]] expected<void> checkFree(const std::string& name, const std::string& own = {}) const {
    // Their data folders and Python packages would be one.
    const auto key = alikeKey(name);
    const auto taken = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name != own && alikeKey(e.name) == key; });
    if (const auto service = services_.find([&](const auto& offered) { return alikeKey(offered.name()) == key; }))
      return Error(Errc::DuplicatePlugin, "'" + name + "' is the name of " + service->label());
    if (taken == entries_.end()) return {};
    return Error(Errc::DuplicatePlugin,
                 (taken->name == name ? "plugin '" + name + "' is "
                                      : "plugin '" + name + "' is called too much like '" + taken->name + "', which is ") +
                     (taken->waiting                  ? "there already, and waits for its activation"
                      : taken->stage == Stage::Loading ? "being loaded by another thread"
                      : taken->stage == Stage::Ready
                          ? "loaded already, from '" + taken->plugin->manifest().folder.string() + "'"
                          : "being unloaded"));
  }

  [[nodiscard]] expected<void> checkNeeds(const std::string& name, const std::vector<Dependency>& needs) const {
    for (const auto& wanted : needs) {
      const auto* other = ready(wanted.name);
      if (!other && !wanted.optional) return missingDependency(name, wanted);
      if (other && !wanted.range.contains(other->plugin->facts().semantic))
        return wrongDependency(name, wanted, other->plugin->facts().semantic);
    }
    return {};
  }

  // The same for names that differ only in case, or in a dot for an underscore.
  static std::string alikeKey(std::string name) {
    for (char& c : name) c = c == '.' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return name;
  }

  // ---- Without it ----

  [[nodiscard]] expected<void> checkReserved(const Manifest& manifest) const {
    std::lock_guard lock(mutex_);
    if (auto open = checkOpen(); !open) return open;
    return checkNeeds(manifest.name, manifest.dependencies);
  }

  [[nodiscard]] std::filesystem::path dataFolderOf(const std::string& plugin) const {
    std::unique_lock lock(mutex_);
    auto folder = dataFolder_;
    lock.unlock();
    if (folder.empty()) folder = userDataFolder();
    return folder.empty() ? folder : folder / plugin;
  }

  [[nodiscard]] std::chrono::milliseconds hookLimit() const {
    std::lock_guard lock(mutex_);
    return hookLimit_;
  }

  expected<PluginHandle> loadReserved(const std::shared_ptr<IPluginLoader>& loader, Manifest manifest,
                                      const PluginInstance& instance) {
    const auto reserved = manifest.name;
    for (const auto& wanted : manifest.dependencies)
      if (auto woken = find(wanted.name) ? expected<void>() : wake(wanted.name); !woken && !wanted.optional) {
        release(reserved);
        return failedDependency(reserved, wanted, woken.error());
      }
    if (auto there = checkReserved(manifest); !there) {
      release(reserved);
      return there.error();
    }
    const auto limit = hookLimit();
    const Plugin plugin(new LoadedPlugin(std::move(manifest), openClient(reserved),
                                         loader->keepsHookLimit() ? std::chrono::milliseconds(0) : limit));
    plugin->origin_ = {loader, instance.path, instance.named, instance.topicPrefix, dataFolderOf(reserved), limit};
    if (instance.backlog) plugin->client_->setBacklog(instance.backlog);
    auto done = bringUp(*plugin, instance);
    if (done) done = checkInterfaces(plugin->manifest(), *plugin->body()->plugin);
    if (done) done = commit(reserved, plugin);
    if (!done) {
      plugin->client_->setBacklog(nullptr);
      if (auto gone = plugin->destroy(LoadedPlugin::patienceAfter(done.error(), limit)); !gone) {
        pluginLogger().error(plugin->label() + ": it is not loaded, and its code is left running: " + gone.error().message());
        leaveBehind(plugin);
      }
      release(reserved);
      return done.error();
    }
    registerExitHook();  // before the static destructors of what was loaded
    plugin->tell({"loaded", {}});
    return PluginHandle(plugin);
  }

  // Null where nobody watches such plugins.
  std::shared_ptr<PluginWatch> watch(const std::string& name, const std::shared_ptr<IPluginLoader>& loader,
                                     const std::filesystem::path& path) {
    const auto interval = loader->reloadInterval();
    if (!interval) return nullptr;
    std::shared_ptr<PluginWatch> watch;
    {
      std::lock_guard lock(mutex_);
      if (closed_) return nullptr;
      if (!watch_)
        watch_ = std::make_shared<PluginWatch>([weak = weak_from_this()](const std::string& plugin) {
          const auto self = weak.lock();
          return self && self->reloadChanged(plugin);
        });
      watch = watch_;
    }
    watch->add(name, path, loader, *interval);
    return watch;
  }
  void endWatch(const std::string& name) {
    std::unique_lock lock(mutex_);
    const auto watch = watch_;
    lock.unlock();
    if (watch) watch->remove(name);
  }

  // Defined in plugin_manager_impl.hpp: it finds plugins of all managers.
  std::shared_ptr<OtherPlugins> serveOthers(LoadedPlugin& plugin, PluginServices& services) const;

  expected<void> bringUp(LoadedPlugin& plugin, const PluginInstance& instance) {
    const auto& manifest = plugin.manifest();
    const auto body = plugin.body();
    if (auto read = body->configuration->readEnvironment(); !read) return read;
    if (!instance.configuration.empty()) {
      auto change = body->configuration->prepare(instance.configuration);
      if (!change) return change.error().within("configuration");
      if (auto set = body->configuration->commit(std::move(*change)); !set) return set;
    }
    body->files = std::make_shared<PluginFiles>(manifest.name, manifest.folder, plugin.origin_.dataFolder, instance.topicPrefix);
    body->others = serveOthers(plugin, body->files->services());
    const HookWatch watch(manifest.name, "load", plugin.watchLimit_);
    auto made = loadCode(plugin, manifest, *body, [](IPluginLoader& loader, const Manifest& read, const LoadContext& context) {
      return loader.load(read, context);
    });
    if (!made) return made.error();
    if (auto adopted = plugin.adopt(std::move(*made), instance.named); !adopted) return adopted;
    return watch.inTime();
  }

  /// @param load  `expected<std::unique_ptr<IPlugin>>(IPluginLoader&, const Manifest&, const LoadContext&)`
  template <class Load>
  static expected<std::unique_ptr<IPlugin>> loadCode(const LoadedPlugin& plugin, const Manifest& manifest, const PluginBody& body,
                                                     Load&& load) {
    const auto& origin = plugin.origin_;
    std::unique_ptr<IPlugin> made;
    Error error;
    const auto failed = guarded(sinkInto(error), [&]() -> expected<void> {
      auto loaded = load(*origin.loader, manifest,
                         LoadContext{plugin.client_, body.configuration, origin.dataFolder, &body.files->services(),
                                     origin.hookLimit, origin.named});
      if (!loaded) return loaded.error();
      made = std::move(*loaded);
      if (!made) return Error(Errc::NotAPlugin, "its loader returned no plugin");
      return {};
    });
    if (failed != 0) return error;
    return made;
  }

  /// What the manifest declares, as far as the host has said what that is.
  expected<void> checkInterfaces(const Manifest& manifest, IPlugin& plugin) const {
    std::vector<const InterfaceInfo*> known;
    {
      std::lock_guard lock(mutex_);
      known = interfaces_;
    }
    for (const auto& declared : manifest.interfaces)
      for (const auto* info : known) {
        if (std::string_view(info->name) != declared) continue;
        Error error;
        const auto failed = guarded(sinkInto(error), [&]() -> expected<void> {
          const auto found = InterfaceQuestion::ask(plugin, *info);
          return found ? expected<void>() : expected<void>(found.error());
        });
        if (failed != 0) return error.within("plugin '" + manifest.name + "'").within("plugin.json: /interfaces");
      }
    return {};
  }

  /// The plugin may call itself otherwise than its manifest does, and need more.
  expected<void> commit(const std::string& reserved, const Plugin& plugin) {
    std::lock_guard lock(mutex_);
    if (auto open = checkOpen(); !open) return open;
    if (plugin->name_ != reserved)
      if (auto free = checkFree(plugin->name_, reserved); !free) return free;
    if (auto there = checkNeeds(plugin->name_, plugin->dependencies()); !there) return there;
    const auto place = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name == reserved; });
    *place = {plugin->name_, plugin->dependencies(), plugin, Stage::Ready, std::nullopt};
    // Behind what it needs of what came meanwhile.
    if (std::any_of(place + 1, entries_.end(), [&](const Entry& later) { return place->needs(later.name); }))
      std::rotate(place, place + 1, entries_.end());
    return {};
  }

  // Defined in plugin_reload.hpp.
  bool reloadChanged(const std::string& name);
  expected<void> reloadNow(const Plugin& plugin);
  expected<void> replace(LoadedPlugin& plugin);
  expected<Manifest> readAgain(const LoadedPlugin& plugin) const;
  expected<std::shared_ptr<PluginBody>> nextBody(LoadedPlugin& plugin, const Manifest& manifest) const;
  expected<std::vector<Dependency>> exchangeNeeds(const LoadedPlugin& plugin, const PluginFacts& facts);
  void setNeeds(const LoadedPlugin& plugin, std::vector<Dependency> needs);
  [[nodiscard]] std::set<std::string> neededBy(const std::string& name) const;

  void forgetAll();
  [[nodiscard]] std::vector<CalleeRef> calleesOf(LoadedPlugin& plugin) const;
  expected<void> waitForCallers(LoadedPlugin& plugin) const;
  static std::string describe(const LoadedPlugin& plugin);
  static void leaveBehind(const Plugin& plugin);
  void setStage(const Plugin& plugin, Stage stage);
  static bool end(const Plugin& plugin, Deadline patience, Deadline last, Ending ending);

  ServiceRegistry services_;
  DormantPlugins dormant_;
  mutable std::mutex mutex_;  // guards all below; a leaf but for services_ and dormant_: nothing is called with it
  std::vector<Entry> entries_;  // each after what it needs, optional needs aside
  std::chrono::milliseconds hookLimit_ = std::chrono::seconds(120);
  std::vector<std::shared_ptr<IPluginLoader>> loaders_;  // the last added first
  std::filesystem::path dataFolder_;  // with a folder for each plugin; empty: the user's
  std::vector<const InterfaceInfo*> interfaces_;  // that manifests may declare
  std::shared_ptr<PluginWatch> watch_;  // once there is a plugin to be watched
  bool closed_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail

#include <qtforge/core/detail/manager_end.hpp>
#include <qtforge/core/detail/plugin_reload.hpp>
