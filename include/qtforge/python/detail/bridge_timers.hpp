#pragma once
// qtforge/python/detail/bridge_timers.hpp: timers of Python plugins: they tick on the runtime, and call on the lane.

#include <qtforge/python/detail/bridge_bus.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// One timer: owned by the runtime's, whose tick it is, and by calls of it that are on their way.
class PythonTimer : public std::enable_shared_from_this<PythonTimer> {
 public:
  PythonTimer(std::shared_ptr<PluginContext> plugin, PyObject* function, bool repeats)
      : plugin_(std::move(plugin)), function_(Ref::borrow(function)), repeats_(repeats) {}

  void end() noexcept { ended_.store(true, std::memory_order_release); }

  /// On a runtime thread. A call that waits for its lane still, or runs, is not made twice.
  void tick() {
    if (ended_.load(std::memory_order_acquire) || underWay_.exchange(true, std::memory_order_acq_rel)) return;
    plugin_->lane->post(qtforge::detail::Task::of([self = shared_from_this()] {
      const Gil gil;
      if (!self->ended_.load(std::memory_order_acquire)) self->call(gil);
      self->underWay_.store(false, std::memory_order_release);
    }));
  }

  [[nodiscard]] bool repeats() const noexcept { return repeats_; }

 private:
  void call(const Gil& gil) {
    const PluginScope scope(plugin_.get());
    if (plugin_->offences.load(std::memory_order_relaxed) >= mostOffences) return;
    WatchedCall watched("a timer");
    const Ref result = Ref::steal(orStay([&] { return PyObject_CallNoArgs(function_.get()); }));
    watched.end();
    if (!result) log("in a timer: " + watched.takeError("its function", gil).report());
    else if (PyCoro_CheckExact(result.get())) refuseCoroutine(result.get());
  }

  void refuseCoroutine(PyObject* coroutine) {
    const Ref closed = Ref::steal(PyObject_CallMethod(coroutine, "close", nullptr));
    PyErr_Clear();
    log("in a timer: its function is a coroutine function; a plain one is expected");
  }

  void log(const std::string& text) const {
    const GilRelease released;  // a sink may wait
    Logger(plugin_->name).error(text);
  }

  const std::shared_ptr<PluginContext> plugin_;
  const SharedRef function_;
  const bool repeats_;
  std::atomic<bool> underWay_{false};
  std::atomic<bool> ended_{false};
};

/// Timers by number.
class PythonTimers {
 public:
  static PythonTimers& instance() {
    static auto* timers = new PythonTimers();
    return *timers;
  }

  /// @return the number; 0: the process is ending
  std::uint64_t start(void* client, std::int64_t nanoseconds, std::shared_ptr<PythonTimer> timer) {
    auto tick = std::make_unique<Tick>();
    const std::lock_guard lock(mutex_);  // the first tick may come before this returns
    tick->number = last_ + 1;
    tick->timer = timer;
    const auto handle = root().runtime->startTimer(client, nanoseconds, timer->repeats(), {tick.get(), &Tick::run, &Tick::destroy});
    if (handle == 0) return 0;
    (void)tick.release();
    entries_.emplace(++last_, Entry{handle, std::move(timer)});
    return last_;
  }

  /// No call begins any more. Call without the GIL.
  void stop(std::uint64_t number) {
    if (const auto entry = take(number); entry.timer) {
      entry.timer->end();
      root().runtime->stopTimer(entry.handle);
    }
  }

 private:
  struct Entry {
    std::uintptr_t handle = 0;
    std::shared_ptr<PythonTimer> timer;
  };

  struct Tick {
    std::uint64_t number = 0;
    std::shared_ptr<PythonTimer> timer;

    static void run(void* self) {
      const auto& tick = *static_cast<Tick*>(self);
      tick.timer->tick();
      if (tick.timer->repeats()) return;
      if (const auto entry = instance().take(tick.number); entry.timer) root().runtime->stopTimer(entry.handle);
    }
    static void destroy(void* self) {
      const auto* tick = static_cast<Tick*>(self);
      instance().take(tick->number);  // the runtime ends what a plugin left
      delete tick;
    }
  };

  Entry take(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return {};
    auto entry = std::move(found->second);
    entries_.erase(found);
    return entry;
  }

  std::mutex mutex_;  // guards all below; taken under it: the runtime's, for a start
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Entry> entries_;
};

inline PyObject* bridgeStartTimer(PyObject* plugin, double seconds, PyObject* function, int repeat) {
  const Gil gil{GilHeld()};
  const auto context = contextOf(plugin);
  if (!context) return raise(Error(Errc::PluginNotFound, "a timer needs a plugin that a host made"), gil);
  if (!(seconds >= 0.001 && seconds <= 1e9)) {
    PyErr_SetString(PyExc_ValueError, "seconds: 0.001 to 1e9 expected");
    return nullptr;
  }
  auto timer = std::make_shared<PythonTimer>(context, function, repeat != 0);
  const auto number =
      PythonTimers::instance().start(context->client, static_cast<std::int64_t>(seconds * 1e9), std::move(timer));
  if (number == 0) return raise(Error(Errc::ShuttingDown, "a timer: the process is ending"), gil);
  return PyLong_FromUnsignedLongLong(number);
}

inline PyObject* bridgeStopTimer(std::uint64_t timer) {
  {
    const GilRelease released;
    PythonTimers::instance().stop(timer);
  }
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
