#pragma once
// qtforge/utils/timer.hpp: a function called at an interval on the runtime's threads, for hosts and plugins.

#include <qtforge/utils/log.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace qtforge::inline QTFORGE_ABI {

/// Calls a function at a fixed interval until it is destroyed or stopped.
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
    const auto* root = detail::findRoot();
    if (!root) return detail::noRuntime();
    if (interval < std::chrono::milliseconds(1))
      return Error(Errc::InvalidArgument, "Timer::every: the interval must be at least 1 ms");
    auto tick = std::make_unique<Tick>(Tick{std::move(call)});
    void* handle = root->runtime->startTimer(root->client, interval.count(), {tick.get(), &Tick::run, &Tick::destroy});
    if (!handle) return Error(Errc::ShuttingDown, "Timer::every: the process is ending");
    tick.release();
    return Timer(handle, root->runtime);
  }

  Timer(Timer&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), runtime_(other.runtime_) {}
  Timer& operator=(Timer&& other) noexcept {
    if (this != &other) {
      stop();
      handle_ = std::exchange(other.handle_, nullptr);
      runtime_ = other.runtime_;
    }
    return *this;
  }
  ~Timer() { stop(); }

  void stop() {
    if (handle_) runtime_->stopTimer(std::exchange(handle_, nullptr));
  }

  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

 private:
  struct Tick {
    std::function<void()> call;
    static void run(void* self) {
      try {
        static_cast<Tick*>(self)->call();
      } catch (const std::exception& e) {
        Logger("qtforge.timer").error(std::string("a timer's function threw: ") + e.what());
      } catch (...) {
        Logger("qtforge.timer").error("a timer's function threw something that is no std::exception");
      }
    }
    static void destroy(void* self) { delete static_cast<Tick*>(self); }
  };

  Timer(void* handle, const detail::RuntimeTable* runtime) noexcept : handle_(handle), runtime_(runtime) {}

  void* handle_ = nullptr;
  const detail::RuntimeTable* runtime_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI
