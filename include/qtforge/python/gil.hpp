#pragma once
// qtforge/python/gil.hpp: taking and releasing Python's global lock by scope.

#include <Python.h>

#include <qtforge/utils/config.hpp>

#include <cxxabi.h>
#include <unistd.h>

namespace qtforge::inline QTFORGE_ABI::python {

/// Runs `f`, which may take the GIL or run Python code. Until 3.13 Python ends a thread that wants the GIL of an
/// interpreter that finalizes by an unwinding that aborts the process at the first `noexcept` or `catch (...)`. Such a
/// thread stays here instead, as Python lets it from 3.14 on.
template <class F>
decltype(auto) orStay(F&& f) {
  try {
    return f();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
}

/// Says that the calling thread holds the GIL already, as in every function that Python calls.
struct GilHeld {};

/// Holds the GIL while it lives, on any thread. Functions that need it take a `const Gil&`, so that forgetting does not
/// compile. Never make one while holding a lock.
class Gil {
 public:
  Gil() noexcept : state_(orStay([] { return PyGILState_Ensure(); })), taken_(true) {}
  explicit Gil(GilHeld) noexcept : state_(PyGILState_LOCKED), taken_(false) {}
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;
  ~Gil() {
    if (taken_) PyGILState_Release(state_);
  }

 private:
  PyGILState_STATE state_;
  bool taken_;
};

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
