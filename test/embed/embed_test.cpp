// Python inside a C++ host: executor, conversions, plugins good and broken, the bus across the languages.

#define BOOST_TEST_MODULE embed
#include "../plugins/native_interface/expect_everything.hpp"
#include "../plugins/native_services/key_value.hpp"
#include "../unit/plugin_folder.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/describe/class.hpp>
#include <boost/test/unit_test.hpp>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <latch>
#include <optional>

using namespace qtforge;
using qtforge::python::PythonExecutor;
using qtforge::python::PythonIntegration;
namespace json = boost::json;

namespace embed_test {

struct Reading {
  std::string name;
  std::vector<double> values;
};
BOOST_DESCRIBE_STRUCT(Reading, (), (name, values))

struct StartPython {
  StartPython() {
    setLogSinks({});
    if (auto started = PythonIntegration::initialize(); !started) throw std::runtime_error(started.error().message());
  }
};

std::filesystem::path fixture(const std::string& name) {
  const char* folder = std::getenv("QTFORGE_TEST_PLUGINS");
  if (!folder) throw std::runtime_error("QTFORGE_TEST_PLUGINS is not set: run the tests with ./tools/dev test");
  return std::filesystem::path(folder) / name;
}

struct PythonManager : PluginManager {
  PythonManager() { addLoader(std::make_unique<python::PythonPluginLoader>()); }
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
    BOOST_REQUIRE(arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return !seen_.empty(); }));
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

struct Broken {
  const char* fixture;
  Errc code;
  const char* says;
};

}  // namespace embed_test

using namespace embed_test;

BOOST_TEST_GLOBAL_FIXTURE(StartPython);

BOOST_AUTO_TEST_SUITE(python_executor)

BOOST_AUTO_TEST_CASE(functions_take_and_return_scalars_text_lists_and_maps) {
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("def same(x): return x\ndef kind(x): return type(x).__name__\n").has_value());
  BOOST_TEST(executor.callFunction<int>("same", 5).value() == 5);
  BOOST_TEST(executor.callFunction<double>("same", 2.5).value() == 2.5);
  BOOST_TEST(executor.callFunction<bool>("same", true).value());
  BOOST_TEST(executor.callFunction<std::string>("same", "gr\xC3\xBC\xC3\x9F").value() == "gr\xC3\xBC\xC3\x9F");
  BOOST_TEST((executor.callFunction<std::vector<double>>("same", std::vector<double>{1, 2.5}).value() ==
              std::vector<double>{1, 2.5}));
  BOOST_TEST((executor.callFunction<std::map<std::string, int>>("same", std::map<std::string, int>{{"a", 1}}).value() ==
              std::map<std::string, int>{{"a", 1}}));
  const json::value document{{"list", {1, 2.5, nullptr, "x"}}, {"big", UINT64_MAX}};
  BOOST_TEST((executor.callFunction<json::value>("same", document).value() == document));
  BOOST_TEST((executor.callFunction<std::vector<std::uint8_t>>("same", BinaryMessage{}).error() == Errc::ConversionFailed));
  std::string kind = executor.callFunction("kind", BinaryMessage{}).value();
  BOOST_TEST(kind == "BinaryMessage");
  BOOST_TEST(executor.callFunction("same", 5).value() == 5);
  BOOST_TEST(executor.callFunction<int>("len", std::vector<double>{1, 2}).value() == 2);  // a builtin
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_an_error_that_says_where) {
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("def give(what): return {'set': {'a': [1, {2}]}, 'key': {1: 2}, 'huge': 2**70,"
                                 " 'float': 1.5, 'object': object(), 'list': [1]}[what]\n").has_value());
  const auto error = [&](const char* what) { return executor.callFunction("give", what).error(); };
  BOOST_TEST(error("set").message().find("give()[\"a\"][1]: set") == 0u);
  BOOST_TEST(error("key").message() == "give(): a key must be str, not int (1)");
  BOOST_TEST(error("huge").message() == "give(): int outside 64 bits");
  BOOST_TEST((error("object") == Errc::ConversionFailed));
  BOOST_TEST(executor.callFunction<int>("give", "float").error().message() == "give(): int expected, float came");
  BOOST_TEST(executor.callFunction<std::string>("give", "list").error().message() == "give(): str expected, list came");
  BOOST_TEST((executor.callFunction<std::uint8_t>("abs", 300).error() == Errc::ConversionFailed));
}

BOOST_AUTO_TEST_CASE(exceptions_keep_type_message_and_traceback) {
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("def fail():\n    raise KeyError('lost')\n", "mine.py").has_value());
  const auto error = executor.callFunction("fail").error();
  BOOST_TEST((error == Errc::PythonError));
  BOOST_TEST(error.pythonType() == "KeyError");
  BOOST_TEST(error.message() == "fail(): KeyError: 'lost'");
  BOOST_TEST(error.traceback().find("File \"mine.py\", line 2") != std::string::npos);
  BOOST_TEST(executor.execute("import sys; sys.exit(3)").error().pythonType() == "SystemExit");
  BOOST_TEST(executor.execute("def (").error().pythonType() == "SyntaxError");
  BOOST_TEST((executor.callFunction("nobody").error() == Errc::NameNotFound));
}

BOOST_AUTO_TEST_CASE(executors_do_not_see_each_others_names) {
  PythonExecutor one, two;
  BOOST_REQUIRE(one.execute("def mine(): return 1").has_value());
  BOOST_TEST((two.callFunction("mine").error() == Errc::NameNotFound));
}

BOOST_AUTO_TEST_CASE(executors_work_on_many_threads_and_may_end_on_any) {
  std::vector<std::thread> threads;
  std::atomic<int> sum{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      PythonExecutor executor;
      if (!executor.execute("def twice(x): return 2 * x")) return;
      for (int i = 0; i < 50; ++i) sum += executor.callFunction<int>("twice", t).value();
    });
  for (auto& thread : threads) thread.join();
  BOOST_TEST(sum == 2 * 50 * 28);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(python_integration)

BOOST_AUTO_TEST_CASE(a_second_start_with_the_same_configuration_is_fine_with_another_an_error) {
  BOOST_TEST(PythonIntegration::initialize().has_value());
  python::PythonConfig other;
  other.ignoreSigpipe = false;
  BOOST_TEST((PythonIntegration::initialize(other).error() == Errc::PythonAlreadyInitialized));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(python_plugins)

BOOST_AUTO_TEST_CASE(a_plugin_answers_with_its_own_helper_module_and_knows_its_state) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_good")).value();
  auto neighbour = manager.loadPlugin(fixture("py_neighbour")).value();
  BOOST_TEST((plugin->state() == PluginState::Loaded));
  BOOST_REQUIRE(plugin->initialize().has_value());
  BOOST_REQUIRE(plugin->activate().has_value());
  Inbox answers("py_good.answer"), helper("py_neighbour.helper");
  MessageBus::instance().publish("py_good.ask", json::object{{"n", 1}});
  const auto answer = answers.next();
  BOOST_TEST(answer.at("got").at("n").as_int64() == 1);
  BOOST_TEST(answer.at("helper").as_string() == "py_good");
  BOOST_TEST(answer.at("state").as_int64() == 3);
  BOOST_REQUIRE(neighbour->initialize().has_value());
  BOOST_REQUIRE(neighbour->activate().has_value());
  BOOST_TEST(helper.next().as_string() == "py_neighbour");
}

BOOST_AUTO_TEST_CASE(after_the_unload_nothing_of_a_plugin_is_called_or_imported) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_good")).value();
  BOOST_REQUIRE(plugin->initialize().has_value());
  BOOST_REQUIRE(manager.unloadPlugin("py_good").has_value());
  BOOST_TEST(MessageBus::instance().publish("py_good.ask", 1).value().receivers() == 0u);
  BOOST_TEST((plugin->activate().error() == Errc::PluginUnloaded));
  PythonExecutor executor;
  BOOST_TEST(executor.execute("import sys, gc\n"
                              "assert not [m for m in sys.modules if m.startswith('qtforge_plugins.py_good')]\n"
                              "gc.collect()\n"
                              "left = [o for o in gc.get_objects() if type(o).__module__.startswith('qtforge_plugins.py_good')]\n"
                              "assert not left, left\n").has_value());
}

BOOST_AUTO_TEST_CASE(loading_and_unloading_again_and_again_works) {
  PythonManager manager;
  for (int i = 0; i < 20; ++i) {
    auto plugin = manager.loadPlugin(fixture("py_good")).value();
    BOOST_REQUIRE(plugin->initialize().has_value());
    BOOST_REQUIRE(manager.unloadPlugin("py_good").has_value());
  }
}

static const Broken cannotLoad[] = {
    {"py_no_manifest", Errc::ManifestNotFound, "plugin.json"},
    {"py_not_json", Errc::ManifestInvalid, "plugin.json"},
    {"py_wrong_types", Errc::ManifestInvalid, "/name"},
    {"py_entry_missing", Errc::EntryPointInvalid, "absent.py"},
    {"py_entry_outside", Errc::EntryPointInvalid, "/entry_point"},
    {"py_entry_absolute", Errc::EntryPointInvalid, "/entry_point"},
    {"py_entry_link", Errc::EntryPointInvalid, "/entry_point"},
    {"py_class_missing", Errc::PluginClassMissing, "Other"},
    {"py_class_no_plugin", Errc::NotAPlugin, "IPlugin"},
    {"py_import_error", Errc::ImportFailed, "there_is_no_such_module"},
    {"py_syntax_error", Errc::ImportFailed, "SyntaxError"},
    {"py_exits_at_import", Errc::ImportFailed, "SystemExit"},
    {"py_raises_constructor", Errc::HookFailed, "no constructor today"},
    {"py_incompatible", Errc::PluginIncompatible, "1.0.0"},
    {"py_needs_missing", Errc::DependencyMissing, "NobodyHasThis"},
    {"there_is_no_such_folder", Errc::ManifestNotFound, "there_is_no_such_folder"},
};

BOOST_AUTO_TEST_CASE(broken_plugins_are_refused_with_a_reason_and_leave_nothing_behind) {
  for (const auto& broken : cannotLoad) {
    BOOST_TEST_CONTEXT(broken.fixture) {
      PythonManager manager;
      const auto loaded = manager.loadPlugin(fixture(broken.fixture));
      BOOST_REQUIRE(!loaded);
      BOOST_TEST((loaded.error() == broken.code), loaded.error().message());
      BOOST_TEST(loaded.error().message().find(broken.says) != std::string::npos, loaded.error().message());
      BOOST_TEST(manager.plugins().empty());
    }
  }
}

BOOST_AUTO_TEST_CASE(dependencies_that_are_too_old_are_named_with_both_versions) {
  PythonManager manager;
  BOOST_REQUIRE(manager.loadPlugin(fixture("py_good")).has_value());
  const auto newer = manager.loadPlugin(fixture("py_needs_newer"));
  BOOST_TEST((newer.error() == Errc::DependencyVersion));
  BOOST_TEST(newer.error().message().find("2.0.0") != std::string::npos);
  BOOST_TEST((manager.loadPlugin(fixture("py_same_name")).error() == Errc::DuplicatePlugin));
}

BOOST_AUTO_TEST_CASE(hooks_that_raise_or_return_false_lead_to_error_and_the_host_lives) {
  const auto fails = [](const char* name, auto steps) {
    BOOST_TEST_CONTEXT(name) {
      PythonManager manager;
      auto plugin = manager.loadPlugin(fixture(name)).value();
      const Error error = steps(*plugin);
      BOOST_TEST((error == Errc::HookFailed), error.message());
      BOOST_TEST((plugin->state() == PluginState::Error));
      return error;
    }
    return Error();
  };
  const auto raised = fails("py_raises_initialize", [](LoadedPlugin& p) { return p.initialize().error(); });
  BOOST_TEST(raised.pythonType() == "RuntimeError");
  BOOST_TEST(raised.traceback().find("main.py") != std::string::npos);
  BOOST_TEST(raised.message().find("py_raises_initialize") != std::string::npos);
  fails("py_raises_activate", [](LoadedPlugin& p) { return p.initialize() ? p.activate().error() : Error(); });
  fails("py_raises_deactivate", [](LoadedPlugin& p) {
    return p.initialize() && p.activate() ? p.deactivate().error() : Error();
  });
  fails("py_raises_cleanup", [](LoadedPlugin& p) { return p.initialize() ? p.cleanup().error() : Error(); });
  fails("py_returns_false", [](LoadedPlugin& p) { return p.initialize().error(); });
  fails("py_coroutine_hook", [](LoadedPlugin& p) { return p.initialize().error(); });
  const auto exit = fails("py_exits", [](LoadedPlugin& p) { return p.initialize() ? p.activate().error() : Error(); });
  BOOST_TEST(exit.pythonType() == "SystemExit");
}

BOOST_AUTO_TEST_CASE(a_raising_handler_stays_subscribed_and_is_reported_with_its_traceback) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_raises_handler")).value();
  BOOST_REQUIRE(plugin->initialize().has_value());
  Inbox errors("qtforge.errors"), calls("py_raises_handler.calls");
  auto& bus = MessageBus::instance();
  bus.publish("py_raises_handler.in", "this");
  bus.publish("py_raises_handler.in", "that");
  const auto first = errors.next();
  BOOST_TEST(first.at("plugin").as_string() == "py_raises_handler");
  BOOST_TEST(first.at("type").as_string() == "ValueError");
  BOOST_TEST(std::string(first.at("traceback").as_string()).find("cannot handle this") != std::string::npos);
  errors.next();
  bus.publish("py_raises_handler.count", nullptr);
  BOOST_TEST(calls.next().as_int64() == 2);
}

BOOST_AUTO_TEST_CASE(failures_are_told_without_the_gil_since_who_hears_of_them_may_wait) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_raises_handler")).value();
  BOOST_REQUIRE(plugin->initialize().has_value());
  std::atomic<int> told{0}, underGil{0};
  const auto& bus = MessageBus::instance();
  const auto errors = bus.subscribe("qtforge.errors", [&](const json::value&) {
    ++told;
    underGil += PyGILState_Check();
  }, {.delivery = DeliveryMode::Direct}).value();
  bus.publish("py_raises_handler.in", "this");
  BOOST_TEST(bus.drain().has_value());
  BOOST_TEST(told == 1);
  BOOST_TEST(underGil == 0);
}

BOOST_AUTO_TEST_CASE(requests_go_between_the_languages_both_ways) {
  const auto& bus = MessageBus::instance();
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import qtforge\n"
                                 "bus = qtforge.MessageBus.instance()\n"
                                 "def divide(p): return p['a'] / p['b']\n"
                                 "responder = bus.respond('embed.divide', divide)\n"
                                 "def ask(n): return bus.request('embed.twice', n)\n").has_value());
  BOOST_TEST(bus.request("embed.divide", json::object{{"a", 3}, {"b", 2}}).value().json()->as_double() == 1.5);
  const auto failed = bus.request("embed.divide", json::object{{"a", 3}, {"b", 0}}).error();
  BOOST_TEST(failed.pythonType() == "ZeroDivisionError");
  BOOST_TEST(failed.traceback().find("in divide") != std::string::npos);
  const auto twice = bus.respond("embed.twice", [](const json::value& v) { return v.as_int64() * 2; }).value();
  BOOST_TEST(executor.callFunction<int>("ask", 21).value() == 42);
  BOOST_TEST((bus.request("embed.nobody", 1).error() == Errc::NoResponder));
  BOOST_REQUIRE(executor.execute("responder.unsubscribe()").has_value());
}

BOOST_AUTO_TEST_CASE(a_described_struct_is_a_dict_in_python_and_a_dict_becomes_the_struct) {
  const auto& bus = MessageBus::instance();
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import qtforge\n"
                                 "def doubled(p): return {'name': p['name'], 'values': [2 * v for v in p['values']]}\n"
                                 "responder = qtforge.MessageBus.instance().respond('embed.doubled', doubled)\n").has_value());
  const auto answer = bus.request("embed.doubled", Reading{"scan", {0.5, 1}}).value().as<Reading>().value();
  BOOST_TEST(answer.name == "scan");
  BOOST_TEST((answer.values == std::vector<double>{1, 2}));
  BOOST_REQUIRE(executor.execute("responder.unsubscribe()").has_value());
}

// From Python to Python it is no JSON; who is between them makes it that, whoever comes first and last.
BOOST_AUTO_TEST_CASE(what_python_publishes_is_the_same_for_all_and_nobody_changes_it_for_another) {
  const auto& bus = MessageBus::instance();
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute(R"(
import qtforge
bus = qtforge.MessageBus.instance()
seen = []
def spoil(message):
    seen.append(message == expected())
    message["list"][0].append("spoilt")
    message["dict"].clear()
def keep(message):
    seen.append(message == expected())
def expected():
    return {"list": [[1, 2.5], "text"], "dict": {"a": None, "grün": True}, "large": 2**64 - 1}
def listen(handler, delivery):
    return bus.subscribe("embed.shared", handler, delivery=delivery)
def send(retain):
    message = expected()
    message["list"][0] = tuple(message["list"][0])
    bus.publish("embed.shared", message, retain=retain)
    message["dict"]["a"] = "changed after it was published"
)").has_value());
  const auto expected = executor.evaluate<json::value>("expected()").value();
  std::atomic<int> good{0}, wrong{0};
  const auto compare = [&](const json::value& value) { ++(value == expected ? good : wrong); };
  std::optional<Message> kept;
  const auto python = [&](const char* code) { BOOST_REQUIRE(executor.execute(code).has_value()); };
  // Each subscriber alone, and after and before each of the others.
  for (const bool retain : {false, true})
    for (const auto& order : {std::array{0, 1, 2, 3}, std::array{3, 2, 1, 0}, std::array{2, 0, 3, 1}}) {
      good = wrong = 0;
      python("bus.clear_retained('embed.shared'); seen.clear(); held = []");
      std::vector<Subscription> held;
      for (const int who : order) {
        if (who == 0) python("held.append(listen(spoil, 'direct'))");
        if (who == 1) python("held.append(listen(keep, 'direct')); held.append(listen(spoil, 'queued'))");
        if (who == 2) held.push_back(bus.subscribe("embed.shared", compare, {.delivery = DeliveryMode::Direct}).value());
        if (who == 3)
          held.push_back(bus.subscribe("embed.shared", [&](const Message& message) {
            compare(*message.json());
            kept = message;
          }).value());
        BOOST_REQUIRE(executor.callFunction("send", retain).has_value());
        BOOST_REQUIRE(bus.drain().has_value());
      }
      python("late = listen(keep, 'queued')");
      BOOST_REQUIRE(bus.drain().has_value());
      BOOST_TEST(wrong == 0);
      BOOST_TEST(good > 0);
      BOOST_TEST(executor.evaluate<bool>("all(seen) and len(seen) > 0").value());
      python("late.unsubscribe()\nfor one in held: one.unsubscribe()");
      BOOST_TEST((*kept->json() == expected));
      BOOST_TEST(bus.publish("embed.again", *kept).has_value());  // its payload is shared
    }
  python("bus.clear_retained('embed.shared')");
}

BOOST_AUTO_TEST_CASE(a_call_that_waits_for_a_lane_is_told_when_the_lane_ends) {
  python::Lane lane("ending");
  std::latch busy(1), calling(1), ending(1);
  lane.post(qtforge::detail::Task::of([&] {
    busy.count_down();
    ending.wait();
  }));
  busy.wait();
  const auto call = [&] {
    return lane.call([](const python::Gil&) { return expected<void>(); }, std::chrono::minutes(1));
  };
  auto waits = std::async(std::launch::async, [&] {
    calling.count_down();  // nothing tells that it waits; if it came too late, it would be told the same
    return call();
  });
  calling.wait();
  BOOST_TEST(!lane.stop(std::chrono::steady_clock::now()));  // it is busy, but begins nothing more
  ending.count_down();
  BOOST_TEST_REQUIRE(lane.stop(std::chrono::steady_clock::now() + std::chrono::seconds(10)));
  BOOST_TEST((waits.get().error() == Errc::ShuttingDown));
  BOOST_TEST((call().error() == Errc::ShuttingDown));
}

BOOST_AUTO_TEST_CASE(a_plugin_with_its_own_lane_runs_on_its_own_thread) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_own_lane")).value();
  Inbox threads("py_own_lane.thread");
  BOOST_REQUIRE(plugin->initialize().has_value());
  BOOST_REQUIRE(plugin->activate().has_value());
  const auto own = threads.next();
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import threading\ndef me(): return threading.get_ident()").has_value());
  BOOST_TEST((executor.callFunction<json::value>("me").value() != own));
}

BOOST_AUTO_TEST_CASE(a_hook_of_python_that_takes_too_long_is_its_callers_error_and_goes_on) {
  const test::Folder folder;
  folder.write("slow/plugin.json", R"({"name": "slow", "version": "1.0.0", "language": "python", "entry_point": "main.py"})");
  folder.write("slow/main.py", R"(
import threading

import qtforge


class Slow(qtforge.core.IPlugin):
    def __init__(self):
        self.go = threading.Event()
        qtforge.MessageBus.instance().subscribe("slow.go", lambda _: self.go.set(), delivery="direct")

    def initialize(self):
        self.go.wait(30)
)");
  PythonManager manager;
  manager.loadPlugin(fixture("py_good")).value();  // imports the package, which may take longer
  manager.setHookLimit(std::chrono::milliseconds(500));
  const auto plugin = manager.loadPlugin(folder / "slow").value();
  const auto late = plugin->initialize();
  BOOST_TEST((late.error() == Errc::TimedOut));
  BOOST_TEST(late.error().message().starts_with("plugin 'slow': initialize: lane "), late.error().message());
  BOOST_TEST(test::contains(late.error().message(), "did not answer within 500 ms; the call goes on there"));
  BOOST_TEST((plugin->state() == PluginState::Error));
  BOOST_TEST(MessageBus::instance().publish("slow.go", 1).value().receivers() == 1u);
  manager.unloadPlugin("slow").value();
}

BOOST_AUTO_TEST_CASE(what_a_plugin_started_is_taken_back_and_what_it_stored_stays_where_the_host_says) {
  const test::Folder folder;
  const auto& bus = MessageBus::instance();
  for (int run = 1; run <= 2; ++run) {
    Inbox answers("py_keeps.answer");
    std::optional<Inbox> ticks(std::in_place, "py_keeps.tick");
    PythonManager manager;
    manager.setDataFolder(folder.path());
    const auto plugin = manager.loadPlugin(fixture("py_keeps")).value();
    BOOST_REQUIRE(plugin->initialize().has_value());
    bus.publish("py_keeps.ask", nullptr);
    const auto answer = answers.next();
    BOOST_TEST(answer.at("path").as_string() == (folder.path() / "py_keeps" / "store.json").string());
    BOOST_TEST(answer.at("runs").as_int64() == run);
    ticks->next();
    BOOST_TEST(manager.unloadPlugin("py_keeps").has_value());
    BOOST_REQUIRE(bus.drain().has_value());
    ticks.emplace("py_keeps.tick");
    BOOST_TEST(bus.publish("py_keeps.ask", nullptr).value().receivers() == 0u);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // six intervals in which nothing is to come
    BOOST_TEST(ticks->empty());
  }
}

BOOST_AUTO_TEST_CASE(a_flood_from_cpp_arrives_whole_and_in_order) {
  PythonManager manager;
  auto plugin = manager.loadPlugin(fixture("py_counter")).value();
  BOOST_REQUIRE(plugin->initialize().has_value());
  auto& bus = MessageBus::instance();
  Inbox told("py_counter.told");
  constexpr int messages = 200'000;
  for (int n = 0; n < messages; ++n) bus.publish("py_counter.in", json::object{{"n", n}});
  BOOST_REQUIRE(bus.drain(std::chrono::seconds(60)).has_value());
  bus.publish("py_counter.ask", nullptr);
  const auto result = told.next();
  BOOST_TEST(result.at("count").as_int64() == messages);
  BOOST_TEST(result.at("disordered").as_int64() == 0);
}

BOOST_AUTO_TEST_CASE(bytes_inside_a_message_travel_both_ways_and_binary_is_not_copied) {
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute(R"(
import qtforge
bus = qtforge.MessageBus.instance()
def start():
    bus.subscribe("embed.binary", lambda m: bus.publish("embed.address", {
        "sum": sum(m.data), "type": m.content_type, "readonly": m.data.readonly}))
    bus.subscribe("embed.dict", lambda m: bus.publish("embed.back", m))
def send(): bus.publish("embed.dict", {"a/b": [{"raw": b"\x00\xff"}], "n": 1})
)").has_value());
  BOOST_REQUIRE(executor.callFunction("start").has_value());
  Inbox addresses("embed.address");
  std::promise<Attachments> back;
  const auto subscription = MessageBus::instance().subscribe("embed.back", [&](const Message& message) {
    back.set_value(message.attachments());
  }).value();
  MessageBus::instance().publish("embed.binary", BinaryMessage{Buffer({1, 2, 3}), "image/png", "", {}});
  const auto seen = addresses.next();
  BOOST_TEST(seen.at("sum").as_int64() == 6);
  BOOST_TEST(seen.at("type").as_string() == "image/png");
  BOOST_TEST(seen.at("readonly").as_bool());
  BOOST_REQUIRE(executor.callFunction("send").has_value());
  const auto attachments = back.get_future().get();
  BOOST_REQUIRE(attachments.size() == 1u);
  BOOST_TEST(attachments[0].place == "/a~1b/0/raw");
  BOOST_TEST((attachments[0].data == Buffer({0x00, 0xFF})));
}

BOOST_AUTO_TEST_CASE(a_python_filter_is_asked_on_the_publishers_thread) {
  PythonExecutor executor;
  BOOST_REQUIRE(executor.execute("import qtforge\n"
                                     "heard = []\n"
                                     "filtered = qtforge.MessageBus.instance().subscribe(\n"
                                     "    'embed.filtered', heard.append, filter=lambda n: n % 2)\n").has_value());
  std::vector<std::thread> publishers;
  std::atomic<unsigned> passed{0};
  for (int t = 0; t < 3; ++t)
    publishers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) passed += MessageBus::instance().publish("embed.filtered", i).value().queued;
    });
  for (auto& publisher : publishers) publisher.join();
  BOOST_TEST(passed == 75u);
  BOOST_TEST(MessageBus::instance().drain().has_value());
  BOOST_REQUIRE(executor.execute("filtered.unsubscribe()\n"
                                     "assert len(heard) == 75 and all(n % 2 for n in heard)\n").has_value());
}

BOOST_AUTO_TEST_CASE(what_cpp_publishes_wakes_a_coroutine_and_a_thread_of_python) {
  PythonExecutor executor;
  std::jthread publisher([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      MessageBus::instance().publish("embed.received", 5);
      std::this_thread::yield();
    }
  });
  BOOST_TEST(executor.execute(R"(
import asyncio, qtforge
bus = qtforge.MessageBus.instance()
with bus.receiver("embed.received", policy="drop_oldest", capacity=2) as receiver:
    for _ in range(100):
        assert receiver.receive(30) == 5
        assert asyncio.run(asyncio.wait_for(receiver.areceive(), 30)) == 5
)").has_value());
}

BOOST_AUTO_TEST_CASE(a_python_plugin_reads_its_settings_and_may_refuse_others) {
  ::setenv("QTFORGE_PY_CONFIGURED_PROCESSING_TIMEOUT", "45", 1);
  Inbox told("py.configured");
  PythonManager manager;
  const auto plugin = manager.loadPlugin(fixture("py_configured")).value();
  ::unsetenv("QTFORGE_PY_CONFIGURED_PROCESSING_TIMEOUT");
  BOOST_TEST(plugin->configure({{"processing_timeout", 5}}).has_value());
  BOOST_REQUIRE(plugin->initialize());
  BOOST_TEST(told.next() == json::value({45, 5}));
  BOOST_TEST(plugin->configure({{"processing_timeout", 6}}).has_value());
  BOOST_TEST(told.next() == json::value({5, 6}));
  const auto refused = plugin->configure({{"processing_timeout", 13}});
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error() == Errc::HookFailed));
  BOOST_TEST(refused.error().message().find("plugin 'py_configured': it refuses the new settings: ") == 0u);
  BOOST_TEST(refused.error().message().find("13 brings bad luck") != std::string::npos);
  BOOST_TEST(refused.error().pythonType() == "ValueError");
  BOOST_TEST(refused.error().traceback().find("on_config_changed") != std::string::npos);
  BOOST_TEST(plugin->configuration().get<int>("processing_timeout").value() == 6);
}

BOOST_AUTO_TEST_CASE(unloading_while_messages_flood_in_neither_hangs_nor_crashes) {
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    while (!stop) MessageBus::instance().publish("py_counter.in", json::object{{"n", 1}});
  });
  for (int i = 0; i < 5; ++i) {
    PythonManager manager;
    auto plugin = manager.loadPlugin(fixture("py_counter")).value();
    BOOST_TEST(plugin->initialize().has_value());
    BOOST_TEST(plugin->activate().has_value());
  }
  stop = true;
  flood.join();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(python_interfaces)

using fixture_interfaces::Everything;
using fixture_interfaces::expectEverything;
using fixture_interfaces::ImageFilter;

BOOST_AUTO_TEST_CASE(python_plugin_answers_an_interface_as_a_native_one_does) {
  PythonManager manager;
  manager.addInterface<ImageFilter>();
  manager.addInterface<Everything>();
  const auto loaded = manager.loadPlugin(fixture("py_filter"));
  BOOST_REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message()));
  BOOST_TEST(manager.findAll<ImageFilter>().size() == 1u);
  const auto filter = manager.find<ImageFilter>("py_filter").value();
  const BinaryMessage image{Buffer({10, 20}), "image/raw", "|u1", {2}};
  const auto half = filter.call<"apply">(image, 0.5);
  BOOST_REQUIRE_MESSAGE(half.has_value(), (half ? "" : half.error().message()));
  BOOST_TEST((half->data == Buffer({5, 10})));
  BOOST_TEST(half->contentType == "image/raw");
  BOOST_TEST(half->dtype == "|u1");
  BOOST_TEST((half->shape == std::vector<std::size_t>{2}));
  BOOST_TEST(filter.lock()->call<"title">().value() == "py");
  BOOST_TEST(qtforge::call<"title">(filter).value() == "py");

  expectEverything(manager.find<Everything>("py_filter").value());
}

BOOST_AUTO_TEST_CASE(services_are_offered_and_found_in_both_languages) {
  using fixture_interfaces::Asks;
  using fixture_interfaces::KeyValue;
  const test::Folder folder;
  folder.write("shelf/plugin.json", R"({"name": "owner", "version": "1.0.0", "language": "python", "entry_point": "main.py"})");
  folder.write("shelf/main.py", R"(
from typing import Optional

import qtforge


class Shelf:
    def __init__(self):
        self.values = {"offered by": "Python"}

    def get(self, key: str) -> Optional[str]:
        return self.values.get(key)

    def put(self, key: str, value: str) -> None:
        self.values[key] = value


class Owner(qtforge.core.IPlugin):
    def initialize(self):
        self.offer("shelf", Shelf())
        self.offer("wrong", object())

    def activate(self):
        qtforge.find("cache").put("written by", "Python")
)");
  PythonManager manager;
  const auto owner = manager.loadPlugin(folder / "shelf").value();
  const auto native = manager.loadPlugin(test::fixture("services")).value();
  owner->initialize().value();
  native->initialize().value();
  const auto shelf = manager.find<KeyValue>("shelf").value();
  BOOST_TEST(shelf.call<"get">("offered by").value().value() == "Python");
  shelf.call<"put">("written by", "C++").value();
  BOOST_TEST(!shelf.call<"get">("nothing").value());
  BOOST_TEST(manager.find<Asks>("Services").value().call<"ask">("shelf", "written by").value() == "C++");
  owner->activate().value();
  BOOST_TEST(manager.find<KeyValue>("cache").value().call<"get">("written by").value().value() == "Python");
  const auto wrong = manager.find<KeyValue>("wrong");
  BOOST_TEST((wrong.error() == Errc::InterfaceMissing));
  BOOST_TEST(test::contains(wrong.error().message(), "service 'wrong' of plugin 'owner'"));
  BOOST_TEST(test::contains(wrong.error().message(), "there is no method get(key)"));
  owner->cleanup().value();
  BOOST_TEST((shelf.call<"get">("x").error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_CASE(a_message_wakes_a_python_plugin_that_hears_it) {
  const test::Folder folder;
  folder.write("sleeper/plugin.json", R"({"name": "sleeper", "version": "1.0.0", "language": "python", "entry_point": "main.py",
                                         "activation": ["onTopic:sleep.*"]})");
  folder.write("sleeper/main.py", R"(
import qtforge


class Sleeper(qtforge.core.IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().subscribe("sleep.*", self.hear)

    def hear(self, number):
        qtforge.MessageBus.instance().publish("slept", number)

    def answer(self):
        return 42
)");
  PythonManager manager;
  Inbox slept("slept");
  BOOST_TEST(manager.loadPlugins(folder.path()).value().waiting.size() == 1u);
  for (int i = 0; i < 100; ++i) MessageBus::instance().publish("sleep.well", i);
  for (int i = 0; i < 100; ++i) BOOST_TEST(slept.next().as_int64() == i);
  BOOST_TEST((manager.find("sleeper").value()->state() == PluginState::Active || manager.activate("sleeper").has_value()));
  manager.unloadPlugin("sleeper").value();
  BOOST_TEST(manager.loadPlugins(folder.path()).value().waiting.size() == 1u);
  PythonExecutor executor;
  executor.execute("import qtforge\ndef ask(): return qtforge.find('sleeper').answer()").value();
  BOOST_TEST(executor.callFunction<int>("ask").value() == 42);
}

BOOST_AUTO_TEST_CASE(what_a_python_method_raises_or_returns_wrongly_is_the_callers_error) {
  PythonManager manager;
  BOOST_REQUIRE(manager.loadPlugin(fixture("py_filter")).has_value());
  const auto all = manager.find<Everything>("py_filter").value();
  const auto raised = all.call<"fail">("raise").error();
  BOOST_TEST((raised == Errc::PythonError));
  BOOST_TEST(raised.message() == "plugin 'py_filter': fail(): raised: ValueError: raised by the plugin");
  BOOST_TEST(raised.pythonType() == "ValueError");
  BOOST_TEST(raised.traceback().find("main.py") != std::string::npos);
  BOOST_TEST(all.call<"fail">("exit").error().pythonType() == "SystemExit");
  const auto wrong = [&](const char* what) { return all.call<"fail">(what).error().message(); };
  BOOST_TEST(wrong("text") == "plugin 'py_filter': fail(): result: int expected, str came");
  BOOST_TEST(wrong("bool") == "plugin 'py_filter': fail(): result: int expected, bool came");
  BOOST_TEST(wrong("none") == "plugin 'py_filter': fail(): result: int expected, NoneType came");
  BOOST_TEST(wrong("huge") == "plugin 'py_filter': fail(): result: int from -2147483648 to 2147483647 expected, 1099511627776 came");
  const auto text = all.call<"text">("\xFF");  // no UTF-8
  BOOST_TEST((text.error() == Errc::ConversionFailed));
  BOOST_TEST(text.error().message().find("plugin 'py_filter': text(): argument value: UnicodeDecodeError") == 0u);
}

BOOST_AUTO_TEST_CASE(method_marked_on_lane_runs_on_the_lane_and_others_on_the_callers_thread) {
  PythonManager manager;
  BOOST_REQUIRE(manager.loadPlugin(fixture("py_filter")).has_value());
  const auto all = manager.find<Everything>("py_filter").value();
  const auto first = all.call<"thread">();
  BOOST_REQUIRE(first.has_value());
  std::thread([&] { BOOST_TEST(all.call<"thread">().value() == *first); }).join();
}

BOOST_AUTO_TEST_CASE(all_that_is_wrong_with_a_python_plugins_methods_is_named) {
  PythonManager manager;
  BOOST_REQUIRE(manager.loadPlugin(fixture("py_filter_wrong")).has_value());
  const auto filter = manager.find<ImageFilter>("py_filter_wrong");
  BOOST_TEST((filter.error() == Errc::InterfaceMissing));
  BOOST_TEST(filter.error().message() ==
             "plugin 'py_filter_wrong': it does not implement the interface \"image.filter/1\": apply(image) cannot be "
             "called as apply(image, amount): too many positional arguments; title is no method but of type str");
  const auto all = manager.find<Everything>("py_filter_wrong");
  BOOST_TEST((all.error() == Errc::InterfaceMismatch));
  const auto message = all.error().message();
  for (const char* part :
       {"nothing is a coroutine function", "flip: parameter value: str is annotated, bool comes",
        "small: str is annotated as result, int is wanted",
        "large(value, *, base) cannot be called as large(value): missing a required",
        "there is no method sum(a, b)", "maybe: parameter value: int is annotated, int or None comes",
        "list: parameter value: list[list[str]] is annotated, list[list[float]] comes", "there is no method thread()"})
    BOOST_TEST(message.find(part) != std::string::npos, part << " in " << message);

  PythonManager strict;
  strict.addInterface<Everything>();
  const auto refused = strict.loadPlugin(fixture("py_filter_wrong"));
  BOOST_TEST((refused.error() == Errc::InterfaceMismatch));
  BOOST_TEST(refused.error().message().find("plugin.json: /interfaces") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(threads_that_call_a_python_plugin_while_it_is_unloaded_get_results_or_PluginUnloaded) {
  PythonManager manager;
  for (int round = 0; round < 5; ++round) {
    BOOST_REQUIRE(manager.loadPlugin(fixture("py_filter")).has_value());
    const auto all = manager.find<Everything>("py_filter").value();
    std::atomic<int> good{0}, odd{0};
    std::latch begun(4);
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
      callers.emplace_back([&, i] {
        begun.count_down();
        for (;;) {
          if (i == 0) {
            const auto result = all.call<"thread">();  // on the lane, which unloads the plugin too
            if (!result && result.error() == Errc::PluginUnloaded) return;
            ++(result ? good : odd);
          } else {
            const auto result = all.call<"sum">(1, 2);
            if (!result && result.error() == Errc::PluginUnloaded) return;
            ++(result ? good : odd);
          }
        }
      });
    begun.wait();
    while (good < 20) std::this_thread::yield();
    BOOST_TEST(manager.unloadPlugin("py_filter").has_value());
    for (auto& caller : callers) caller.join();
    BOOST_TEST(odd == 0);
  }
}

BOOST_AUTO_TEST_CASE(unload_waits_for_a_python_method_that_runs) {
  PythonManager manager;
  BOOST_REQUIRE(manager.loadPlugin(fixture("py_filter")).has_value());
  const auto all = manager.find<Everything>("py_filter").value();
  std::latch begun(1);
  auto called = std::async(std::launch::async, [&] {
    begun.count_down();
    return all.call<"fail">("sleep");
  });
  begun.wait();
  while (all.plugin()->state() == PluginState::Loaded && !manager.unloadPlugin("py_filter")) std::this_thread::yield();
  const auto result = called.get();
  BOOST_TEST((result.has_value() || result.error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_SUITE_END()
