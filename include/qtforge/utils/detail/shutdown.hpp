#pragma once
// qtforge/utils/detail/shutdown.hpp: the bounded, ordered end of everything that runs, once per process.

#include <qtforge/utils/config.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What ends first has the lower number: plugins while all still runs, then Python, then the threads.
enum class ShutdownPhase { Plugins = 0, Python = 1, Threads = 2 };

using Deadline = std::chrono::steady_clock::time_point;

/// Ends one thing until the deadline; returns the names of what would not end.
using ShutdownStep = std::function<std::vector<std::string>(Deadline)>;

class Shutdown {
 public:
  void add(ShutdownPhase phase, ShutdownStep step) {
    std::lock_guard lock(mutex_);
    steps_.push_back({phase, std::move(step)});
  }

  void setTimeout(std::chrono::milliseconds timeout) {
    std::lock_guard lock(mutex_);
    timeout_ = timeout;
  }

  [[nodiscard]] std::chrono::milliseconds timeout() const {
    std::lock_guard lock(mutex_);
    return timeout_;
  }

  /// Runs the steps, the first time it is called; names of what was stuck. A call meanwhile returns at once.
  std::vector<std::string> run() {
    std::vector<Step> steps;
    Deadline deadline;
    {
      std::lock_guard lock(mutex_);
      if (started_) return {};
      started_ = true;
      steps = steps_;
      deadline = std::chrono::steady_clock::now() + timeout_;
    }
    std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.phase < b.phase; });
    std::vector<std::string> stuck;
    for (auto& step : steps)
      for (auto& name : step.run(deadline)) stuck.push_back(std::move(name));
    return stuck;
  }

 private:
  struct Step {
    ShutdownPhase phase;
    ShutdownStep run;
  };

  mutable std::mutex mutex_;  // guards all below
  std::vector<Step> steps_;
  std::chrono::milliseconds timeout_{5000};
  bool started_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
