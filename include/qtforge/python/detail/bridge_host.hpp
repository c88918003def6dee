#pragma once
// qtforge/python/detail/bridge_host.hpp: fills the bridge's table, for a host's capsule or for an extension on its own.

#include <qtforge/python/detail/bridge_configuration.hpp>
#include <qtforge/python/detail/bridge_interfaces.hpp>
#include <qtforge/python/detail/offender.hpp>
#include <qtforge/python/detail/bridge_plugins.hpp>
#include <qtforge/python/detail/bridge_receiver.hpp>
#include <qtforge/python/detail/compiling.hpp>
#include <qtforge/python/detail/executor.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

// Nothing C++ is thrown into the extension: its binary may have another idea of exceptions.
template <auto function>
struct Guarded;
template <class... Args, PyObject* (*function)(Args...)>
struct Guarded<function> {
  static PyObject* call(Args... args) noexcept {
    try {
      return orStay([&] { return function(args...); });
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::exception&) {
      PyErr_SetString(PyExc_RuntimeError, qtforge::detail::caughtError().message().c_str());
    }
    return nullptr;
  }
};

inline const Bridge& bridgeTable() {
  static constexpr Bridge table{Bridge::currentVersion,
                                sizeof(Bridge),
                                QTFORGE_ABI_TAG,
                                &Guarded<&bridgePublish>::call,
                                &Guarded<&bridgeSubscribe>::call,
                                &Guarded<&bridgeUnsubscribe>::call,
                                &Guarded<&bridgeUnsubscribeAll>::call,
                                &Guarded<&bridgeSubscriptionStats>::call,
                                &Guarded<&bridgeDrain>::call,
                                &Guarded<&bridgeBusStats>::call,
                                &Guarded<&bridgeLog>::call,
                                &bridgeLogLevel,
                                &bridgeSetLogLevel,
                                &Guarded<&bridgePluginState>::call,
                                &Guarded<&bridgePluginLoad>::call,
                                &Guarded<&bridgePluginStep>::call,
                                &Guarded<&bridgePluginInfo>::call,
                                &Guarded<&bridgeShutdown>::call,
                                &Guarded<&bridgePluginDescription>::call,
                                &Guarded<&bridgeRequest>::call,
                                &Guarded<&bridgeClearRetained>::call,
                                &Guarded<&bridgeTap>::call,
                                &bridgeKnowsOption,
                                &Guarded<&bridgeReceiver>::call,
                                &Guarded<&bridgeReceive>::call,
                                &Guarded<&bridgeTryReceive>::call,
                                &Guarded<&bridgeAwaitMessage>::call,
                                &Guarded<&bridgePluginConfig>::call,
                                &Guarded<&bridgePluginConfiguration>::call,
                                &Guarded<&bridgePluginConfigure>::call,
                                &Guarded<&bridgePluginKeepConfiguration>::call,
                                &Guarded<&bridgeStartTimer>::call,
                                &Guarded<&bridgeStopTimer>::call,
                                &Guarded<&bridgePluginFind>::call,
                                &Guarded<&bridgePluginCall>::call,
                                &Guarded<&bridgePluginFound>::call,
                                &Guarded<&bridgeOffer>::call,
                                &Guarded<&bridgeWithdraw>::call,
                                &Guarded<&bridgePluginLoadAs>::call,
                                &Guarded<&bridgePluginInvoke>::call,
                                &bridgeOwnsPython,
                                &bridgeSetDebugMode,
                                &bridgeDebugMode,
                                &Guarded<&bridgeFollowLog>::call,
                                &Guarded<&bridgeLogOfLogging>::call,
                                &Guarded<&bridgeLogSubscribe>::call,
                                &Guarded<&bridgeLogUnsubscribe>::call,
                                &Guarded<&bridgeCompileModule>::call};
  return table;
}

/// Takes up a Python that is running: lanes, executor table and, for the end, a function with Python's atexit.
inline Interpreter& joinInterpreter(Interpreter::Role role, MemoryLimit* memory = nullptr) {
  auto& process = qtforge::detail::processRoot();
  auto made = std::make_unique<Interpreter>(role, memory);
  void* none = nullptr;
  if (!process.interpreter.compare_exchange_strong(none, made.get())) return *static_cast<Interpreter*>(none);
  made->begin();
  process.pythonTable.store(&ExecutorFunctions::table, std::memory_order_release);
  return *made.release();
}

/// For an extension that finds no host: the table over a runtime of its own. Null with a Python error set on failure.
inline const Bridge* joinInterpreter() {
  // It takes the importing thread for the main one, and Python's end then waits for that thread: not for a lane.
  const Ref threading = Ref::steal(PyImport_ImportModule("threading"));
  if (!threading) return nullptr;
  joinInterpreter(Interpreter::Role::Guest).debugger().join(Gil(GilHeld()));
  return &bridgeTable();
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail

#include <qtforge/python/python_plugin_loader.hpp>  // last: it defines makePythonLoader and leads back here
