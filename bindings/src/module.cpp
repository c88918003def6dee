// module.cpp: the extension `qtforge._qtforge`: finds the bridge of the process and defines what the package re-exports.
//
// What plugin authors touch are types made by hand (types.hpp): their calls are hot, their errors name arguments, and
// they take part in garbage collection. The functions below serve the package's own Python and come from Boost.Python.

#include <boost/python.hpp>
#include <boost/version.hpp>

#include "standalone.hpp"
#include "types.hpp"

#include <qtforge/core/detail/elf_note.hpp>

#include <pthread.h>

#include <atomic>
#include <string>

namespace bp = boost::python;

namespace qtforge::bindings {

namespace {

/// What every host of this version has; later members are used where the host's size covers them.
constexpr std::size_t neededSize = offsetof(python::Bridge, shutdown) + sizeof(python::Bridge::shutdown);

constexpr int failed = 1;      // qtforge::Errc::Failed
constexpr int noRuntime = 10;  // qtforge::Errc::NoRuntime
constexpr int infoLevel = 2;   // qtforge::LogLevel::Info

const python::Bridge* table = nullptr;
std::atomic<bool> forked{false};

std::string ownBuild() {
  return "qtforge " QTFORGE_VERSION ", Python " PY_VERSION ", Boost.Python " BOOST_LIB_VERSION;
}

[[noreturn]] void failImport(const std::string& message) {
  PyErr_SetString(PyExc_ImportError, message.c_str());
  throw bp::error_already_set();
}

void checkMatches(const python::Bridge& host) {
  if (host.version == python::Bridge::currentVersion && host.size >= neededSize) return;
  const bool named = host.size >= offsetof(python::Bridge, build) + sizeof(host.build) && host.build;
  failImport("the host (" + std::string(named ? host.build : "its build is not known") + ") offers bridge version " +
             std::to_string(host.version) + " of " + std::to_string(host.size) + " bytes, this package (" + ownBuild() +
             ") needs version " + std::to_string(python::Bridge::currentVersion) + " of at least " +
             std::to_string(neededSize) +
             " bytes: install the package qtforge of the host's release into this environment, or build the host "
             "with the headers of this package's release");
}

/// The table of the host that embeds this Python, else null.
const python::Bridge* hostsBridge() {
  PyObject* capsule = PySys_GetObject(python::bridgeAttribute);
  if (!capsule || capsule == Py_None) return nullptr;
  if (!PyCapsule_IsValid(capsule, python::bridgeCapsule))
    failImport(std::string("sys.") + python::bridgeAttribute + " is no capsule named '" + python::bridgeCapsule +
               "': it is reserved for the host that embeds this Python, and this package (" + ownBuild() +
               ") does not know what is there");
  auto* host = static_cast<const python::Bridge*>(PyCapsule_GetPointer(capsule, python::bridgeCapsule));
  checkMatches(*host);
  return host;
}

bp::object result(PyObject* owned) { return bp::object(bp::handle<>(owned)); }

/// What a function of the table returns, called so that an ending interpreter does not unwind through Boost.Python.
template <class F>
bp::object call(F&& f) {
  return result(orStay(f));
}

const python::Bridge& liveBridge() {
  const auto* live = bridge();
  if (!live) throw bp::error_already_set();
  return *live;
}

/// A member that older hosts do not have.
template <class Function>
Function later(const python::Bridge& live, Function python::Bridge::* member) {
  const auto end = static_cast<std::size_t>(reinterpret_cast<const char*>(&(live.*member)) -
                                            reinterpret_cast<const char*>(&live)) + sizeof(Function);
  return live.size < end ? nullptr : live.*member;
}

/// The same, where it is an error that there is none.
template <class Function>
Function needed(const python::Bridge& live, Function python::Bridge::* member, const char* what) {
  if (const auto function = later(live, member)) return function;
  raise(failed, ("this host was built with an older qtforge, whose plugins have no " + std::string(what) +
                 "; build it anew").c_str());
  throw bp::error_already_set();
}

void log(int level, bp::object logger, bp::object message, bp::object file, unsigned line) {
  if (isForkedChild()) return PySys_FormatStderr("%S: %S\n", logger.ptr(), message.ptr());
  call([&] { return table->log(level, logger.ptr(), message.ptr(), file.ptr(), line); });
}

void logOfLogging(int level, bp::object logger, bp::object message, bp::object file, unsigned line) {
  const auto tell = isForkedChild() ? nullptr : later(*table, &python::Bridge::logOfLogging);
  if (!tell) return log(level, logger, message, file, line);
  call([&] { return tell(level, logger.ptr(), message.ptr(), file.ptr(), line); });
}

int logLevel() { return isForkedChild() ? infoLevel : orStay([] { return table->logLevel(); }); }
void setLogLevel(int level) { liveBridge().setLogLevel(level); }

bool ownsPython() {
  const auto owns = isForkedChild() ? nullptr : later(*table, &python::Bridge::ownsPython);
  return owns && owns();
}

bool debugMode() {
  const auto mode = isForkedChild() ? nullptr : later(*table, &python::Bridge::debugMode);
  return mode && mode();
}

/// @return whether the host has one
bool setDebugMode(bool enabled) {
  const auto set = later(liveBridge(), &python::Bridge::setDebugMode);
  if (set) set(enabled);
  return set;
}

void followLog(bp::object function) {
  const auto follow = later(liveBridge(), &python::Bridge::followLog);
  if (follow) call([&] { return follow(function.ptr()); });
}

bp::object logSubscribe(bp::object function, int level) {
  const auto subscribe = needed(liveBridge(), &python::Bridge::logSubscribe, "log to be seen");
  return call([&] { return subscribe(function.ptr(), level); });
}

bp::object logUnsubscribe(std::uint64_t subscription) {
  const auto unsubscribe = needed(liveBridge(), &python::Bridge::logUnsubscribe, "log to be seen");
  return call([&] { return unsubscribe(subscription); });
}

bp::object pluginState(bp::object plugin) {
  return call([&, &live = liveBridge()] { return live.pluginState(plugin.ptr()); });
}

bp::object pluginDescription(bp::object plugin) {
  const auto& live = liveBridge();
  const auto describe = later(live, &python::Bridge::pluginDescription);
  return describe ? call([&] { return describe(plugin.ptr()); }) : bp::object();
}

bp::object pluginLoad(bp::object path) {
  return call([&, &live = liveBridge()] { return live.pluginLoad(path.ptr()); });
}

bp::object pluginLoadAs(bp::object path, bp::object name, bp::object topicPrefix, bp::object configuration) {
  const auto load = needed(liveBridge(), &python::Bridge::pluginLoadAs, "names of their own for instances");
  return call([&] { return load(path.ptr(), name.ptr(), topicPrefix.ptr(), configuration.ptr()); });
}

void pluginStep(std::uint64_t plugin, const char* step) {
  call([&, &live = liveBridge()] { return live.pluginStep(plugin, step); });
}

bp::object pluginInfo(std::uint64_t plugin) {
  return call([&, &live = liveBridge()] { return live.pluginInfo(plugin); });
}

bp::object startTimer(bp::object plugin, double seconds, bp::object function, bool repeat) {
  const auto start = needed(liveBridge(), &python::Bridge::startTimer, "timers");
  return call([&] { return start(plugin.ptr(), seconds, function.ptr(), repeat); });
}

void stopTimer(std::uint64_t timer) {
  const auto stop = later(liveBridge(), &python::Bridge::stopTimer);
  if (stop) call([&] { return stop(timer); });
}

/// The host's table, which has `member` and so all before it, else throws.
template <class Function>
const python::Bridge& bridgeWith(Function python::Bridge::* member, const char* what) {
  const auto& live = liveBridge();
  (void)needed(live, member, what);
  return live;
}

const python::Bridge& bridgeWithConfiguration() {
  return bridgeWith(&python::Bridge::pluginKeepConfiguration, "settings");
}

bp::object pluginConfig(bp::object plugin) {
  return call([&, &live = bridgeWithConfiguration()] { return live.pluginConfig(plugin.ptr()); });
}

bp::object pluginConfiguration(std::uint64_t plugin) {
  return call([&, &live = bridgeWithConfiguration()] { return live.pluginConfiguration(plugin); });
}

void pluginConfigure(std::uint64_t plugin, bp::object values) {
  call([&, &live = bridgeWithConfiguration()] { return live.pluginConfigure(plugin, values.ptr()); });
}

void pluginKeepConfiguration(std::uint64_t plugin, bp::object path) {
  call([&, &live = bridgeWithConfiguration()] { return live.pluginKeepConfiguration(plugin, path.ptr()); });
}

const python::Bridge& bridgeWithServices() { return bridgeWith(&python::Bridge::withdraw, "services"); }

bp::object pluginFound(std::uint64_t found) {
  return call([&, &live = bridgeWithServices()] { return live.pluginFound(found); });
}

bp::object pluginInvoke(std::uint64_t found, bp::object name, bp::object arguments, bp::object named) {
  const auto invoke = needed(liveBridge(), &python::Bridge::pluginInvoke, "calls of other plugins in Python");
  return call([&] { return invoke(found, name.ptr(), arguments.ptr(), named.ptr()); });
}

void offer(bp::object plugin, bp::object name, bp::object object) {
  call([&, &live = bridgeWithServices()] { return live.offer(plugin.ptr(), name.ptr(), object.ptr()); });
}

void withdraw(bp::object plugin, bp::object name) {
  call([&, &live = bridgeWithServices()] { return live.withdraw(plugin.ptr(), name.ptr()); });
}

const python::Bridge& bridgeWithInterfaces() { return bridgeWith(&python::Bridge::pluginCall, "typed interfaces"); }

bp::object pluginFind(bp::object name) {
  return call([&, &live = bridgeWithInterfaces()] { return live.pluginFind(name.ptr()); });
}

bp::object pluginCall(std::uint64_t plugin, bp::object interface, bp::object method, bp::object arguments) {
  return call([&, &live = bridgeWithInterfaces()] {
    return live.pluginCall(plugin, interface.ptr(), method.ptr(), arguments.ptr());
  });
}

bp::object compileModule(bp::object source, bp::object filename) {
  const auto compile = isForkedChild() ? nullptr : later(*table, &python::Bridge::compileModule);
  if (compile) return call([&] { return compile(source.ptr(), filename.ptr()); });
  return bp::import("builtins").attr("compile")(source, filename, "exec", 0, true);
}

/// The ABI tag of a native plugin, none of whose code runs.
std::string pluginAbiTag(const std::string& path) {
  const auto fail = [](const Error& error) {
    raise(static_cast<int>(error.code()), error.message().c_str());
    throw bp::error_already_set();
  };
  const auto file = qtforge::detail::File::open(path, Errc::NotAPlugin);
  if (!file) fail(file.error());
  const auto note = qtforge::detail::ElfReader(*file, path).read();
  if (!note) fail(note.error());
  if (!note->abiTag)
    fail(Error(Errc::NotAPlugin, "'" + path + "' is not a qtforge plugin: it has no section qtforge_abi"));
  return *note->abiTag;
}

void shutdown() {
  if (!isForkedChild()) call([] { return table->shutdown(); });
}

void add(const char* name, PyObject* type) { bp::scope().attr(name) = result(type); }

void defineFunctions() {
  const bp::docstring_options plain(true, false, false);
  const auto arg = [](const char* name) { return bp::arg(name); };
  bp::def("log", log, (arg("level"), arg("logger"), arg("message"), arg("file"), arg("line")));
  bp::def("log_of_logging", logOfLogging, (arg("level"), arg("logger"), arg("message"), arg("file"), arg("line")));
  bp::def("log_level", logLevel);
  bp::def("set_log_level", setLogLevel, (arg("level")));
  bp::def("log_subscribe", logSubscribe, (arg("function"), arg("level")));
  bp::def("log_unsubscribe", logUnsubscribe, (arg("subscription")));
  bp::def("follow_log", followLog, (arg("function")));
  bp::def("owns_python", ownsPython);
  bp::def("debug_mode", debugMode);
  bp::def("set_debug_mode", setDebugMode, (arg("enabled")));
  bp::def("plugin_state", pluginState, (arg("plugin")));
  bp::def("plugin_description", pluginDescription, (arg("plugin")));
  bp::def("compile_module", compileModule, (arg("source"), arg("filename")));
  bp::def("plugin_load", pluginLoad, (arg("path")));
  bp::def("plugin_load_as", pluginLoadAs, (arg("path"), arg("name"), arg("topic_prefix"), arg("configuration")));
  bp::def("plugin_step", pluginStep, (arg("plugin"), arg("step")));
  bp::def("plugin_info", pluginInfo, (arg("plugin")));
  bp::def("start_timer", startTimer, (arg("plugin"), arg("seconds"), arg("function"), arg("repeat")));
  bp::def("stop_timer", stopTimer, (arg("timer")));
  bp::def("plugin_config", pluginConfig, (arg("plugin")));
  bp::def("plugin_configuration", pluginConfiguration, (arg("plugin")));
  bp::def("plugin_configure", pluginConfigure, (arg("plugin"), arg("values")));
  bp::def("plugin_keep_configuration", pluginKeepConfiguration, (arg("plugin"), arg("path")));
  bp::def("plugin_abi_tag", pluginAbiTag, (arg("path")));
  bp::def("plugin_find", pluginFind, (arg("name")));
  bp::def("plugin_found", pluginFound, (arg("found")));
  bp::def("plugin_invoke", pluginInvoke, (arg("found"), arg("name"), arg("arguments"), arg("named")));
  bp::def("offer", offer, (arg("plugin"), arg("name"), arg("object")));
  bp::def("withdraw", withdraw, (arg("plugin"), arg("name")));
  bp::def("plugin_call", pluginCall, (arg("plugin"), arg("interface"), arg("method"), arg("arguments")));
}

void connect() {
  if (table) return;
  const auto* host = hostsBridge();
  if (!host) {
    host = standaloneBridge();
    if (!host) throw bp::error_already_set();
    checkMatches(*host);
    bp::import("atexit").attr("register")(bp::make_function(shutdown));
  }
  if (pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); }) != 0)
    failImport("out of memory");
  table = host;
}

}  // namespace

bool isForkedChild() noexcept { return forked.load(std::memory_order_relaxed); }

const python::Bridge* bridge() {
  if (!isForkedChild()) return table;
  raise(noRuntime,
        "this process was forked from one that uses qtforge: the bus, its threads and the plugins live in the parent. "
        "Start the child with spawn or exec (multiprocessing.get_context('spawn'), subprocess), or import qtforge only "
        "after the fork");
  return nullptr;
}

}  // namespace qtforge::bindings

BOOST_PYTHON_MODULE(_qtforge) {
  using namespace qtforge::bindings;
  connect();
  bp::scope().attr("__doc__") = "The compiled part of the package qtforge. Import qtforge, not this.";
  bp::scope().attr("__version__") = QTFORGE_VERSION;
  bp::scope().attr("abi_tag") = QTFORGE_ABI_TAG;
  add("MessageBus", makeMessageBusType());
  add("Subscription", makeSubscriptionType());
  add("Receiver", makeReceiverType());
  add("Message", makeMessageType());
  add("BinaryMessage", makeBinaryMessageType());
  defineFunctions();
}
