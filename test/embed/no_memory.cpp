// Python without memory at every single place in turn: `hosts no_memory STEP PLUGIN [FIRST]`. Does one step again and again,
// each time with another allocation of Python's that fails, until none is left. Run by test_memory.py. PLUGIN is what
// `lifecycle` loads.
//
// Prints how often it was done, and how many of these were errors. What it does at a failure is up to the step and to
// Python; that it goes on, and is whole again with memory, is what is asked.

#include "hosts.hpp"

#include "../plugins/native_interface/image_filter.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/json/parse.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <string>

using namespace qtforge;
namespace json = boost::json;

namespace {

/// Wraps Python's allocators.
class Allocations {
 public:
  /// @param failures  how many in a row  @param keepsReserve  whether none of what a limit would admit fails
  Allocations(int failures, bool keepsReserve) : failures_(failures), keepsReserve_(keepsReserve) {
    const python::Gil gil;
    for (std::size_t i = 0; i < domains_.size(); ++i) {
      PyMem_GetAllocator(static_cast<PyMemAllocatorDomain>(i), &domains_[i].wrapped);
      domains_[i].owner = this;
      PyMemAllocatorEx ours{&domains_[i], &allocate, &allocateZeroed, &resize, &release};
      PyMem_SetAllocator(static_cast<PyMemAllocatorDomain>(i), &ours);
    }
  }
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;
  ~Allocations() {
    const python::Gil gil;
    for (std::size_t i = 0; i < domains_.size(); ++i)
      PyMem_SetAllocator(static_cast<PyMemAllocatorDomain>(i), &domains_[i].wrapped);
  }

  /// From here on the allocation of that number fails, and some after it. @return whether it came to that in `f`
  template <class F>
  bool failAt(std::int64_t number, F&& f) {
    left_ = number;
    f();
    return left_.exchange(INT64_MAX) <= 0;
  }

 private:
  struct Domain {
    Allocations* owner = nullptr;
    PyMemAllocatorEx wrapped{};
  };

  static bool fails(void* domain) {
    auto& self = *static_cast<Domain*>(domain)->owner;
    if (self.keepsReserve_ && python::detail::MemoryReserve::isOpen()) return false;
    const auto left = self.left_.fetch_sub(1) - 1;
    return left <= 0 && left > -self.failures_;
  }
  static PyMemAllocatorEx& wrapped(void* domain) { return static_cast<Domain*>(domain)->wrapped; }

  static void* allocate(void* domain, std::size_t size) {
    return fails(domain) ? nullptr : wrapped(domain).malloc(wrapped(domain).ctx, size);
  }
  static void* allocateZeroed(void* domain, std::size_t count, std::size_t size) {
    return fails(domain) ? nullptr : wrapped(domain).calloc(wrapped(domain).ctx, count, size);
  }
  static void* resize(void* domain, void* block, std::size_t size) {
    return fails(domain) ? nullptr : wrapped(domain).realloc(wrapped(domain).ctx, block, size);
  }
  static void release(void* domain, void* block) { wrapped(domain).free(wrapped(domain).ctx, block); }

  const int failures_;
  const bool keepsReserve_;
  std::atomic<std::int64_t> left_{INT64_MAX};
  std::array<Domain, 3> domains_;
};

/// One step: what is done with too little memory; returns whether it was fine.
using Step = std::function<bool()>;

struct Fixture {
  explicit Fixture(std::string plugin) : folder(std::move(plugin)) {
    manager.addLoader(std::make_unique<python::PythonPluginLoader>());
    executor.execute("def same(value, *more, **named): return value\n"
                     "def kinds(): return {'none': None, 'list': [1, 2.5, 'text', True, 2**63], 'map': {'a': [{}]}}\n"
                     "def wrong(): return {1, 2}\n"
                     "def fails():\n"
                     "    try: {}['key']\n"
                     "    except KeyError as error: raise ValueError('text') from error\n").value();
    (void)manager.loadPlugin(folder).value();  // its lane runs: Python ends the process where a new thread has no memory
    manager.unloadPlugin(manager.plugins().front()->name()).value();
  }

  PluginHandle load(const std::string& name) {
    auto plugin = manager.loadPlugin(std::string(std::getenv("QTFORGE_TEST_PLUGINS")) + "/" + name).value();
    plugin->initialize().value();
    plugin->activate().value();
    return plugin;
  }

  const std::string folder;
  PluginManager manager;
  python::PythonExecutor executor;
  MessageBus& bus = MessageBus::instance();
};

const json::value& document() {
  static const json::value made = json::parse(
      R"({"text": "some", "list": [1, 2.5, null, true, "x", 18446744073709551615], "deep": {"a": {"b": [{"c": {}}]}}})");
  return made;
}

BinaryMessage bytes() { return {Buffer({1, 2, 3}), "image/png", "", {}}; }

Step runningCode(Fixture& fixture) {
  return [&] {
    return fixture.executor.execute("import json\nx = [json.dumps({'a': n}) for n in range(3)]").has_value() &&
           fixture.executor.evaluate<std::string>("'text' * 3").has_value();
  };
}

Step calling(Fixture& fixture) {
  return [&] {
    auto& python = fixture.executor;
    const auto numbers = python.callFunction<std::vector<double>>("same", std::vector<double>{1, 2, 3});
    const auto map = python.callFunction<std::map<std::string, std::optional<int>>>(
        "same", std::map<std::string, std::optional<int>>{{"a", 1}, {"b", std::nullopt}});
    const auto tuple = python.callFunction<std::tuple<std::string, bool>>("same", std::tuple(std::string("text"), true));
    const auto document = python.callFunction<json::value>("same", ::document());
    const auto kinds = python.callFunction<json::value>("kinds");
    const auto binary = python.callFunction<BinaryMessage>("same", bytes());
    const auto named = python.callFunction<std::int64_t>("same", 1, 2, python::arg("named") = 3);
    return numbers && map && tuple && document && kinds && binary && named;
  };
}

Step failing(Fixture& fixture) {
  return [&] {
    const auto raised = fixture.executor.callFunction<int>("fails");
    const auto wrong = fixture.executor.callFunction<json::value>("wrong");
    const auto missing = fixture.executor.callFunction<int>("missing");
    return raised.error().pythonType() == "ValueError" && wrong.error() == Errc::ConversionFailed && missing.has_error();
  };
}

Step handling(Fixture& fixture) {
  fixture.executor.execute("import qtforge\n"
                           "bus = qtforge.MessageBus.instance()\n"
                           "bus.subscribe('memory.ask', lambda message: bus.publish('memory.told', {'said': message, 'n': [1, 2, 3]}))\n"
                           "bus.subscribe('memory.bytes', lambda message: bus.publish('memory.told', bytes(message.data)))\n"
                           "bus.respond('memory.question', lambda message: {'answer': message['text']})\n"
                           "def raises(message): raise ValueError(message)\n"
                           "bus.subscribe('memory.wrong', raises)\n").value();
  return [&] {
    std::atomic<int> told{0};
    const auto hears = fixture.bus.subscribe("memory.told", [&](const Message&) { ++told; }).value();
    fixture.bus.publish("memory.ask", document()).value();
    fixture.bus.publish("memory.bytes", bytes()).value();
    fixture.bus.publish("memory.wrong", 1).value();
    const auto answered = fixture.bus.request("memory.question", document(), std::chrono::seconds(20));
    fixture.bus.drain(std::chrono::seconds(20)).value();
    return told == 2 && answered;
  };
}

Step interfaces(Fixture& fixture) {
  (void)fixture.load("py_filter");
  return [&] {
    const auto found = fixture.manager.find<fixture_interfaces::Everything>("py_filter");
    if (!found) return false;
    const auto text = found->call<"text">("some text");
    const auto list = found->call<"list">(std::vector<std::vector<double>>{{1, 2}, {}});
    const auto map = found->call<"map">(std::map<std::string, int>{{"a", 1}});
    const auto value = found->call<"json">(document());
    const auto binary = found->call<"binary">(bytes());
    const auto thread = found->call<"thread">();
    const auto failed = found->call<"fail">("raise");
    return text && list && map && value && binary && thread && failed.error().pythonType() == "ValueError";
  };
}

Step lifecycle(Fixture& fixture) {
  return [&fixture, folder = fixture.folder] {
    const auto plugin = fixture.manager.loadPlugin(folder);
    if (!plugin) return false;
    const bool fine = (*plugin)->initialize() && (*plugin)->activate() && (*plugin)->deactivate();
    fixture.manager.unloadPlugin((*plugin)->name()).value();
    return fine;
  };
}

}  // namespace

int hosts::noMemory(int argc, char** argv) {
  if (argc < 3) return 2;
  struct Kind {
    Step (*make)(Fixture&);
    bool compiles = false;
  };
  const std::map<std::string, Kind> steps{
      {"code", {runningCode, true}}, {"calls", {calling}},         {"errors", {failing}},
      {"messages", {handling}},      {"interfaces", {interfaces}}, {"lifecycle", {lifecycle, true}},
  };
  python::PythonIntegration::initialize().value();
  Fixture fixture(argv[2]);
  const auto& kind = steps.at(argv[1]);
  const auto step = kind.make(fixture);
  if (!step()) return 3;  // it takes what is made once, too
  std::int64_t done = 0, failed = 0;
  const std::int64_t first = argc > 3 ? std::stoll(argv[3]) : 1;
  for (const int failures : {1, 20}) {
    Allocations allocations(failures, kind.compiles);
    bool fails = true;
    for (std::int64_t number = first; fails; ++number) {
      std::cerr << "allocation " << number << " and " << failures - 1 << " more" << std::endl;
      fails = allocations.failAt(number, [&] { failed += step() ? 0 : 1; });
      ++done;
    }
    if (!step()) return 4;
  }
  std::cout << json::object{{"done", done}, {"failed", failed}} << std::endl;
  return 0;
}
