#pragma once
// qtforge/core/detail/bounded_end.hpp: does something that may get stuck in a plugin's code, and gives up in time.

#include <qtforge/communication/detail/process_root.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Tells waiters that something is done.
class DoneFlag {
 public:
  void set() {
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  bool waitUntil(Deadline deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [&] { return done_; });
  }

 private:
  std::mutex mutex_;  // guards done_
  std::condition_variable changed_;
  bool done_ = false;
};

/// What others may be waiting for on this thread: a handler or timer that called what ends the plugins. A helper thread
/// would wait for it, and it for the helper thread.
inline bool isInsideCallback() {
  return ThreadRecords::mine().callDepth > 0 ||
         processRoot().runtime().isWorker();
}

enum class Ending { Object, Process };

/// Runs `work` on a helper thread and waits for it until `patience` is over; false then, and the thread is left to
/// itself, with `work`. From inside a callback it runs here instead; there a watchdog ends the process at `last` if the
/// process is what ends, naming `name`.
inline bool runBounded(std::function<void()> work, Deadline patience, Deadline last, Ending ending,
                       const std::function<std::string()>& name) {
  const auto done = std::make_shared<DoneFlag>();
  if (!isInsideCallback()) {
    try {
      std::thread helper([work, done] {
        work();
        done->set();
      });
      if (!done->waitUntil(patience)) {
        helper.detach();
        return false;
      }
      helper.join();
      return true;
    } catch (const std::system_error&) {  // no thread to be had: here, then
    }
  }
  if (ending == Ending::Process) {
    try {
      std::thread([done, last, name] {
        if (done->waitUntil(last)) return;
        std::fprintf(stderr, "qtforge: did not end in time: %s; leaving without\n", name().c_str());
        std::fflush(nullptr);
        _exit(EXIT_FAILURE);
      }).detach();
    } catch (const std::system_error&) {  // unwatched, then
    }
  }
  work();
  done->set();
  return true;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
