// How fast messages go from C++ to Python and to C++: by the bus and, in the same process and in turn, by what one
// would write without it. `--help` says what can be set.

#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/serialize.hpp>
#include <boost/signals2/signal.hpp>
#include <boost/version.hpp>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace qtforge;
using qtforge::python::PythonIntegration;
using Clock = std::chrono::steady_clock;
namespace json = boost::json;
namespace py = pybind11;

namespace {

struct Options {
  std::int64_t messages = 1'000'000;  // per run of ours
  std::int64_t peerMessages = 0;      // per run of the peers, which are slower; 0: a fifth
  std::int64_t runs = 5;
  std::string json;
};

constexpr const char* help = R"(bench [--runs N] [--messages N] [--peer-messages N] [--json FILE]

  --runs N           how often each is measured, in turn (default: 5)
  --messages N       messages per run of qtforge's (default: 1000000)
  --peer-messages N  messages per run of the others, whose rates are compared (default: a fifth of them)
  --json FILE        writes the rows: name, ours, peer, theirs, ratio, unit, runs, min, max. `ours` and `theirs` are
                     medians, `min` and `max` are of `ours`, and a ratio above 1 says that ours is so many times as fast
)";

/// Ends the program; what is measured must be right first.
[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

double seconds(Clock::duration passed) { return std::chrono::duration<double>(passed).count(); }

// ---- Memory --------------------------------------------------------------------------------------------------------

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

// ---- From C++ to Python --------------------------------------------------------------------------------------------

struct Counted {
  std::int64_t count, disordered;
};

void check(const char* who, Counted counted, std::int64_t messages) {
  if (counted.count != messages || counted.disordered != 0)
    fail(std::string(who) + ": of " + std::to_string(messages) + " messages " + std::to_string(counted.count) +
         " arrived, " + std::to_string(counted.disordered) + " out of order");
}

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

// ---- From C++ to C++ -----------------------------------------------------------------------------------------------

/// @return ns per call
template <class F>
double perCall(std::int64_t calls, F&& call) {
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < calls; ++i) call();
  return seconds(Clock::now() - begin) / static_cast<double>(calls) * 1e9;
}

double throughDirect(const json::value& message, std::int64_t calls) {
  const auto& bus = MessageBus::instance();
  std::int64_t count = 0;
  const auto subscription = bus.subscribe(
      "bench.direct", [&](const json::value&) { ++count; }, {.delivery = DeliveryMode::Direct});
  if (!subscription) fail(subscription.error().message());
  const auto publisher = bus.publisher("bench.direct");
  if (!publisher) fail(publisher.error().message());
  const double passed = perCall(calls, [&] { (void)publisher->publish(message); });
  check("qtforge, Direct", {count, 0}, calls);
  return passed;
}

double throughSignal(const json::value& message, std::int64_t calls) {
  std::int64_t count = 0;
  boost::signals2::signal<void(const json::value&)> signal;
  signal.connect([&](const json::value&) { ++count; });
  const double passed = perCall(calls, [&] { signal(message); });
  check("Boost.Signals2", {count, 0}, calls);
  return passed;
}

/// What a consumer on a thread of its own saw of the integers 0, 1, 2...
class Consumer {
 public:
  Consumer() : work_(context.get_executor()), thread_([this] { context.run(); }) {}
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer() {
    work_.reset();
    thread_.join();
  }

  void take(std::int64_t value) {
    disordered_ += value != count_.load(std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_release);
  }

  /// Waits until all are there, and checks them.
  void await(const char* who, std::int64_t messages) {
    while (count_.load(std::memory_order_acquire) < messages) std::this_thread::yield();
    check(who, {count_, disordered_}, messages);
  }

  boost::asio::io_context context{1};

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::atomic<std::int64_t> count_{0};
  std::int64_t disordered_ = 0;
  std::thread thread_;  // last: it uses the rest
};

double throughQueue(std::int64_t messages) {
  Consumer consumer;
  const MessageBus bus(consumer.context.get_executor());
  const auto subscription = bus.subscribe("bench.queued", [&](const json::value& value) { consumer.take(value.as_int64()); });
  const auto publisher = bus.publisher("bench.queued");
  if (!subscription || !publisher) fail("no subscription or publisher");
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < messages; ++i) (void)publisher->publish(json::value(i));
  consumer.await("qtforge, Queued", messages);
  return static_cast<double>(messages) / seconds(Clock::now() - begin);
}

double throughPost(std::int64_t messages) {
  Consumer consumer;
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < messages; ++i)
    boost::asio::post(consumer.context, [&consumer, value = json::value(i)] { consumer.take(value.as_int64()); });
  consumer.await("boost::asio::post", messages);
  return static_cast<double>(messages) / seconds(Clock::now() - begin);
}

// ---- What is shown -------------------------------------------------------------------------------------------------

/// What several runs gave.
class Runs {
 public:
  void add(double figure) { figures_.insert(std::upper_bound(figures_.begin(), figures_.end(), figure), figure); }
  [[nodiscard]] double least() const { return figures_.front(); }
  [[nodiscard]] double most() const { return figures_.back(); }
  [[nodiscard]] double median() const {
    const auto half = figures_.size() / 2;
    return figures_.size() % 2 ? figures_[half] : (figures_[half - 1] + figures_[half]) / 2;
  }

 private:
  std::vector<double> figures_;  // ascending
};

/// A figure with the thousands apart, or one decimal where it is small.
std::string shown(double figure) {
  char text[64];
  std::snprintf(text, sizeof text, figure < 1000 ? "%.1f" : "%.0f", figure);
  std::string digits = text;
  if (figure >= 1000)
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
      digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

enum class Better { More, Less };

/// One measurement with its peers: a table on the screen, a row each in the file.
class Comparison {
 public:
  Comparison(std::string name, std::string unit, Better better)
      : name_(std::move(name)), unit_(std::move(unit)), better_(better) {}

  Runs ours;

  Runs& peer(const char* name) { return peers_.emplace_back(name, Runs()).second; }

  void print() const {
    std::printf("\n%-50s %12s %12s %12s %8s\n", (name_ + ", " + unit_).c_str(), "median", "min", "max", "ratio");
    line("qtforge", ours);
    std::printf("\n");
    for (const auto& [name, theirs] : peers_) {
      line(name, theirs);
      std::printf(" %7.1fx\n", ratio(theirs));
    }
  }

  void addTo(json::array& rows, std::int64_t runs) const {
    for (const auto& [name, theirs] : peers_)
      rows.push_back({{"name", name_},
                      {"ours", ours.median()},
                      {"peer", name},
                      {"theirs", theirs.median()},
                      {"ratio", ratio(theirs)},
                      {"unit", unit_},
                      {"runs", runs},
                      {"min", ours.least()},
                      {"max", ours.most()}});
  }

 private:
  static void line(const std::string& name, const Runs& runs) {
    std::printf("  %-48s %12s %12s %12s", name.c_str(), shown(runs.median()).c_str(), shown(runs.least()).c_str(),
                shown(runs.most()).c_str());
  }

  [[nodiscard]] double ratio(const Runs& theirs) const {
    return better_ == Better::More ? ours.median() / theirs.median() : theirs.median() / ours.median();
  }

  const std::string name_, unit_;
  const Better better_;
  std::deque<std::pair<std::string, Runs>> peers_;
};

Comparison measurePython(const Options& options) {
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  Comparison result("JSON messages from a C++ thread to Python", "messages/s", Better::More);
  auto& fresh = result.peer("pybind11, a fresh thread state per message");
  auto& kept = result.peer("pybind11, a kept thread state");
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
  return result;
}

Comparison measureDirect(const Options& options) {
  const json::value message{{"n", 1}, {"value", 0.5}, {"name", "sensor"}};
  Comparison result("a message that is there to one C++ handler", "ns/call", Better::Less);
  auto& signal = result.peer("Boost.Signals2 (no topics, no counters)");
  throughDirect(message, options.messages / 20 + 1);
  throughSignal(message, options.messages / 20 + 1);
  for (std::int64_t run = 0; run < options.runs; ++run) {
    result.ours.add(throughDirect(message, options.messages));
    signal.add(throughSignal(message, options.messages));
  }
  return result;
}

Comparison measureQueued(const Options& options) {
  Comparison result("integers from one C++ thread to another", "messages/s", Better::More);
  auto& post = result.peer("boost::asio::post (no topics, unbounded)");
  throughQueue(options.messages / 20 + 1);
  throughPost(options.messages / 20 + 1);
  for (std::int64_t run = 0; run < options.runs; ++run) {
    result.ours.add(throughQueue(options.messages));
    post.add(throughPost(options.messages));
  }
  return result;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(help, stdout);
      std::exit(0);
    }
    if (i + 1 == argc) fail(std::string(name) + " needs a value, or is unknown; see --help");
    const std::string_view value = argv[++i];
    if (name == "--json") {
      options.json = value;
      continue;
    }
    auto* number = name == "--runs"            ? &options.runs
                   : name == "--messages"      ? &options.messages
                   : name == "--peer-messages" ? &options.peerMessages
                                               : nullptr;
    if (!number) fail("unknown: " + std::string(name) + "; see --help");
    const auto read = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (read.ec != std::errc() || read.ptr != value.data() + value.size() || *number < 1)
      fail(std::string(name) + ": a number of at least 1 expected, not " + std::string(value));
  }
  if (options.peerMessages == 0) options.peerMessages = std::max<std::int64_t>(1, options.messages / 5);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (auto started = PythonIntegration::initialize(); !started) fail(started.error().message());

  double load = 0;
  getloadavg(&load, 1);
  std::printf("Python %s, pybind11 %d.%d, Boost %d.%d, compiler %s, %u processors, load before %.1f\n", PY_VERSION,
              PYBIND11_VERSION_MAJOR, PYBIND11_VERSION_MINOR, BOOST_VERSION / 100'000, BOOST_VERSION / 100 % 1000,
              __VERSION__, std::thread::hardware_concurrency(), load);
  std::printf("%s messages {\"n\": i, \"value\": 0.5, \"name\": \"sensor\"} "
              "a run by qtforge, %s by pybind11;\n"
              "both call the same function, take() of test/plugins/py_counter, which counts and checks the order;\n"
              "%lld runs each, in turn\n\n",
              shown(static_cast<double>(options.messages)).c_str(),
              shown(static_cast<double>(options.peerMessages)).c_str(), static_cast<long long>(options.runs));

  json::array rows;
  for (const auto measure : {measurePython, measureDirect, measureQueued}) {
    const Comparison comparison = measure(options);
    comparison.print();
    comparison.addTo(rows, options.runs);
  }
  std::printf("\nnone lost, all in order\n");
  if (!options.json.empty() && !(std::ofstream(options.json) << json::serialize(rows) << std::endl))
    fail("cannot write " + options.json);
  return 0;
}
