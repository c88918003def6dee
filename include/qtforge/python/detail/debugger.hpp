#pragma once
// qtforge/python/detail/debugger.hpp: debugpy in this process: has it listen, shows it threads, knows whether it is used.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/python/detail/thread_watch.hpp>
#include <qtforge/python/python_error.hpp>
#include <qtforge/utils/log.hpp>

#include <condition_variable>
#include <optional>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// @par Thread safety  any thread, listen() one at a time.
class Debugger {
 public:
  /// Has debugpy listen on the loopback interface, where a client, such as an editor, attaches to this process.
  ///
  /// @param port  0: one that is free
  /// @return the port, or
  ///   - Errc::DependencyMissing         Python has no debugpy: the message says how to install it
  ///   - Errc::PythonAlreadyInitialized  there is a debugger already: this one, or one that others have begun
  ///   - Errc::PythonError               the port is in use, or debugpy fails
  /// @par Blocking  for the GIL and the start of debugpy's process.
  expected<int> listen(int port) {
    const auto address = "127.0.0.1:" + std::to_string(port);
    if (const int known = port_.load(); known != 0)
      return Error(Errc::PythonAlreadyInitialized, "debugpy listens on 127.0.0.1:" + std::to_string(known) +
                                                       " already, not on " + address + "; it begins once");
    const Gil gil;
    const Ref names = run(beginning, port);
    if (!names) return failed(address, gil);
    port_.store(static_cast<int>(PyLong_AsLong(PyDict_GetItemString(names.get(), "port"))));
    use(names.get());
    return port_.load();
  }

  /// Takes up the debugger that runs already where the whole program was started under debugpy; else nothing.
  void join(const Gil& gil) {
    if (trace_ || !PyDict_GetItemString(PyImport_GetModuleDict(), "debugpy")) return;
    if (const Ref names = run(joining, 0)) {
      if (PyDict_GetItemString(names.get(), "trace_this_thread")) use(names.get());
    } else {
      Logger("qtforge.python").warning(takePythonError("the debugger that runs is not used", gil).report());
    }
  }

  /// Where it listens; nothing: it does not.
  [[nodiscard]] std::optional<int> port() const {
    const int port = port_.load();
    return port == 0 ? std::nullopt : std::optional<int>(port);
  }

  /// Shows the calling thread to the debugger, which knows of those that Python has made and no others. A thread whose state
  /// Python forgets between calls is shown at each of them.
  static void show(ThreadWatch& watch, const Gil& gil) {
    if (!trace_ || watch.shown) return;
    watch.shown = lastingState() != nullptr;
    const char* lane = watch.lane.load(std::memory_order_relaxed);
    const bool known = introduce(lane ? "lane \"" + std::string(lane) + "\"" : std::string());
    const Ref shown = Ref::steal(known ? PyObject_CallFunction(trace_, "O", Py_True) : nullptr);
    if (!shown)
      Logger("qtforge.python").warning(takePythonError("a thread is not shown to the debugger", gil).report());
  }

  /// Whether a client is attached now.
  static bool isAttached(const Gil&) {
    const Ref attached = Ref::steal(isAttached_ ? PyObject_CallNoArgs(isAttached_) : nullptr);
    PyErr_Clear();
    return attached.get() == Py_True;
  }

  /// Call without the GIL. False: it still waits for the GIL at the deadline.
  bool end(qtforge::detail::Deadline deadline) {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    return threads_.join(deadline);
  }

 private:
  // As the names that it leaves; null with a Python error set.
  static Ref run(const char* code, int port) {
    Ref names = Ref::steal(PyDict_New());
    const Ref wanted = Ref::steal(PyLong_FromLong(port));
    if (!names || !wanted || PyDict_SetItemString(names.get(), "__builtins__", PyEval_GetBuiltins()) != 0 ||
        PyDict_SetItemString(names.get(), "port", wanted.get()) != 0)
      return {};
    const Ref done = Ref::steal(orStay([&] { return PyRun_String(code, Py_file_input, names.get(), names.get()); }));
    return done ? std::move(names) : Ref();
  }

  void use(PyObject* names) {
    trace_ = Ref::borrow(PyDict_GetItemString(names, "trace_this_thread")).release();
    isAttached_ = Ref::borrow(PyDict_GetItemString(names, "is_client_connected")).release();
    ThreadWatch::add(ThreadWatch::Looks::Debugger);
    threads_.start([this] { look(); });
  }

  static constexpr const char* joining = R"(
import sys
pydevd = sys.modules.get("pydevd")
if pydevd is not None and pydevd.get_global_debugger() is not None:
    from debugpy import is_client_connected, trace_this_thread
)";

  // The message about modules that are frozen into Python is not for those who debug plugins.
  static constexpr const char* beginning = R"(
import os, sys
pydevd = sys.modules.get("pydevd")
if pydevd is not None and pydevd.get_global_debugger() is not None:
    raise FileExistsError("this process has a debugger already")
python = sys.executable or ""
if not os.path.basename(python).startswith("python"):
    python = os.path.join(sys.base_exec_prefix, "bin", "python%d.%d" % sys.version_info[:2])
if not os.access(python, os.X_OK):
    raise FileNotFoundError("debugpy needs an interpreter, and sys.executable, %r, is none" % sys.executable)
quiet = "PYDEVD_DISABLE_FILE_VALIDATION"
mine = os.environ.setdefault(quiet, "qtforge") == "qtforge"
if mine:
    os.environ[quiet] = "1"
try:
    from debugpy import configure, is_client_connected, listen, trace_this_thread
    configure(python=python)
    port = listen(("127.0.0.1", port))[1]
finally:
    if mine:
        del os.environ[quiet]
)";

  static Error failed(const std::string& address, const Gil& gil) {
    if (PyErr_ExceptionMatches(PyExc_FileExistsError))
      return takePythonError("debugpy on " + address, gil, Errc::PythonAlreadyInitialized);
    const bool missing = PyErr_ExceptionMatches(PyExc_ModuleNotFoundError);
    Error error = takePythonError("debugpy does not listen on " + address, gil);
    if (!missing || error.message().find("'debugpy'") == std::string::npos) return error;
    PyObject* executable = PySys_GetObject("executable");
    const auto python = executable && executable != Py_None ? textOf(executable, gil) : std::string("python");
    return Error(Errc::DependencyMissing, "'" + python + "' has no debugpy; install it there: " + python +
                                              " -m pip install debugpy, or PackageManager::installPackages({\"debugpy\"})");
  }

  // Threads that the module threading has not heard of are none for the debugger. False with a Python error set.
  static bool introduce(const std::string& text) {
    const Ref threading = Ref::steal(PyImport_ImportModule("threading"));
    const Ref thread = Ref::steal(threading ? PyObject_CallMethod(threading.get(), "current_thread", nullptr) : nullptr);
    if (!thread || text.empty()) return static_cast<bool>(thread);
    const Ref name = Ref::steal(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
    return name && PyObject_SetAttrString(thread.get(), "name", name.get()) == 0;
  }

  // Those who wait for a limit must know without the GIL, which a call into C may hold for long.
  void look() {
    const LastingThread thread;
    for (std::unique_lock lock(mutex_); !ended_;) {
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      lock.unlock();
      {
        const Gil gil;
        qtforge::detail::processRoot().debugged.set(isAttached(gil));
      }
      lock.lock();
    }
    qtforge::detail::processRoot().debugged.set(false);
  }

  static inline PyObject *trace_ = nullptr, *isAttached_ = nullptr;  // for good; under the GIL

  std::atomic<int> port_{0};
  std::mutex mutex_;  // guards ended_; a leaf
  std::condition_variable changed_;
  bool ended_ = false;
  qtforge::detail::BoundedThreads threads_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
