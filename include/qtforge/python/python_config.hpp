#pragma once
// qtforge/python/python_config.hpp: what a host says of the Python that it starts.

#include <qtforge/python/package_source.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// How Python is set up; all defaults suit a program that just wants plugins.
struct PythonConfig {
  /// The interpreter to run as. It must be the build that the program was linked with.
  std::string pythonPath;
  /// A virtual environment, whose packages are used; it wins over `pythonPath`. Relative paths: to the current folder.
  std::string virtualEnvPath;
  /// Folders and archives to import from, before all others. Relative paths: to the current folder.
  std::vector<std::string> sysPath;
  /// `sys.argv`; the first is what the program is called.
  std::vector<std::string> arguments;
  /// Variables of the process, set before Python starts, and so before anything is imported. Refused are those that decide
  /// about other programs' libraries or standard library, such as LD_PRELOAD and PYTHONHOME.
  std::map<std::string, std::string> environment;
  /// Whether PYTHONPATH, Python's other variables and the user's own site-packages are left alone; else they count, as for
  /// `python` in a shell.
  bool isolated = true;
  /// Starts in less time, without Python's module `site`: packages of the environment are found, and nothing of it runs at
  /// the start. docs/guides/hosts.md says what is left out.
  bool lean = false;
  /// How long a Python thread keeps the GIL that others want: so long may a handler wait beside one that computes, and each
  /// change of threads costs both. 0: Python's own time, 5 ms.
  std::chrono::microseconds gilSwitchInterval{300};
  /// Ignores SIGPIPE where its action is the default, so that a peer that hangs up does not end the program.
  bool ignoreSigpipe = true;
  /// Installs packages that a plugin's `python_requirements` name and the environment lacks, before the plugin is loaded,
  /// from `packageSource`: by name only and from wheels, so that no code of theirs runs. Otherwise they are an error.
  bool installMissing = false;
  /// Without `indexUrl`: PyPI, whatever pip and uv are configured for.
  PackageSource packageSource;
  /// Reloads plugins in Python while they run when files of their code change, as PluginManager::reloadPlugin does: for
  /// development. What cannot be reloaded is told on `qtforge.reload` and in the log, and what was there goes on.
  bool enableHotReload = false;
  /// For how long changes are gathered from the first one on, before they lead to one reload; at least 1 ms. Where the kernel
  /// cannot tell changes, how often they are looked for.
  std::chrono::milliseconds hotReloadInterval{500};
  /// How long one call of Python code may take (a call of PythonExecutor; an import, hook, handler, filter, timer or method
  /// of a plugin); 0: any time. Then it is stopped with `qtforge.ExecutionTimeout`, as far as that is possible, and is
  /// Errc::TimedOut. Advisory: docs/guides/hosts.md says what cannot be stopped.
  std::chrono::milliseconds executionTimeout{0};
  /// How many bytes Python may hold, its own modules included; 0: any number, else at least 16 MiB. What goes over that is a
  /// MemoryError of whoever asks, and is logged. What does not come from Python's allocators is not counted, such as
  /// numpy's arrays: see docs/guides/hosts.md.
  std::size_t maxMemoryUsage = 0;
  /// Has debugpy, which the environment must have, listen on that port of the loopback interface, so that a debugger can
  /// attach; 0: on one that is free. Whoever can open the port can run code in the process. May be added by a later
  /// initialize.
  std::optional<int> debugPort;
  /// Whether the environment variable QTFORGE_DEBUGPY=PORT has the same effect; what is wrong then is only logged.
  bool debugPortFromEnvironment = false;

  friend bool operator==(const PythonConfig&, const PythonConfig&) = default;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
