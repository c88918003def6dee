#pragma once
// qtforge/plugin.hpp: all that a native plugin includes: IPlugin, Implements, the bus, the log, timers, and QTFORGE_PLUGIN.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/filter.hpp>
#include <qtforge/communication/topic.hpp>
#include <qtforge/core/detail/plugin_table.hpp>
#include <qtforge/core/implements.hpp>
#include <qtforge/core/iplugin.hpp>
#include <qtforge/utils/log.hpp>
#include <qtforge/utils/timer.hpp>

#include <concepts>
#include <memory>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class Plugin>
concept LoadablePlugin =
    std::derived_from<Plugin, IPlugin> && std::default_initializable<Plugin> && FitsItsInterfaces<Plugin>;

/// The table of one plugin class; everything in it stays inside the plugin's library.
template <LoadablePlugin Plugin>
struct PluginThunks {
  static void* create(ErrorSink sink) {
    IPlugin* made = nullptr;
    guarded(sink, [&]() -> expected<void> {
      made = new Plugin();
      return {};
    });
    return made;
  }

  static void destroy(void* plugin) {
    guarded({}, [&]() -> expected<void> {
      const std::unique_ptr<IPlugin> ended(static_cast<IPlugin*>(plugin));
      PluginLife::end(*ended);
      return {};
    });
  }

  static std::int32_t hook(void* self, std::int32_t which, ErrorSink sink) {
    return guarded(sink, [&] { return PluginLife::run(*static_cast<IPlugin*>(self), static_cast<PluginHook>(which)); });
  }

  static std::int32_t describe(void* self, void* taker, void (*take)(void*, std::int32_t, Text), ErrorSink sink) {
    return guarded(sink, [&]() -> expected<void> {
      const auto& plugin = *static_cast<const IPlugin*>(self);
      const auto give = [&](PluginText which, const std::string& text) {
        take(taker, static_cast<std::int32_t>(which), std::string_view(text));
      };
      give(PluginText::Name, plugin.name());
      give(PluginText::Version, plugin.version());
      give(PluginText::Description, plugin.description());
      give(PluginText::Author, plugin.author());
      for (const auto& dependency : plugin.dependencies()) give(PluginText::Dependency, dependency);
      return {};
    });
  }

  static bool compatible(void* self, Text pluginApi) {
    bool fits = false;
    guarded({}, [&]() -> expected<void> {
      fits = static_cast<const IPlugin*>(self)->isCompatible(pluginApi);
      return {};
    });
    return fits;
  }

  static std::int32_t configChanged(void* self, const boost::json::object* before, const boost::json::object* after,
                                    ErrorSink sink) {
    return guarded(sink, [&] {
      return static_cast<IPlugin*>(self)->onConfigChanged(Configuration(*before), Configuration(*after));
    });
  }

  static std::int32_t implementation(void* self, const InterfaceInfo* wanted, Implementation* out, ErrorSink sink) {
    return guarded(sink, [&]() -> expected<void> {
      auto found = InterfaceQuestion::ask(*static_cast<IPlugin*>(self), *wanted);
      if (!found) return found.error();
      *out = *found;
      return {};
    });
  }

  static void showInterfaces(void* self, void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) {
    guarded({}, [&]() -> expected<void> {
      InterfaceQuestion::show(*static_cast<IPlugin*>(self), taker, take);
      return {};
    });
  }

  static constexpr PluginTable table{1,           sizeof(PluginTable), &create,     &destroy,        &hook,
                                     &describe,   &compatible,         &configChanged, &implementation, &showInterfaces};
};

}  // namespace qtforge::inline QTFORGE_ABI::detail

/// Makes this library a plugin whose class is `Class`: once per library, at global scope, with the class complete.
///
/// Defines the library's only export and the note with its ABI tag, which the host reads before it runs any code.
#define QTFORGE_PLUGIN(Class)                                                                                  \
  static_assert(std::derived_from<Class, qtforge::IPlugin>, #Class " must derive publicly from qtforge::IPlugin"); \
  static_assert(std::default_initializable<Class>, #Class " must have a public constructor without arguments");   \
  [[maybe_unused]] static constexpr qtforge::detail::PluginThatFits qtforge_plugin_fits =                          \
      qtforge::detail::checkPlugin<Class>();                                                                       \
  __attribute__((section("qtforge_abi"), used)) static const char qtforge_abi_tag[] = QTFORGE_ABI_TAG;         \
  extern "C" __attribute__((visibility("default"))) const qtforge::detail::PluginTable* qtforge_plugin_v1(     \
      const qtforge::detail::PluginHost* host) {                                                               \
    __atomic_store_n(&qtforge_root_v1, host->root, __ATOMIC_RELEASE);                                          \
    qtforge::detail::takeHost(*host);                                                                          \
    return &qtforge::detail::PluginThunks<Class>::table;                                                       \
  }                                                                                                            \
  static_assert(true, "")
