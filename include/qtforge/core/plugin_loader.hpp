#pragma once
// qtforge/core/plugin_loader.hpp: how a kind of plugin (native, Python, ...) is recognised, read and brought to life.

#include <qtforge/core/iplugin.hpp>
#include <qtforge/core/manifest.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {
class Client;              // communication/detail/client.hpp
class ConfigurationStore;  // core/detail/configuration_store.hpp
}

/// What the manager gives to a plugin that is being loaded.
struct LoadContext {
  detail::Client* client = nullptr;  ///< sender and owner on the bus of all that the plugin does; outlives the plugin
  std::shared_ptr<const detail::ConfigurationStore> configuration = nullptr;  ///< the values of its settings
  std::filesystem::path dataFolder;  ///< for the plugin's own files, not made yet; empty where there is no place
  const detail::PluginServices* services = nullptr;  ///< what the host does for it
  std::chrono::milliseconds hookLimit{0};  ///< see PluginManager::setHookLimit, IPluginLoader::keepsHookLimit
  bool named = false;  ///< the manifest's name is one that the host gave; see LoadOptions
};

/// From which state a reload comes, and which it is to lead to.
struct ReloadStates {
  PluginState from = PluginState::Loaded;  ///< of the plugin that runs
  PluginState to = PluginState::Loaded;    ///< Loaded, Initialized or Active
};

/// One kind of plugin. PluginManager::addLoader takes more of them.
///
/// @par Thread safety  all functions may be called from several threads at once. The manager holds no lock meanwhile.
class IPluginLoader {
 public:
  IPluginLoader() = default;
  IPluginLoader(const IPluginLoader&) = delete;
  IPluginLoader& operator=(const IPluginLoader&) = delete;
  virtual ~IPluginLoader() = default;

  /// The manifest's "language" that it stands for.
  [[nodiscard]] virtual std::string_view language() const = 0;

  /// Whether what lies at `path` is for this loader. Runs no code of the plugin, and says false rather than failing:
  /// what nobody accepts, the manager explains.
  [[nodiscard]] virtual bool accepts(const std::filesystem::path& path) const {
    const auto manifest = readManifest(path);
    return manifest && manifest->language == language();
  }

  /// Reads the manifest at a path that it accepts, or makes one up. Runs no code of the plugin.
  ///
  /// @return the manifest, or
  ///   - Errc::ManifestNotFound, Errc::ManifestInvalid
  [[nodiscard]] virtual expected<Manifest> inspect(const std::filesystem::path& path) const {
    return readManifest(path);
  }

  /// Whether loading and the plugin's hooks give up at LoadContext::hookLimit by themselves. Otherwise they are called as
  /// they are, and the manager tells when they take longer.
  [[nodiscard]] virtual bool keepsHookLimit() const { return false; }

  /// Called by a thread before it waits for others that load: lets go what it may hold and they may want, until the result
  /// is destroyed there.
  [[nodiscard]] virtual std::shared_ptr<void> letGo() const { return nullptr; }

  /// Loads the plugin's code and makes the plugin.
  ///
  /// @return the plugin, never null, or why not; messages need not name the plugin, the manager does
  [[nodiscard]] virtual expected<std::unique_ptr<IPlugin>> load(const Manifest& manifest,
                                                                const LoadContext& context) = 0;

  // ---- Reload: the manager calls loadBeside, then `initialize` of the new plugin if it is to be initialized, then replace;
  // at last `deactivate` and `cleanup` of the old one, and ends it. Where one of them fails the new one is cleaned up and ended.

  /// While the files of its plugins change, how often that may lead to a reload; nothing: nobody looks.
  [[nodiscard]] virtual std::optional<std::chrono::milliseconds> reloadInterval() const { return std::nullopt; }

  /// Whether a file of that name in a plugin's folder is code that a reload would read.
  [[nodiscard]] virtual bool isCode(const std::filesystem::path& file) const { return file.filename() == manifestFileName; }

  /// As load(), while `running`, which this loader has made from an earlier version, goes on. What the new plugin subscribes
  /// and offers takes effect with replace().
  ///
  /// @return the plugin, or errors as load(), and
  ///   - Errc::IllegalTransition  plugins of this kind cannot be reloaded
  ///   - Errc::WouldDeadlock      this thread is inside code of `running`
  [[nodiscard]] virtual expected<std::unique_ptr<IPlugin>> loadBeside(IPlugin& running, const Manifest& manifest,
                                                                      const LoadContext& context) {
    (void)running, (void)manifest, (void)context;
    return Error(Errc::IllegalTransition, "plugins of the language \"" + std::string(language()) +
                                              "\" cannot be reloaded: unload the plugin, and load it again");
  }

  /// Puts `next` in the place of `running`: waits for calls of `running`, hands over its state, activates `next` if it is to
  /// be active, and has all that is for the plugin go to `next`.
  ///
  /// @return nothing; or why not, and `running` goes on as before, with all that came meanwhile
  [[nodiscard]] virtual expected<void> replace(IPlugin& running, IPlugin& next, const ReloadStates& states) {
    (void)running, (void)next, (void)states;
    return {};
  }
};

}  // namespace qtforge::inline QTFORGE_ABI
