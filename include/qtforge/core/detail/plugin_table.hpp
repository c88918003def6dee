#pragma once
// qtforge/core/detail/plugin_table.hpp: what a native plugin hands to the host, and the name of its one export.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/core/configuration.hpp>
#include <qtforge/core/detail/interface_info.hpp>
#include <qtforge/core/detail/plugin_services.hpp>
#include <qtforge/utils/detail/root.hpp>

#include <cstddef>

namespace qtforge::inline QTFORGE_ABI::detail {

enum class PluginText : std::int32_t { Name = 0, Version = 1, Description = 2, Author = 3, Dependency = 4 };

/// Append-only. Every function catches what the plugin throws and reports it to the sink; 0, or the Errc.
struct PluginTable {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(PluginTable);
  void* (*create)(ErrorSink sink) = nullptr;
  void (*destroy)(void* plugin) = nullptr;
  std::int32_t (*hook)(void* plugin, std::int32_t hook, ErrorSink sink) = nullptr;
  /// Calls `take` for each text: one each, any number of dependencies.
  std::int32_t (*describe)(void* plugin, void* taker, void (*take)(void* taker, std::int32_t which, Text text),
                           ErrorSink sink) = nullptr;
  bool (*compatible)(void* plugin, Text pluginApi) = nullptr;
  /// Asks whether it takes the settings of `after` instead of those of `before`. Called with a size that covers it.
  std::int32_t (*configChanged)(void* plugin, const boost::json::object* before, const boost::json::object* after,
                                ErrorSink sink) = nullptr;
  std::int32_t (*implementation)(void* plugin, const InterfaceInfo* wanted, Implementation* out, ErrorSink sink) = nullptr;
  /// Calls `take` for each interface that the plugin implements.
  void (*showInterfaces)(void* plugin, void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) = nullptr;
};

/// What every plugin's table has.
inline constexpr std::size_t leastPluginTable = offsetof(PluginTable, configChanged);

/// What the host gives to a plugin's entry. Append-only.
struct PluginHost {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(PluginHost);
  Root* root = nullptr;    // this plugin's own: it must outlive the library
  Lease* lease = nullptr;  // on the plugin's library
  ConfigurationSource configuration = {};  // the plugin's settings; valid until it is destroyed
  const PluginServices* services = nullptr;
};

/// In a plugin: takes over what the host gives, which may be older than the plugin.
inline void takeHost(const PluginHost& host) noexcept {
  ownLease().store(host.lease, std::memory_order_release);
  const auto has = [&](std::size_t end) { return host.size >= end; };
  ownConfiguration() = has(offsetof(PluginHost, configuration) + sizeof(host.configuration)) ? host.configuration
                                                                                            : ConfigurationSource();
  ownServices() = has(offsetof(PluginHost, services) + sizeof(host.services)) ? host.services : nullptr;
}

using PluginEntry = const PluginTable* (*)(const PluginHost* host);

inline constexpr const char* pluginEntryName = "qtforge_plugin_v1";
inline constexpr const char* abiTagSection = "qtforge_abi";

}  // namespace qtforge::inline QTFORGE_ABI::detail
