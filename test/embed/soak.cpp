// What must hold for long: `hosts soak threads SECONDS`, `... deliveries COUNT PLUGIN`, `... cycles COUNT PLUGIN`. Prints what it
// counted as one line of JSON. Run by test_soak.py.

#include "hosts.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <malloc.h>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace qtforge;

namespace {

std::int64_t residentKib() {
  std::int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

// What malloc has given away. Unlike what is resident it does not depend on how long a queue once was.
std::int64_t allocatedKib() {
  const auto heap = ::mallinfo2();
  return static_cast<std::int64_t>((heap.uordblks + heap.hblkhd) / 1024);
}

/// What this process holds.
class Held {
 public:
  Held() { python_.execute("import gc\ndef count():\n    gc.collect()\n    return len(gc.get_objects())").value(); }
  boost::json::object now() {
    const auto objects = python_.callFunction<std::int64_t>("count").value();
    return {{"resident", residentKib()}, {"allocated", allocatedKib()}, {"objects", objects}};
  }

 private:
  python::PythonExecutor python_;
};

PluginHandle begin(PluginManager& manager, const std::string& path) {
  auto plugin = manager.loadPlugin(path).value();
  plugin->initialize().value();
  plugin->activate().value();
  return plugin;
}

/// 24 threads that call executors, one of their own and one of all, and publish to a handler in Python and one in C++.
boost::json::object threads(int seconds) {
  auto& bus = MessageBus::instance();
  constexpr const char* code = "def half(x):\n    return x / 2\n";
  python::PythonExecutor shared;
  shared.execute(code).value();
  std::atomic<std::int64_t> calls{0}, wrong{0}, published{0}, heard{0};
  const auto hears = bus.subscribe("soak.n", [&](std::int64_t) { ++heard; }).value();
  std::atomic<bool> stop{false};
  std::vector<std::thread> running;
  for (int i = 0; i < 24; ++i)
    running.emplace_back([&, i] {
      python::PythonExecutor own;
      own.execute(code).value();
      for (std::int64_t n = 0; !stop; ++n) {
        const double x = static_cast<double>(n * 24 + i);
        const auto one = own.callFunction<double>("half", x), other = shared.callFunction<double>("half", x);
        if (!one || *one != x / 2 || !other || *other != x / 2) ++wrong;
        calls += 2;
        if (bus.publish("soak.n", n)) ++published;
      }
    });
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop = true;
  for (auto& thread : running) thread.join();
  bus.drain(std::chrono::seconds(60)).value();
  return {{"calls", calls.load()}, {"wrong", wrong.load()}, {"published", published.load()}, {"heard", heard.load()}};
}

/// A plugin counts messages; the first tenth warms up.
boost::json::object deliveries(std::int64_t count, const std::string& path) {
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  const auto plugin = begin(manager, path);
  auto& bus = MessageBus::instance();
  Held held;
  boost::json::object before;
  for (std::int64_t n = 0; n < count; ++n) {
    if (n == count / 10) {
      bus.drain(std::chrono::minutes(10)).value();
      before = held.now();
    }
    bus.publish("soak.count", boost::json::object{{"n", n}, {"text", "some text of a message"}}).value();
  }
  bus.drain(std::chrono::minutes(10)).value();
  const auto answer = bus.request("soak.counted", nullptr).value();
  return {{"counted", *answer.json()}, {"before", before}, {"after", held.now()}};
}

/// Loads, runs and unloads a plugin again and again; the first tenth warms up.
boost::json::object cycles(std::int64_t count, const std::string& path) {
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  Held held;
  boost::json::object before;
  for (std::int64_t n = 0; n < count; ++n) {
    if (n == count / 10) before = held.now();
    const auto plugin = begin(manager, path);
    manager.unloadPlugin(plugin->name()).value();
  }
  return {{"before", before}, {"after", held.now()}};
}

}  // namespace

int hosts::soak(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string_view what = argv[1];
  const auto number = std::stoll(argv[2]);
  python::PythonIntegration::initialize().value();
  boost::json::object told;
  if (what == "threads") told = threads(static_cast<int>(number));
  else if (what == "deliveries" && argc == 4) told = deliveries(number, argv[3]);
  else if (what == "cycles" && argc == 4) told = cycles(number, argv[3]);
  else return 2;
  std::cout << told << std::endl;
  return 0;
}
