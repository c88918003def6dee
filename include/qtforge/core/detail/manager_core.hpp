#pragma once
// qtforge/core/detail/manager_core.hpp: a manager's plugins: who is there, who needs whom, who comes and goes.

#include <qtforge/core/dependency_order.hpp>
#include <qtforge/core/detail/bounded_end.hpp>
#include <qtforge/core/detail/data_folder.hpp>
#include <qtforge/core/detail/loaded_plugin.hpp>
#include <qtforge/core/detail/nearest_word.hpp>
#include <qtforge/core/detail/service_registry.hpp>
#include <qtforge/core/plugin_loader.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::chrono::milliseconds longestHookLimit = std::chrono::hours(24 * 365);

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
    entries_.push_back({manifest.name, manifest.dependencies, nullptr, Stage::Loading});
    return {};
  }

  void release(std::string_view name) {
    std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const Entry& e) { return e.name == name; });
  }

  /// Loads what `manifest` describes, whose name was reserved. Errors: see PluginManager::loadPlugin.
  expected<PluginHandle> load(IPluginLoader& loader, Manifest manifest) {
    const auto reserved = manifest.name;
    if (auto there = checkReserved(manifest); !there) {
      release(reserved);
      return there.error();
    }
    const auto limit = hookLimit();
    const Plugin plugin(new LoadedPlugin(std::move(manifest), openClient(reserved),
                                         loader.keepsHookLimit() ? std::chrono::milliseconds(0) : limit));
    auto done = bringUp(loader, *plugin, dataFolderOf(reserved), limit);
    if (done) done = checkInterfaces(*plugin);
    if (done) done = commit(reserved, plugin);
    if (!done) {
      plugin->destroy();
      release(reserved);
      return done.error();
    }
    registerExitHook();  // before the static destructors of what was loaded
    plugin->tell({"loaded", {}});
    return PluginHandle(plugin);
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
    if (const auto nearest = nearestWord(name, known)) text += "; did you mean '" + std::string(*nearest) + "'?";
    return Error(Errc::PluginNotFound, text);
  }

  /// The plugin of that name, else the service. Errors: as find().
  [[nodiscard]] expected<CalleeRef> findCallee(std::string_view name) const {
    const auto plugin = find(name);
    if (plugin) return CalleeRef(plugin->plugin_);
    if (const auto service = services_.find([&](const auto& offered) { return offered.name() == name; })) return CalleeRef(service);
    return plugin.error();
  }

  /// Plugins in the order in which they were loaded, then services in that in which they were offered.
  [[nodiscard]] std::vector<CalleeRef> callees() const {
    std::vector<CalleeRef> found;
    for (const auto& plugin : plugins()) found.emplace_back(plugin.plugin_);
    for (const auto& service : services_.all()) found.emplace_back(service);
    return found;
  }

  /// Errors: see IPlugin::offer.
  expected<void> offer(LoadedPlugin& owner, std::string name, const OfferedObject& object) {
    if (auto fine = checkPluginName(name); !fine) return fine.error().within("offer");
    const ServiceRegistry::Service service(new OfferedService(&owner, std::move(name), object));
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
    const auto* entry = ready(name);
    return entry ? std::optional(entry->plugin->semantic_) : std::nullopt;
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

  /// Unloads one plugin that nobody needs. Errors: see PluginManager::unloadPlugin.
  expected<void> unload(std::string_view name) {
    Plugin plugin;
    {
      std::lock_guard lock(mutex_);
      auto* entry = ready(name);
      if (!entry) return Error(Errc::PluginNotFound, "no plugin '" + std::string(name) + "' is loaded");
      std::string users;
      for (const auto& other : after(name))
        if (other.needs(name)) users += (users.empty() ? "'" : ", '") + other.name + "'";
      if (!users.empty())
        return Error(Errc::PluginInUse, "plugin '" + std::string(name) + "' is needed by " + users +
                                            ": unload them first, or with Unload::Cascade");
      if (auto begun = entry->plugin->begin(LifecycleStep::Unload); !begun) return begun;
      entry->stage = Stage::Leaving;
      plugin = entry->plugin;
    }
    if (auto left = waitForCallers(*plugin); !left) {
      plugin->abandon();
      std::lock_guard lock(mutex_);
      for (auto& entry : entries_)
        if (entry.plugin == plugin) entry.stage = Stage::Ready;
      return left;
    }
    (void)plugin->runHooks(LifecycleStep::Unload);  // told and logged; it goes all the same
    release(name);
    return {};
  }

  /// Unloads everything for good, the last loaded first, once; later calls do nothing. @return what is stuck
  std::vector<std::string> close(Deadline deadline, Ending ending) {
    std::vector<Plugin> ends;
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(closed_, true)) return {};
      for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
        if (entry->plugin) ends.push_back(entry->plugin);
    }
    std::vector<Plugin> late;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const auto now = std::chrono::steady_clock::now();
      const auto patience = i + 1 == ends.size() ? deadline : now + (deadline - now) / 2;
      if (!end(ends[i], patience, deadline, ending)) late.push_back(ends[i]);
    }
    std::vector<std::string> stuck;
    for (const auto& plugin : late)
      if (!plugin->waitIdle(deadline) || plugin->state() != PluginState::Unloaded) stuck.push_back(describe(*plugin));
    if (stuck.empty()) forgetAll();
    return stuck;
  }

 private:
  enum class Stage { Loading, Ready, Leaving };

  struct Entry {
    std::string name;
    std::vector<Dependency> dependencies;
    Plugin plugin;  // none while it is loading
    Stage stage = Stage::Loading;

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
                     (taken->stage == Stage::Loading ? "being loaded by another thread"
                      : taken->stage == Stage::Ready
                          ? "loaded already, from '" + taken->plugin->manifest().folder.string() + "'"
                          : "being unloaded"));
  }

  [[nodiscard]] expected<void> checkNeeds(const std::string& name, const std::vector<Dependency>& needs) const {
    for (const auto& wanted : needs) {
      const auto* other = ready(wanted.name);
      if (!other && !wanted.optional) return missingDependency(name, wanted);
      if (other && !wanted.range.contains(other->plugin->semantic_))
        return wrongDependency(name, wanted, other->plugin->semantic_);
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

  // Defined in plugin_manager_impl.hpp: it finds plugins of all managers.
  std::shared_ptr<OtherPlugins> serveOthers(LoadedPlugin& plugin);

  expected<void> bringUp(IPluginLoader& loader, LoadedPlugin& plugin, std::filesystem::path dataFolder,
                                std::chrono::milliseconds hookLimit) {
    if (auto read = plugin.configuration_->readEnvironment(); !read) return read;
    plugin.files_ = std::make_shared<PluginFiles>(plugin.manifest_.name, plugin.manifest_.folder, dataFolder);
    plugin.others_ = serveOthers(plugin);
    std::unique_ptr<IPlugin> made;
    const HookWatch watch(plugin.manifest_.name, "load", plugin.watchLimit_);
    Error error;
    const auto failed = guarded(sinkInto(error), [&]() -> expected<void> {
      auto loaded = loader.load(plugin.manifest_, LoadContext{plugin.client_, plugin.configuration_, std::move(dataFolder),
                                                              &plugin.files_->services(), hookLimit});
      if (!loaded) return loaded.error();
      made = std::move(*loaded);
      if (!made) return Error(Errc::NotAPlugin, "its loader returned no plugin");
      return {};
    });
    if (failed != 0) return error;
    if (auto adopted = plugin.adopt(std::move(made)); !adopted) return adopted;
    return watch.inTime();
  }

  /// What the manifest declares, as far as the host has said what that is.
  expected<void> checkInterfaces(LoadedPlugin& plugin) const {
    std::vector<const InterfaceInfo*> known;
    {
      std::lock_guard lock(mutex_);
      known = interfaces_;
    }
    for (const auto& declared : plugin.manifest_.interfaces)
      for (const auto* info : known)
        if (std::string_view(info->name) == declared)
          if (auto there = ask(CalleeRef(&plugin), *info); !there) return there.error().within("plugin.json: /interfaces");
    return {};
  }

  /// The plugin may call itself otherwise than its manifest does, and need more.
  expected<void> commit(const std::string& reserved, const Plugin& plugin) {
    std::lock_guard lock(mutex_);
    if (auto open = checkOpen(); !open) return open;
    if (plugin->name_ != reserved)
      if (auto free = checkFree(plugin->name_, reserved); !free) return free;
    if (auto there = checkNeeds(plugin->name_, plugin->dependencies_); !there) return there;
    const auto place = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name == reserved; });
    *place = {plugin->name_, plugin->dependencies_, plugin, Stage::Ready};
    // Behind what it needs of what came meanwhile.
    if (std::any_of(place + 1, entries_.end(), [&](const Entry& later) { return place->needs(later.name); }))
      std::rotate(place, place + 1, entries_.end());
    return {};
  }

  void forgetAll() {
    std::vector<std::shared_ptr<IPluginLoader>> loaders;  // destroyed without the lock
    std::lock_guard lock(mutex_);
    std::erase_if(entries_, [](const Entry& e) { return e.plugin != nullptr; });
    loaders.swap(loaders_);
  }

  static std::string describe(const LoadedPlugin& plugin) {
    std::string doing = plugin.doing_.load();
    if (doing.empty()) doing = plugin.gate().inside();
    return "plugin '" + plugin.name_ + "'" + (doing.empty() ? "" : " (in " + doing + ")");
  }

  /// The plugin and what it offers.
  [[nodiscard]] std::vector<CalleeRef> calleesOf(LoadedPlugin& plugin) const {
    std::vector<CalleeRef> found{CalleeRef(&plugin)};
    for (const auto& service : services_.all())
      if (&service->owner() == &plugin) found.emplace_back(service);
    return found;
  }

  // Of a plugin that is to be unloaded: who calls it finishes, nobody comes any more. If they do not finish, they may.
  expected<void> waitForCallers(LoadedPlugin& plugin) const {
    const auto stays = [&](Errc code, const std::string& reason) {
      return Error(code, "unload: plugin '" + plugin.name_ + "' stays loaded: " + reason);
    };
    const auto callees = calleesOf(plugin);
    for (const auto& callee : callees)
      if (const auto own = callee->gate().ownCall())
        return stays(Errc::WouldDeadlock, "this thread is inside its " + *own + ", which would be waited for");
    const auto limit = processRoot().shutdown().timeout();
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (const auto& callee : callees) callee->gate().close();
    for (const auto& callee : callees) {
      if (callee->gate().waitEmpty(deadline)) continue;
      const auto who = callee->gate().inside();
      for (const auto& again : callees) again->gate().open();
      return stays(Errc::TimedOut, "within " + std::to_string(limit.count()) + " ms these did not end: " + who);
    }
    return {};
  }

  static bool end(const Plugin& plugin, Deadline patience, Deadline last, Ending ending) {
    if (HookScope::isInside(*plugin)) {
      pluginLogger().warning("plugin '" + plugin->name_ + "' ends its own manager from inside " +
                             plugin->doing_.load() + ": it is left as it is");
      [[maybe_unused]] static auto* left = new std::vector<Plugin>();
      left->push_back(plugin);
      return true;
    }
    const auto work = [plugin, patience] {
      for (;;) {
        const auto begun = plugin->begin(LifecycleStep::Unload);
        if (begun) {
          plugin->gate().close();
          // On a thread of its own it waits for callers as for hooks that are stuck: whenever they end, the plugin goes.
          const auto limit = isInsideCallback() ? std::optional(patience) : std::nullopt;
          if (!plugin->gate().waitEmpty(limit)) return plugin->abandon();
          return (void)plugin->runHooks(LifecycleStep::Unload);
        }
        if (begun.error() == Errc::PluginUnloaded || !plugin->waitIdle(patience)) return;
      }
    };
    return runBounded(work, patience, last, ending, [plugin] { return describe(*plugin); }) &&
           plugin->state() == PluginState::Unloaded;
  }

  ServiceRegistry services_;
  mutable std::mutex mutex_;  // guards all below; a leaf but for services_: nothing is called with it
  std::vector<Entry> entries_;  // each after what it needs, optional needs aside
  std::chrono::milliseconds hookLimit_ = std::chrono::seconds(120);
  std::vector<std::shared_ptr<IPluginLoader>> loaders_;  // the last added first
  std::filesystem::path dataFolder_;  // with a folder for each plugin; empty: the user's
  std::vector<const InterfaceInfo*> interfaces_;  // that manifests may declare
  bool closed_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
