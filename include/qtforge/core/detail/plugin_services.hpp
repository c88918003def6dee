#pragma once
// qtforge/core/detail/plugin_services.hpp: what the host does for one plugin; crosses to native plugins.

#include <qtforge/utils/detail/abi.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Append-only. Valid until the plugin is destroyed.
///
/// @par Thread safety  any thread.
struct PluginServices {
  std::uint32_t size = sizeof(PluginServices);
  void* self = nullptr;
  Text name, folder;
  Text dataFolder;  // empty: there is no place
  /// Makes the folder for the plugin's own files.
  std::int32_t (*makeDataFolder)(void* self, ErrorSink sink) = nullptr;
  std::int32_t (*readStore)(void* self, boost::json::value* out, ErrorSink sink) = nullptr;
  std::int32_t (*writeStore)(void* self, const boost::json::object* values, ErrorSink sink) = nullptr;
};

// Set by a native plugin's entry; null elsewhere.
inline const PluginServices*& ownServices() noexcept {
  static const PluginServices* services = nullptr;
  return services;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
