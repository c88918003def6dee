#pragma once
// qtforge/core/native_plugin_loader.hpp: plugins that are shared objects made with QTFORGE_PLUGIN. PluginManager has
// this loader from the start.

#include <qtforge/core/detail/native_plugin.hpp>
#include <qtforge/core/plugin_loader.hpp>

namespace qtforge::inline QTFORGE_ABI {

/// Loads a `.so` file by itself, or a folder whose plugin.json has "language": "cpp" and the `.so` as entry point.
///
/// Before any of its code runs, the file must carry this program's ABI tag and export nothing but its entry.
class NativePluginLoader final : public IPluginLoader {
 public:
  [[nodiscard]] std::string_view language() const override { return "cpp"; }

  [[nodiscard]] bool accepts(const std::filesystem::path& path) const override {
    std::error_code failure;
    if (std::filesystem::is_directory(path, failure)) return IPluginLoader::accepts(path);
    return path.extension() == ".so" && std::filesystem::is_regular_file(path, failure);
  }

  /// For a file alone the manifest has its name without "lib" and ".so", and version 0.0.0; the plugin's own texts
  /// replace them when it is loaded.
  [[nodiscard]] expected<Manifest> inspect(const std::filesystem::path& path) const override {
    std::error_code failure;
    if (std::filesystem::is_directory(path, failure)) return readManifest(path);
    Manifest manifest;
    manifest.name = path.stem().string();
    if (manifest.name.starts_with("lib") && manifest.name.size() > 3) manifest.name.erase(0, 3);
    if (auto fine = checkPluginName(manifest.name); !fine) return fine.error().within("'" + path.string() + "'");
    manifest.language = "cpp";
    manifest.folder = std::filesystem::absolute(path, failure).parent_path().lexically_normal();
    manifest.entryPoint = path.filename().string();
    return manifest;
  }

  /// @return the plugin, or
  ///   - Errc::EntryPointInvalid  as resolveEntryPoint
  ///   - Errc::NotAPlugin         no shared object, no QTFORGE_PLUGIN in it, or it exports more than the entry
  ///   - Errc::AbiMismatch        built with other settings: both are printed
  ///   - Errc::ImportFailed       dlopen(3) failed: its text is in the message
  ///   - Errc::DuplicatePlugin    the same file has a living plugin, in whatever manager
  ///   - Errc::HookFailed         the plugin's constructor or one of its describing functions threw
  ///   - Errc::NoRuntime          this binary has no runtime
  [[nodiscard]] expected<std::unique_ptr<IPlugin>> load(const Manifest& manifest, const LoadContext& context) override {
    const auto path = resolveEntryPoint(manifest);
    if (!path) return path.error();
    const auto file = detail::File::open(*path, Errc::EntryPointInvalid);
    if (!file) return file.error();
    if (auto fine = detail::checkElfPlugin(*file, path->string()); !fine) return fine.error();
    return detail::NativePlugin::load(*file, *path, manifest.name, context);
  }
};

}  // namespace qtforge::inline QTFORGE_ABI
