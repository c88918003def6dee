#pragma once
// qtforge/core/detail/plugin_version.hpp: one version of a plugin: what it says of itself, and what goes with it when another
// is in its place.

#include <qtforge/core/detail/configuration_store.hpp>
#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/core/detail/plugin_files.hpp>
#include <qtforge/core/iplugin.hpp>
#include <qtforge/core/manifest.hpp>

#include <memory>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

class OtherPlugins;

/// What a plugin says of itself, else its manifest.
struct PluginFacts {
  explicit PluginFacts(Manifest read)
      : manifest(std::move(read)),
        name(manifest.name),
        version(manifest.version.toString()),
        description(manifest.description),
        author(manifest.author),
        dependencies(manifest.dependencies),
        semantic(manifest.version) {}

  Manifest manifest;
  std::string name, version, description, author;
  std::vector<Dependency> dependencies;
  Version semantic;  // for dependencies on it

  /// Whether nobody could tell one from the other.
  friend bool operator==(const PluginFacts& one, const PluginFacts& other) {
    return one.name == other.name && one.version == other.version && one.description == other.description &&
           one.author == other.author && one.dependencies == other.dependencies && one.manifest == other.manifest &&
           one.manifest.version.toString() == other.manifest.version.toString();
  }
};

/// Asks a plugin, once, for what it says of itself.
///
/// @param named  the host has given it a name, which stands before its own
/// @return nothing, or
///   - Errc::PluginIncompatible  it refuses this plugin interface
///   - Errc::InvalidArgument     a name or dependency that is none
///   - Errc::HookFailed          one of the functions threw
inline expected<void> askForFacts(IPlugin& plugin, PluginFacts& facts, bool named) {
  Error error;
  const auto asked = guarded(sinkInto(error), [&]() -> expected<void> {
    const auto replace = [](std::string& text, std::string own) {
      if (!own.empty()) text = std::move(own);
    };
    if (!named) replace(facts.name, plugin.name());
    replace(facts.version, plugin.version());
    replace(facts.description, plugin.description());
    replace(facts.author, plugin.author());
    if (auto fine = checkPluginName(facts.name); !fine) return fine.error();
    if (auto version = parseVersion(facts.version); version) facts.semantic = std::move(*version);
    else
      pluginLogger().warning("plugin '" + facts.name + "': " + version.error().message() + "; dependencies on it see " +
                             facts.semantic.toString());
    if (const auto own = plugin.dependencies(); !own.empty()) {
      facts.dependencies.clear();
      for (const auto& text : own) {
        auto dependency = parseDependency(text);
        if (!dependency) return dependency.error();
        facts.dependencies.push_back(std::move(*dependency));
      }
    }
    if (!plugin.isCompatible(pluginApiVersion))
      return Error(Errc::PluginIncompatible,
                   std::string("it is not compatible with version ") + pluginApiVersion + " of the plugin interface");
    return {};
  });
  if (asked == 0) return {};
  if (error == Errc::HandlerFailed || error == Errc::PythonError)
    return Error(Errc::HookFailed, "describing itself: " + error.message(), error.pythonType(), error.traceback());
  return error;
}

/// A plugin's object, with what its code is given.
struct PluginBody {
  std::shared_ptr<ConfigurationStore> configuration;
  std::shared_ptr<PluginFiles> files;
  std::shared_ptr<OtherPlugins> others;
  std::unique_ptr<IPlugin> plugin;  // the last: it goes before what it uses

  /// Takes it, with the settings and services that are here.
  void adopt(std::unique_ptr<IPlugin> made) {
    plugin = std::move(made);
    PluginLife::give(*plugin, configuration->source(), &files->services());
  }

  /// Takes back what the plugin has left, and ends it.
  void end() {
    if (plugin) PluginLife::end(*plugin);
    plugin.reset();
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
