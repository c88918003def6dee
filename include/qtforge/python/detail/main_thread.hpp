#pragma once
// qtforge/python/detail/main_thread.hpp: has Python's modules know the thread that started Python as the main one.

#include <qtforge/python/python_error.hpp>

#include <atomic>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// The module threading takes whoever imports it for the main thread, until 3.12. To import it at the start, for those who
/// may want it later, would cost a third of the start's time.
class MainThread {
 public:
  /// The calling thread is the one that starts Python.
  void begin() noexcept {
    ident_ = PyThread_get_thread_ident();
#if defined(PY_HAVE_THREAD_NATIVE_ID)
    native_ = PyThread_get_thread_native_id();
#endif
  }

  /// Imports threading and tells it; once. Before a thread of others runs Python. Nothing where others started Python.
  ///
  /// @return nothing, or Errc::PythonError
  expected<void> tell(const Gil& gil) {
    if (ident_ == 0 || told_.load(std::memory_order_acquire)) return {};
    const Ref names = Ref::steal(Py_BuildValue("{sOsksk}", "__builtins__", PyEval_GetBuiltins(), "ident", ident_, "native",
                                               native_));
    const Ref done =
        Ref::steal(names ? orStay([&] { return PyRun_String(telling, Py_file_input, names.get(), names.get()); }) : nullptr);
    if (!done) return takePythonError("import of threading", gil);
    told_.store(true, std::memory_order_release);
    return {};
  }

 private:
  // As _MainThread.__init__ would have done on the main thread, whose state, and so that lock, is never given up.
  static constexpr const char* telling = R"(
import sys, threading
main = threading._main_thread
if sys.version_info < (3, 13) and main._ident != ident:
    held = threading.Lock()
    held.acquire()
    with threading._active_limbo_lock:
        del threading._active[main._ident]
        main._ident, main._native_id = ident, native
        threading._active[ident] = main
    with threading._shutdown_locks_lock:
        threading._shutdown_locks.discard(main._tstate_lock)
        threading._shutdown_locks.add(held)
    main._tstate_lock = held
)";

  unsigned long ident_ = 0, native_ = 0;
  std::atomic<bool> told_{false};
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
