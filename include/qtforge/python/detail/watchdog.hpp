#pragma once
// qtforge/python/detail/watchdog.hpp: looks for calls of Python that run too long: tells of them, and stops them.

#include <qtforge/python/detail/debugger.hpp>
#include <qtforge/utils/runtime.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <optional>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What calls are stopped with: qtforge.ExecutionTimeout, or where the package is not imported one of the same name.
class TimeoutType {
 public:
  /// To be raised now. Borrowed; null with a Python error set. Not while an exception is set.
  static PyObject* get(const Gil&) {
    PyObject* module = ofPackage_ ? nullptr : PyDict_GetItemString(PyImport_GetModuleDict(), "qtforge.errors");
    if (module) ofPackage_ = PyObject_GetAttrString(module, "ExecutionTimeout");
    PyErr_Clear();
    if (ofPackage_) return ofPackage_;
    if (!own_) own_ = PyErr_NewException("qtforge.errors.ExecutionTimeout", PyExc_BaseException, nullptr);
    return own_;
  }

  /// Whether the exception that is set is one of ours.
  static bool isSet(const Gil&) {
    PyObject* raised = PyErr_Occurred();
    return raised && ((own_ && PyErr_GivenExceptionMatches(raised, own_)) ||
                      (ofPackage_ && PyErr_GivenExceptionMatches(raised, ofPackage_)));
  }

 private:
  static inline PyObject *own_ = nullptr, *ofPackage_ = nullptr;  // for good, once one was raised
};

/// "1.25 s"
inline std::string shownSeconds(std::chrono::milliseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", static_cast<double>(time.count()) / 1000);
  return text;
}

/// Two threads: one looks at all marks from time to time and touches no Python; the other, made when it is first needed,
/// takes the GIL, which a call into C may hold for long, to stop a call or to ask for its stack.
///
/// @par Thread safety  any thread.
class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::milliseconds;

  /// After that long the log is told of a plugin's code, and of whatever runs on a lane.
  static constexpr Milliseconds stuckAfter{1000};

  /// Looks on from now on; nothing the second time.
  void begin() {
    std::lock_guard lock(mutex_);
    if (begun_ || ended_) return;
    begun_ = true;
    ThreadWatch::add(ThreadWatch::Looks::Watchdog);
    threads_.start([this] { look(); });
  }

  /// Stops calls that run longer. 0: none.
  void limit(Milliseconds limit) {
    limit_.store(limit.count(), std::memory_order_relaxed);
    if (limit.count() > 0) begin();
  }
  [[nodiscard]] Milliseconds limit() const noexcept { return Milliseconds(limit_.load(std::memory_order_relaxed)); }

  /// Call without the GIL. False: it still waits for the GIL at the deadline.
  bool end(qtforge::detail::Deadline deadline) {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    ThreadWatch::remove(ThreadWatch::Looks::Watchdog);
    changed_.notify_all();
    return threads_.join(deadline);
  }

 private:
  struct Request {
    enum class Kind { Stop, Tell } kind;
    ThreadWatch* watch;
    std::uint64_t number;
    Milliseconds age;
  };

  // How often it looks: a call may be stopped that much later than its limit.
  [[nodiscard]] Milliseconds period(bool idle) const {
    constexpr Milliseconds longest{250}, shortest{2}, idleShortest{50};
    if (limit().count() <= 0) return longest;
    return std::clamp(limit() / 10, idle ? idleShortest : shortest, longest);
  }

  void look() {
    bool idle = true;
    for (std::unique_lock lock(mutex_); !ended_;) {
      changed_.wait_for(lock, period(idle));
      if (ended_) return;
      lock.unlock();
      idle = true;
      const auto now = Clock::now();
      const bool paused = qtforge::detail::processRoot().debugged.attached();
      ThreadWatch::forEach([&](ThreadWatch& watch) {
        const auto number = watch.running.load(std::memory_order_acquire);
        if (number != 0) idle = false;
        if (number != watch.seen.number || paused) {
          const auto seen = Clock::now();  // it may have begun after `now`
          watch.seen = {number, seen, seen + limit(), firstPause(), false};
        } else if (number != 0) lookAt(watch, number, now);
      });
      lock.lock();
    }
  }

  // Long enough for `finally` and `__exit__`, which the next exception would hit.
  [[nodiscard]] Milliseconds firstPause() const { return std::clamp(limit() / 4, Milliseconds(20), Milliseconds(1000)); }

  void lookAt(ThreadWatch& watch, std::uint64_t number, Clock::time_point now) {
    constexpr Milliseconds longestPause{5000}, patience{500};
    auto& seen = watch.seen;
    const auto age = std::chrono::duration_cast<Milliseconds>(now - seen.since);
    if (limit().count() > 0 && now >= seen.next) {
      ask({Request::Kind::Stop, &watch, number, age});
      seen.next = now + seen.pause;
      seen.pause = std::min(seen.pause * 2, longestPause);
    }
    const bool matters = watch.lane.load(std::memory_order_relaxed) || watch.plugin.load(std::memory_order_relaxed);
    if (!matters || age < stuckAfter) return;
    if (!seen.asked) ask({Request::Kind::Tell, &watch, number, age});
    else if (age >= stuckAfter + patience && firstToTell(watch, number))
      tell(watch, age, "; its stack cannot be had: a call into C, its own or another thread's, holds Python's lock (GIL)");
    seen.asked = true;
  }

  void ask(Request request) {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    const auto same = [&](const Request& known) { return known.kind == request.kind && known.watch == request.watch; };
    std::erase_if(requests_, same);
    requests_.push_back(request);
    if (!std::exchange(answering_, true)) threads_.start([this] { answer(); });
    changed_.notify_all();
  }

  void answer() {
    const LastingThread thread;
    for (std::unique_lock lock(mutex_); !ended_;) {
      changed_.wait(lock, [this] { return ended_ || !requests_.empty(); });
      const auto requests = std::exchange(requests_, {});
      lock.unlock();
      for (const auto& request : requests) {
        if (request.kind == Request::Kind::Stop) stop(request);
        else tellStack(request);
      }
      lock.lock();
    }
  }

  // The call cannot end meanwhile: that takes the GIL, and what is on its way then is taken back.
  static void stop(const Request& request) {
    const Gil gil;
    auto& watch = *request.watch;
    if (watch.running.load(std::memory_order_acquire) != request.number || Debugger::isAttached(gil)) return;
    PyObject* type = TimeoutType::get(gil);
    if (type && PyThreadState_SetAsyncExc(watch.ident, type) == 1) watch.fired = std::max(request.age, Milliseconds(1));
    PyErr_Clear();
  }

  static void tellStack(const Request& request) {
    std::optional<std::string> stack;
    std::string name;
    {
      const Gil gil;
      const auto& watch = *request.watch;
      if (watch.running.load(std::memory_order_acquire) != request.number || !watch.top || Debugger::isAttached(gil)) return;
      name = watch.top->name;
      stack = stackOf(watch.ident, gil);
    }
    if (firstToTell(*request.watch, request.number))
      tell(*request.watch, request.age, (name.empty() ? "" : " (now in '" + name + "')") + ". Its stack:\n" + *stack);
  }

  static bool firstToTell(ThreadWatch& watch, std::uint64_t number) {
    return watch.told.exchange(number, std::memory_order_acq_rel) != number;
  }

  static void tell(const ThreadWatch& watch, Milliseconds age, const std::string& more) {
    const char *plugin = watch.plugin.load(std::memory_order_relaxed), *kind = watch.kind.load(std::memory_order_relaxed),
               *lane = watch.lane.load(std::memory_order_relaxed);
    Logger("qtforge.python")
        .warning((plugin ? "plugin '" + std::string(plugin) + "': " : std::string()) + (kind ? kind : "Python") +
                 " has been running for " + shownSeconds(age) +
                 (lane ? " on lane \"" + std::string(lane) + "\", and what comes after it there waits" : std::string()) + more);
  }

  static std::string stackOf(unsigned long ident, const Gil& gil) {
    const Ref sys = Ref::steal(PyImport_ImportModule("sys")), traceback = Ref::steal(PyImport_ImportModule("traceback"));
    const Ref frames = Ref::steal(sys && traceback ? PyObject_CallMethod(sys.get(), "_current_frames", nullptr) : nullptr);
    const Ref key = Ref::steal(frames ? PyLong_FromUnsignedLong(ident) : nullptr);
    PyObject* frame = key ? PyDict_GetItem(frames.get(), key.get()) : nullptr;
    const Ref lines = Ref::steal(frame ? PyObject_CallMethod(traceback.get(), "format_stack", "O", frame) : nullptr);
    const Ref empty = Ref::steal(lines ? PyUnicode_FromString("") : nullptr);
    const Ref joined = Ref::steal(empty ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
    auto text = joined ? textOf(joined.get(), gil) : std::string("  none that Python knows of\n");
    PyErr_Clear();
    return text;
  }

  std::atomic<std::int64_t> limit_{0};
  std::mutex mutex_;  // guards all below; a leaf
  std::condition_variable changed_;
  std::vector<Request> requests_;
  bool begun_ = false, answering_ = false, ended_ = false;
  qtforge::detail::BoundedThreads threads_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
