#pragma once
// qtforge/core/detail/environment_variable.hpp: which environment variables hosts and plugins may set.

#include <qtforge/utils/config.hpp>

#include <array>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Why nobody may set `name` from inside the process; empty if one may. packaging/plugin.schema.json says the same.
inline std::string whyVariableIsRefused(std::string_view name) {
  constexpr std::array<std::string_view, 3> loaders{"LD_", "DYLD_", "GLIBC_"};
  constexpr std::array<std::string_view, 4> homes{"PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"};
  if (name.empty() || name.find('=') != std::string_view::npos || name.find('\0') != std::string_view::npos)
    return "not a name for an environment variable";
  for (const auto prefix : loaders)
    if (name.starts_with(prefix)) return "refused: it decides which libraries the programs load that the process starts";
  for (const auto home : homes)
    if (name == home) return "refused: it gives every Python that the process starts another standard library";
  return {};
}

/// The same for a plugin, which shares the process with others.
inline std::string whyPluginsVariableIsRefused(std::string_view name) {
  if (name == "PATH") return "refused: it decides which programs others in the process start";
  return whyVariableIsRefused(name);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
