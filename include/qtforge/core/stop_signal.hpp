#pragma once
// qtforge/core/stop_signal.hpp: tells a plugin's thread that it should end.

#include <qtforge/utils/config.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {
class PluginThread;
}

/// Given to the functions of IPlugin::runInThread. Copies are the same signal.
/// @par Thread safety  any thread.
class StopSignal {
 public:
  /// Whether the thread should end.
  [[nodiscard]] bool requested() const {
    std::lock_guard lock(state_->mutex);
    return state_->requested;
  }

  /// Waits for `time`, or until the thread should end. @return requested()
  bool waitFor(std::chrono::nanoseconds time) const {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, time, [&] { return state_->requested; });
  }

 private:
  friend class detail::PluginThread;

  struct State {
    std::mutex mutex;  // guards the next
    bool requested = false;
    std::condition_variable changed;
  };

  void request() const {
    std::lock_guard lock(state_->mutex);
    state_->requested = true;
    state_->changed.notify_all();
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace qtforge::inline QTFORGE_ABI
