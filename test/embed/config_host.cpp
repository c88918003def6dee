// A host that is told by JSON how to start Python and what to run: `hosts config '{...}'`. Run by test_config.py.
//
//   "config"   the fields of PythonConfig
//   "running"  whether Python runs already, started by somebody else
//   "thread"   whether another thread than main() initializes
//   "again"    fields of a second initialize
//   "code"     what Python runs then
//   "plugins"  folders of plugins to load, in this order
//   "usage"    whether to print how much memory Python has at the end
//   "limit"    of hooks, in ms
//   "obeys"    whether it does then what lines of JSON on its standard input say, and prints what came of each:
//              {"run": CODE, "file": PATH, "thread": whether on a thread of its own}, {"publish": TOPIC}, {"load": FOLDER},
//              {"step": of the last plugin, "activate" or "deactivate"}, {"again": fields}, {"exit": CODE}
//   "latency"  how many messages that a Python plugin answers are timed, while another thread of Python computes
//
// Prints "error CODE MESSAGE" for the first that fails.

#include "hosts.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>

#include <algorithm>
#include <iostream>
#include <semaphore>
#include <thread>

using namespace qtforge;
namespace json = boost::json;

namespace {

python::PythonConfig configOf(const json::object& fields) {
  python::PythonConfig config;
  for (const auto& [key, value] : fields) {
    if (key == "pythonPath") config.pythonPath = json::value_to<std::string>(value);
    else if (key == "virtualEnvPath") config.virtualEnvPath = json::value_to<std::string>(value);
    else if (key == "sysPath") config.sysPath = json::value_to<std::vector<std::string>>(value);
    else if (key == "arguments") config.arguments = json::value_to<std::vector<std::string>>(value);
    else if (key == "environment") config.environment = json::value_to<std::map<std::string, std::string>>(value);
    else if (key == "lean") config.lean = value.as_bool();
    else if (key == "isolated") config.isolated = value.as_bool();
    else if (key == "gilSwitchInterval") config.gilSwitchInterval = std::chrono::microseconds(value.as_int64());
    else if (key == "executionTimeout") config.executionTimeout = std::chrono::milliseconds(value.as_int64());
    else if (key == "maxMemoryUsage") config.maxMemoryUsage = json::value_to<std::size_t>(value);
    else if (key == "debugPort") config.debugPort = static_cast<int>(value.as_int64());
    else if (key == "debugPortFromEnvironment") config.debugPortFromEnvironment = value.as_bool();
    else throw std::runtime_error("no such field: " + std::string(key));
  }
  return config;
}

bool fine(const expected<void>& done) {
  if (!done) std::cout << "error " << static_cast<int>(done.error().code()) << ' ' << done.error().message() << std::endl;
  return done.has_value();
}

void tell(const expected<void>& done) {
  if (fine(done)) std::cout << "done" << std::endl;
}

void run(const json::object& command) {
  const auto* file = command.if_contains("file");
  python::PythonExecutor executor;
  const auto execute = [&] {
    tell(executor.execute(std::string(command.at("run").as_string()), file ? std::string(file->as_string()) : "<told>"));
  };
  if (command.contains("thread")) std::thread(execute).join();
  else execute();
}

void obey(PluginManager& manager, PluginHandle plugin) {
  std::cout << "port " << python::PythonIntegration::debugPort().value_or(-1) << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto command = json::parse(line).as_object();
    if (command.contains("run")) run(command);
    else if (const auto* topic = command.if_contains("publish")) {
      const auto published = MessageBus::instance().publish(std::string(topic->as_string()), 1);
      tell(published ? expected<void>() : expected<void>(published.error()));
    } else if (const auto* folder = command.if_contains("load")) {
      const auto loaded = manager.loadPlugin(std::string(folder->as_string()));
      tell(loaded ? expected<void>() : expected<void>(loaded.error()));
    } else if (const auto* step = command.if_contains("step"))
      tell(step->as_string() == "activate" ? plugin->activate() : plugin->deactivate());
    else if (const auto* fields = command.if_contains("again"))
      tell(python::PythonIntegration::initialize(configOf(fields->as_object())));
    else std::exit(static_cast<int>(command.at("exit").as_int64()));
  }
}

// Prints the 10th, 50th and 99th percentile, in ms, of the time from a publish in C++ to the answer of a handler in Python,
// and how many steps a second a thread in Python takes meanwhile.
void measure(std::int64_t messages) {
  using Clock = std::chrono::steady_clock;
  python::PythonExecutor executor;
  executor.execute("import array, threading\n"
                   "steps = array.array('q', [0])\n"
                   "def compute():\n"
                   "    while True: steps[0] += 1\n"
                   "threading.Thread(target=compute, daemon=True).start()\n"
                   "def where(): return steps.buffer_info()[0]\n").value();
  // Read without the GIL, which would be handed over for it.
  const auto* steps = reinterpret_cast<const volatile std::int64_t*>(executor.callFunction<std::uint64_t>("where").value());
  std::binary_semaphore answered{0};
  const auto subscription = MessageBus::instance().subscribe("latency.pong", [&](const json::value&) { answered.release(); },
                                                             {.delivery = DeliveryMode::Direct}).value();
  std::vector<double> times;
  const auto begin = Clock::now();
  const auto before = *steps;
  for (std::int64_t i = 0; i < messages; ++i) {
    for (const auto computed = *steps + 20000; *steps < computed;)
      std::this_thread::sleep_for(std::chrono::microseconds(500));  // until it has the GIL again
    const auto sent = Clock::now();
    MessageBus::instance().publish("latency.ping", i).value();
    if (!answered.try_acquire_for(std::chrono::seconds(20))) throw std::runtime_error("no answer");
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
  }
  const auto rate = static_cast<double>(*steps - before) / std::chrono::duration<double>(Clock::now() - begin).count();
  std::sort(times.begin(), times.end());
  std::cout << times[times.size() / 10] << ' ' << times[times.size() / 2] << ' ' << times[times.size() * 99 / 100] << ' ' << rate << std::endl;
}

}  // namespace

int hosts::config(int, char** argv) {
  const auto told = json::parse(argv[1]).as_object();
  const auto flag = [&](const char* name) { return told.contains(name) && told.at(name).as_bool(); };
  if (flag("running")) {
    Py_InitializeEx(0);
    PyEval_SaveThread();
  }
  expected<void> started;
  const auto start = [&] { started = python::PythonIntegration::initialize(configOf(told.at("config").as_object())); };
  if (flag("thread")) std::thread(start).join();
  else start();
  if (!fine(started)) return 1;
  if (const auto* again = told.if_contains("again"))
    if (!fine(python::PythonIntegration::initialize(configOf(again->as_object())))) return 1;
  if (const auto* code = told.if_contains("code")) {
    python::PythonExecutor executor;
    if (!fine(executor.execute(std::string(code->as_string())))) return 1;
  }
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  if (const auto* limit = told.if_contains("limit")) manager.setHookLimit(std::chrono::milliseconds(limit->as_int64()));
  PluginHandle last;
  if (const auto* plugins = told.if_contains("plugins"))
    for (const auto& folder : plugins->as_array()) {
      const auto plugin = manager.loadPlugin(std::string(folder.as_string()));
      if (!fine(plugin ? expected<void>() : expected<void>(plugin.error()))) return 1;
      if (!fine((*plugin)->initialize()) || !fine((*plugin)->activate())) return 1;
      last = *plugin;
    }
  if (flag("usage")) std::cout << "usage " << python::PythonIntegration::memoryUsage() << std::endl;
  if (flag("obeys")) obey(manager, last);
  if (const auto* latency = told.if_contains("latency")) measure(latency->as_int64());
  return 0;
}
