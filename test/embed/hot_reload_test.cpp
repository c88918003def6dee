// Reload of Python plugins by the host and by changes of their files: typed interfaces, limits, messages at full speed.

#define BOOST_TEST_MODULE hot_reload
#include "../unit/plugin_folder.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <thread>

using namespace qtforge;
using namespace std::chrono_literals;
using qtforge::python::PythonExecutor;
using qtforge::python::PythonIntegration;
using test::contains;
namespace json = boost::json;

namespace {

constexpr auto interval = 100ms;

struct StartPython {
  StartPython() {
    setLogSinks({});
    python::PythonConfig config;
    config.hotReloadInterval = 0ms;
    if (!(PythonIntegration::initialize(config).error() == Errc::InvalidArgument)) throw std::runtime_error("an interval of 0 was taken");
    config.enableHotReload = true;
    config.hotReloadInterval = interval;
    if (auto started = PythonIntegration::initialize(config); !started) throw std::runtime_error(started.error().message());
  }
};

/// Waits for messages on a pattern.
class Inbox {
 public:
  explicit Inbox(const char* pattern)
      : subscription_(MessageBus::instance().subscribe(pattern, [this](const json::value& value) {
          std::lock_guard lock(mutex_);
          seen_.push_back(value);
          arrived_.notify_all();
        }).value()) {}

  json::value next() {
    std::unique_lock lock(mutex_);
    BOOST_REQUIRE(arrived_.wait_for(lock, 30s, [&] { return !seen_.empty(); }));
    auto value = std::move(seen_.front());
    seen_.pop_front();
    return value;
  }
  bool empty() {
    std::lock_guard lock(mutex_);
    return seen_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<json::value> seen_;
  Subscription subscription_;
};

using Gauge = Interface<"test.gauge/1", Method<"read(scale)", std::int64_t(std::int64_t)>>;

/// A plugin that is changed by its author.
struct WithAuthor {
  WithAuthor() {
    manager.addLoader(std::make_unique<python::PythonPluginLoader>());
    manager.setDataFolder(folder / "data");
    folder.write("live/plugin.json", R"({"name": "Live", "version": "1.0.0", "language": "python", "entry_point": "main.py"})");
    write(1);
  }

  /// Replaces the file as a whole, as many editors do.
  void write(int version, const std::string& more = {}, const std::string& initialize = "pass") {
    const auto text = std::to_string(version);
    const auto path = folder.write("new.py", R"(
import qtforge
from qtforge.core import IPlugin

class Live(IPlugin):
    def initialize(self):
        self.count = 0
        self.bus = qtforge.MessageBus.instance()
        self.bus.subscribe("live.n", self.on_number)
        )" + initialize + R"(

    def on_number(self, n):
        self.count += 1
        self.bus.publish("live.out", [)" + text + R"(, n, self.count])

    def read(self, scale):
        return )" + text + R"( * scale

    def save_state(self):
        return self.count

    def restore_state(self, count):
        self.count = count
)" + more);
    std::filesystem::rename(path, folder / "live/main.py");
  }

  PluginHandle load() {
    auto plugin = manager.loadPlugin(folder / "live/").value();  // the path ends as people write it
    plugin->initialize().value();
    plugin->activate().value();
    return plugin;
  }

  test::Folder folder;
  PluginManager manager;
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(StartPython);

BOOST_AUTO_TEST_SUITE(hot_reload)

BOOST_FIXTURE_TEST_CASE(a_changed_plugin_is_reloaded_and_a_broken_one_is_told_and_mended, WithAuthor) {
  Inbox told("qtforge.reload"), out("live.out");
  const auto plugin = load();
  MessageBus::instance().publish("live.n", 1);
  BOOST_TEST((out.next() == json::value{1, 1, 1}));
  write(2);
  BOOST_TEST(told.next().at("ok").as_bool());
  MessageBus::instance().publish("live.n", 2);
  BOOST_TEST((out.next() == json::value{2, 2, 2}));
  std::ofstream(folder / "live/main.py") << "def half(:\n";
  const auto failed = told.next();
  BOOST_TEST(!failed.at("ok").as_bool());
  BOOST_TEST(contains(std::string(failed.at("error").as_string()), "main.py, line 1"));
  MessageBus::instance().publish("live.n", 3);
  BOOST_TEST((out.next() == json::value{2, 3, 3}));
  write(3);
  BOOST_TEST(told.next().at("ok").as_bool());
  MessageBus::instance().publish("live.n", 4);
  BOOST_TEST((out.next() == json::value{3, 4, 4}));
  BOOST_TEST((plugin->state() == PluginState::Active));
}

BOOST_FIXTURE_TEST_CASE(a_module_of_the_plugin_counts_too, WithAuthor) {
  Inbox told("qtforge.reload");
  std::filesystem::create_directories(folder / "live/parts");
  folder.write("live/parts/__init__.py", "");
  folder.write("live/parts/number.py", "NUMBER = 1\n");
  write(1, "\n    def number(self):\n        from parts.number import NUMBER\n        return NUMBER\n");
  load();
  folder.write("live/parts/number.py", "NUMBER = 2\n");
  BOOST_TEST(told.next().at("ok").as_bool());
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import qtforge\ndef number(): return qtforge.find('Live').number()").has_value());
  BOOST_TEST(executor.callFunction<int>("number").value() == 2);
}

BOOST_FIXTURE_TEST_CASE(interface_handles_and_guards_lead_to_the_new_version, WithAuthor) {
  load();
  const auto gauge = manager.find<Gauge>("Live").value();
  const auto guard = gauge.lock().value();
  BOOST_TEST(gauge.call<"read">(10).value() == 10);
  for (int version = 2; version < 6; ++version) {
    write(version);
    manager.reloadPlugin("Live").value();
    BOOST_TEST(gauge.call<"read">(10).value() == version * 10);
    BOOST_TEST(guard.call<"read">(1).value() == version);
  }
  write(6, "\n    read = None\n");
  const auto failed = manager.reloadPlugin("Live");
  BOOST_TEST((failed.error() == Errc::InterfaceMissing));
  BOOST_TEST(gauge.call<"read">(10).value() == 50);
}

BOOST_FIXTURE_TEST_CASE(an_interface_that_the_manifest_declares_must_be_there, WithAuthor) {
  manager.addInterface<Gauge>();
  folder.write("live/plugin.json", R"({"name": "Live", "version": "1.0.0", "language": "python", "entry_point": "main.py",
                                       "interfaces": ["test.gauge/1"]})");
  load();
  write(2, "\n    def read(self): return 1\n");
  BOOST_TEST((manager.reloadPlugin("Live").error() == Errc::InterfaceMismatch));
}

BOOST_FIXTURE_TEST_CASE(messages_of_many_publishers_come_once_and_in_order_beside_50_reloads, WithAuthor) {
  constexpr int publishers = 2;
  std::mutex mutex;
  std::vector<std::int64_t> next(publishers, 0);
  std::int64_t wrong = 0, handled = 0, versions = 0, last = 0;
  const auto out = MessageBus::instance().subscribe("live.out", [&](const json::value& value) {
    std::lock_guard lock(mutex);
    const auto& fields = value.as_array();
    const auto n = fields[1].as_int64();
    wrong += n / publishers != next[static_cast<std::size_t>(n % publishers)]++;
    wrong += fields[2].as_int64() != ++handled;
    versions += fields[0].as_int64() != std::exchange(last, fields[0].as_int64());
  });
  load();
  const auto gauge = manager.find<Gauge>("Live").value();
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> published{0}, failedCalls{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < publishers; ++i)
    threads.emplace_back([&, i] {
      for (std::int64_t n = i; !stop; n += publishers) {
        MessageBus::instance().publish("live.n", n).value();
        ++published;
      }
    });
  threads.emplace_back([&] {
    while (!stop) failedCalls += !gauge.call<"read">(1).has_value();
  });
  for (int version = 2; version <= 51; ++version) {
    write(version);
    manager.reloadPlugin("Live").value();
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  BOOST_REQUIRE(MessageBus::instance().drain(60s).has_value());
  std::lock_guard lock(mutex);
  BOOST_TEST(wrong == 0);
  BOOST_TEST(handled == published.load());
  BOOST_TEST(failedCalls.load() == 0);
  BOOST_TEST(versions > 10);
}

BOOST_FIXTURE_TEST_CASE(a_hook_that_hangs_is_given_up_and_the_old_version_goes_on, WithAuthor) {
  Inbox out("live.out");
  manager.setHookLimit(300ms);
  const auto plugin = load();
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import sys, threading, types\n"
                                 "go = types.ModuleType('hang_until')\n"
                                 "go.event = threading.Event()\n"
                                 "sys.modules['hang_until'] = go\n").has_value());
  for (const bool inRestore : {false, true}) {
    BOOST_REQUIRE(executor.execute("go.event.clear()").has_value());
    const std::string hang = "import hang_until; hang_until.event.wait(30)";
    if (inRestore) write(2, "\n    def activate(self):\n        " + hang + "\n");
    else write(2, "", hang);
    BOOST_TEST((manager.reloadPlugin("Live").error() == Errc::TimedOut));
    BOOST_REQUIRE(executor.execute("go.event.set()").has_value());
    MessageBus::instance().publish("live.n", 7);
    BOOST_TEST(out.next().at(0).as_int64() == 1);
    BOOST_TEST((plugin->state() == PluginState::Active));
  }
  write(3);
  manager.reloadPlugin("Live").value();
  MessageBus::instance().publish("live.n", 8);
  BOOST_TEST((out.next() == json::value{3, 8, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_manager_may_end_while_its_plugins_are_reloaded, WithAuthor) {
  for (int round = 0; round < 5; ++round) {
    auto own = std::make_unique<PluginManager>();
    own->addLoader(std::make_unique<python::PythonPluginLoader>());
    own->setDataFolder(folder / "data");
    write(1);
    own->loadPlugin(folder / "live").value()->initialize().value();
    std::atomic<bool> stop{false};
    std::thread reloads([&, plain = own.get()] {
      while (!stop)
        if (auto done = plain->reloadPlugin("Live"); !done) break;
    });
    write(2 + round);
    Inbox told("qtforge.reload");
    told.next();
    auto ended = std::async(std::launch::async, [&] {
      for (const auto& plugin : own->plugins())
        while (!own->unloadPlugin(plugin->name())) {}
    });
    BOOST_TEST((ended.wait_for(30s) == std::future_status::ready));
    stop = true;
    reloads.join();
    own.reset();
  }
}

BOOST_AUTO_TEST_SUITE_END()
