#pragma once
// qtforge/core/detail/manager_end.hpp: how a manager's plugins go, one or all.

#include <qtforge/core/detail/manager_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline expected<void> ManagerCore::unload(std::string_view name) {
  if (dormant_.remove(name)) {
    release(name);
    return {};
  }
  if (const auto found = find(name)) found->plugin_->waitReloaded();
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
    setStage(plugin, Stage::Ready);
    return left;
  }
  endWatch(plugin->manifest().name);
  // What hooks fail with is told and logged; it goes all the same, unless its code runs.
  if (const auto done = plugin->runHooks(LifecycleStep::Unload); plugin->state() != PluginState::Unloaded) {
    for (const auto& callee : calleesOf(*plugin)) callee->gate().open();
    setStage(plugin, Stage::Ready);
    return done;
  }
  release(name);
  return {};
}

inline void ManagerCore::setStage(const Plugin& plugin, Stage stage) {
  std::lock_guard lock(mutex_);
  for (auto& entry : entries_)
    if (entry.plugin == plugin) entry.stage = stage;
}

/// It stays in memory until the process is gone.
inline void ManagerCore::leaveBehind(const Plugin& plugin) {
  static auto* mutex = new std::mutex();  // guards left
  static auto* left = new std::vector<Plugin>();
  std::lock_guard lock(*mutex);
  left->push_back(plugin);
}

inline std::vector<std::string> ManagerCore::close(Deadline deadline, Ending ending) {
  std::vector<Plugin> ends;
  std::shared_ptr<PluginWatch> watch;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return {};
    watch.swap(watch_);
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
      if (entry->plugin) ends.push_back(entry->plugin);
  }
  if (watch) watch->stop();
  dormant_.clear();
  std::vector<Plugin> late;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto now = std::chrono::steady_clock::now();
    const auto patience = i + 1 == ends.size() ? deadline : now + (deadline - now) / 2;
    if (!end(ends[i], patience, deadline, ending)) late.push_back(ends[i]);
  }
  std::vector<std::string> stuck;
  for (const auto& plugin : late)
    if (!plugin->waitIdle(deadline) || plugin->state() != PluginState::Unloaded) {
      stuck.push_back(describe(*plugin));
      leaveBehind(plugin);
    }
  if (stuck.empty()) forgetAll();
  return stuck;
}

inline void ManagerCore::forgetAll() {
  std::vector<std::shared_ptr<IPluginLoader>> loaders;  // destroyed without the lock
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const Entry& e) { return e.plugin != nullptr; });
  loaders.swap(loaders_);
}

inline std::string ManagerCore::describe(const LoadedPlugin& plugin) {
  std::string doing = plugin.doing_.load();
  if (doing.empty()) doing = plugin.gate().inside();
  return "plugin '" + plugin.name_ + "'" + (doing.empty() ? "" : " (in " + doing + ")");
}

/// The plugin and what it offers.
inline std::vector<CalleeRef> ManagerCore::calleesOf(LoadedPlugin& plugin) const {
  std::vector<CalleeRef> found{CalleeRef(&plugin)};
  for (const auto& service : services_.all())
    if (&service->plugin() == &plugin) found.emplace_back(service);
  return found;
}

// Of a plugin that is to be unloaded: who calls it finishes, nobody comes any more. If they do not finish, they may.
inline expected<void> ManagerCore::waitForCallers(LoadedPlugin& plugin) const {
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

inline bool ManagerCore::end(const Plugin& plugin, Deadline patience, Deadline last, Ending ending) {
  if (HookScope::isInside(*plugin)) {
    pluginLogger().warning("plugin '" + plugin->name_ + "' ends its own manager from inside " +
                           plugin->doing_.load() + ": it is left as it is");
    leaveBehind(plugin);
    return true;
  }
  const auto work = [plugin, patience] {
    for (;;) {
      const auto begun = plugin->begin(LifecycleStep::Unload);
      if (begun) {
        plugin->gate().close();
        // On a thread of its own it waits for callers, handlers and hooks that are stuck: whenever they end, the plugin goes.
        const auto limit = isInsideCallback() ? std::optional(patience) : std::nullopt;
        if (!plugin->gate().waitEmpty(limit)) return plugin->abandon();
        using std::chrono::milliseconds;
        const auto left = [&] { return std::chrono::ceil<milliseconds>(patience - std::chrono::steady_clock::now()); };
        return (void)plugin->runHooks(LifecycleStep::Unload,
                                      limit ? std::optional(std::max(milliseconds(0), left())) : std::nullopt);
      }
      if (begun.error() == Errc::PluginUnloaded || !plugin->waitIdle(patience)) return;
    }
  };
  return runBounded(work, patience, last, ending, [plugin] { return describe(*plugin); }) &&
         plugin->state() == PluginState::Unloaded;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
