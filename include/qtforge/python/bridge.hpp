#pragma once
// qtforge/python/bridge.hpp: the one table between a host's binary and the extension: C functions over PyObject*.
//
// Nothing of C++ type crosses, so both may be built with different Boost, flags and visibility. The host puts the table
// into a capsule before the package is imported; without a host the extension fills one itself.

#include <qtforge/python/detail/cpython.hpp>

#include <qtforge/utils/config.hpp>

#include <cstddef>
#include <cstdint>

namespace qtforge::inline QTFORGE_ABI::python {

/// Name of the capsule, and the attribute of `sys` that holds it.
inline constexpr const char* bridgeCapsule = "qtforge.bridge.v1";
inline constexpr const char* bridgeAttribute = "_qtforge_bridge";

/// Append-only: `size` says what is there; `version` changes when a function's meaning does.
///
/// Every function is called with the GIL held and none blocks while holding it. Those that return PyObject* give a new
/// reference, or null with a Python error set: TypeError or ValueError for arguments, else `qtforge.Error` with its code.
struct Bridge {
  static constexpr std::uint32_t currentVersion = 1;

  std::uint32_t version;
  std::uint32_t size;
  const char* build;  ///< what the host was built as, for error messages

  /// @param payload  dict, list, str, int, float, bool, None, a qtforge.BinaryMessage or qtforge.Message, or bytes-like
  /// @param replyTo  str or null, @param headers  dict or null, @param retain  whether late subscribers get it
  /// @return int: how many subscriptions it reached
  PyObject* (*publish)(PyObject* topic, PyObject* payload, PyObject* replyTo, PyObject* headers, int retain);
  /// @param options  dict or null, what is unknown in it being ignored: envelope (bool), delivery ("queued" | "direct"),
  ///                 capacity (int), policy ("block" | "drop_oldest" | "drop_newest" | "fail" | "latest"),
  ///                 block_timeout (float, s), owner (object), group (str), retained (bool), responds (bool: its results answer requests),
  ///                 filter (callable or None: asked on the publisher's thread, see knowsOption)
  /// @return int: the subscription's number
  PyObject* (*subscribe)(PyObject* pattern, PyObject* handler, PyObject* options);
  /// Waits, the GIL released, for a call on another thread. @return True if it was subscribed
  PyObject* (*unsubscribe)(std::uint64_t subscription);
  /// @param owner  a plugin, an object whose methods were subscribed, or what was given as `owner`
  /// @return int: how many were ended
  PyObject* (*unsubscribeAll)(PyObject* owner);
  /// @return dict: delivered, dropped, mismatched, failed, pending, replaced; None for one that has ended
  PyObject* (*subscriptionStats)(std::uint64_t subscription);
  /// Waits, the GIL released, until all published so far is handled. @return None
  PyObject* (*drain)(double seconds);
  /// @return dict
  PyObject* (*busStats)();

  /// Levels as qtforge::LogLevel: 0 trace to 4 error. @return None
  PyObject* (*log)(int level, PyObject* logger, PyObject* message, PyObject* file, unsigned line);
  int (*logLevel)();
  void (*setLogLevel)(int level);

  /// @return int: the PluginState that the manager holds for this plugin object, None for one that nobody manages
  PyObject* (*pluginState)(PyObject* plugin);
  /// Loads a plugin folder or shared object. @return int: its number
  PyObject* (*pluginLoad)(PyObject* path);
  /// @param step  "initialize", "activate", "deactivate", "cleanup" or "unload". @return None
  PyObject* (*pluginStep)(std::uint64_t plugin, const char* step);
  /// @return dict: name, version, description, author, state (int), object (the Python plugin, None for a native one)
  PyObject* (*pluginInfo)(std::uint64_t plugin);

  /// Ends what runs in this process (plugins, lanes, threads), bounded; called at the interpreter's exit. @return None
  PyObject* (*shutdown)();

  /// How the manager describes a plugin object, its manifest included; null in hosts that do not offer it. Must not call
  /// the plugin's own describing functions, whose defaults ask here.
  /// @return dict: name, version, description, author (str), dependencies (list of str), and from later hosts key (int:
  ///         of this load alone), folder and data_dir (str; the second may be empty); None for one that nobody manages
  PyObject* (*pluginDescription)(PyObject* plugin);

  /// Publishes a request and waits, the GIL released, for its answer. @return the answer's payload, or the Message
  PyObject* (*request)(PyObject* topic, PyObject* payload, double seconds, int envelope);
  /// @return int: how many retained messages were let go
  PyObject* (*clearRetained)(PyObject* pattern);

  /// Shows a handler what is published, each as a Message.
  /// @param options  dict or null: every (int), capacity (int), policy ("drop_oldest" | "drop_newest" | "latest"),
  ///                 owner (object), filter (callable or None)
  /// @return int: the subscription's number
  PyObject* (*tap)(PyObject* pattern, PyObject* handler, PyObject* options);

  /// Whether subscribe and tap read an option of that name which not all hosts do: "filter". Null in those that read none.
  int (*knowsOption)(const char* name);

  /// Queues what is published until it is received. The functions of subscriptions take its number too.
  /// @param wake     called without arguments, on any thread, as awaitMessage says
  /// @param options  as subscribe, but delivery and responds
  /// @return int: its number
  PyObject* (*receiver)(PyObject* pattern, PyObject* wake, PyObject* options);
  /// Waits, the GIL released, for a message. @param seconds  less than 0: without a limit
  /// @param ended    what to return when the receiver has ended; null: that is an error
  /// @return the oldest message, as handlers get it
  PyObject* (*receive)(std::uint64_t receiver, double seconds, PyObject* ended);
  /// @return the oldest message, `none` if there is none
  PyObject* (*tryReceive)(std::uint64_t receiver, PyObject* none);
  /// Has `wake` called, once, when there is a message or the receiver ends.
  /// @return True if that is so already, and perhaps no call comes; False
  PyObject* (*awaitMessage)(std::uint64_t receiver);

  /// @return dict: the values in force of a plugin object's settings, also in its constructor; None for one that nobody
  ///         manages
  PyObject* (*pluginConfig)(PyObject* plugin);
  /// @return dict: the same, for a plugin's number
  PyObject* (*pluginConfiguration)(std::uint64_t plugin);
  /// Sets settings: what `values`, a dict, does not name stays, None takes a value back. Waits, the GIL released, for the
  /// plugin's answer. @return None
  PyObject* (*pluginConfigure)(std::uint64_t plugin, PyObject* values);
  /// Reads them from a file, and keeps there what is set from then on. Waits as pluginConfigure. @return None
  PyObject* (*pluginKeepConfiguration)(std::uint64_t plugin, PyObject* path);

  /// Has `function` called without arguments on the plugin's lane after `seconds`, at least 0.001, or at that interval.
  /// @return int: the timer's number
  PyObject* (*startTimer)(PyObject* plugin, double seconds, PyObject* function, int repeat);
  /// No call begins any more. Nothing for one that has ended. @return None
  PyObject* (*stopTimer)(std::uint64_t timer);

  /// Finds a plugin or service by its name, in whatever manager of the process.
  /// @return tuple: its number; the object if it is written in Python, else None; of each method of its typed
  ///         interfaces the interface's name, the C++ signature, and (name, ((parameter, type), ...), result type), types
  ///         as the package's _interfaces.py reads them
  PyObject* (*pluginFind)(PyObject* name);
  /// Calls a method of one in C++, the GIL released. @param arguments  tuple. @return its result
  PyObject* (*pluginCall)(std::uint64_t found, PyObject* interface, PyObject* method, PyObject* arguments);

  /// @return the object of one in Python
  PyObject* (*pluginFound)(std::uint64_t found);
  /// Offers an object of a plugin to others under a name. @return None
  PyObject* (*offer)(PyObject* plugin, PyObject* name, PyObject* object);
  /// Takes it back: nobody else calls it. @return None
  PyObject* (*withdraw)(PyObject* plugin, PyObject* name);

  /// As pluginLoad, under a name (empty: its own), with a prefix of topics (maybe empty) and values of settings, a dict.
  /// From here on pluginDescription has topic_prefix (str) too. @return int: its number
  PyObject* (*pluginLoadAs)(PyObject* path, PyObject* name, PyObject* topicPrefix, PyObject* configuration);

  /// Calls a method of what was found in Python, on its plugin's lane where it is marked for that, else on this thread; it
  /// stays loaded meanwhile.
  /// @param arguments  tuple  @param named  dict. @return its result; what it raises is raised
  PyObject* (*pluginInvoke)(std::uint64_t found, PyObject* name, PyObject* arguments, PyObject* named);

  /// Whether the library started this Python and so may change what is global in it: hooks, warnings, the root logger.
  int (*ownsPython)();
  /// As qtforge::setDebugMode.
  void (*setDebugMode)(int enabled);
  int (*debugMode)();
  /// Has `function` called without arguments, on a lane, after each change of the log's level or of debug mode; in place
  /// of the one before. @return None
  PyObject* (*followLog)(PyObject* function);
  /// As log, of what the standard logging has already.
  PyObject* (*logOfLogging)(int level, PyObject* logger, PyObject* message, PyObject* file, unsigned line);
  /// Has `function` called, on the lane of the plugin that calls, with level (int), logger, message, file (str), line
  /// (int), time (float, seconds since 1970) and whether it came by logOfLogging (bool) of what is logged from that level
  /// on, until it ends or the plugin does.
  /// @return int: the subscription's number
  PyObject* (*logSubscribe)(PyObject* function, int level);
  /// No call begins any more. @return bool: whether there was one
  PyObject* (*logUnsubscribe)(std::uint64_t subscription);

  /// Compiles a module, also where Python's memory is at its limit. @param source  bytes. @return its code
  PyObject* (*compileModule)(PyObject* source, PyObject* filename);
};

}  // namespace qtforge::inline QTFORGE_ABI::python
