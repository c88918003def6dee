// Calls about as long as their limit, on several threads at once: `hosts limits SECONDS SEED`. Whoever is stopped must have
// run for as long as the limit, whoever is not gets what is his, and nothing is left for those who come later. Run by
// test_limits.py.

#include "hosts.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/qtforge.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace limits {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds limit{10};

// Some calls compute, some wait, some catch what stops them and give their result all the same.
constexpr const char* code = R"(
import time
def computes(mine, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
    return mine
def waits(mine, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: time.sleep(0.001)
    return mine
def catches(mine, seconds):
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end: pass
    except BaseException:
        pass
    return mine
def after(mine):
    return [mine for x in range(200)][100]
)";

struct Told {
  std::atomic<std::int64_t> finished{0}, stopped{0};
  std::mutex mutex;  // guards the text
  std::string wrong;

  void complain(const std::string& text) {
    const std::lock_guard lock(mutex);
    if (wrong.size() < 2000) wrong += text + "\n";
  }
};

void callOnce(qtforge::python::PythonExecutor& executor, const char* function, std::int64_t mine, double seconds, Told& told) {
  const auto begin = Clock::now();
  const auto came = seconds > 0 ? executor.callFunction<std::int64_t>(function, mine, seconds)
                                : executor.callFunction<std::int64_t>(function, mine);
  const auto took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  if (came) {
    ++told.finished;
    if (*came != mine) told.complain(std::string(function) + ": another's result");
  } else if (came.error() != qtforge::Errc::TimedOut) {
    told.complain(std::string(function) + ": " + came.error().message());
  } else {
    ++told.stopped;
    if (took < static_cast<double>(limit.count())) told.complain(std::string(function) + ": stopped after " + std::to_string(took) + " ms");
  }
}

void callUntil(Clock::time_point end, unsigned seed, int thread, Told& told) {
  qtforge::python::PythonExecutor executor;
  if (auto ran = executor.execute(code); !ran) return told.complain(ran.error().message());
  std::mt19937 random(seed + static_cast<unsigned>(thread));
  std::uniform_real_distribution<double> seconds(0.004, 0.016);
  constexpr const char* functions[] = {"computes", "waits", "catches"};
  for (std::int64_t mine = thread; Clock::now() < end; mine += 1000) {
    callOnce(executor, functions[random() % 3], mine, seconds(random), told);
    for (int i = 0; i < 5; ++i) callOnce(executor, "after", mine + i, 0, told);
  }
  // With nobody to stop it any more: what hits now has been left over.
  qtforge::python::PythonExecutor later;
  for (int i = 0; i < 100; ++i)
    if (auto ran = later.execute("x = sum(range(100))"); !ran && ran.error() != qtforge::Errc::TimedOut)
      told.complain("afterwards: " + ran.error().message());
}

}  // namespace limits

int hosts::limits(int argc, char** argv) {
  if (argc != 3) return 2;
  qtforge::python::PythonConfig config;
  config.executionTimeout = ::limits::limit;
  qtforge::python::PythonIntegration::initialize(config).value();
  const auto end = ::limits::Clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  ::limits::Told told;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i] { ::limits::callUntil(end, static_cast<unsigned>(std::atoi(argv[2])), i, told); });
  for (auto& thread : threads) thread.join();
  std::cout << told.finished << ' ' << told.stopped << '\n' << told.wrong << std::flush;
  return told.wrong.empty() ? 0 : 1;
}
