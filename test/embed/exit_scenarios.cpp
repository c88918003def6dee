// Hosts that end in every way a process can, with Python and plugins in them: `hosts exits SCENARIO`.
// test_exit.py runs them and looks at how they ended and what the plugins could still do.

#include "hosts.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <optional>
#include <sys/socket.h>
#include <thread>

using namespace qtforge;
namespace json = boost::json;

namespace {

std::string plugins() { return std::getenv("QTFORGE_TEST_PLUGINS"); }

void require(const expected<void>& done) { done.value(); }

PluginHandle load(PluginManager& manager, const std::string& name) {
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  auto plugin = manager.loadPlugin(plugins() + "/" + name).value();
  require(plugin->initialize());
  require(plugin->activate());
  return plugin;
}

std::optional<PluginManager> atNamespaceScope;

int managerDestroyed() {
  PluginManager manager;
  load(manager, "py_cleans");
  return 0;
}

int managerAtNamespaceScope() {
  load(atNamespaceScope.emplace(), "py_cleans");
  return 0;
}

int managerStaticInFunction() {
  static PluginManager manager;
  load(manager, "py_cleans");
  return 0;
}

int managerLeaked() {
  static auto& neverDestroyed = *new PluginManager();
  load(neverDestroyed, "py_cleans");
  return 0;
}

// Extension modules register static destructors when they are imported: later than the host's own hooks.
int slowStaticDestructor() {
  static PluginManager manager;
  load(manager, "py_cleans");
  auto& bus = MessageBus::instance();
  std::promise<void> loaded;
  const auto subscription = bus.subscribe("py_cleans.loaded", [&](const json::value&) { loaded.set_value(); }).value();
  bus.publish("py_cleans.slow_exit", std::string(std::getenv("QTFORGE_BUILD_ROOT")) + "/test/embed/slow_exit.so");
  loaded.get_future().wait();
  std::thread([&bus] {
    for (;;) bus.publish("py_cleans.work", 1);
  }).detach();
  return 0;
}

int handlersRunningAndThreadsPublishing() {
  static PluginManager manager;
  load(manager, "py_cleans");
  for (int i = 0; i < 3; ++i)
    std::thread([] {
      for (;;) MessageBus::instance().publish("py_cleans.work", 1);
    }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // let them get going; nothing depends on it
  return 0;
}

[[noreturn]] void sleepForEver() {
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

int exitFromHandler() {
  static PluginManager manager;
  load(manager, "py_cleans");
  static auto subscription = MessageBus::instance().subscribe("exit", [](const json::value&) { std::exit(3); }).value();
  MessageBus::instance().publish("exit", 1);
  sleepForEver();
}

// A direct C++ handler runs on the lane of the Python plugin that publishes.
int exitFromLane() {
  static PluginManager manager;
  load(manager, "py_good");
  load(manager, "py_cleans");
  static auto subscription = MessageBus::instance().subscribe("py_good.answer", [](const json::value&) { std::exit(3); },
                                                              {.delivery = DeliveryMode::Direct}).value();
  MessageBus::instance().publish("py_good.ask", 1);
  sleepForEver();
}

int exceptionUnwindsManager() {
  try {
    PluginManager manager;
    load(manager, "py_cleans");
    throw std::runtime_error("out of luck");
  } catch (const std::exception& e) {
    std::cout << "caught " << e.what() << std::endl;
  }
  return 4;
}

int signalEndsIt() {
  PluginManager manager;
  load(manager, "py_cleans");
  boost::asio::io_context context;
  boost::asio::signal_set signals(context, SIGINT, SIGTERM);
  int number = 0;
  signals.async_wait([&](boost::system::error_code, int signal) { number = signal; });
  std::cout << "waiting" << std::endl;
  context.run();
  return 128 + number;
}

int stuckPlugin() {
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(500));
  static PluginManager manager;
  load(manager, "py_stuck");
  load(manager, "py_cleans");
  std::cout << "output before the end";
  return 5;
}

// While a reload runs that does not end.
int reloadHangs() {
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(500));
  static PluginManager manager;
  load(manager, "py_cleans");
  static std::promise<void> inside;
  static const auto told = MessageBus::instance().subscribe("hangs", [](const json::value&) { inside.set_value(); }).value();
  static const auto copy = std::filesystem::absolute("hangs");
  std::filesystem::create_directories(copy);
  const auto write = [](const char* file, const char* text) { std::ofstream(copy / file) << text; };
  write("plugin.json", R"({"name": "hangs", "version": "1.0.0", "language": "python", "entry_point": "main.py", "lane": "own"})");
  write("main.py", "from qtforge.core import IPlugin\nclass Hangs(IPlugin): pass\n");
  manager.loadPlugin(copy).value();
  write("main.py", "import threading\nimport qtforge\nfrom qtforge.core import IPlugin\n"
                   "class Hangs(IPlugin):\n"
                   "    def __init__(self):\n"
                   "        qtforge.MessageBus.instance().publish('hangs', 1)\n"
                   "        threading.Event().wait()\n");
  std::thread([] { (void)manager.reloadPlugin("hangs"); }).detach();
  inside.get_future().wait();
  return 6;
}

// A plugin's thread is waited for, as Python does at its own end.
int pythonThread() {
  static PluginManager manager;
  load(manager, "py_cleans");
  MessageBus::instance().publish("py_cleans.work", "thread");
  require(MessageBus::instance().drain());
  return 0;
}

// The peer of a socket hangs up.
int sigpipe() {
  require(python::PythonIntegration::initialize());
  python::PythonExecutor executor;
  require(executor.execute("import socket\n"
                           "a, b = socket.socketpair()\n"
                           "b.close()\n"
                           "try:\n"
                           "    a.send(b'x')\n"
                           "except BrokenPipeError:\n"
                           "    print('broken pipe, and alive')\n"));
  return 0;
}

// Calls are about to be stopped, on a lane and on threads of the host, when it ends.
int limitAboutToPass() {
  static PluginManager manager;
  load(manager, "py_limits");
  MessageBus::instance().publish("py_limits.run", "loop");
  for (int i = 0; i < 3; ++i)
    std::thread([] {
      static constexpr const char* loop = "import time\nend = time.monotonic() + 0.05\nwhile time.monotonic() < end: pass\n";
      for (python::PythonExecutor executor;;) (void)executor.execute(loop);
    }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(std::getenv("QTFORGE_TEST_DELAY"))));
  return 0;
}

// A folder that happens to be called like the package is on the path, and the package is not.
int folderInPlaceOfThePackage() {
  python::PythonExecutor executor;
  require(executor.execute("import os, pathlib, sys, tempfile\n"
                           "folder = tempfile.TemporaryDirectory()\n"
                           "os.mkdir(os.path.join(folder.name, 'qtforge'))\n"
                           "path = list(sys.path)\n"
                           "sys.path[:] = [p for p in path if not pathlib.Path(p, 'qtforge', '__init__.py').exists()]\n"
                           "sys.path.append(folder.name)\n"));
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  const auto refused = manager.loadPlugin(plugins() + "/py_good");
  const bool missing = !refused && refused.error() == Errc::PackageMissing;
  std::cout << (missing ? "missing: " : "not so: ") << (refused ? "" : refused.error().message()) << std::endl;
  require(executor.execute("sys.path[:] = path\nfolder.cleanup()"));
  return manager.loadPlugin(plugins() + "/py_good") ? 0 : 1;  // nothing is left of the folder
}

}  // namespace

int hosts::exits(int argc, char** argv) {
  const std::map<std::string, int (*)()> scenarios{
      {"manager_destroyed", managerDestroyed},
      {"manager_at_namespace_scope", managerAtNamespaceScope},
      {"manager_static_in_function", managerStaticInFunction},
      {"manager_leaked", managerLeaked},
      {"slow_static_destructor", slowStaticDestructor},
      {"handlers_running_and_threads_publishing", handlersRunningAndThreadsPublishing},
      {"exit_from_handler", exitFromHandler},
      {"exit_from_lane", exitFromLane},
      {"exception_unwinds_manager", exceptionUnwindsManager},
      {"signal_ends_it", signalEndsIt},
      {"stuck_plugin", stuckPlugin},
      {"reload_hangs", reloadHangs},
      {"python_thread", pythonThread},
      {"sigpipe", sigpipe},
      {"limit_about_to_pass", limitAboutToPass},
      {"folder_in_place_of_the_package", folderInPlaceOfThePackage}};
  const auto scenario = scenarios.find(argc == 2 ? argv[1] : "");
  if (scenario == scenarios.end()) {
    std::cerr << "a scenario, please:\n";
    for (const auto& [name, run] : scenarios) std::cerr << "  " << name << '\n';
    return 2;
  }
  python::PythonConfig config;
  if (scenario->second == limitAboutToPass) config.executionTimeout = std::chrono::milliseconds(50);
  require(python::PythonIntegration::initialize(config));
  return scenario->second();
}
