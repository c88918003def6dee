#pragma once
// qtforge/python/gil.hpp: taking and releasing Python's global lock by scope.

#include <qtforge/python/detail/cpython.hpp>

#include <qtforge/python/detail/memory_reserve.hpp>
#include <qtforge/utils/config.hpp>

#include <cxxabi.h>
#include <unistd.h>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python {

/// Runs `f`, which may take the GIL or run Python code. Until 3.13 Python ends a thread that wants the GIL of an
/// interpreter that finalizes by an unwinding that aborts the process at the first `noexcept` or `catch (...)`. Such a
/// thread stays here instead, as Python lets it from 3.14 on. Inlined always: it costs nothing then.
template <class F>
[[gnu::always_inline]] inline decltype(auto) orStay(F&& f) {
  try {
    return f();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
}

namespace detail {

/// The calling thread's state where it is known to stay as long as the thread runs Python, else null.
inline PyThreadState*& lastingState() noexcept {
  static constinit thread_local PyThreadState* state = nullptr;
  return state;
}

/// PyGILState_Ensure, which ends the process if there is no memory for the state of a thread that has none.
inline PyGILState_STATE ensureGil() {
  const auto ensure = [] { return orStay([] { return PyGILState_Ensure(); }); };
  if (lastingState() || PyGILState_GetThisThreadState()) [[likely]]
    return ensure();
  const MemoryReserve reserve;
  return ensure();
}

}  // namespace detail

/// Whether the calling thread holds the GIL; cheaper than taking it once more.
inline bool holdsGil() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked() != nullptr;
#elif PY_VERSION_HEX >= 0x030C0000
  return _PyThreadState_UncheckedGet() != nullptr;
#else
  PyThreadState* holder = _PyThreadState_UncheckedGet();
  return holder && (holder == detail::lastingState() || holder == PyGILState_GetThisThreadState());
#endif
}

/// Says that the calling thread holds the GIL already, as in every function that Python calls.
struct GilHeld {};

/// Holds the GIL while it lives, on any thread. Functions that need it take a `const Gil&`, so that forgetting does not
/// compile. Never make one while holding a lock.
class Gil {
 public:
  [[gnu::always_inline]] Gil() noexcept : taken_(!holdsGil()) {
    if (taken_) state_ = detail::ensureGil();
  }
  explicit Gil(GilHeld) noexcept : taken_(false) {}
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;
  ~Gil() {
    if (taken_) PyGILState_Release(state_);
  }

 private:
  PyGILState_STATE state_ = PyGILState_LOCKED;
  bool taken_;
};

namespace detail {

/// While it lives, the calling thread, which does not hold the GIL, keeps its state: a fresh one each time that it takes the
/// GIL would cost 20 times as much.
class LastingThread {
 public:
  LastingThread() : state_(ensureGil()) { lastingState() = PyEval_SaveThread(); }
  LastingThread(const LastingThread&) = delete;
  LastingThread& operator=(const LastingThread&) = delete;
  ~LastingThread() {
    orStay([] { PyEval_RestoreThread(std::exchange(lastingState(), nullptr)); });
    PyGILState_Release(state_);
  }

 private:
  PyGILState_STATE state_;
};

}  // namespace detail

/// Releases the GIL while it lives, if the thread holds it: for whatever waits.
class GilRelease {
 public:
  GilRelease() noexcept : state_(Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : nullptr) {}
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;
  ~GilRelease() {
    if (state_) orStay([this] { PyEval_RestoreThread(state_); });
  }

 private:
  PyThreadState* state_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
