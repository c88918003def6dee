#pragma once
// qtforge/utils/timer.hpp: a function called at an interval, or once, on the runtime's threads, for hosts and plugins.

#include <qtforge/utils/log.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace qtforge::inline QTFORGE_ABI {

/// Calls a function at a fixed interval, or once, until it is destroyed or stopped.
///
/// Calls come on a runtime thread, never two at a time, and are not made up for when one takes longer than the
/// interval. The end waits for a call that runs on another thread; from inside the call it does not. What the function
/// throws is logged and the calls go on.
/// @par Thread safety  one object from one thread at a time.
class Timer {
 public:
  Timer() noexcept = default;

  /// Starts it; the first call comes after one `interval`, which is at least 1 ms.
  ///
  /// @return the timer, or
  ///   - Errc::NoRuntime        in a binary that has not been given the runtime
  ///   - Errc::InvalidArgument  for an interval below 1 ms
  ///   - Errc::ShuttingDown     when the process is ending
  [[nodiscard]] static expected<Timer> every(std::chrono::nanoseconds interval, std::function<void()> call) {
    if (interval < std::chrono::milliseconds(1))
      return Error(Errc::InvalidArgument, "Timer::every: the interval must be at least 1 ms");
    return start(interval, true, std::move(call));
  }

  /// Starts it for one call after `delay`, after which the function is destroyed. Errors: as every(); a delay may be 0.
  [[nodiscard]] static expected<Timer> once(std::chrono::nanoseconds delay, std::function<void()> call) {
    if (delay.count() < 0) return Error(Errc::InvalidArgument, "Timer::once: the delay must not be negative");
    return start(delay, false, std::move(call));
  }

  Timer(Timer&& other) noexcept
      : number_(std::exchange(other.number_, 0)), runtime_(other.runtime_) {}
  Timer& operator=(Timer&& other) noexcept {
    if (this != &other) {
      stop();
      number_ = std::exchange(other.number_, 0);
      runtime_ = other.runtime_;
    }
    return *this;
  }
  ~Timer() { stop(); }

  void stop() {
    if (number_ != 0) runtime_->stopTimer(std::exchange(number_, 0));
  }

  /// Whether it was started and not stopped; also after the one call of once().
  [[nodiscard]] explicit operator bool() const noexcept { return number_ != 0; }

 private:
  struct Tick {
    std::function<void()> call;
    static void run(void* self) {
      try {
        static_cast<Tick*>(self)->call();
      } catch (...) {
        Logger("qtforge.timer").error("a timer's function threw: " + detail::caughtError().report());
      }
    }
    static void destroy(void* self) { delete static_cast<Tick*>(self); }
  };

  static expected<Timer> start(std::chrono::nanoseconds interval, bool repeats, std::function<void()> call) {
    const auto* root = detail::findRoot();
    if (!root) return detail::noRuntime();
    auto tick = std::make_unique<Tick>(Tick{std::move(call)});
    const auto number =
        root->runtime->startTimer(root->client, interval.count(), repeats, {tick.get(), &Tick::run, &Tick::destroy});
    if (number == 0) return Error(Errc::ShuttingDown, "a timer: the process is ending");
    (void)tick.release();
    return Timer(number, root->runtime);
  }

  Timer(std::uintptr_t number, const detail::RuntimeTable* runtime) noexcept : number_(number), runtime_(runtime) {}

  std::uintptr_t number_ = 0;
  const detail::RuntimeTable* runtime_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI
