#pragma once
// qtforge/core/detail/plugin_thread.hpp: a thread that a plugin in C++ started, and that its unload waits for.

#include <qtforge/core/stop_signal.hpp>
#include <qtforge/utils/detail/abi.hpp>
#include <qtforge/utils/log.hpp>

#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

class PluginThread {
 public:
  PluginThread() noexcept = default;

  /// Runs `f`; what it throws is logged. Errors: see IPlugin::runInThread.
  static expected<PluginThread> start(std::function<void(StopSignal)> f, Logger log) {
    PluginThread started;
    try {
      started.thread_ = std::thread([f = std::move(f), log = std::move(log), signal = started.signal_, over = started.over_]() mutable {
        Error error;
        const auto done = guarded(sinkInto(error), [&]() -> expected<void> {
          f(std::move(signal));
          return {};
        });
        if (done != 0) log.error("a thread of runInThread failed: " + error.message());
        f = nullptr;  // what it holds is gone before anybody hears that the thread is over
        over.request();
      });
    } catch (const std::system_error& failure) {
      return Error(Errc::LimitExceeded, std::string("runInThread: no thread can be started: ") + failure.what());
    }
    return started;
  }

  PluginThread(PluginThread&& other) noexcept = default;
  PluginThread& operator=(PluginThread&& other) noexcept = default;
  ~PluginThread() {
    if (!thread_.joinable()) return;
    signal_.request();
    join();
  }

  void requestStop() const { signal_.request(); }
  [[nodiscard]] bool isOver() const { return over_.requested(); }
  /// False if it still runs then.
  bool waitFor(std::chrono::nanoseconds time) const { return isMine() || over_.waitFor(time); }

 private:
  [[nodiscard]] bool isMine() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }
  void join() {
    if (isMine()) thread_.detach();  // it takes itself back, and ends when it returns
    else thread_.join();
  }

  StopSignal signal_, over_;
  std::thread thread_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
