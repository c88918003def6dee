#pragma once
// qtforge/core/detail/plugin_events.hpp: what becomes of plugins, told in the log and on `qtforge.plugins`.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/utils/log.hpp>

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

inline const Logger& pluginLogger() {
  static const auto* logger = new Logger("qtforge.plugins");  // outlives static managers
  return *logger;
}

/// Publishes on `qtforge.plugins`.
inline void tellOfPlugin(std::string_view plugin, std::string_view event, std::string_view message = {},
                         std::string_view traceback = {}) {
  boost::json::object payload{{"plugin", plugin}, {"event", event}};
  if (!message.empty()) payload["message"] = message;
  if (!traceback.empty()) payload["traceback"] = traceback;
  publishInternal("qtforge.plugins", std::move(payload));
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
