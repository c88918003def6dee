// A plugin as one that was built when the tables of host and plugin ended before the settings. It refuses any, if asked.

#include <qtforge/plugin.hpp>

#include <cstddef>

class Older : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    qtforge::MessageBus::instance().publish("older", config().values());
    return {};
  }

  qtforge::expected<void> onConfigChanged(const qtforge::Configuration&, const qtforge::Configuration&) override {
    return qtforge::Error("it was asked");
  }
};

// As QTFORGE_PLUGIN(Older), but for the sizes.
__attribute__((section("qtforge_abi"), used)) static const char qtforge_abi_tag[] = QTFORGE_ABI_TAG;
extern "C" __attribute__((visibility("default"))) const qtforge::detail::PluginTable* qtforge_plugin_v1(
    const qtforge::detail::PluginHost* host) {
  using namespace qtforge::detail;
  static PluginTable table = PluginThunks<Older>::table;
  table.size = offsetof(PluginTable, configChanged);
  PluginHost older = *host;
  older.size = offsetof(PluginHost, configuration);
  __atomic_store_n(&qtforge_root_v1, host->root, __ATOMIC_RELEASE);
  takeHost(older);
  return &table;
}
