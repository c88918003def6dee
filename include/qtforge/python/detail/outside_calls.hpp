#pragma once
// qtforge/python/detail/outside_calls.hpp: calls into a plugin that come on other threads than its lane's, and their pause.

#include <qtforge/python/gil.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Who is inside, and whether others wait before they come in. All but the waiting is done under the GIL, which guards it.
class OutsideCalls {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  [[nodiscard]] bool paused() const noexcept { return paused_; }
  void enter() noexcept { ++inside_; }
  void leave() noexcept {
    if (--inside_ == 0 && watched_) [[unlikely]]
      tell();
  }

  /// From here on who comes waits. Waits for those inside, the GIL released. @return false at the deadline
  bool pause(Deadline deadline) {
    paused_ = true;
    return waitEmpty(deadline);
  }
  void resume() noexcept {
    paused_ = false;
    tell();
  }

  /// Waits until nobody is inside, the GIL released. @return false at the deadline
  bool waitEmpty(Deadline deadline) {
    watched_ = true;
    return waitFor(deadline, [this] { return inside_ == 0; });
  }

  /// Of who comes: waits for the end of the pause, the GIL released.
  void waitResumed() {
    waitFor(Deadline::max(), [this] { return !paused_; });
  }

 private:
  void tell() noexcept {
    std::lock_guard lock(mutex_);
    ++changes_;
    changed_.notify_all();
  }

  template <class Condition>
  bool waitFor(Deadline deadline, Condition&& condition) {
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      const auto seen = changes();
      const GilRelease released;  // what changes now is told
      std::unique_lock lock(mutex_);
      const auto told = [&] { return changes_ != seen; };
      if (deadline == Deadline::max()) changed_.wait(lock, told);
      else changed_.wait_until(lock, deadline, told);
    }
    return true;
  }

  std::uint64_t changes() {
    std::lock_guard lock(mutex_);
    return changes_;
  }

  std::uint64_t inside_ = 0;
  bool paused_ = false;
  bool watched_ = false;  // somebody waits, or has waited, for the last to leave
  std::mutex mutex_;      // guards changes_; a leaf
  std::condition_variable changed_;
  std::uint64_t changes_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
