#pragma once
// qtforge/core/detail/plugin_manager_impl.hpp: PluginManager's longer functions: finding, loading, stepping many.

#include <qtforge/core/plugin_manager.hpp>

namespace qtforge::inline QTFORGE_ABI {

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

inline expected<PluginHandle> PluginManager::load(Found found, const std::filesystem::path& path) {
  if (auto live = detail::LiveManagers::instance().add(core_); !live) return live.error();
  const auto& log = detail::pluginLogger();
  for (const auto& warning : found.manifest.warnings) log.warning(warning);
  for (const auto& open : detail::writableByAll(found.manifest))
    log.warning("plugin '" + found.manifest.name + "': every user of this machine can change '" + open.string() +
                "', and so its code: chmod o-w");
  const auto name = found.manifest.name;
  auto loaded = core_->load(*found.loader, std::move(found.manifest));
  if (!loaded) return loaded.error().within("plugin '" + name + "'");
  std::error_code failure;
  if ((*loaded)->name() != name && std::filesystem::is_directory(path, failure))
    log.warning("plugin '" + (*loaded)->name() + "' is called '" + name +
                "' in its plugin.json: dependencies on it must use the first");
  return loaded;
}

inline expected<PluginHandle> PluginManager::loadPlugin(const std::filesystem::path& path) {
  const auto where = "cannot load '" + path.string() + "'";
  auto found = inspect(path);
  if (!found) return found.error().within(where);
  auto loaded = load(std::move(*found), path);
  if (!loaded) return loaded.error().within(where);
  return loaded;
}

inline expected<PluginReport> PluginManager::loadPlugins(const std::filesystem::path& folder) {
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

  PluginReport report;
  std::vector<Found> found;
  std::vector<fs::path> from;
  std::vector<DependencyNode> nodes;
  std::map<std::string, Error, std::less<>> failed;  // by name, for those that need them
  const auto fail = [&](const fs::path& path, const std::string& name, const Error& error) {
    if (!name.empty()) failed.try_emplace(name, error);
    report.failed.push_back({path, name, error.within("cannot load '" + path.string() + "'")});
  };
  for (const auto& path : paths) {
    auto one = inspect(path);
    if (!one) {
      const auto manifest = readManifest(path);
      fail(path, manifest ? manifest->name : std::string(), one.error());
      continue;
    }
    nodes.push_back({one->manifest.name, one->manifest.version, one->manifest.dependencies});
    found.push_back(std::move(*one));
    from.push_back(path);
  }
  const auto sorted = orderByDependencies(nodes, [&](std::string_view name) { return core_->versionOf(name); });
  for (const auto& [index, error] : sorted.unresolved) {
    const auto& needs = nodes[index].dependencies;
    const auto broken = std::find_if(needs.begin(), needs.end(), [&](const auto& d) {
      return error == Errc::DependencyMissing && failed.contains(d.name) && !d.optional;
    });
    const auto& name = nodes[index].name;
    if (broken == needs.end()) fail(from[index], name, error);
    else fail(from[index], name, detail::failedDependency(name, *broken, failed.at(broken->name)));
  }
  for (const auto index : sorted.order) {
    const auto& node = nodes[index];
    const auto broken = std::find_if(node.dependencies.begin(), node.dependencies.end(),
                                     [&](const auto& d) { return failed.contains(d.name) && !d.optional; });
    if (broken != node.dependencies.end()) {
      fail(from[index], node.name, detail::failedDependency(node.name, *broken, failed.at(broken->name)));
      continue;
    }
    auto loaded = load(std::move(found[index]), from[index]);
    if (loaded) report.done.push_back(*loaded);
    else fail(from[index], node.name, loaded.error());
  }
  return report;
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
