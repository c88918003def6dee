#pragma once
// qtforge/utils/runtime.hpp: the process's threads: an io_context for what brings no executor of its own, and timers.

#include <qtforge/utils/detail/abi.hpp>
#include <qtforge/utils/detail/shutdown.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

/// Threads that can be waited for with a limit, and left where they are stuck.
class BoundedThreads {
 public:
  template <class F>
  void start(F run) {
    std::lock_guard lock(state_->mutex);
    ++state_->running;
    threads_.emplace_back([run = std::move(run), state = state_] {
      run();
      std::lock_guard done(state->mutex);
      --state->running;
      state->ended.notify_all();
    });
  }

  /// Joins all but the calling thread; false if some run on at the deadline: those are detached.
  bool join(Deadline deadline) {
    const bool mine = contains(std::this_thread::get_id());
    bool ended;
    {
      std::unique_lock lock(state_->mutex);
      ended = state_->ended.wait_until(lock, deadline, [&] { return state_->running == (mine ? 1u : 0u); });
    }
    for (auto& thread : threads_) {
      if (!ended || thread.get_id() == std::this_thread::get_id()) thread.detach();
      else thread.join();
    }
    threads_.clear();
    return ended;
  }

  [[nodiscard]] bool contains(std::thread::id id) const {
    for (const auto& thread : threads_)
      if (thread.get_id() == id) return true;
    return false;
  }

 private:
  struct State {
    std::mutex mutex;  // guards running
    std::condition_variable ended;
    std::size_t running = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::vector<std::thread> threads_;
};

/// A call after an interval, once or repeatedly; see Timer.
class TimerCore : public std::enable_shared_from_this<TimerCore> {
 public:
  TimerCore(boost::asio::io_context& context, void* owner, std::chrono::nanoseconds interval, bool repeats, Callback tick)
      : client(owner), timer_(context), interval_(interval), repeats_(repeats), tick_(tick) {}
  TimerCore(const TimerCore&) = delete;
  TimerCore& operator=(const TimerCore&) = delete;
  ~TimerCore() { destroyTick(); }

  void start() {
    std::lock_guard lock(mutex_);
    timer_.expires_after(interval_);
    wait();
  }

  /// No call begins any more; waits for one on another thread. False if that still runs at the deadline.
  bool stop(Deadline deadline = Deadline::max()) {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    timer_.cancel();
    if (callsHere()) return true;  // call() destroys the tick when it is over
    if (!idle_.wait_until(lock, deadline, [&] { return caller_ == std::thread::id(); })) return false;
    lock.unlock();
    destroyTick();
    return true;
  }

  /// Whether a call runs.
  [[nodiscard]] bool calls() {
    std::lock_guard lock(mutex_);
    return caller_ != std::thread::id();
  }

  void* const client;

 private:
  // With mutex_ held.
  [[nodiscard]] bool callsHere() const noexcept { return caller_ == std::this_thread::get_id(); }

  // The tick is code and data of a plugin: it goes when the timer stops, not when the io_context drops its wait.
  void destroyTick() {
    Callback tick;
    {
      std::lock_guard lock(mutex_);
      std::swap(tick, tick_);
    }
    if (tick.destroy) tick.destroy(tick.self);
  }

  void wait() {
    timer_.async_wait([self = shared_from_this()](boost::system::error_code) { self->call(); });
  }

  void call() {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      caller_ = std::this_thread::get_id();
    }
    tick_.call(tick_.self);
    std::unique_lock lock(mutex_);
    if (stopped_ || !repeats_) {
      stopped_ = true;
      lock.unlock();
      destroyTick();
      lock.lock();
      caller_ = {};
      idle_.notify_all();
      return;
    }
    caller_ = {};
    // At the interval's multiples; those that passed meanwhile are left out.
    auto next = timer_.expiry() + interval_;
    if (const auto now = std::chrono::steady_clock::now(); next <= now) next = now + interval_;
    timer_.expires_at(next);
    wait();
  }

  std::mutex mutex_;  // guards all below; tick_ is called without it
  std::condition_variable idle_;
  boost::asio::steady_timer timer_;
  const std::chrono::nanoseconds interval_;
  const bool repeats_;
  Callback tick_;
  std::thread::id caller_;
  bool stopped_ = false;
};

}  // namespace detail

/// The process's worker threads. They start with the first use of executor() or post().
///
/// @par Thread safety  any thread.
class Runtime {
 public:
  /// The process's runtime; for programs and libraries, not for plugins. Needs qtforge/host.hpp.
  [[nodiscard]] static Runtime& instance();

  Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Where handlers without an executor of their own run. Starts the threads.
  [[nodiscard]] boost::asio::io_context::executor_type executor() {
    start();
    return context_.get_executor();
  }

  /// Whether the calling thread is one of the workers.
  [[nodiscard]] bool isWorker() {
    return running_.load(std::memory_order_acquire) && context_.get_executor().running_in_this_thread();
  }

  /// How many threads to run, before the first use; at least 1. Default: one per processor, at least 2, at most 8.
  /// @return nothing, or Errc::InvalidArgument for 0 or once they run
  expected<void> setThreads(std::size_t count) {
    std::lock_guard lock(mutex_);
    if (count == 0 || started_)
      return Error(Errc::InvalidArgument,
                   count == 0 ? "setThreads: at least one thread is needed" : "setThreads: the threads run already");
    count_ = count;
    return {};
  }

  /// How long the end of the process may wait for plugins, Python and threads together. Default 5 s.
  void setShutdownTimeout(std::chrono::milliseconds timeout) { shutdown_.setTimeout(timeout); }

  /// Ends everything now, in order and within the limit, as the end of the process would: for a host that wants to go
  /// on without. @return the names of what would not end
  std::vector<std::string> shutdown() { return shutdown_.run(); }

  /// For the library's own use.
  [[nodiscard]] detail::Shutdown& shutdownSteps() noexcept { return shutdown_; }

  /// For the library's own use. @return its number, 0 when the process is ending
  std::uintptr_t startTimer(void* client, std::chrono::nanoseconds interval, bool repeats, detail::Callback tick) {
    start();
    std::lock_guard lock(mutex_);
    if (stopped_) return 0;
    auto timer = std::make_shared<detail::TimerCore>(context_, client, interval, repeats, tick);
    timer->start();
    timers_.emplace(++lastTimer_, std::move(timer));
    return lastTimer_;
  }

  /// For the library's own use. A timer that has been stopped already is left alone.
  void stopTimer(std::uintptr_t number) {
    std::unique_lock lock(mutex_);
    const auto stopped = timers_.extract(number);
    lock.unlock();
    if (!stopped) return;
    stopped.mapped()->stop();
    if (!stopped.mapped()->calls()) return;  // from inside its own call, that is
    lock.lock();
    std::erase_if(ending_, [](const auto& timer) { return !timer->calls(); });
    ending_.push_back(stopped.mapped());
  }

  /// For the library's own use: ends what a plugin left running. False if some of it still runs at the deadline.
  bool stopTimersOf(const void* client, detail::Deadline deadline) {
    bool ended = true;
    for (const auto& [number, timer] : timersOf(client)) {
      if (!timer->stop(deadline)) {
        ended = false;
        continue;
      }
      std::lock_guard lock(mutex_);
      timers_.erase(number);
    }
    std::unique_lock lock(mutex_);
    const auto ending = ending_;
    lock.unlock();
    for (const auto& timer : ending)
      if (timer->client == client) ended &= timer->stop(deadline);
    return ended;
  }

  /// For the library's own use: stops the threads; false if some would not stop until the deadline.
  bool stop(detail::Deadline deadline) {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      if (!started_) return true;
    }
    work_.reset();
    context_.stop();
    return threads_.join(deadline);
  }

 private:
  using Timers = std::map<std::uintptr_t, std::shared_ptr<detail::TimerCore>>;

  Timers timersOf(const void* client) {
    Timers found;
    std::lock_guard lock(mutex_);
    for (const auto& timer : timers_)
      if (timer.second->client == client) found.insert(timer);
    return found;
  }

  void start() {
    if (running_.load(std::memory_order_acquire)) [[likely]]
      return;
    std::lock_guard lock(mutex_);
    if (started_ || stopped_) return;
    started_ = true;
    work_.emplace(context_.get_executor());
    for (std::size_t i = 0; i < count_; ++i) threads_.start([this] { context_.run(); });
    running_.store(true, std::memory_order_release);
  }

  static std::size_t defaultThreads() {
    return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 8);
  }

  boost::asio::io_context context_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  detail::Shutdown shutdown_;
  std::atomic<bool> running_{false};
  std::mutex mutex_;  // guards all below
  detail::BoundedThreads threads_;
  std::vector<std::shared_ptr<detail::TimerCore>> ending_;  // stopped by their own calls, which may run on
  Timers timers_;  // by number: an address may come again
  std::uintptr_t lastTimer_ = 0;
  std::size_t count_ = defaultThreads();
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI
