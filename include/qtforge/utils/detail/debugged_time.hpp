#pragma once
// qtforge/utils/detail/debugged_time.hpp: the time for which a debugger is attached, which limits do not count.

#include <qtforge/utils/config.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Whoever stands at a breakpoint takes longer than any limit. What can be known is whether somebody is attached, so limits
/// pause that long, and begin anew afterwards.
///
/// @par Thread safety  any thread; set() one at a time.
class DebuggedTime {
 public:
  using Clock = std::chrono::steady_clock;

  void set(bool attached) noexcept {
    if (attached) until_.store(ever, std::memory_order_relaxed);
    else if (this->attached()) until_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }

  [[nodiscard]] bool attached() const noexcept { return until_.load(std::memory_order_relaxed) == ever; }

  /// From when on a limit counts that began at `begin`.
  [[nodiscard]] Clock::time_point countedFrom(Clock::time_point begin) const noexcept {
    const auto until = until_.load(std::memory_order_relaxed);
    return until == ever ? Clock::now() : std::max(begin, Clock::time_point(Clock::duration(until)));
  }

 private:
  static constexpr Clock::rep ever = Clock::duration::max().count();

  std::atomic<Clock::rep> until_{Clock::duration::min().count()};  // `ever`: somebody is attached
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
