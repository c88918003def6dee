#pragma once
// qtforge/core/detail/native_plugin.hpp: a plugin in a shared object, called through its table, as an IPlugin.

#include <qtforge/core/detail/configuration_store.hpp>
#include <qtforge/core/detail/elf_note.hpp>
#include <qtforge/core/detail/library.hpp>
#include <qtforge/core/detail/plugin_table.hpp>
#include <qtforge/core/plugin_loader.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

class NativePlugin final : public IPlugin {
 public:
  /// `file` has been checked; its code runs from here on. Errors: see NativePluginLoader::load.
  static expected<std::unique_ptr<IPlugin>> load(const File& file, const std::filesystem::path& path,
                                                 std::string_view name, const LoadContext& context) {
    const auto* host = findRoot();
    if (!host) return noRuntime();
    Root own = *host;
    own.size = sizeof(Root);
    own.client = context.client;
    auto library = Library::open(file, path, own, name, context.named);
    if (!library) return library.error();
    std::unique_ptr<NativePlugin> plugin(new NativePlugin(*library, context));
    if (auto made = plugin->make(path.string()); !made) return made.error();
    return std::unique_ptr<IPlugin>(std::move(plugin));
  }

  ~NativePlugin() override {
    if (plugin_) table_->destroy(plugin_);
    library_->leave();
  }

  [[nodiscard]] std::string name() const override { return text(PluginText::Name); }
  [[nodiscard]] std::string version() const override { return text(PluginText::Version); }
  [[nodiscard]] std::string description() const override { return text(PluginText::Description); }
  [[nodiscard]] std::string author() const override { return text(PluginText::Author); }
  [[nodiscard]] std::vector<std::string> dependencies() const override { return dependencies_; }

  expected<void> initialize() override { return call(PluginHook::Initialize); }
  expected<void> activate() override { return call(PluginHook::Activate); }
  expected<void> deactivate() override { return call(PluginHook::Deactivate); }
  void cleanup() override {
    if (auto done = call(PluginHook::Cleanup); !done) throw Exception(done.error());
  }

  expected<void> onConfigChanged(const Configuration& before, const Configuration& after) override {
    constexpr auto needed = offsetof(PluginTable, configChanged) + sizeof(table_->configChanged);
    if (table_->size < needed || !table_->configChanged) return {};  // built before it could be asked
    Error error;
    if (table_->configChanged(plugin_, &before.values(), &after.values(), sinkInto(error)) != 0) return error;
    return {};
  }

  [[nodiscard]] bool isCompatible(std::string_view pluginApi) const override {
    return table_->compatible(plugin_, pluginApi);
  }

 private:
  NativePlugin(Library* library, const LoadContext& context)
      : library_(library), configuration_(context.configuration), services_(context.services) {}

  expected<void> make(const std::string& path) {
    const auto entry = reinterpret_cast<PluginEntry>(library_->symbol(pluginEntryName));
    if (!entry)
      return Error(Errc::NotAPlugin, "'" + path + "': " + pluginEntryName + " is not in its dynamic symbol table");
    PluginHost host{1, sizeof(PluginHost), &library_->root(), library_};
    if (configuration_) host.configuration = configuration_->source();
    host.services = services_;
    table_ = entry(&host);
    if (!table_ || table_->version != 1 || table_->size < leastPluginTable)
      return Error(Errc::AbiMismatch, "'" + path + "': its entry hands over a table of version " +
                                          std::to_string(table_ ? table_->version : 0) + " and size " +
                                          std::to_string(table_ ? table_->size : 0) +
                                          ", this program knows version 1 of at least " + std::to_string(leastPluginTable));
    Error error;
    plugin_ = table_->create(sinkInto(error));
    if (!plugin_) return failed("constructor", error);
    if (table_->describe(plugin_, this, &NativePlugin::take, sinkInto(error)) != 0)
      return failed("describing itself", error);
    return {};
  }

  static Error failed(const char* what, const Error& error) {
    return Error(Errc::HookFailed, std::string(what) + ": " + error.message());
  }

  static void take(void* self, std::int32_t which, Text text) {
    auto& plugin = *static_cast<NativePlugin*>(self);
    if (which == static_cast<std::int32_t>(PluginText::Dependency))
      plugin.dependencies_.emplace_back(std::string_view(text));
    else if (which >= 0 && which < static_cast<std::int32_t>(plugin.texts_.size()))
      plugin.texts_[static_cast<std::size_t>(which)] = std::string_view(text);
  }

  [[nodiscard]] std::string text(PluginText which) const { return texts_[static_cast<std::size_t>(which)]; }

  expected<void> call(PluginHook hook) {
    Error error;
    if (table_->hook(plugin_, static_cast<std::int32_t>(hook), sinkInto(error)) != 0) return error;
    return {};
  }

  expected<Implementation> implementation(const InterfaceInfo& wanted) override {
    constexpr auto end = offsetof(PluginTable, implementation) + sizeof(table_->implementation);
    if (table_->size < end || !table_->implementation) return interfaceMissing(wanted);
    Implementation found;
    Error error;
    if (table_->implementation(plugin_, &wanted, &found, sinkInto(error)) != 0) return error;
    return found;
  }

  void showInterfaces(void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) override {
    constexpr auto end = offsetof(PluginTable, showInterfaces) + sizeof(table_->showInterfaces);
    if (table_->size >= end && table_->showInterfaces) table_->showInterfaces(plugin_, taker, take);
  }

  Library* library_;
  std::shared_ptr<const ConfigurationStore> configuration_;
  const PluginServices* services_;
  const PluginTable* table_ = nullptr;
  void* plugin_ = nullptr;
  std::array<std::string, 4> texts_;
  std::vector<std::string> dependencies_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
