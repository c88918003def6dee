#pragma once
// qtforge/core/detail/hook_watch.hpp: a plugin's function that runs on its caller's thread, and how long it may.

#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/utils/timer.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

/// From its construction on: once the limit is over, the log and `qtforge.plugins` say so, while the function still runs.
class HookWatch {
 public:
  /// @param limit  0: none
  HookWatch(std::string plugin, std::string_view what, std::chrono::milliseconds limit)
      : plugin_(std::move(plugin)), what_(what), limit_(limit) {
    if (limit_.count() == 0) return;
    auto timer = Timer::every(limit_, [this] {
      if (told_ || inTime()) return;  // in time: a debugger was attached
      told_ = true;
      const auto text = where() + ": runs for longer than its limit of " + shown(limit_) + ", and its caller waits";
      pluginLogger().warning(text);
      tellOfPlugin(plugin_, "overdue", text);
    });
    if (timer) timer_ = std::move(*timer);  // else the process is ending
  }
  HookWatch(const HookWatch&) = delete;
  HookWatch& operator=(const HookWatch&) = delete;

  [[nodiscard]] std::chrono::steady_clock::time_point begin() const noexcept { return begin_; }

  /// @return nothing, or Errc::TimedOut
  [[nodiscard]] expected<void> inTime() const {
    const auto took = std::chrono::steady_clock::now() - processRoot().debugged.countedFrom(begin_);
    if (limit_.count() == 0 || took < limit_) return {};
    return Error(Errc::TimedOut, where() + ": took " + shown(std::chrono::ceil<std::chrono::milliseconds>(took)) +
                                     ", its limit is " + shown(limit_));
  }

 private:
  [[nodiscard]] std::string where() const { return "plugin '" + plugin_ + "': " + what_; }
  static std::string shown(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

  const std::string plugin_, what_;
  const std::chrono::milliseconds limit_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool told_ = false;  // the timer's
  Timer timer_;  // last: its end waits for its call
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
