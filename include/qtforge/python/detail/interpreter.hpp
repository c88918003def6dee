#pragma once
// qtforge/python/detail/interpreter.hpp: the one Python of the process: its lanes, its plugins' contexts, its end.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/python/detail/imported.hpp>
#include <qtforge/python/detail/main_thread.hpp>
#include <qtforge/python/detail/memory_limit.hpp>
#include <qtforge/python/detail/plugin_context.hpp>
#include <qtforge/python/detail/watchdog.hpp>
#include <qtforge/python/lane.hpp>
#include <qtforge/python/package_source.hpp>

#include <future>
#include <map>
#include <optional>

namespace qtforge::inline QTFORGE_ABI::python::detail {

class Interpreter {
 public:
  /// Whether the library started Python, and so ends it too.
  enum class Role { Owner, Guest };

  /// @param memory  null: Python may have any amount
  explicit Interpreter(Role role, MemoryLimit* memory = nullptr) : role_(role), memory_(memory) {}

  /// Takes up its work, as the process's.
  void begin() {
    dropElsewhere().store([](PyObject* object) {
      auto* interpreter = find();
      if (!interpreter || interpreter->ended_.load(std::memory_order_acquire)) return;  // leaked: the process ends
      interpreter->sharedLane().post({object,
                                      [](void* held) {
                                        const Gil gil;
                                        orStay([&] { Py_DECREF(static_cast<PyObject*>(held)); });
                                      },
                                      [](void*) {}});
    }, std::memory_order_release);
    qtforge::detail::processRoot().shutdown().add(qtforge::detail::ShutdownPhase::Python,
                                                  [this](qtforge::detail::Deadline deadline) { return end(deadline); });
  }

  /// The process's, or null.
  static Interpreter* find() noexcept {
    return static_cast<Interpreter*>(qtforge::detail::processRoot().interpreter.load(std::memory_order_acquire));
  }

  /// The lane of all plugins without one of their own.
  Lane& sharedLane() {
    std::lock_guard lock(mutex_);
    if (lanes_.empty()) {
      watchdog_.begin();
      lanes_.push_back(std::make_unique<Lane>("shared"));
      lanes_.front()->post(qtforge::detail::Task::of([this] {
        if (auto told = mainThread_.tell(Gil()); !told) Logger("qtforge.python").error(told.error().report());
      }));
    }
    return *lanes_.front();
  }

  /// The lane of that name, which lives until the process ends: a plugin that is loaded again gets its old one.
  Lane& laneNamed(std::string name) {
    sharedLane();
    std::lock_guard lock(mutex_);
    for (auto& lane : lanes_)
      if (lane->name() == name) return *lane;
    lanes_.push_back(std::make_unique<Lane>(std::move(name)));
    return *lanes_.back();
  }

  /// Installs, from now on, packages that plugins need and that are missing.
  void installMissing(PackageSource source) {
    std::lock_guard lock(mutex_);
    installsFrom_ = std::move(source);
  }
  /// From where; nothing: they are not installed.
  [[nodiscard]] std::optional<PackageSource> installsFrom() const {
    std::lock_guard lock(mutex_);
    return installsFrom_;
  }

  /// Has changed plugins reloaded from now on, at most once in that time.
  void reloadChanged(std::chrono::milliseconds interval) {
    std::lock_guard lock(mutex_);
    reloadInterval_ = interval;
  }
  [[nodiscard]] std::optional<std::chrono::milliseconds> reloadInterval() const {
    std::lock_guard lock(mutex_);
    return reloadInterval_;
  }

  [[nodiscard]] Watchdog& watchdog() noexcept { return watchdog_; }
  [[nodiscard]] Debugger& debugger() noexcept { return debugger_; }
  [[nodiscard]] MainThread& mainThread() noexcept { return mainThread_; }

  /// Runs `task` on the lane of PythonExecutor::asyncCall; it takes the GIL itself. Dropped when Python has ended.
  void postCall(qtforge::detail::Task task) {
    if (ended_.load(std::memory_order_acquire)) qtforge::detail::UniqueTask dropped(task);
    else laneNamed("asyncCall of executors").post(task);
  }

  [[nodiscard]] bool owns() const noexcept { return role_ == Role::Owner; }

  /// What Python's allocators hold; 0 where it is not counted.
  [[nodiscard]] std::size_t memoryUsage() const noexcept { return memory_ ? static_cast<std::size_t>(memory_->used()) : 0; }

  /// Has `function` called without arguments, on a lane, after each change of the log's level or of debug mode.
  void followLog(SharedRef function) {
    auto follower = std::make_shared<const SharedRef>(std::move(function));
    std::lock_guard lock(mutex_);
    logFollower_.swap(follower);
  }
  void tellLogChanged() {
    std::shared_ptr<const SharedRef> follower;
    {
      std::lock_guard lock(mutex_);
      follower = logFollower_;
    }
    if (!follower || ended_.load(std::memory_order_acquire)) return;
    sharedLane().post(qtforge::detail::Task::of([follower = std::move(follower)] {
      const Gil gil;
      const Ref done = Ref::steal(orStay([&] { return PyObject_CallNoArgs(follower->get()); }));
      if (done) return;
      const auto report = takePythonError("following the log's level", gil).report();
      const GilRelease released;  // a sink may wait
      Logger("qtforge.python").error(report);
    }));
  }

  void addPlugin(const std::shared_ptr<PluginContext>& context) {
    std::lock_guard lock(mutex_);
    plugins_[context->object.get()] = context;
  }
  void removePlugin(const PluginContext& context) {
    std::lock_guard lock(mutex_);
    plugins_.erase(context.object.get());
  }
  /// The context of a plugin object; null for one that no manager loaded.
  [[nodiscard]] std::shared_ptr<PluginContext> pluginOf(PyObject* object) const {
    std::lock_guard lock(mutex_);
    const auto found = plugins_.find(object);
    return found == plugins_.end() ? nullptr : found->second;
  }
  [[nodiscard]] static bool isOfPlugin(std::string_view module) noexcept { return module.starts_with(modulesOfPlugins); }
  /// The context of the plugin whose modules are called `qtforge_plugins.NAME...`; null for other modules.
  /// @param number  the context's, where it is known: of two versions of a plugin
  [[nodiscard]] std::shared_ptr<PluginContext> pluginOfModule(std::string_view module, std::uint64_t number = 0) const {
    if (!isOfPlugin(module)) return nullptr;
    module.remove_prefix(modulesOfPlugins.size());
    module = module.substr(0, module.find('.'));
    if (auto known = findPlugin([&](const PluginContext& context) { return context.number == number; })) return known;
    return findPlugin([&](const PluginContext& context) {
      if (!context.isInPlace()) return false;
      auto name = context.name;
      std::replace(name.begin(), name.end(), '.', '_');  // as the package's _plugins.py names it
      return name == module;
    });
  }
  /// The context of the plugin with that name in its manifest; null for others.
  [[nodiscard]] std::shared_ptr<PluginContext> pluginNamed(std::string_view name) const {
    return findPlugin([&](const PluginContext& context) {
      return context.name == name && context.isInPlace();
    });
  }

 private:
  static constexpr std::string_view modulesOfPlugins = "qtforge_plugins.";

  template <class Wanted>
  std::shared_ptr<PluginContext> findPlugin(Wanted&& wanted) const {
    std::lock_guard lock(mutex_);
    for (const auto& [object, context] : plugins_)
      if (wanted(*context)) return context;
    return nullptr;
  }

  // Python's own end without Py_FinalizeEx, which nothing survives: executors' workers, threads, atexit functions, output.
  // threading._shutdown would wait for the main thread too, which may be the one that waits for this.
  static constexpr const char* ending = R"(
import atexit, sys, time
until = time.monotonic() + seconds
threading = sys.modules.get("threading")
for call in reversed(getattr(threading, "_threading_atexits", ())):
    call()
waited = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()] if threading else []
for thread in waited:
    thread.join(max(0.0, until - time.monotonic()))
stuck = ", ".join("Python thread '%s'" % t.name for t in waited if t.is_alive())
if not stuck:
    atexit._run_exitfuncs()
failed = None
for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except Exception as error:
        failed = error
if failed is not None:
    raise failed
)";

  static std::string endPython(double seconds) {
    const Gil gil;
    const Ref names = Ref::steal(PyDict_New());
    const Ref limit = Ref::steal(PyFloat_FromDouble(seconds));
    const bool told = names && limit && PyDict_SetItemString(names.get(), "__builtins__", PyEval_GetBuiltins()) == 0 &&
                      PyDict_SetItemString(names.get(), "seconds", limit.get()) == 0;
    const Ref done = Ref::steal(told ? PyRun_String(ending, Py_file_input, names.get(), names.get()) : nullptr);
    if (!done) Logger("qtforge.python").error(takePythonError("the end of Python", gil).message());
    PyObject* stuck = names ? PyDict_GetItemString(names.get(), "stuck") : nullptr;
    return stuck ? textOf(stuck, gil) : std::string();
  }

  std::vector<std::string> end(qtforge::detail::Deadline deadline) {
    const GilRelease released;
    std::vector<std::string> stuck;
    if (memory_) memory_->lift();
    if (role_ == Role::Owner) {
      auto ended = std::make_shared<std::promise<std::string>>();
      auto done = ended->get_future();
      // Half of the time, so that the names of threads that do not end still come back.
      const std::chrono::duration<double> left = deadline - std::chrono::steady_clock::now();
      std::thread([ended, seconds = left.count() / 2] { ended->set_value(endPython(seconds)); }).detach();
      if (done.wait_until(deadline) != std::future_status::ready) stuck.push_back("Python: a thread or an atexit function");
      else if (auto names = done.get(); !names.empty()) stuck.push_back(std::move(names));
    }
    ended_.store(true, std::memory_order_release);
    std::vector<Lane*> lanes;  // they stay: handlers that are still queued hold pointers to them
    {
      std::lock_guard lock(mutex_);
      for (const auto& lane : lanes_) lanes.push_back(lane.get());
    }
    const auto atLeastBriefly = [&] {
      return std::max(deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(100));
    };
    const auto limit = atLeastBriefly();
    for (auto* lane : lanes)
      if (!lane->stop(limit)) stuck.push_back("lane \"" + lane->name() + "\"");
    const bool debugged = debugger_.end(atLeastBriefly());
    if (!watchdog_.end(atLeastBriefly()) || !debugged) stuck.push_back("Python: a call into C that holds the GIL");
    return stuck;
  }

  const Role role_;
  MemoryLimit* const memory_;
  Watchdog watchdog_;
  Debugger debugger_;
  MainThread mainThread_;
  std::atomic<bool> ended_{false};
  mutable std::mutex mutex_;  // guards all below; a leaf
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::map<PyObject*, std::shared_ptr<PluginContext>> plugins_;
  std::optional<PackageSource> installsFrom_;
  std::optional<std::chrono::milliseconds> reloadInterval_;
  std::shared_ptr<const SharedRef> logFollower_;
};

/// The context of a plugin object that a manager has, or is making or unloading on this thread; else null.
inline std::shared_ptr<PluginContext> contextOf(PyObject* plugin) {
  if (auto known = Interpreter::find()->pluginOf(plugin)) return known;
  auto* current = PluginScope::current();
  const bool its = current && (!current->object.get() || current->object.get() == plugin);
  return its ? current->shared_from_this() : nullptr;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
