#pragma once
// qtforge/core/detail/plugin_manager_impl.hpp: PluginManager's longer functions: finding, loading, stepping many.

#include <qtforge/core/detail/ordered_work.hpp>
#include <qtforge/core/detail/other_plugins.hpp>
#include <qtforge/core/plugin_manager.hpp>

#include <set>

namespace qtforge::inline QTFORGE_ABI {

inline std::shared_ptr<detail::OtherPlugins> detail::ManagerCore::serveOthers(LoadedPlugin& plugin,
                                                                               PluginServices& services) const {
  auto others = std::make_shared<OtherPlugins>(std::const_pointer_cast<ManagerCore>(shared_from_this()), plugin);
  others->serve(services);
  return others;
}

inline PluginManager::~PluginManager() {
  if (core_->plugins().empty()) {  // nothing loaded, or all ended: there may be no root
    core_->close({}, detail::Ending::Object);
    return;
  }
  const auto limit = detail::processRoot().shutdown().timeout();
  for (const auto& name : core_->close(std::chrono::steady_clock::now() + limit, detail::Ending::Object))
    detail::pluginLogger().error(name + " did not end within " + std::to_string(limit.count()) +
                                 " ms and is left behind");
}

/// Who loads what lies at `path`, and what it says about itself; else the most helpful reason.
inline expected<PluginManager::Found> PluginManager::inspect(const std::filesystem::path& path) const {
  namespace fs = std::filesystem;
  std::error_code failure;
  const auto kind = fs::status(path, failure).type();
  if (kind == fs::file_type::not_found) {
    const auto current = fs::current_path(failure);
    const bool relative = !path.is_absolute() && !failure;
    return Error(Errc::ManifestNotFound,
                 "no such file or folder" + (relative ? " in '" + current.string() + "'" : std::string()));
  }
  if (kind == fs::file_type::none) return Error(Errc::ManifestNotFound, failure.message());
  const auto loaders = core_->loaders();
  for (const auto& loader : loaders) {
    if (!loader->accepts(path)) continue;
    auto manifest = loader->inspect(path);
    if (!manifest) return manifest.error();
    return Found{loader, std::move(*manifest)};
  }
  if (kind != fs::file_type::directory)
    return Error(Errc::NoLoader, "not a plugin: expected a folder with a plugin.json or a shared object (.so)");
  const auto manifest = readManifest(path);
  if (!manifest) return manifest.error();
  std::string known;
  for (const auto& loader : loaders) known += (known.empty() ? "" : ", ") + std::string(loader->language());
  return Error(Errc::NoLoader,
               "no loader for language \"" + manifest->language + "\" (there are: " + known + "); " +
                   (manifest->language == "python"
                        ? "add manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>())"
                        : "add one with addLoader"));
}

inline expected<void> PluginManager::reserve(const Found& found) {
  auto done = detail::LiveManagers::instance().add(core_);
  if (done) done = core_->reserve(found.manifest);
  return done ? done : expected<void>(done.error().within("plugin '" + found.manifest.name + "'"));
}

/// What was reserved.
inline expected<PluginHandle> PluginManager::load(detail::ManagerCore& core, Found found, const std::filesystem::path& path,
                                                  detail::PluginInstance instance) {
  std::error_code failure;
  instance.path = std::filesystem::absolute(path, failure).lexically_normal();
  if (!instance.path.has_filename()) instance.path = instance.path.parent_path();  // "plugin/"
  const auto& log = detail::pluginLogger();
  for (const auto& warning : found.manifest.warnings) log.warning(warning);
  for (const auto& open : detail::writableByAll(found.manifest))
    log.warning("plugin '" + found.manifest.name + "': every user of this machine can change '" + open.string() +
                "', and so its code: chmod o-w");
  const auto name = found.manifest.name;
  auto loaded = core.load(found.loader, std::move(found.manifest), instance);
  if (!loaded) return loaded.error().within("plugin '" + name + "'");
  if ((*loaded)->name() != name && std::filesystem::is_directory(path, failure))
    log.warning("plugin '" + (*loaded)->name() + "' is called '" + name +
                "' in its plugin.json: dependencies on it must use the first");
  return loaded;
}

inline expected<PluginHandle> PluginManager::loadPlugin(const std::filesystem::path& path, const LoadOptions& options) {
  const auto where = "cannot load '" + path.string() + "'";
  auto found = inspect(path);
  if (!found) return found.error().within(where);
  if (!options.name.empty()) {
    if (auto fine = checkPluginName(options.name); !fine) return fine.error().within(where);
    found->manifest.name = options.name;
  }
  if (!options.topicPrefix.empty())
    if (auto fine = checkTopic(options.topicPrefix); !fine) return fine.error().within(where + ": topicPrefix");
  if (auto reserved = reserve(*found); !reserved) return reserved.error().within(where);
  auto loaded = load(*core_, std::move(*found), path, {!options.name.empty(), options.topicPrefix, options.configuration});
  if (!loaded) return loaded.error().within(where);
  return loaded;
}

/// The loading of a folder's plugins.
class PluginManager::FolderLoad {
 public:
  explicit FolderLoad(PluginManager& manager) : manager_(manager) {}

  void inspect(const std::filesystem::path& path) {
    auto found = manager_.inspect(path);
    if (!found) {
      const auto manifest = readManifest(path);
      return fail(path, manifest ? manifest->name : std::string(), found.error());
    }
    nodes_.push_back({found->manifest.name, found->manifest.version, found->manifest.dependencies});
    found_.push_back(std::move(*found));
    from_.push_back(path);
  }

  PluginReport run(std::size_t threads) {
    auto sorted = orderByDependencies(nodes_, [&](std::string_view name) { return manager_.core_->versionOf(name); });
    for (const auto& [index, error] : sorted.unresolved) {
      const auto reason = error == Errc::DependencyMissing ? missing(nodes_[index]) : std::nullopt;
      fail(from_[index], nodes_[index].name, reason.value_or(error));
    }
    // All at first: those that are loaded at the same time keep their order.
    std::erase_if(sorted.order, [&](std::size_t index) {
      const auto reserved = manager_.reserve(found_[index]);
      if (!reserved) fail(from_[index], nodes_[index].name, reserved.error());
      return !reserved;
    });
    loaded_.resize(nodes_.size());
    std::vector<std::size_t> later;
    const auto now = atOnce();
    std::erase_if(sorted.order, [&](std::size_t index) {
      if (!now.contains(index)) later.push_back(index);
      return !now.contains(index);
    });
    detail::OrderedWork(nodes_, sorted.order).run(threads, [&](std::size_t index) { load(index); });
    for (const auto index : sorted.order) {
      if (const auto& error = loaded_[index].error; error) fail(from_[index], nodes_[index].name, *error);
      else report_.done.push_back(loaded_[index].plugin);
    }
    for (const auto index : later) {
      const auto broken = missing(nodes_[index]);
      if (!broken) letWait(index);
      else manager_.core_->release(nodes_[index].name), fail(from_[index], nodes_[index].name, *broken);
    }
    return std::move(report_);
  }

 private:
  struct Loaded {
    PluginHandle plugin;
    std::optional<Error> error;
  };

  void fail(const std::filesystem::path& path, const std::string& name, const Error& error) {
    if (!name.empty()) failed_.try_emplace(name, error);
    report_.failed.push_back({path, name, error.within("cannot load '" + path.string() + "'")});
  }

  /// Those that say nothing else, and what they need.
  [[nodiscard]] std::set<std::size_t> atOnce() const {
    std::map<std::string_view, std::size_t> named;
    std::set<std::size_t> found;
    std::vector<std::size_t> waiting;
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
      named.emplace(nodes_[index].name, index);
      if (found_[index].manifest.activation.atOnce()) waiting.push_back(index);
    }
    while (!waiting.empty()) {
      const auto index = waiting.back();
      waiting.pop_back();
      if (!found.insert(index).second) continue;
      for (const auto& wanted : nodes_[index].dependencies)
        if (const auto other = named.find(wanted.name); other != named.end() && !wanted.optional) waiting.push_back(other->second);
    }
    return found;
  }

  void letWait(std::size_t index) {
    const auto weak = std::weak_ptr(manager_.core_);
    const auto name = nodes_[index].name;
    report_.waiting.push_back(found_[index].manifest);
    manager_.core_->letWait(
        report_.waiting.back(),
        [weak, found = std::make_shared<Found>(std::move(found_[index])), path = from_[index]](const auto& backlog) -> expected<void> {
          const auto core = weak.lock();
          if (!core) return Error(Errc::ShuttingDown, "the plugin manager has ended");
          auto done = bringUp(*core, *found, path, backlog);
          if (!done) detail::pluginLogger().error(done.error().message());
          return done;
        },
        [weak, name] {
          boost::asio::post(detail::processRoot().runtime().executor(), [weak, name] {
            if (const auto core = weak.lock()) (void)core->wake(name);
          });
        });
  }

  static expected<void> bringUp(detail::ManagerCore& core, const Found& found, const std::filesystem::path& path,
                                const std::shared_ptr<detail::Backlog>& backlog) {
    const auto plugin = PluginManager::load(core, found, path, {.backlog = backlog});
    if (!plugin) return plugin.error().within("cannot activate '" + path.string() + "'");
    auto done = (*plugin)->initialize();
    if (done) done = (*plugin)->activate();
    detail::ManagerCore::endBacklog(*plugin);
    return done;
  }

  void load(std::size_t index) {
    auto& own = loaded_[index];
    {
      std::lock_guard lock(mutex_);
      own.error = missing(nodes_[index]);
    }
    if (own.error) return manager_.core_->release(nodes_[index].name);
    auto loaded = PluginManager::load(*manager_.core_, std::move(found_[index]), from_[index], {});
    if (loaded) return (void)(own.plugin = std::move(*loaded));
    own.error = loaded.error();
    std::lock_guard lock(mutex_);
    failed_.try_emplace(nodes_[index].name, *own.error);
  }

  /// Why a plugin cannot be loaded because another could not.
  [[nodiscard]] std::optional<Error> missing(const DependencyNode& node) const {
    for (const auto& wanted : node.dependencies)
      if (const auto reason = failed_.find(wanted.name); reason != failed_.end() && !wanted.optional)
        return detail::failedDependency(node.name, wanted, reason->second);
    return std::nullopt;
  }

  PluginManager& manager_;
  PluginReport report_;
  std::vector<Found> found_;
  std::vector<std::filesystem::path> from_;
  std::vector<DependencyNode> nodes_;
  std::vector<Loaded> loaded_;
  std::mutex mutex_;  // guards failed_, while plugins are loaded
  std::map<std::string, Error, std::less<>> failed_;  // by name, for those that need them
};

inline expected<PluginReport> PluginManager::loadPlugins(const std::filesystem::path& folder, std::size_t threads) {
  namespace fs = std::filesystem;
  const auto unreadable = [&](const std::error_code& failure) {
    return Error(Errc::ManifestNotFound, "cannot load plugins from '" + folder.string() + "': " + failure.message());
  };
  std::error_code failure;
  std::vector<fs::path> paths;
  fs::directory_iterator entries(folder, failure);
  if (failure) return unreadable(failure);
  for (; entries != fs::directory_iterator(); entries.increment(failure)) {
    if (failure) return unreadable(failure);
    const auto& path = entries->path();
    std::error_code ignored;
    if (path.filename().string().front() == '.' || !fs::is_directory(path, ignored)) continue;
    if (fs::symlink_status(path / manifestFileName, ignored).type() != fs::file_type::not_found) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  FolderLoad load(*this);
  for (const auto& path : paths) load.inspect(path);
  // A thread that others may be waiting for, or that waits for itself alone, does it all.
  if (detail::isInsideCallback() || detail::ThreadRecords::mine().serves.load() != nullptr) threads = 1;
  else if (threads == 0) threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
  const auto free = core_->letGo();
  return load.run(threads);
}

inline PluginReport PluginManager::stepAll(PluginState from, PluginState to, expected<void> (LoadedPlugin::*step)()) {
  PluginReport report;
  for (const auto& plugin : plugins()) {
    if (plugin->state() != from) continue;
    expected<void> result;
    for (const auto& wanted : plugin->dependencies()) {
      const auto other = find(wanted.name);
      if (!other || wanted.optional || (*other)->state() == to || (*other)->state() == PluginState::Active) continue;
      result = Error(Errc::DependencyMissing, "plugin '" + plugin->name() + "' needs '" + wanted.name + "', which is " +
                                                  std::string(toString((*other)->state())));
      break;
    }
    if (result) result = ((*plugin).*step)();
    if (result) report.done.push_back(plugin);
    else report.failed.push_back({plugin->manifest().folder, plugin->name(), result.error()});
  }
  return report;
}

}  // namespace qtforge::inline QTFORGE_ABI
