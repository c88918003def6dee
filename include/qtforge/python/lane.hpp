#pragma once
// qtforge/python/lane.hpp: a thread on which plugins' Python runs, one step at a time.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/python/detail/thread_watch.hpp>
#include <qtforge/python/python_error.hpp>
#include <qtforge/utils/runtime.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <string>

namespace qtforge::inline QTFORGE_ABI::python {

/// A thread with an io_context and a Python thread state of its own.
///
/// @par Thread safety  any thread.
class Lane {
 public:
  explicit Lane(std::string name) : name_(std::move(name)), work_(context_.get_executor()) {
    threads_.start([this] { run(); });
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Whether the calling thread is this lane's.
  [[nodiscard]] bool here() const noexcept { return current_ == this; }

  /// Runs `task` on the lane later; it takes the GIL itself. Dropped when the lane has ended.
  void post(qtforge::detail::Task task) {
    boost::asio::post(context_, [this, task = qtforge::detail::UniqueTask(task)]() mutable {
      if (!ended_.load(std::memory_order_acquire)) task();
    });
    if (ended_.load(std::memory_order_acquire)) context_.poll();
  }

  /// For handlers: posts to this lane.
  [[nodiscard]] qtforge::detail::ExecutorRef executor() noexcept { return {&executorTable, this}; }

  /// Runs `step` on the lane, under the GIL, and waits for it; at once when already there. A GIL that the caller holds is
  /// released meanwhile.
  ///
  /// @param limit  how long to wait, a debugger's time not counted; the step itself goes on
  /// @return what the step returned, or
  ///   - Errc::WouldDeadlock  when that lane waits, directly or through others, for the caller's
  ///   - Errc::TimedOut       when the limit passed
  ///   - Errc::ShuttingDown   when the lane has ended
  expected<void> call(std::function<expected<void>(const Gil&)> step, std::chrono::nanoseconds limit) {
    if (here()) {
      const Gil gil;
      return step(gil);
    }
    if (current_) {
      std::lock_guard lock(waitMutex());
      for (const Lane* lane = this; lane; lane = lane->waitingFor_)
        if (lane == current_)
          return Error(Errc::WouldDeadlock,
                       "lane \"" + name_ + "\" waits for lane \"" + current_->name_ + "\", which would wait for it");
      current_->waitingFor_ = this;
    }
    auto promise = std::make_shared<std::promise<expected<void>>>();
    auto done = promise->get_future();
    const detail::WaitsElsewhere waits;
    const GilRelease released;
    post(qtforge::detail::Task::of([promise = std::move(promise), step = std::move(step)]() mutable {
      const Gil gil;
      promise->set_value(step(gil));
      step = nullptr;  // what it holds may be Python's
    }));
    const bool answered = waitFor(done, limit);
    if (current_) {
      std::lock_guard lock(waitMutex());
      current_->waitingFor_ = nullptr;
    }
    if (!answered)
      return Error(Errc::TimedOut, "lane \"" + name_ + "\" did not answer within " +
                                       std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()) +
                                       " ms; the call goes on there");
    try {
      return done.get();
    } catch (const std::future_error&) {
      return Error(Errc::ShuttingDown, "lane \"" + name_ + "\" has ended");
    }
  }

  /// Ends the thread and drops what it has not begun; false if it is still busy at the deadline. Call without the GIL.
  bool stop(qtforge::detail::Deadline deadline) {
    context_.stop();
    if (!threads_.join(deadline)) return false;
    if (here()) return true;  // it ends itself, and goes on
    context_.restart();  // it has work for ever, so poll() works from now on
    ended_.store(true, std::memory_order_release);
    context_.poll();
    return true;
  }

 private:
  static const qtforge::detail::ExecutorTable executorTable;

  static bool waitFor(const std::future<expected<void>>& done, std::chrono::nanoseconds limit) {
    const auto& debugged = qtforge::detail::processRoot().debugged;
    const auto begin = std::chrono::steady_clock::now();
    for (auto until = begin + limit; done.wait_until(until) != std::future_status::ready;) {
      const auto later = debugged.countedFrom(begin) + limit;
      if (later <= until) return false;
      until = later;
    }
    return true;
  }

  static std::mutex& waitMutex() {
    static auto* mutex = new std::mutex();  // guards every lane's waitingFor_
    return *mutex;
  }

  void run() {
    current_ = this;
    auto& record = qtforge::detail::ThreadRecords::mine();
    record.serves.store(this, std::memory_order_relaxed);
    {
      const detail::LastingThread thread;
      detail::ThreadWatch::mine().lane.store(detail::lastingText(name_), std::memory_order_relaxed);
      context_.run();
    }
    record.serves.store(nullptr, std::memory_order_relaxed);
    current_ = nullptr;
  }

  static inline thread_local Lane* current_ = nullptr;

  const std::string name_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Lane* waitingFor_ = nullptr;
  std::atomic<bool> ended_{false};
  qtforge::detail::BoundedThreads threads_;
};

inline constexpr qtforge::detail::ExecutorTable Lane::executorTable{
    [](void* self, qtforge::detail::Task task) { static_cast<Lane*>(self)->post(task); }, nullptr,
    [](void* self) { return static_cast<Lane*>(self)->here(); }};

}  // namespace qtforge::inline QTFORGE_ABI::python
