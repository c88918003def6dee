#pragma once
// qtforge/python/detail/python_plugin.hpp: a plugin written in Python, as the manager's IPlugin.

#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/core/iplugin.hpp>
#include <qtforge/python/detail/bridge_bus.hpp>
#include <qtforge/python/detail/log_subscription.hpp>
#include <qtforge/python/detail/python_interface.hpp>

#include <algorithm>
#include <memory>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Ends what the plugin subscribed; waits for its running handlers, the GIL released meanwhile, as long as a hook may take:
/// what a handler that runs on holds goes with its end.
inline void endSubscriptions(const PluginContext& plugin, const Gil&) {
  {
    const GilRelease released;
    LogSubscriptions::instance().endOf(plugin);
  }
  const auto taken = PythonSubscriptions::instance().take(
      [&](std::uint64_t, const PythonSubscriptions::Entry& entry) { return entry.plugin == &plugin; });
  if (PythonSubscriptions::end(taken, plugin.hookLimit)) return;
  const GilRelease released;
  Logger(plugin.name).warning("a handler has not ended within " + std::to_string(plugin.hookLimit.count()) +
                              " ms, and is left to itself");
}

/// Calls a function of qtforge._author, where what plugins started is kept account of; with the reserve of memory, since
/// a lock of its that is not released for lack of memory would stop the lane.
inline expected<void> tellAuthor(const char* function, PyObject* argument, const Gil& gil) {
  const MemoryReserve reserve;
  const Ref author = Ref::steal(argument ? PyImport_ImportModule("qtforge._author") : nullptr);
  const Ref done = Ref::steal(
      author ? orStay([&] { return PyObject_CallMethod(author.get(), function, "O", argument); }) : nullptr);
  return done ? expected<void>() : takePythonError("raised", gil);
}
inline expected<void> tellAuthor(const char* function, const PluginContext& plugin, const Gil& gil) {
  return tellAuthor(function, Ref::steal(PyLong_FromUnsignedLongLong(plugin.number)).get(), gil);
}

/// Asks qtforge._leaks once more, when all that was posted to the lane before is done, and tells what is held even then.
inline void tellWhatIsKept(const PluginContext& plugin, SharedRef watch) {
  plugin.lane->post(qtforge::detail::Task::of([name = plugin.name, replaced = plugin.replaced.load(), watch = std::move(watch)] {
    const Gil gil;
    PyGC_Collect();
    const Ref lines = Ref::steal(PyObject_CallMethod(watch.get(), "report", nullptr));
    const Ref separator = Ref::steal(lines ? PyUnicode_FromString("; ") : nullptr);
    const Ref text = Ref::steal(separator ? PyUnicode_Join(separator.get(), lines.get()) : nullptr);
    const char* kept = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
    if (!kept) return Logger("qtforge.python").warning("plugin '" + name + "': " + takePythonError("report", gil).message());
    if (*kept == '\0') return;
    const auto message = "plugin '" + name + (replaced ? "' is reloaded, and not all of the old version is gone: "
                                                       : "' is unloaded, and not all of it is gone: ") + kept;
    const GilRelease released;  // a sink may wait
    qtforge::detail::pluginLogger().warning(message);
    qtforge::detail::tellOfPlugin(name, "kept", message);
  }));
}

/// Takes back what the plugin started, drops its object and modules, on its lane.
inline expected<void> forgetPlugin(PluginContext& plugin, const Gil& gil) {
  const PluginScope scope(&plugin);
  const MemoryReserve reserve;
  if (auto told = tellAuthor("unload", plugin, gil); !told)
    Logger("qtforge.python").warning("plugin '" + plugin.name + "': unload: " + told.error().message());
  const Ref plugins = Ref::steal(PyImport_ImportModule("qtforge._plugins"));
  Ref watch;
  if (plugins && plugin.object.get()) {
    watch = Ref::steal(PyObject_CallMethod(plugins.get(), "watch", "sOO", plugin.name.c_str(), plugin.object.get(),
                                           plugin.modules ? plugin.modules.get() : Py_None));
    if (!watch) PyErr_Clear();
  }
  plugin.object = SharedRef();
  plugin.heldOffers.clear();
  expected<void> forgotten;
  if (plugin.modules || plugin.held.load(std::memory_order_relaxed)) {
    plugin.modules = SharedRef();  // those in sys.modules are another version's
  } else {
    const Ref gone = Ref::steal(plugins ? PyObject_CallMethod(plugins.get(), "unload", "s", plugin.name.c_str()) : nullptr);
    if (!gone) forgotten = takePythonError("raised", gil);
  }
  plugin.environment.reset();
  if (!forgotten) return forgotten;
  PyGC_Collect();  // bound methods and frames of the plugin tie its objects into cycles
  const Ref kept = Ref::steal(watch ? PyObject_CallMethod(watch.get(), "report", nullptr) : nullptr);
  if (kept && PyList_GET_SIZE(kept.get()) > 0) tellWhatIsKept(plugin, SharedRef(std::move(watch)));
  PyErr_Clear();
  return {};
}

/// While it lives, the modules of a version that is held are those in sys.modules, in place of the ones that are there else.
class ModulesInPlace {
 public:
  ModulesInPlace(PluginContext& held, const Gil& gil) : held_(held) {
    if (!held.held.load(std::memory_order_relaxed) || !held.modules) return;  // they are in place already, or there are none
    others_ = exchange(std::move(held.modules), gil);
  }
  ModulesInPlace(const ModulesInPlace&) = delete;
  ModulesInPlace& operator=(const ModulesInPlace&) = delete;
  ~ModulesInPlace() {
    if (others_) held_.modules = exchange(std::move(others_), Gil(GilHeld()));
  }

  /// They stay. @return those that were there, a dict
  SharedRef keep() noexcept { return std::move(others_); }

 private:
  SharedRef exchange(SharedRef modules, const Gil& gil) const {
    const Ref plugins = Ref::steal(PyImport_ImportModule("qtforge._plugins"));
    Ref taken = Ref::steal(plugins ? PyObject_CallMethod(plugins.get(), "take", "s", held_.name.c_str()) : nullptr);
    const Ref put = Ref::steal(taken ? PyObject_CallMethod(plugins.get(), "put", "O", modules.get()) : nullptr);
    if (!put) Logger("qtforge.python").error("plugin '" + held_.name + "': " + takePythonError("its modules", gil).message());
    return SharedRef(std::move(taken));
  }

  PluginContext& held_;
  SharedRef others_;
};

/// Every hook goes to the plugin's lane; methods of interfaces do where they say so.
class PythonPlugin final : public IPlugin {
 public:
  PythonPlugin(std::shared_ptr<PluginContext> context, PluginTexts texts, PyObject* object)
      : context_(std::move(context)),
        texts_(std::move(texts)),
        implementations_(std::make_shared<PythonImplementations>(context_, object)) {}

  /// The subscriptions end, the object goes, and with it the modules of the plugin.
  ~PythonPlugin() override {
    {
      const Gil gil;
      endSubscriptions(*context_, gil);
      if (implementations_->context() == context_) implementations_->clear(gil);  // else they are another version's
    }
    Interpreter::find()->removePlugin(*context_);
    std::chrono::milliseconds limit = std::chrono::seconds(5);
    if (context_->held.load(std::memory_order_relaxed)) limit = std::min(limit, context_->hookLimit);  // its place was not its own
    auto done = context_->lane->call([context = context_](const Gil& gil) { return forgetPlugin(*context, gil); }, limit);
    if (!done) Logger("qtforge.python").warning("plugin '" + context_->name + "': unload: " + done.error().message());
  }

  [[nodiscard]] const std::shared_ptr<PluginContext>& context() const noexcept { return context_; }

  std::string name() const override { return texts_.name; }
  std::string version() const override { return texts_.version; }
  std::string description() const override { return texts_.description; }
  std::string author() const override { return texts_.author; }
  std::vector<std::string> dependencies() const override { return texts_.dependencies; }

  expected<void> initialize() override {
    return hook("initialize", PluginState::Initialized, "begin_initialize", "end_initialize");
  }
  expected<void> activate() override { return hook("activate", PluginState::Active); }
  expected<void> deactivate() override { return hook("deactivate", PluginState::Initialized); }
  void cleanup() override {
    auto done = hook("cleanup", PluginState::Loaded);
    auto taken = onLane([](PyObject* plugin, const Gil& gil) { return tellAuthor("end_cleanup", plugin, gil); });
    if (done && !taken) done = taken;
    if (!done) throw Exception(done.error());
  }

  expected<void> onConfigChanged(const Configuration& before, const Configuration& after) override {
    return onLane([before, after](PyObject* plugin, const Gil& gil) -> expected<void> {
      const Ref old = objectToPython(before.values(), gil), now = objectToPython(after.values(), gil);
      if (!old || !now) return takePythonError("its settings", gil);
      return call("on_config_changed", gil, [&] {
        return PyObject_CallMethod(plugin, "on_config_changed", "OO", old.get(), now.get());
      });
    });
  }

  bool isCompatible(std::string_view pluginApi) const override {
    auto fits = std::make_shared<bool>(false);  // the step may outlive this call
    auto done = onLane([fits, api = std::string(pluginApi)](PyObject* plugin, const Gil& gil) -> expected<void> {
      const Ref answer = Ref::steal(PyObject_CallMethod(plugin, "is_compatible", "s", api.c_str()));
      const int truth = answer ? PyObject_IsTrue(answer.get()) : -1;
      if (truth < 0) return takePythonError("is_compatible", gil);
      *fits = truth == 1;
      return {};
    });
    if (!done) throw Exception(done.error());
    return *fits;
  }

 private:
  friend class PythonReplacement;

  template <class F>
  expected<void> onLane(F step) const {
    auto done = context_->lane->call(
        [context = context_, step = std::move(step)](const Gil& gil) {
          const PluginScope scope(context.get());
          const ModulesInPlace modules(*context, gil);
          return step(context->object.get(), gil);
        },
        context_->hookLimit);
    // A version that is not to run is not waited for once more.
    if (!done && done.error() == Errc::TimedOut && context_->held.load(std::memory_order_relaxed))
      context_->hookLimit = std::min(context_->hookLimit, std::chrono::milliseconds(500));
    return done;
  }

  expected<qtforge::detail::Implementation> implementation(const InterfaceInfo& wanted) override {
    return implementations_->find(wanted);
  }

  // `before` and `behind` are functions of qtforge._author; may be null.
  expected<void> hook(const char* method, PluginState after, const char* before = nullptr, const char* behind = nullptr) {
    auto done = onLane([=, context = context_](PyObject* plugin, const Gil& gil) -> expected<void> {
      if (before) {
        context->offences.store(0, std::memory_order_relaxed);  // another try
        if (auto told = tellAuthor(before, plugin, gil); !told) return told;
      }
      auto called = call(method, plugin, gil);
      if (!called) return called;
      return behind ? tellAuthor(behind, plugin, gil) : expected<void>();
    });
    context_->state.store(static_cast<int>(done ? after : PluginState::Error));
    return done;
  }

  static expected<void> call(const char* hook, PyObject* plugin, const Gil& gil) {
    return call(hook, gil, [&] { return PyObject_CallMethod(plugin, hook, nullptr); });
  }
  template <class F>
  static expected<void> call(const char* hook, const Gil& gil, F&& f) {
    WatchedCall watched("a hook", hook);
    const Ref result = Ref::steal(orStay(f));
    watched.end();
    return result ? judge(result, gil) : watched.takeError("raised", gil);
  }

  // What a hook's result means: None and what counts as true are success.
  static expected<void> judge(const Ref& result, const Gil& gil) {
    if (PyCoro_CheckExact(result.get())) {
      const Ref closed = Ref::steal(PyObject_CallMethod(result.get(), "close", nullptr));
      PyErr_Clear();
      return Error(Errc::HookFailed, "it is a coroutine function; a hook must be a plain function");
    }
    const int truth = result.get() == Py_None ? 1 : PyObject_IsTrue(result.get());
    if (truth < 0) return takePythonError("its result has no truth value", gil);
    if (truth == 0) return Error(Errc::HookFailed, "returned False");
    return {};
  }

  std::shared_ptr<PluginContext> context_;
  PluginTexts texts_;
  std::shared_ptr<PythonImplementations> implementations_;  // handles point into them: one version has them from the other
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
