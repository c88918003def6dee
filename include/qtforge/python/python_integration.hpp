#pragma once
// qtforge/python/python_integration.hpp: starting Python inside a C++ program.

#include <qtforge/python/captured_output.hpp>
#include <qtforge/python/detail/bridge_host.hpp>
#include <qtforge/python/detail/environment.hpp>
#include <qtforge/python/detail/lean_start.hpp>
#include <qtforge/python/detail/start_settings.hpp>
#include <qtforge/python/python_config.hpp>

#include <array>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// The process's Python.
class PythonIntegration {
 public:
  /// Starts Python, or joins the one that runs in this process already.
  ///
  /// The environment is that of `config`; without one, an activated virtual environment (VIRTUAL_ENV) of the same build,
  /// else the Python that the program was built for. All of it is checked before Python is touched. Signal handlers stay
  /// as they are. Nothing is imported from the environment yet. The calling thread becomes Python's main thread and does
  /// not hold the GIL afterwards.
  ///
  /// A Python that runs already is somebody else's: what `config` says of its start (`sysPath`, `arguments`, `environment`,
  /// `isolated`, `lean`, `gilSwitchInterval`, `maxMemoryUsage`) is not applied, with a warning where it was set.
  ///
  /// After an error of the debugger's Python runs, and the same call tries that again.
  ///
  /// @return nothing; also when called again with the same configuration; or
  ///   - Errc::PythonNotFound            no such interpreter or environment, or it does not run
  ///   - Errc::PythonMismatch            another build than the libpython of this program: both are named
  ///   - Errc::InvalidArgument           another field that cannot be, such as a limit below 0: the message names it
  ///   - Errc::PythonAlreadyInitialized  started before with another configuration; or Python runs and is another than
  ///                                     `pythonPath` or `virtualEnvPath`, or has imported `qtforge` already, which then is
  ///                                     a host of its own; or a debugger is there already
  ///   - Errc::PythonError               Python would not start, or debugpy not listen, as on a port that is in use
  ///   - Errc::DependencyMissing         `debugPort`, and the environment has no debugpy
  ///   - Errc::ShuttingDown              the process is ending
  /// @par Thread safety  any thread. @par Blocking  for the interpreter's start.
  static expected<void> initialize(const PythonConfig& config = {}) {
    const GilRelease released;
    auto& state = State::instance();
    std::lock_guard lock(state.mutex);
    if (detail::Interpreter::find() && state.started) {
      if (sameButForDebugger(config, state.config)) return addDebugger(config, state.config);
      return Error(Errc::PythonAlreadyInitialized,
                   "PythonIntegration::initialize: Python runs already with another configuration; it starts once");
    }
    if (auto fine = detail::checkSettings(config); !fine) return fine;
    if (auto runs = Py_IsInitialized() ? join(config) : start(config); !runs) return runs;
    state.started = true;
    state.config = config;
    state.config.debugPort = std::nullopt;
    state.config.debugPortFromEnvironment = false;
    if (config.installMissing) detail::Interpreter::find()->installMissing(config.packageSource);
    if (config.enableHotReload) detail::Interpreter::find()->reloadChanged(config.hotReloadInterval);
    offerPackage();
    detail::Interpreter::find()->watchdog().limit(config.executionTimeout);
    qtforge::detail::registerExitHook();
    if (!config.debugPort && !config.debugPortFromEnvironment && std::getenv(detail::debugVariable))
      Logger("qtforge.python").info(std::string(detail::debugVariable) +
                                    " is not used: this program does not allow it (PythonConfig::debugPortFromEnvironment)");
    return addDebugger(config, state.config);
  }

  /// Whether Python runs and the library uses it.
  [[nodiscard]] static bool isInitialized() noexcept { return detail::Interpreter::find() != nullptr; }

  /// How many bytes Python's allocators hold. Counted where PythonConfig::maxMemoryUsage is set, else 0.
  /// @par Thread safety  any thread.
  [[nodiscard]] static std::size_t memoryUsage() noexcept {
    const auto* interpreter = detail::Interpreter::find();
    return interpreter ? interpreter->memoryUsage() : 0;
  }

  /// Where debugpy listens, by `debugPort` or QTFORGE_DEBUGPY; nothing: it does not.
  [[nodiscard]] static std::optional<int> debugPort() {
    return isInitialized() ? detail::Interpreter::find()->debugger().port() : std::nullopt;
  }

  /// Takes what Python code writes to sys.stdout and sys.stderr, by whole lines with the plugin's name; without this
  /// print goes to the program's stdout, untouched. Again: another sink. What goes around Python's streams, as C code and
  /// child processes do, is not taken. Lines without an end are told at Python's end.
  ///
  /// @param sink  empty: to the log under the plugin's name (`python` for other code), as Info, stderr as Warning
  /// @return nothing, or
  ///   - Errc::PythonNotInitialized
  ///   - Errc::PythonError  Python has no streams to put in place
  /// @par Thread safety  one thread at a time, as releaseOutput(). @par Blocking  for the GIL.
  static expected<void> captureOutput(OutputSink sink = {}) {
    return withPython("captureOutput", [&] { return detail::CapturedOutput::begin(std::move(sink)); });
  }

  /// Ends captureOutput(); what was begun is told. Nothing where there was none.
  ///
  /// @return nothing, or the errors of captureOutput
  /// @par Blocking  for the GIL and the sink.
  static expected<void> releaseOutput() {
    return withPython("releaseOutput", [] { return detail::CapturedOutput::end(); });
  }

 private:
  template <class F>
  static expected<void> withPython(const char* function, F&& f) {
    if (!isInitialized())
      return Error(Errc::PythonNotInitialized, std::string(function) + ": call PythonIntegration::initialize() before");
    const GilRelease released;
    return f();
  }

  struct State {
    static State& instance() {
      static auto* state = new State();
      return *state;
    }
    std::mutex mutex;  // guards all below, and the start itself
    bool started = false;
    PythonConfig config;
  };

  static bool sameButForDebugger(PythonConfig config, const PythonConfig& known) {
    config.debugPort = known.debugPort;
    config.debugPortFromEnvironment = known.debugPortFromEnvironment;
    return config == known;
  }

  // What `config` wants of a debugger and the calls before have not brought about.
  static expected<void> addDebugger(const PythonConfig& config, PythonConfig& known) {
    if (config.debugPort && config.debugPort != known.debugPort) {
      if (auto listens = listen(*config.debugPort); !listens) return listens.error().within("PythonConfig::debugPort");
      known.debugPort = config.debugPort;
    }
    if (!config.debugPort && config.debugPortFromEnvironment && !known.debugPortFromEnvironment) {
      known.debugPortFromEnvironment = true;
      const auto port = detail::debugPortOfEnvironment();
      const auto listens = port ? (*port ? listen(**port) : expected<void>()) : expected<void>(port.error());
      if (!listens) Logger("qtforge.python").warning(listens.error().within(detail::debugVariable).message());
    }
    return {};
  }

  static expected<void> listen(int port) {
    if (auto told = detail::Interpreter::find()->mainThread().tell(Gil()); !told) return told;
    const auto listens = detail::Interpreter::find()->debugger().listen(port);
    if (!listens) return listens.error();
    Logger("qtforge.python").info("debugpy listens on 127.0.0.1:" + std::to_string(*listens) +
                                  "; whoever can open that port can run code in this process");
    return {};
  }

  // The host's actions, put back after imports that would install Python's.
  class KeptSignals {
   public:
    KeptSignals() {
      for (int signal = 1; signal < static_cast<int>(kept_.size()); ++signal) sigaction(signal, nullptr, &kept_[at(signal)]);
    }
    KeptSignals(const KeptSignals&) = delete;
    KeptSignals& operator=(const KeptSignals&) = delete;
    ~KeptSignals() {
      for (int signal = 1; signal < static_cast<int>(kept_.size()); ++signal)
        if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &kept_[at(signal)], nullptr);
    }

   private:
    static std::size_t at(int signal) { return static_cast<std::size_t>(signal); }
    std::array<struct sigaction, 32> kept_{};
  };

  static expected<void> join(const PythonConfig& config) {
    if (auto same = detail::checkRunning(config.pythonPath, config.virtualEnvPath); !same) return same;
    const PythonConfig none;
    if (config.sysPath != none.sysPath || config.arguments != none.arguments || config.environment != none.environment ||
        config.isolated != none.isolated || config.lean != none.lean || config.gilSwitchInterval != none.gilSwitchInterval ||
        config.maxMemoryUsage != none.maxMemoryUsage)
      Logger("qtforge.python").warning("PythonIntegration::initialize: Python runs already and stays as it is: sysPath, "
                                       "arguments, environment, isolated, lean, gilSwitchInterval and maxMemoryUsage are "
                                       "not applied");
    if (!detail::Interpreter::find()) {
      const Gil gil;
      PyObject* extension = PyDict_GetItemString(PyImport_GetModuleDict(), "qtforge._qtforge");
      if (extension && extension != Py_None)
        return Error(Errc::PythonAlreadyInitialized,
                     "PythonIntegration::initialize: Python has imported qtforge before, which has a bus of its own now; "
                     "call initialize before anything imports qtforge");
    }
    const Gil gil;
    // It takes the importing thread for the main one, which no lane should be.
    if (!Ref::steal(PyImport_ImportModule("threading"))) return takePythonError("import of threading", gil);
    detail::joinInterpreter(detail::Interpreter::Role::Guest).debugger().join(gil);
    return {};
  }

  static expected<void> start(const PythonConfig& config) {
    const auto python = detail::resolvePython(config.pythonPath, config.virtualEnvPath, config.isolated);
    if (!python) return python.error();
    const auto failed = [](const PyStatus& status) {
      return Error(Errc::PythonError, std::string("Python does not start: ") + (status.func ? status.func : "") + ": " +
                                          (status.err_msg ? status.err_msg : "no reason given"));
    };
    detail::AppliedVariables variables(config.environment);
    PyPreConfig pre;
    config.isolated ? PyPreConfig_InitIsolatedConfig(&pre) : PyPreConfig_InitPythonConfig(&pre);
    pre.parse_argv = pre.configure_locale = pre.coerce_c_locale = pre.coerce_c_locale_warn = 0;
    pre.utf8_mode = 1;
    // Python's own allocator hides what its objects hold from a sanitizer.
    constexpr bool sanitized = std::string_view(QTFORGE_DETAIL_SANITIZER) != "none";
    if (sanitized) pre.allocator = PYMEM_ALLOCATOR_MALLOC;
    else if (config.maxMemoryUsage != 0) pre.allocator = PYMEM_ALLOCATOR_PYMALLOC;  // whatever PYTHONMALLOC says
    if (const auto status = Py_PreInitialize(&pre); PyStatus_Exception(status)) return failed(status);
    auto* memory = config.maxMemoryUsage == 0 ? nullptr : new detail::MemoryLimit([]() -> const char* {
      const auto* plugin = detail::PluginScope::current();
      return plugin ? plugin->lastingName : nullptr;
    });  // for good
    PyConfig settings;
    config.isolated ? PyConfig_InitIsolatedConfig(&settings) : PyConfig_InitPythonConfig(&settings);
    settings.parse_argv = settings.install_signal_handlers = settings.configure_c_stdio = 0;
    settings.site_import = config.lean ? 0 : 1;
    std::vector<char*> arguments;
    for (const auto& argument : config.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    PyStatus status = PyConfig_SetBytesArgv(&settings, static_cast<Py_ssize_t>(arguments.size()), arguments.data());
    if (!python->empty() && !PyStatus_Exception(status)) {
      status = PyConfig_SetBytesString(&settings, &settings.program_name, python->c_str());
      if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&settings, &settings.executable, python->c_str());
    }
    {
      const KeptSignals kept;
      if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&settings);
      PyConfig_Clear(&settings);
      if (PyStatus_Exception(status)) return failed(status);
      variables.keep();
      if (auto set = applyToRunning(config, *python, Gil(GilHeld())); !set) {
        PyEval_SaveThread();
        return set;
      }
      if (!Ref::steal(PyImport_ImportModule("_signal"))) {  // which would have Ctrl-C for itself
        const Error error = takePythonError("import of _signal", Gil(GilHeld()));
        PyEval_SaveThread();
        return error;
      }
    }
    struct sigaction pipe{};
    sigaction(SIGPIPE, nullptr, &pipe);
    if (config.ignoreSigpipe && pipe.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
    detail::joinInterpreter(detail::Interpreter::Role::Owner, memory).mainThread().begin();
    if (memory) memory->set(static_cast<std::int64_t>(config.maxMemoryUsage));
    detail::lastingState() = PyEval_SaveThread();  // which nobody deletes: Python is not finalized
    return {};
  }

  static expected<void> applyToRunning(const PythonConfig& config, const std::filesystem::path& python, const Gil& gil) {
    if (config.lean)
      if (auto found = detail::LeanStart::apply(python, gil); !found) return found;
    if (auto put = detail::putFirst(config.sysPath, gil); !put) return put;
    return detail::setSwitchInterval(config.gilSwitchInterval, gil);
  }

  // Lets code import the package `qtforge` and the package find this host: after the environment's own.
  static void offerPackage() {
    const Gil gil;
#if defined(QTFORGE_PACKAGE_DIR)
    PyObject* path = PySys_GetObject("path");
    const Ref folder = Ref::steal(PyUnicode_FromString(QTFORGE_PACKAGE_DIR));
    if (path && folder && PySequence_Contains(path, folder.get()) == 0) PyList_Append(path, folder.get());
#endif
    const Ref capsule = Ref::steal(
        PyCapsule_New(const_cast<Bridge*>(&detail::bridgeTable()), bridgeCapsule, nullptr));
    if (capsule) PySys_SetObject(bridgeAttribute, capsule.get());
    PyErr_Clear();
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python
