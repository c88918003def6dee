#pragma once
// qtforge/core/detail/plugin_services.hpp: what the host does for one plugin; crosses to native plugins.

#include <qtforge/utils/detail/abi.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

class Callee;
struct InterfaceInfo;
struct Implementation;

/// An object that a plugin offers as a service. Append-only; its functions may be called by several threads at once.
struct OfferedObject {
  std::uint32_t size = sizeof(OfferedObject);
  void* self = nullptr;
  std::int32_t (*implementation)(void* self, const InterfaceInfo* wanted, Implementation* out, ErrorSink sink) = nullptr;
  void (*showInterfaces)(void* self, void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) = nullptr;
  /// Once it is withdrawn and nobody is inside. Null: the plugin ends it, so that its withdrawal waits for who is inside.
  void (*destroy)(void* self) = nullptr;
};

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
  void* others = nullptr;
  /// Finds a plugin or service that implements `wanted`; one reference to `callee` goes to the caller.
  std::int32_t (*find)(void* others, Text name, const InterfaceInfo* wanted, Callee** callee, Implementation* out,
                       ErrorSink sink) = nullptr;
  /// Takes the object over, also where it fails.
  std::int32_t (*offer)(void* others, Text name, const OfferedObject* object, ErrorSink sink) = nullptr;
  /// Waits for who calls it. Nothing if it is not offered.
  void (*withdraw)(void* others, Text name) = nullptr;
  Text topicPrefix;  // of this instance; may be empty
};

// Set by a native plugin's entry; null elsewhere.
inline const PluginServices*& ownServices() noexcept {
  static const PluginServices* services = nullptr;
  return services;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
