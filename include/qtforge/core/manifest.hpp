#pragma once
// qtforge/core/manifest.hpp: what a plugin says about itself in plugin.json, typed and checked.

#include <qtforge/core/configuration_entry.hpp>
#include <qtforge/core/detail/file.hpp>
#include <qtforge/core/version.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Name of the manifest in a plugin's folder.
inline constexpr std::string_view manifestFileName = "plugin.json";

/// Largest manifest, in bytes, and how deep its JSON may be nested.
inline constexpr std::size_t maxManifestSize = 1024 * 1024;
inline constexpr std::size_t maxManifestDepth = 32;

/// On which thread a plugin's Python runs: the one that all share, or one of its own.
enum class PluginLane { Shared, Own };

/// When a plugin of a folder is loaded: at once, or when one of these is first used. See PluginManager::loadPlugins.
struct PluginActivation {
  std::vector<std::string> topics;      ///< patterns: a message that one of them matches
  std::vector<std::string> interfaces;  ///< names, with or without a version: somebody looks for plugins by it

  [[nodiscard]] bool atOnce() const noexcept { return topics.empty() && interfaces.empty(); }
  friend bool operator==(const PluginActivation&, const PluginActivation&) = default;
};

/// The manifest's "python_config". Paths are as written: relative to the plugin's folder.
struct PythonPluginConfig {
  std::string interpreter;  ///< "python3.11": what the running Python must be; with a '/': that one's build
  std::string virtualEnv;   ///< whose packages are put behind the environment's
  std::vector<std::string> sysPathAdditions;
  std::vector<std::pair<std::string, std::string>> environmentVariables;  ///< in the manifest's order
  bool pthFiles = false;  ///< whether `.pth` files of `virtualEnv` count, which may run code

  friend bool operator==(const PythonPluginConfig&, const PythonPluginConfig&) = default;
};

/// A plugin.json. `name`, `version`, `language` and `entry_point` are required, the rest may be missing.
struct Manifest {
  std::string name;
  Version version;
  std::string description;
  std::string author;
  std::string license;
  std::string language;    ///< "python" or "cpp" ("c++" and "native" are read as "cpp"), or that of another loader
  std::string entryPoint;  ///< a file, relative to `folder`; see resolveEntryPoint
  std::string mainClass;   ///< for Python: the class in the entry point; empty: the only one
  std::vector<Dependency> dependencies;
  std::vector<std::string> pythonRequirements;  ///< as pip takes them (PEP 508)
  std::vector<std::string> capabilities;
  std::vector<std::string> interfaces;  ///< names of those that it implements; see PluginManager::addInterface
  PluginActivation activation;  ///< "onTopic:sensor.>", "onInterface:image.filter"
  std::map<std::string, ConfigurationEntry> configuration;
  PythonPluginConfig pythonConfig;
  PluginLane lane = PluginLane::Shared;

  std::filesystem::path folder;       ///< absolute
  std::vector<std::string> warnings;  ///< what is not wrong but looks like a mistake: unknown fields

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Reads the text of a plugin.json that lies in `folder`. Touches no file.
///
/// @return the manifest, its warnings in it, or
///   - Errc::ManifestInvalid  for JSON syntax: the reason, offset and line; for the content: every place that is wrong
///                            with its JSON pointer, what was expected and what came; above maxManifestSize or
///                            maxManifestDepth
/// @par Thread safety  any thread.
[[nodiscard]] inline expected<Manifest> parseManifest(std::string_view text, const std::filesystem::path& folder);

/// Reads `folder`/plugin.json.
///
/// @return the manifest, or
///   - Errc::ManifestNotFound  no such folder, or no plugin.json in it
///   - Errc::ManifestInvalid   as parseManifest; also when it cannot be read or is a link that leaves the folder
/// @par Blocking  for the file.
[[nodiscard]] inline expected<Manifest> readManifest(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  const auto shown = "'" + folder.string() + "'";
  std::error_code failure;
  const auto kind = fs::status(folder, failure).type();
  if (kind == fs::file_type::not_found) return Error(Errc::ManifestNotFound, shown + ": no such folder");
  if (kind != fs::file_type::directory)
    return Error(Errc::ManifestNotFound, shown + (failure ? ": " + failure.message() : ": not a folder"));
  if (fs::symlink_status(folder / manifestFileName, failure).type() == fs::file_type::not_found)
    return Error(Errc::ManifestNotFound, shown + ": no plugin.json in it");
  const auto path = detail::resolveInside(folder, manifestFileName, Errc::ManifestInvalid);
  if (!path) return path.error();
  const auto file = detail::File::open(*path, Errc::ManifestInvalid);
  if (!file) return file.error();
  if (file->size() > maxManifestSize)
    return Error(Errc::ManifestInvalid, "'" + path->string() + "': larger than 1 MiB");
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  if (!file->readAt(0, text.data(), text.size()))
    return Error(Errc::ManifestInvalid, "'" + path->string() + "': it changed or failed while it was read");
  return parseManifest(text, folder);
}

namespace detail {

/// What every user can write to of a plugin's folder, manifest and entry point.
inline std::vector<std::filesystem::path> writableByAll(const Manifest& manifest) {
  namespace fs = std::filesystem;
  std::vector<fs::path> found;
  for (const auto& path : {manifest.folder, manifest.folder / manifestFileName, manifest.folder / manifest.entryPoint}) {
    std::error_code failure;
    const auto status = fs::status(path, failure);
    if (!failure && (status.permissions() & fs::perms::others_write) != fs::perms::none && fs::exists(status))
      found.push_back(path);
  }
  return found;
}

}  // namespace detail

/// The file that a manifest names as entry point: a regular file in the plugin's folder.
///
/// @return its canonical path, or
///   - Errc::EntryPointInvalid  missing, not a file, absolute, with `..`, or a link that leaves the folder: the message
///                              says which. The folder itself may be a link.
/// @par Blocking  for the file system.
[[nodiscard]] inline expected<std::filesystem::path> resolveEntryPoint(const Manifest& manifest) {
  auto path = detail::resolveInside(manifest.folder, manifest.entryPoint, Errc::EntryPointInvalid);
  if (!path) return path.error().within("plugin.json: /entry_point");
  std::error_code failure;
  if (!std::filesystem::is_regular_file(*path, failure))
    return Error(Errc::EntryPointInvalid, "plugin.json: /entry_point: '" + path->string() + "' is not a regular file");
  return path;
}

}  // namespace qtforge::inline QTFORGE_ABI

#include <qtforge/core/detail/manifest_decoder.hpp>
