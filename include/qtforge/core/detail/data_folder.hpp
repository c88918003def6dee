#pragma once
// qtforge/core/detail/data_folder.hpp: where plugins keep files of their own if the host does not say.

#include <qtforge/utils/config.hpp>

#include <cstdlib>
#include <filesystem>

namespace qtforge::inline QTFORGE_ABI::detail {

/// `$XDG_DATA_HOME/qtforge/plugins`, else `$HOME/.local/share/qtforge/plugins`; empty where neither is an absolute path.
inline std::filesystem::path userDataFolder() {
  const auto from = [](const char* variable) {
    const char* value = std::getenv(variable);
    const std::filesystem::path path(value ? value : "");
    return path.is_absolute() ? path : std::filesystem::path();
  };
  auto base = from("XDG_DATA_HOME");
  if (base.empty() && !from("HOME").empty()) base = from("HOME") / ".local" / "share";
  return base.empty() ? base : base / "qtforge" / "plugins";
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
