// A program of many binaries: `host FIRST LIBRARIES JOINED PYTHON_PLUGIN`.
//
// All who are in this process listen, then each says hello once, then each reports what it heard into
// QTFORGE_TEST_FOLDER. FIRST, "host" or "application", is the first to use the bus, and so the one whose code makes it.
// The runtime is given one thread: all handlers of C++ code must be called there.

#include "application.hpp"
#include "participant.hpp"

#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <dlfcn.h>
#include <iostream>

using namespace qtforge;

namespace {

void require(const expected<void>& done) { done.value(); }

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string("not so: ") + what);
}

template <class Function>
Function* symbol(void* library, const char* name) {
  auto* found = ::dlsym(library, name);
  check(found, name);
  return reinterpret_cast<Function*>(found);
}

void meet(const std::string& first, const std::string& libraries, const char* joined, const char* pythonPlugin) {
  one_process::Participant host("host");
  if (first == "application") require(application::listen());
  require(host.listen());
  if (first != "application") require(application::listen());

  require(Runtime::instance().setThreads(1));
  check(application::root() == qtforge::root(), "the application's library has the host's root");
  check(application::runtime() == &Runtime::instance(), "the application's library has the host's runtime");
  check(application::context() == &Runtime::instance().executor().context(), "and its io_context");

  void* library = ::dlopen(joined, RTLD_NOW | RTLD_LOCAL);
  check(library, "the third library is there");
  auto* joinedListen = symbol<int()>(library, "joined_listen");
  auto* joinedSpeak = symbol<int()>(library, "joined_speak");
  auto* joinedRoot = symbol<void*()>(library, "joined_root");
  if (void* early = joinedRoot()) {
    check(early == qtforge::root(), "what the linker merged is the host's root");
    std::cout << "before join: the host's root\n";
  } else {
    check(joinedListen() == static_cast<int>(Errc::NoRuntime), "no subscription without a root");
    check(joinedSpeak() == static_cast<int>(Errc::NoRuntime), "no publication without a root");
    std::cout << "before join: NoRuntime\n";
  }
  check(symbol<int(void*)>(library, "joined_join")(qtforge::root()) == 0, "it can join");
  check(symbol<int(void*)>(library, "joined_join")(qtforge::root()) == 0, "it can join again");
  check(joinedRoot() == qtforge::root(), "it has the host's root");
  check(joinedListen() == 0, "it can subscribe");

  require(python::PythonIntegration::initialize());
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  for (const std::string& path : {libraries + "/native_one.so", libraries + "/native_two.so", std::string(pythonPlugin)})
    manager.loadPlugin(path).value();
  for (const auto& failure : manager.initializeAll().failed) throw Exception(failure.error);

  require(host.speak());
  require(application::speak());
  check(joinedSpeak() == 0, "the third library can publish");
  for (const auto& failure : manager.activateAll().failed) throw Exception(failure.error);
  require(MessageBus::instance().drain(std::chrono::seconds(20)));

  host.report();
  application::report();
  symbol<void()>(library, "joined_report")();
  require(manager.unloadAll());
}

// `host import PACKAGE`: the package is imported before the host says that it is one.
int importFirst(const std::string& package) {
  Py_Initialize();
  const int failed = PyRun_SimpleString(("import sys; sys.path.insert(0, '" + package + "'); import qtforge").c_str());
  PyEval_SaveThread();
  const auto started = python::PythonIntegration::initialize();
  std::cout << (started ? "started" : started.error().message()) << '\n';
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "import") return importFirst(argv[2]);
  if (argc != 5) {
    std::cerr << "host FIRST LIBRARIES JOINED PYTHON_PLUGIN\n";
    return 2;
  }
  try {
    meet(argv[1], argv[2], argv[3], argv[4]);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 1;
  }
}
