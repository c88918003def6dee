#pragma once
// qtforge/core/detail/reload_schedule.hpp: when a plugin whose files change is reloaded. A plain state machine.

#include <qtforge/utils/config.hpp>

#include <chrono>
#include <optional>

namespace qtforge::inline QTFORGE_ABI::detail {

/// From the first change on others are gathered for an interval, then there is one reload. What changes while that runs, which
/// may have read the files already, leads to another.
class ReloadSchedule {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit ReloadSchedule(std::chrono::milliseconds interval) : interval_(interval) {}

  /// @return when to call begin(); nothing: that is known
  std::optional<Time> changed(Time now) noexcept {
    const bool first = stage_ == Stage::Idle;
    if (first) stage_ = Stage::Gathering;
    else if (stage_ == Stage::Reloading) stage_ = Stage::Changing;
    return first ? std::optional(now + interval_) : std::nullopt;
  }

  /// The reload begins.
  void begin() noexcept { stage_ = Stage::Reloading; }

  /// It is over. @return when to call begin() for what has changed meanwhile
  std::optional<Time> end(Time now) noexcept {
    const bool more = stage_ == Stage::Changing;
    stage_ = more ? Stage::Gathering : Stage::Idle;
    return more ? std::optional(now + interval_) : std::nullopt;
  }

 private:
  enum class Stage { Idle, Gathering, Reloading, Changing };

  const std::chrono::milliseconds interval_;
  Stage stage_ = Stage::Idle;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
