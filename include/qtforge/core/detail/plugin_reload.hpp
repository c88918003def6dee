#pragma once
// qtforge/core/detail/plugin_reload.hpp: how a new version of a plugin comes in the place of the one that runs, or does not.

#include <qtforge/core/detail/manager_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The new version, until it is in its place: then nothing, else it is cleaned up as far as it came, and ended.
class NextVersion {
 public:
  NextVersion(const LoadedPlugin& place, std::shared_ptr<PluginBody> body) : place_(place), body_(std::move(body)) {}
  NextVersion(const NextVersion&) = delete;
  NextVersion& operator=(const NextVersion&) = delete;
  ~NextVersion() {
    if (!body_) return;
    if (mustClean_)
      if (auto cleaned = callHook(LifecycleHook::Cleanup); !cleaned) pluginLogger().error(cleaned.error().report());
    body_->end();
  }

  [[nodiscard]] IPlugin& plugin() const noexcept { return *body_->plugin; }
  [[nodiscard]] PluginBody& body() const noexcept { return *body_; }

  expected<void> initialize() {
    mustClean_ = true;
    return callHook(LifecycleHook::Initialize);
  }
  [[nodiscard]] std::shared_ptr<PluginBody> release() noexcept { return std::exchange(body_, nullptr); }

 private:
  expected<void> callHook(LifecycleHook hook);

  const LoadedPlugin& place_;
  std::shared_ptr<PluginBody> body_;
  bool mustClean_ = false;
};

inline expected<PluginHandle> ManagerCore::reload(std::string_view name) {
  const auto where = "cannot reload plugin '" + std::string(name) + "'";
  auto found = find(name);
  if (!found) return found.error().within(where);
  const Plugin plugin = found->plugin_;
  const auto inside = HookScope::isInside(*plugin) ? std::optional<std::string>(plugin->doing_.load()) : plugin->gate().ownCall();
  if (inside)
    return Error(Errc::WouldDeadlock, where + ": this thread is inside its " + *inside + ", which would be waited for");
  std::vector<std::shared_ptr<void>> free;
  auto done = plugin->reloads_.run([&] { return reloadNow(plugin); },
                                   [&]() -> expected<void> {
                                     if (isInsideCallback() || ThreadRecords::mine().serves.load() != nullptr)
                                       return Error(Errc::WouldDeadlock, where + ": another thread reloads it, for which this "
                                                                                 "one, in a handler or of a lane, cannot wait");
                                     free = letGo();
                                     return {};
                                   });
  if (!done) return done.error();
  return *found;
}

/// Of a plugin whose files have changed. @return whether it could not be now, and is to be tried once more
inline bool ManagerCore::reloadChanged(const std::string& manifestName) {
  Plugin plugin;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    for (const auto& entry : entries_)
      if (entry.plugin && entry.stage == Stage::Ready && entry.plugin->manifest().name == manifestName) plugin = entry.plugin;
  }
  if (!plugin) return true;  // it is only being loaded, maybe from what was there before
  if (plugin->reloads_.running() || plugin->lifecycle_.running() != LifecycleStep::None) return true;
  const auto done = reload(plugin->name());
  return !done && (done.error() == Errc::IllegalTransition || done.error() == Errc::WouldDeadlock);
}

/// The reload with what is told of it.
inline expected<void> ManagerCore::reloadNow(const Plugin& plugin) {
  const auto begin = std::chrono::steady_clock::now();
  const auto before = plugin->version();
  auto done = plugin->begin(LifecycleStep::Reload);
  if (done) {
    {
      const HookScope inside(*plugin);
      plugin->doing_.store("reload");
      Error error;
      if (guarded(sinkInto(error), [&] { return replace(*plugin); }) != 0) done = error;
      plugin->doing_.store("");
    }
    plugin->endStep();
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  boost::json::object told{{"plugin", plugin->name()}, {"ok", done.has_value()}, {"from", before}, {"milliseconds", took.count()}};
  if (done) {
    told["to"] = plugin->version();
    pluginLogger().info(plugin->label() + " is reloaded: version " + before + " -> " + plugin->version());
  } else {
    done = done.error().within("cannot reload plugin '" + plugin->name() + "'");
    told["error"] = done.error().message();
    told["traceback"] = done.error().traceback();
    pluginLogger().error(done.error().report() + "\nthe version that was there goes on");
  }
  publishInternal("qtforge.reload", std::move(told));
  return done;
}

inline expected<void> ManagerCore::replace(LoadedPlugin& plugin) {
  const ReloadStates states{plugin.state(), plugin.state() == PluginState::Error ? plugin.wanted_.load() : plugin.state()};
  auto manifest = readAgain(plugin);
  if (!manifest) return manifest.error();
  auto body = nextBody(plugin, *manifest);
  if (!body) return body.error();
  const auto old = plugin.body();
  auto& loader = *plugin.origin_.loader;
  auto made = loadCode(plugin, *manifest, **body, [&](IPluginLoader& from, const Manifest& read, const LoadContext& context) {
    return from.loadBeside(*old->plugin, read, context);
  });
  if (!made) return made.error();
  (*body)->adopt(std::move(*made));
  NextVersion next(plugin, *body);
  PluginFacts facts(std::move(*manifest));
  if (auto described = askForFacts(next.plugin(), facts, plugin.origin_.named); !described) return described;
  if (facts.name != plugin.name())
    return Error(Errc::ManifestInvalid, "it calls itself '" + facts.name + "' now: a plugin keeps its name in a reload");
  if (auto fits = checkInterfaces(facts.manifest, next.plugin()); !fits) return fits;
  const auto needs = exchangeNeeds(plugin, facts);
  if (!needs) return needs.error();
  expected<void> done;
  const bool initialized = plugin.client_->initialized.load();
  if (states.to != PluginState::Loaded) {
    beginInitialized(*plugin.client_);
    done = next.initialize();
  }
  if (done) {
    Error error;
    if (guarded(sinkInto(error), [&] { return loader.replace(*old->plugin, next.plugin(), states); }) != 0) done = error;
  }
  if (!done) {
    plugin.client_->initialized.store(initialized);
    setNeeds(plugin, *needs);
    return done;
  }
  if (old->configuration != (*body)->configuration) (*body)->configuration->takeFile(*old->configuration);
  plugin.setBody(next.release());
  plugin.setFacts(std::move(facts));
  plugin.lifecycle_.replaced(states.to);
  const auto last = [&](LifecycleHook hook) {
    if (auto called = plugin.callHook(hook, *old->plugin); !called)
      pluginLogger().error("the version that was replaced: " + called.error().report());
  };
  if (states.from == PluginState::Active) last(LifecycleHook::Deactivate);
  if (states.from != PluginState::Loaded) last(LifecycleHook::Cleanup);
  PluginLife::end(*old->plugin);
  return {};  // it goes here, or with the last who asks it for an interface just now
}

inline expected<void> NextVersion::callHook(LifecycleHook hook) { return place_.callHook(hook, *body_->plugin); }

/// What the manifest says now.
inline expected<Manifest> ManagerCore::readAgain(const LoadedPlugin& plugin) const {
  const auto& origin = plugin.origin_;
  if (!origin.loader->accepts(origin.path)) {
    const auto read = readManifest(origin.path);
    if (!read) return read.error();
    return Error(Errc::NoLoader, "plugin.json: /language: it is \"" + read->language + "\" now, and was \"" +
                                     std::string(origin.loader->language()) + '"');
  }
  auto manifest = origin.loader->inspect(origin.path);
  if (!manifest) return manifest.error();
  const auto& known = plugin.manifest();
  if (origin.named) manifest->name = known.name;
  if (manifest->name != known.name)
    return Error(Errc::ManifestInvalid, "plugin.json: /name: it is \"" + manifest->name + "\" now, and was \"" + known.name +
                                            "\": a plugin keeps its name in a reload");
  if (manifest->lane != known.lane)
    return Error(Errc::ManifestInvalid, "plugin.json: /lane: a plugin keeps its lane in a reload; unload it, and load it again");
  for (const auto& warning : manifest->warnings) pluginLogger().warning(warning);
  return manifest;
}

/// What its object will be given: what the old one has, where nothing is new.
inline expected<std::shared_ptr<PluginBody>> ManagerCore::nextBody(LoadedPlugin& plugin, const Manifest& manifest) const {
  const auto old = plugin.body();
  auto body = std::make_shared<PluginBody>();
  body->configuration = old->configuration;
  body->files = old->files;
  body->others = old->others;
  if (manifest.configuration != old->configuration->entries()) {
    body->configuration = std::make_shared<ConfigurationStore>(manifest.name, manifest.configuration);
    if (auto read = body->configuration->readEnvironment(); !read) return read.error();
    const auto gone = body->configuration->inherit(*old->configuration);
    if (!gone) return gone.error().within("what was set before does not fit the new settings");
    for (const auto& setting : *gone)
      pluginLogger().warning(plugin.label() + ": the setting \"" + setting + "\" is gone with the reload, and its value with it");
  }
  if (manifest.folder != plugin.manifest().folder) {
    const auto& origin = plugin.origin_;
    body->files = std::make_shared<PluginFiles>(manifest.name, manifest.folder, origin.dataFolder, origin.topicPrefix);
    body->others = serveOthers(plugin, body->files->services());
  }
  return body;
}

/// Those that need `name`, directly or through others. With mutex_ held.
inline std::set<std::string> ManagerCore::neededBy(const std::string& name) const {
  std::set<std::string> found{name};
  for (bool more = true; more;) {
    more = false;
    for (const auto& entry : entries_)
      for (const auto& wanted : entry.dependencies)
        if (!wanted.optional && found.contains(wanted.name)) more |= found.insert(entry.name).second;
  }
  found.erase(name);
  return found;
}

/// Has the plugin need what its new version does, if that is there and those that need it can take the new version.
///
/// @return what it needed before, for setNeeds()
inline expected<std::vector<Dependency>> ManagerCore::exchangeNeeds(const LoadedPlugin& plugin, const PluginFacts& facts) {
  std::lock_guard lock(mutex_);
  if (auto open = checkOpen(); !open) return open.error();
  if (auto there = checkNeeds(facts.name, facts.dependencies); !there) return there.error();
  const auto users = neededBy(facts.name);
  for (const auto& wanted : facts.dependencies)
    if (!wanted.optional && (wanted.name == facts.name || users.contains(wanted.name)))
      return Error(Errc::DependencyCycle, "it needs '" + wanted.name + "' now, which needs it");
  for (const auto& other : entries_)
    for (const auto& wanted : other.dependencies)
      if (wanted.name == facts.name && !wanted.range.contains(facts.semantic))
        return wrongDependency(other.name, wanted, facts.semantic);
  const auto own = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.plugin.get() == &plugin; });
  auto before = std::exchange(own->dependencies, facts.dependencies);
  // Behind what it needs now, with those that need it.
  if (std::any_of(own + 1, entries_.end(), [&](const Entry& later) { return own->needs(later.name); }))
    std::stable_partition(entries_.begin(), entries_.end(),
                          [&](const Entry& e) { return e.name != facts.name && !users.contains(e.name); });
  return before;
}

inline void ManagerCore::setNeeds(const LoadedPlugin& plugin, std::vector<Dependency> needs) {
  std::lock_guard lock(mutex_);
  for (auto& entry : entries_)
    if (entry.plugin.get() == &plugin) entry.dependencies = std::move(needs);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
