#pragma once
// qtforge/utils/detail/timing.hpp: whether debug mode tells how long plugins' hooks and handlers take, and how it says so.

#include <qtforge/utils/config.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

namespace qtforge::inline QTFORGE_ABI::detail {

/// For the process; read with a relaxed load before each hook and handler.
inline std::atomic<bool>& timingEnabled() noexcept {
  static constinit std::atomic<bool> enabled{false};
  return enabled;
}

/// "12.345 ms"
inline std::string shownDuration(std::chrono::nanoseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", std::chrono::duration<double, std::milli>(time).count());
  return text;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
