#pragma once
// qtforge/python/detail/watched_call.hpp: a call of foreign Python that the watchdog sees, and what comes of stopping it.

#include <qtforge/python/detail/interpreter.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Calls of one plugin that went over the limit: with the last of them the plugin goes into Error.
inline constexpr int mostOffences = 3;

/// Defined in python/detail/offender.hpp.
struct Offender {
  /// Counts a call of `plugin`, whose code did not keep to the limit. Call with or without the GIL.
  static void count(PluginContext& plugin, const Error& error);
};

/// Marks that this thread runs foreign Python code, from its construction, under the GIL, to end() or its destruction.
/// Of calls inside of each other the outermost is timed, and all of them are stopped when its time is over.
class WatchedCall : RunningCall {
 public:
  /// @param kind  a literal: what it is
  /// @param name  of what is called; must outlive this
  [[gnu::always_inline]] explicit WatchedCall(const char* kind, std::string_view name = {}) noexcept {
    if (const auto lookers = ThreadWatch::lookers.load(std::memory_order_relaxed)) begin(kind, name, lookers);
  }
  WatchedCall(const WatchedCall&) = delete;
  WatchedCall& operator=(const WatchedCall&) = delete;
  [[gnu::always_inline]] ~WatchedCall() { end(); }

  /// No exception of the watchdog's comes from here on, unless this call is inside of another.
  [[gnu::always_inline]] void end() noexcept {
    if (watch_) finish();
  }

  /// takePythonError for what came of the call, after end(). Where it was stopped: Errc::TimedOut, which counts as an
  /// offence of the plugin whose code it was.
  [[nodiscard]] Error takeError(const std::string& what, const Gil& gil, Errc code = Errc::PythonError) {
    if (!wasStopped(gil)) return takePythonError(what, gil, code);
    const auto limit = Interpreter::find()->watchdog().limit();
    const auto error = takePythonError(what + (ran_.count() > 0 ? ": stopped after " + shownSeconds(ran_) +
                                                                      ", its limit (executionTimeout) is " + shownSeconds(limit)
                                                                : std::string(": stopped with the call that it is part of, "
                                                                              "whose limit (executionTimeout) is ") +
                                                                      shownSeconds(limit)),
                                       gil, Errc::TimedOut);
    if (auto* plugin = PluginScope::current()) Offender::count(*plugin, error);
    return error;
  }

  /// After end(): whether what was raised came of its stopping.
  [[nodiscard]] bool wasStopped(const Gil& gil) const { return ran_.count() > 0 || TimeoutType::isSet(gil); }

 private:
  void begin(const char* called, std::string_view by, std::uint8_t lookers) noexcept {
    watch_ = &ThreadWatch::mine();
    kind = called;
    name = by;
    outer = watch_->top;
    watch_->top = this;
    if (outer) return;
    watch_->kind.store(kind, std::memory_order_relaxed);
    const auto* plugin = PluginScope::current();
    watch_->plugin.store(plugin ? plugin->lastingName : nullptr, std::memory_order_relaxed);
    if (lookers & static_cast<std::uint8_t>(ThreadWatch::Looks::Debugger)) [[unlikely]]
      Debugger::show(*watch_, Gil(GilHeld()));
    watch_->begin();
  }

  void finish() noexcept {
    watch_->top = outer;
    if (!outer) {
      watch_->end();
      if (watch_->fired.count() > 0) [[unlikely]]
        takeBack();
    }
    watch_ = nullptr;
  }

  // Under the GIL as the watchdog's shot: it came before, and is taken back if it still hangs, or comes no more. It is let
  // hit code of ours: PyThreadState_SetAsyncExc without an exception, until 3.12, has Python look for one at each step from
  // then on, and hang where a trace function is set.
  [[gnu::cold, gnu::noinline]] void takeBack() noexcept {
    ran_ = std::exchange(watch_->fired, {});
    watch_->shown = false;  // what hits the debugger's own code ends its view of the thread
    if (!PyThreadState_Get()->async_exc) return;
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    const Ref names = Ref::steal(PyDict_New());
    const auto run = [&] { return PyRun_String("None", Py_eval_input, names.get(), names.get()); };
    const Ref done = Ref::steal(names ? orStay(run) : nullptr);  // never: it is hit
    if (PyThreadState_Get()->async_exc) PyThreadState_SetAsyncExc(watch_->ident, nullptr);
    PyErr_Restore(type, value, traceback);
  }

  ThreadWatch* watch_ = nullptr;
  std::chrono::milliseconds ran_{0};  // until it was stopped; 0: it was not, or what it is part of was
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
