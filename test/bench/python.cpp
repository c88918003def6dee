// From C++ to Python: by the bus to a plugin and by calls of functions, beside what pybind11's users write.

#include "bench.hpp"

#include <qtforge/python/gil.hpp>
#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <optional>
#include <span>
#include <thread>

using namespace qtforge;
namespace json = boost::json;
namespace py = pybind11;

namespace bench {

namespace {

/// Most memory resident since resetPeak(), MiB (proc(5), VmHWM).
double peakMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  return 0;
}

void resetPeak() { std::ofstream("/proc/self/clear_refs") << 5; }

struct Memory {
  double start, tenth, half, end;  // peaks up to then
};

/// Runs `work` on a new thread of that name and waits.
template <class F>
void onThread(const char* name, F&& work) {
  std::thread([&] {
    pthread_setname_np(pthread_self(), name);
    work();
  }).join();
}

/// Publishes to the plugin py_counter. @return messages per second, from the first publish until the last is handled
double throughBus(PluginManager& manager, std::int64_t messages, Memory* memory) {
  const auto& bus = MessageBus::instance();
  auto plugin = manager.loadPlugin(QTFORGE_BENCH_PLUGIN);
  if (!plugin) fail(plugin.error().message());
  if (auto done = (*plugin)->initialize(); !done) fail(done.error().message());
  double passed = 0;
  resetPeak();
  const double start = peakMemory();
  double tenth = 0, half = 0;
  onThread("ours", [&] {
    const auto begin = Clock::now();
    for (std::int64_t i = 0; i < messages; ++i) {
      if (i == messages / 10) tenth = peakMemory();
      if (i == messages / 2) half = peakMemory();
      const auto sent = bus.publish("py_counter.in", json::object{{"n", i}, {"value", 0.5}, {"name", "sensor"}});
      if (!sent) fail(sent.error().message());
    }
    if (auto done = bus.drain(std::chrono::minutes(10)); !done) fail(done.error().message());
    passed = seconds(Clock::now() - begin);
  });
  if (memory) *memory = {start, tenth, half, peakMemory()};

  Counted counted{};
  const auto told = bus.subscribe("py_counter.told", [&](const json::value& figures) {
    counted = {figures.at("count").to_number<std::int64_t>(), figures.at("disordered").to_number<std::int64_t>()};
  });
  if (auto asked = bus.publish("py_counter.ask", nullptr); !asked) fail(asked.error().message());
  if (auto done = bus.drain(); !done) fail(done.error().message());
  check("qtforge", counted, messages);
  if (auto gone = manager.unloadPlugin((*plugin)->name()); !gone) fail(gone.error().message());
  return static_cast<double>(messages) / passed;
}

/// A thread state for the calling thread while it lives, without the GIL: acquiring it then is cheap.
class KeptThreadState {
 public:
  KeptThreadState() : state_(PyGILState_Ensure()), thread_(PyEval_SaveThread()) {}
  KeptThreadState(const KeptThreadState&) = delete;
  KeptThreadState& operator=(const KeptThreadState&) = delete;
  ~KeptThreadState() {
    PyEval_RestoreThread(thread_);
    PyGILState_Release(state_);
  }

 private:
  PyGILState_STATE state_;
  PyThreadState* thread_;
};

/// The loop that pybind11's users write.
void callEach(const py::object& function, std::int64_t messages) {
  for (std::int64_t i = 0; i < messages; ++i) {
    const py::gil_scoped_acquire gil;
    py::dict message;
    message["n"] = i;
    message["value"] = 0.5;
    message["name"] = "sensor";
    function(message);
  }
}

enum class ThreadState { Fresh, Kept };

/// Calls the same function of an object of the same class. @return messages per second
double throughPybind11(PluginManager& manager, std::int64_t messages, ThreadState kind) {
  auto plugin = manager.loadPlugin(QTFORGE_BENCH_PLUGIN);  // for its module
  if (!plugin) fail(plugin.error().message());
  py::object object, function;
  {
    const py::gil_scoped_acquire gil;
    object = py::module_::import("qtforge_plugins.py_counter.main").attr("Plugin")();
    object.attr("count") = 0;
    object.attr("disordered") = 0;
    object.attr("last") = -1;
    function = object.attr("take");
  }
  double passed = 0;
  onThread(kind == ThreadState::Fresh ? "fresh" : "kept", [&] {
    std::optional<KeptThreadState> kept;
    if (kind == ThreadState::Kept) kept.emplace();
    const auto begin = Clock::now();
    callEach(function, messages);
    passed = seconds(Clock::now() - begin);
  });
  Counted counted{};
  {
    const py::gil_scoped_acquire gil;
    counted = {object.attr("count").cast<std::int64_t>(), object.attr("disordered").cast<std::int64_t>()};
    function = py::object();
    object = py::object();
  }
  check("pybind11", counted, messages);
  if (auto gone = manager.unloadPlugin((*plugin)->name()); !gone) fail(gone.error().message());
  return static_cast<double>(messages) / passed;
}

}  // namespace

std::vector<Comparison> measurePython(const Options& options) {
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  Comparison result("JSON messages from a C++ thread to Python", "messages/s", Better::More);
  auto& fresh = result.peer("pybind11, a fresh thread state per message");
  auto& kept = result.peer("pybind11, a kept thread state");
  std::printf("\n%s messages {\"n\": i, \"value\": 0.5, \"name\": \"sensor\"} a run by qtforge, %s by pybind11; both call\n"
              "the same function, take() of test/plugins/py_counter, which counts and checks the order\n",
              shown(static_cast<double>(options.messages)).c_str(), shown(static_cast<double>(options.peerMessages)).c_str());
  std::printf("peak memory of qtforge's runs, MiB: at the start, after a tenth, after half, at the end\n");
  throughBus(manager, options.messages / 20 + 1, nullptr);
  throughPybind11(manager, options.peerMessages / 20 + 1, ThreadState::Fresh);
  throughPybind11(manager, options.peerMessages / 20 + 1, ThreadState::Kept);
  for (std::int64_t run = 0; run < options.runs; ++run) {
    Memory memory{};
    result.ours.add(throughBus(manager, options.messages, &memory));
    fresh.add(throughPybind11(manager, options.peerMessages, ThreadState::Fresh));
    kept.add(throughPybind11(manager, options.peerMessages, ThreadState::Kept));
    std::printf("  %8.1f %8.1f %8.1f %8.1f\n", memory.start, memory.tenth, memory.half, memory.end);
    std::fflush(stdout);
  }
  return {result};
}

namespace {

/// The functions that are called, as pybind11 holds them.
struct Functions {
  Functions(python::PythonExecutor& executor) {
    if (auto defined = executor.execute("def f(x): return x\ndef count(xs): return len(xs)\n"
                                        "import builtins\nbuiltins.bench_functions = (f, count)\n");
        !defined)
      fail(defined.error().message());
    const py::gil_scoped_acquire gil;
    const py::tuple both = py::module_::import("builtins").attr("bench_functions");
    f = both[0];
    count = both[1];
  }
  Functions(const Functions&) = delete;
  Functions& operator=(const Functions&) = delete;
  ~Functions() {
    const py::gil_scoped_acquire gil;
    f = py::object();
    count = py::object();
  }

  py::object f, count;
};

enum class Held { Throughout, NotAtAll };

/// @param call  `call(double)` returns its argument. @return ns per call
template <class F>
double sameEach(const char* who, std::int64_t calls, Held held, F&& call) {
  std::optional<py::gil_scoped_acquire> gil;
  if (held == Held::Throughout) gil.emplace();
  double x = 0;
  const double passed = perCall(calls, [&] { x = call(x + 1); });
  check(who, {static_cast<std::int64_t>(x), 0}, calls);
  return passed;
}

/// @param call  `call()` returns 1000. @return ns per call
template <class F>
double countEach(const char* who, std::int64_t calls, F&& call) {
  const py::gil_scoped_acquire gil;
  std::int64_t sum = 0;
  const double passed = perCall(calls, [&] { sum += call(); });
  check(who, {sum / 1000, 0}, calls);
  return passed;
}

/// The least that a call can be.
double vectorcall(PyObject* function, double x) {
  PyObject* argument = PyFloat_FromDouble(x);
  PyObject* places[2] = {nullptr, argument};
  PyObject* result = PyObject_Vectorcall(function, places + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  const double value = PyFloat_AS_DOUBLE(result);
  Py_DECREF(argument);
  Py_DECREF(result);
  return value;
}

}  // namespace

std::vector<Comparison> measureCalls(const Options& options) {
  python::PythonExecutor executor;
  const Functions functions(executor);
  const auto function = valueOf(executor.function<double(double)>("f"));
  const auto calls = options.messages * 2;
  const auto kept = [&](std::int64_t count) {
    return sameEach("pybind11", count, Held::Throughout, [&](double x) { return functions.f(x).cast<double>(); });
  };
  const auto least = [&](std::int64_t count) {
    return sameEach("vectorcall", count, Held::Throughout, [&](double x) { return vectorcall(functions.f.ptr(), x); });
  };

  const auto beside = [&](const char* title, const char* us, const auto& call) {
    Comparison comparison(title, "ns", Better::Less, us);
    inTurn(options.runs,
           {{&comparison.ours, calls, [&](std::int64_t count) { return sameEach(us, count, Held::Throughout, call); }},
            {&comparison.peer("pybind11, a function that is kept"), calls, kept},
            {&comparison.peer("PyObject_Vectorcall"), calls, least}});
    return comparison;
  };
  const auto named = beside("calls by name, double f(double), under the GIL", "callFunction<double>(\"f\", x)",
                            [&](double x) { return *executor.callFunction<double>("f", x); });
  const auto namedShown = beside("the same, which is shown", "callFunction<double>(gil, \"f\", x)", [&](double x) {
    return *executor.callFunction<double>(python::Gil(python::GilHeld()), "f", x);
  });
  const auto found = beside("calls of a kept function, double f(double), under the GIL", "PythonFunction, f(x)",
                            [&](double x) { return *function(x); });
  const auto foundShown = beside("the same, which is shown", "PythonFunction, f(gil, x)", [&](double x) {
    return *function(python::Gil(python::GilHeld()), x);
  });

  Comparison taking("calls that take the GIL each, double f(double)", "ns", Better::Less, "PythonFunction<double(double)>");
  inTurn(options.runs, {{&taking.ours, calls,
                         [&](std::int64_t count) {
                           return sameEach("PythonFunction", count, Held::NotAtAll, [&](double x) { return *function(x); });
                         }},
                        {&taking.peer("pybind11, gil_scoped_acquire"), calls, [&](std::int64_t count) {
                           return sameEach("pybind11", count, Held::NotAtAll, [&](double x) {
                             const py::gil_scoped_acquire gil;
                             return functions.f(x).cast<double>();
                           });
                         }}});

  std::vector<double> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0.5);
  const auto lists = [&](std::int64_t count) {
    return countEach("pybind11", count, [&] { return functions.count(numbers).cast<std::int64_t>(); });
  };
  const auto few = std::max<std::int64_t>(1, options.messages / 50);
  Comparison list("1000 double as a list, len(numbers)", "ns", Better::Less, "qtforge, std::vector as a list");
  inTurn(options.runs, {{&list.ours, few,
                         [&](std::int64_t count) {
                           return countEach("list", count, [&] {
                             return *executor.callFunction<std::int64_t>("count", numbers);
                           });
                         }},
                        {&list.peer("pybind11, std::vector as a list"), few, lists}});
  Comparison buffer("1000 double as a buffer, len(numbers)", "ns", Better::Less, "qtforge, std::span as a buffer");
  inTurn(options.runs, {{&buffer.ours, calls / 10,
                         [&](std::int64_t count) {
                           return countEach("buffer", count, [&] {
                             return *executor.callFunction<std::int64_t>("count", std::span<const double>(numbers));
                           });
                         }},
                        {&buffer.peer("pybind11, std::vector as a list"), few, lists}});
  return {named, namedShown, found, foundShown, taking, list, buffer};
}

}  // namespace bench
