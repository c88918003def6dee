#pragma once
// qtforge/python/detail/environment.hpp: which Python to run, and whether it fits the libpython in this process.

#include <qtforge/python/detail/cpython.hpp>

#include <qtforge/python/detail/venv.hpp>
#include <qtforge/python/python_error.hpp>
#include <qtforge/utils/log.hpp>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Runs a program without a shell and returns what it prints; fails after ten seconds or with an exit code.
inline expected<std::string> outputOf(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error(Errc::Failed, std::string("pipe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int failed = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  bool late = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!failed) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{ends[0], POLLIN, 0};
    const int polled = left.count() > 0 ? poll(&ready, 1, static_cast<int>(left.count())) : 0;
    if (polled < 0 && errno == EINTR) continue;
    if (polled <= 0) {
      late = true;
      kill(child, SIGKILL);
      break;
    }
    char chunk[4096];
    const auto n = read(ends[0], chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    output.append(chunk, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  if (failed) return Error(Errc::Failed, std::strerror(failed));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (late) return Error(Errc::TimedOut, "no answer within 10 s");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Error(Errc::Failed, "it ended with an error");
  return output;
}

/// What a build of Python is told apart by: "3.11.7", and "d" for debug, "t" for free-threaded builds.
struct PythonBuild {
  std::string version;
  std::string flags;
  std::string soabi;    // "cpython-311-x86_64-linux-gnu"; empty where this program was not told its own
  std::string lacking;  // modules that libpython has neither built in nor would find in this Python's library

  [[nodiscard]] std::string text() const { return version + (flags.empty() ? "" : " (" + flags + ")"); }
};

inline PythonBuild linkedBuild() {
  std::string flags, soabi;
#if defined(Py_GIL_DISABLED)
  flags += "t";
#endif
#if defined(Py_DEBUG)
  flags += "d";
#endif
#if defined(QTFORGE_PYTHON_SOABI)
  soabi = QTFORGE_PYTHON_SOABI;
#endif
  return {linkedVersion(), flags, soabi, {}};
}

/// Asks an interpreter what it is. @param isolated  whether PYTHONPATH and other variables are kept from it
inline expected<PythonBuild> askPython(const std::filesystem::path& python, bool isolated) {
  static constexpr const char* question =
      "import sys\n"
      "from importlib.machinery import EXTENSION_SUFFIXES, PathFinder\n"
      "sys.path = [p for p in sys.path if p]\n"
      "linked = set(sys.argv[1].split())\n"
      "print('%d.%d.%d' % sys.version_info[:3])\n"
      "print(''.join(sorted(sys.abiflags, reverse=True)))\n"
      "print(EXTENSION_SUFFIXES[0].strip('.').rpartition('.')[0])\n"
      "print(*[n for n in sys.builtin_module_names if n not in linked and PathFinder.find_spec(n) is None])\n";
  std::string linked;
  for (const auto* module = PyImport_Inittab; module->name; ++module) linked += std::string(module->name) + " ";
  std::vector<std::string> command{python.string(), "-S", "-c", question, linked};
  if (isolated) command.insert(command.begin() + 1, "-I");
  auto answer = outputOf(command);
  if (!answer) return Error(Errc::PythonNotFound, "'" + python.string() + "' does not run as Python: " +
                                                      answer.error().message());
  PythonBuild build;
  std::istringstream lines(*answer);
  for (auto* line : {&build.version, &build.flags, &build.soabi, &build.lacking})
    if (!std::getline(lines, *line))
      return Error(Errc::PythonNotFound, "'" + python.string() + "' does not answer as Python does");
  return build;
}

/// Whether `python` is the same build as the libpython in this process.
///
/// @return nothing, or
///   - Errc::PythonNotFound  it is not there or does not run
///   - Errc::PythonMismatch  naming both builds
inline expected<void> checkPython(const std::filesystem::path& python, const char* named, bool isolated = true) {
  std::error_code failure;
#if defined(QTFORGE_PYTHON_EXECUTABLE)
  if (std::filesystem::equivalent(python, QTFORGE_PYTHON_EXECUTABLE, failure)) return {};  // what would be asked is known
#endif
  if (!std::filesystem::exists(python, failure))
    return Error(Errc::PythonNotFound, std::string(named) + ": '" + python.string() + "' does not exist");
  if (std::filesystem::is_directory(python, failure) || access(python.c_str(), X_OK) != 0)
    return Error(Errc::PythonNotFound, std::string(named) + ": '" + python.string() + "' is not a program that may run");
  const auto build = askPython(python, isolated);
  if (!build) return build.error().within(named);
  const auto linked = linkedBuild();
  if (build->version != linked.version || build->flags != linked.flags)
    return Error(Errc::PythonMismatch, std::string(named) + ": '" + python.string() + "' is Python " + build->text() +
                                           ", this program was linked with libpython " + linked.text() +
                                           "; use that one or build the program for this one");
  if (!linked.soabi.empty() && build->soabi != linked.soabi)
    return Error(Errc::PythonMismatch, std::string(named) + ": '" + python.string() + "' takes extensions for " +
                                           build->soabi + ", libpython " + linked.text() + " of this program for " +
                                           linked.soabi);
  if (!build->lacking.empty())
    return Error(Errc::PythonMismatch, std::string(named) + ": '" + python.string() + "' has built in what libpython " +
                                           linked.text() + " of this program would not find: " + build->lacking);
  return {};
}

/// The interpreter of a virtual environment. @return its path, or what checkVenv says, or Errc::PythonNotFound
inline expected<std::filesystem::path> pythonOfVenv(const std::filesystem::path& venv, const char* named) {
  if (auto fine = checkVenv(venv, named); !fine) return fine.error();
  std::error_code failure;
  if (!std::filesystem::exists(venv / "bin" / "python", failure))
    return Error(Errc::PythonNotFound, std::string(named) + ": '" + venv.string() + "' has no bin/python; make one with: " +
                                           "python -m venv " + venv.string());
  return venv / "bin" / "python";
}

/// Whether the Python that runs is the one that a host names.
///
/// @return nothing, or Errc::PythonAlreadyInitialized, naming both
inline expected<void> checkRunning(const std::string& pythonPath, const std::string& virtualEnvPath) {
  namespace fs = std::filesystem;
  const Gil gil;
  std::error_code failure;
  const auto running = [&](const char* name) {
    PyObject* text = PySys_GetObject(name);
    return text && text != Py_None ? textOf(text, gil) : std::string();
  };
  const auto differs = [](const char* field, const std::string& wanted, const std::string& is) {
    return Error(Errc::PythonAlreadyInitialized, "PythonIntegration::initialize: Python runs already as '" + is + "', " + field +
                                                     " is '" + wanted + "'; the environment is chosen once");
  };
  const auto prefix = running("prefix"), executable = running("executable");
  if (!virtualEnvPath.empty()) {
    if (!fs::equivalent(virtualEnvPath, prefix, failure)) return differs("virtualEnvPath", virtualEnvPath, prefix);
  } else if (!pythonPath.empty()) {
    // A virtual environment's is the same file as the one it was made with.
    const auto path = fs::absolute(pythonPath, failure);
    if (!fs::equivalent(path, executable, failure) ||
        !fs::equivalent(path.parent_path(), fs::path(executable).parent_path(), failure))
      return differs("pythonPath", pythonPath, executable);
  }
  return {};
}

/// The executable to run as: `virtualEnvPath`, else `pythonPath`, else an activated environment of the same build, else
/// the Python that the program was built for. Empty: Python's own search.
inline expected<std::filesystem::path> resolvePython(const std::string& pythonPath, const std::string& virtualEnvPath,
                                                     bool isolated) {
  namespace fs = std::filesystem;
  std::error_code failure;
  if (!pythonPath.empty())
    if (auto fine = checkPython(fs::absolute(pythonPath, failure), "pythonPath", isolated); !fine) return fine.error();
  if (!virtualEnvPath.empty()) {
    const auto python = pythonOfVenv(fs::absolute(virtualEnvPath, failure).lexically_normal(), "virtualEnvPath");
    if (!python) return python.error();
    if (auto fine = checkPython(*python, "virtualEnvPath", isolated); !fine) return fine.error();
    return python;
  }
  if (!pythonPath.empty()) return fs::absolute(pythonPath, failure);
  if (const char* active = std::getenv("VIRTUAL_ENV"); active && *active) {
    const auto python = pythonOfVenv(active, "VIRTUAL_ENV");
    const auto fine = python ? checkPython(*python, "VIRTUAL_ENV", isolated) : expected<void>(python.error());
    if (fine) return python;
    Logger("qtforge.python").warning("the activated environment is not used: " + fine.error().message());
  }
#if defined(QTFORGE_PYTHON_EXECUTABLE)
  if (fs::exists(QTFORGE_PYTHON_EXECUTABLE, failure)) return fs::path(QTFORGE_PYTHON_EXECUTABLE);
#endif
  return fs::path();
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
