// Plugins that are loaded when they are first used.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/implements.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/host.hpp>
#include <qtforge/utils/log_sinks.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace qtforge;
using test::contains;
namespace fs = test::fs;

namespace activation {

using Greeter = Interface<"test.greeter/2", Method<"greet()", std::string()>>;

class Plugin : public Implements<Plugin, Greeter> {
 public:
  using Step = std::function<expected<void>(Plugin&)>;

  explicit Plugin(Step initialize) : initialize_(std::move(initialize)) {}
  expected<void> initialize() override { return initialize_ ? initialize_(*this) : expected<void>(); }
  std::string greet() const { return "hello"; }

  static constexpr auto methods() { return std::tuple(bind<"greet">(&Plugin::greet)); }

 private:
  const Step initialize_;
};

class Loader : public IPluginLoader {
 public:
  std::string_view language() const override { return "made up"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest& manifest, const LoadContext&) override {
    std::unique_lock lock(mutex);
    ++loads[manifest.name];
    const auto step = steps[manifest.name];
    lock.unlock();
    return std::unique_ptr<IPlugin>(std::make_unique<Plugin>(step));
  }

  std::mutex mutex;
  std::map<std::string, int> loads;
  std::map<std::string, Plugin::Step> steps;
};

struct WithFolder {
  WithFolder() {
    auto made = std::make_unique<Loader>();
    loader = made.get();
    manager.addLoader(std::move(made));
    manager.setDataFolder(folder / "data");
  }

  void plugin(const std::string& name, const std::string& activation, const std::string& more = {}) {
    folder.write("plugins/" + name + "/plugin.json",
                 R"({"name": ")" + name + R"(", "version": "1.0.0", "language": "made up", "entry_point": "x", "activation": [)" +
                     activation + "]" + (more.empty() ? "" : ", " + more) + "}");
  }
  PluginReport load() { return manager.loadPlugins(folder / "plugins").value(); }
  [[nodiscard]] std::string loaded() const {
    std::string names;
    for (const auto& plugin : manager.plugins())
      names += (names.empty() ? "" : " ") + plugin->name() + "." + std::string(toString(plugin->state()));
    return names;
  }

  test::Folder folder;
  PluginManager manager;
  Loader* loader = nullptr;
};

/// A manager for whom the fixture "Late" waits.
class Late {
 public:
  Late() {
    fs::create_directory_symlink(test::fixture("late"), folder_ / "late");
    manager_.setDataFolder(folder_ / "data");
    const auto report = manager_.loadPlugins(folder_.path()).value();
    BOOST_REQUIRE(report.waiting.size() == 1u);
    BOOST_TEST(report.waiting[0].name == "Late");
  }
  [[nodiscard]] bool isActive() const {
    const auto plugin = manager_.find("Late");
    return plugin && (*plugin)->state() == PluginState::Active;
  }

 private:
  test::Folder folder_;
  PluginManager manager_;
};

template <class F>
bool soon(F&& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace activation

BOOST_AUTO_TEST_SUITE(activation)

BOOST_FIXTURE_TEST_CASE(a_plugin_that_waits_is_woken_by_its_name_or_its_interface, WithFolder) {
  plugin("eager", "");
  plugin("by_name", R"("onTopic:never")");
  plugin("by_interface", R"("onInterface:test.greeter")");
  plugin("by_version", R"("onInterface:test.greeter/2")");
  plugin("by_other", R"("onInterface:test.greet", "onInterface:test.greeter/1")");
  const auto report = load();
  BOOST_TEST(static_cast<bool>(report));
  BOOST_TEST(report.done.size() == 1u);
  BOOST_TEST(report.waiting.size() == 4u);
  BOOST_TEST(loaded() == "eager.Loaded");
  const auto waits = manager.find("by_name");
  BOOST_TEST((waits.error() == Errc::PluginNotFound));
  BOOST_TEST(contains(waits.error().message(), "it waits for its activation"));
  BOOST_TEST(manager.find<Greeter>("by_name").value().call<"greet">().value() == "hello");
  BOOST_TEST(manager.findAll<Greeter>().size() == 4u);
  BOOST_TEST(loaded() == "by_interface.Active by_name.Active by_version.Active eager.Loaded");
  BOOST_TEST(manager.activate("by_other").value()->name() == "by_other");
  BOOST_TEST(manager.activate("by_other").value()->name() == "by_other");
  BOOST_TEST((manager.activate("nobody").error() == Errc::PluginNotFound));
  for (const auto& [name, times] : loader->loads) BOOST_TEST(times == 1);
}

BOOST_AUTO_TEST_CASE(every_message_reaches_a_plugin_that_it_wakes_once_and_in_order) {
  constexpr int publishers = 4, each = 2000;
  auto& bus = MessageBus::instance();
  std::mutex mutex;
  std::map<std::string, std::vector<int>> heard;
  const auto hears = bus.subscribe("heard.>", [&](const Message& message) {
    std::lock_guard lock(mutex);
    heard[std::string(message.topic()).substr(6)].push_back(static_cast<int>(message.json()->as_int64()));
  }, {.delivery = DeliveryMode::Direct}).value();
  for (int round = 0; round < 5; ++round) {
    heard.clear();
    Late late;
    std::vector<std::thread> threads;
    for (int publisher = 0; publisher < publishers; ++publisher)
      threads.emplace_back([&, publisher] {
        for (int i = 0; i < each; ++i) {
          bus.publish("late.queued." + std::to_string(publisher), i);
          if (i % 100 == 99) std::this_thread::sleep_for(std::chrono::microseconds(300));  // some before, some while, some after
        }
      });
    for (auto& thread : threads) thread.join();
    BOOST_TEST(soon([&] { return late.isActive(); }));
    BOOST_REQUIRE(bus.drain().has_value());
    BOOST_TEST(heard.size() == std::size_t{publishers});
    for (const auto& [from, numbers] : heard) {
      bool whole = numbers.size() == std::size_t{each};
      for (int i = 0; whole && i < each; ++i) whole = numbers[static_cast<std::size_t>(i)] == i;
      BOOST_TEST(whole, from << ": " << numbers.size() << " messages, or not in order");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_direct_handler_and_a_late_retained_message_have_what_came_before_once) {
  auto& bus = MessageBus::instance();
  std::map<std::string, std::vector<int>> heard;
  std::mutex mutex;
  const auto hears = bus.subscribe("heard.*", [&](const Message& message) {
    std::lock_guard lock(mutex);
    heard[std::string(message.topic()).substr(6)].push_back(static_cast<int>(message.json()->as_int64()));
  }, {.delivery = DeliveryMode::Direct}).value();
  Late late;
  bus.publish("late.direct", 1);
  bus.publish("late.retained", 1, {.retain = true});
  bus.publish("late.direct", 2);
  BOOST_TEST(soon([&] { return late.isActive(); }));
  bus.publish("late.direct", 3);
  BOOST_REQUIRE(bus.drain().has_value());
  BOOST_TEST(heard["direct"] == (std::vector<int>{1, 2, 3}));
  BOOST_TEST(heard["retained"] == (std::vector<int>{1, 1}));  // it subscribes twice
  bus.clearRetained("late.retained");
}

BOOST_AUTO_TEST_CASE(messages_that_woke_a_plugin_for_nothing_are_told_of) {
  std::atomic<bool> told{false};
  setLogSinks({[&](const LogRecord& record) {
    if (contains(std::string(record.message), "2 went to none of its subscriptions")) told = true;
  }});
  {
    Late late;
    MessageBus::instance().publish("late.other", 1);
    MessageBus::instance().publish("late.other.too", 1);
    BOOST_TEST(soon([&] { return told.load(); }));
  }
  setLogSinks({});
}

BOOST_FIXTURE_TEST_CASE(what_finds_no_place_among_the_messages_that_wait_is_counted_and_told, WithFolder) {
  constexpr int places = 65'536, more = 3;
  std::mutex mutex;
  std::vector<std::string> told;
  setLogSinks({[&](const LogRecord& record) {
    std::lock_guard lock(mutex);
    if (record.level == LogLevel::Error) told.emplace_back(record.message);
  }});
  plugin("slow", R"("onTopic:never")");
  std::promise<void> published;
  loader->steps["slow"] = [&](Plugin&) {
    published.get_future().wait();
    return expected<void>();
  };
  load();
  test::Folder natives;
  natives.plugin("Late", R"("activation": ["onTopic:late.>"], "dependencies": ["slow"])", "late");
  BOOST_TEST(manager.loadPlugins(natives.path()).value().waiting.size() == 1u);
  auto& bus = MessageBus::instance();
  std::vector<int> heard;
  const auto hears = bus.subscribe("heard.queued.*", [&](int value) { heard.push_back(value); }).value();
  for (int i = 0; i < places + more; ++i) bus.publish("late.queued.0", i).value();
  published.set_value();
  BOOST_REQUIRE(soon([&] {
    std::lock_guard lock(mutex);
    return told.size() == 2;
  }));
  setLogSinks({});
  bus.publish("late.queued.0", -1).value();
  BOOST_REQUIRE(bus.drain().has_value());
  BOOST_TEST_REQUIRE(heard.size() == std::size_t{places} + 1);
  BOOST_TEST(heard.front() == 0);
  BOOST_TEST(heard[places - 1] == places - 1);
  BOOST_TEST(heard.back() == -1);
  BOOST_TEST(told[0] == "plugin 'Late' is not there yet, and 65536 messages wait for it: more are lost");
  BOOST_TEST(told[1] == "plugin 'Late': while it was not there up to 3 messages were lost");
}

BOOST_FIXTURE_TEST_CASE(needs_are_loaded_with_what_needs_them, WithFolder) {
  plugin("eager", "", R"("dependencies": ["needed"])");
  plugin("needed", R"("onTopic:never")");
  plugin("first", R"("onTopic:never")");
  plugin("second", R"("onTopic:never")", R"("dependencies": ["first", {"name": "nobody", "optional": true}])");
  plugin("broken", R"("onTopic:never")", R"("dependencies": ["nobody"])");
  const auto report = load();
  BOOST_TEST(loaded() == "needed.Loaded eager.Loaded");
  BOOST_TEST(report.waiting.size() == 2u);
  BOOST_REQUIRE(report.failed.size() == 1u);
  BOOST_TEST((report.failed[0].error == Errc::DependencyMissing));
  BOOST_TEST(manager.activate("second").value()->name() == "second");
  BOOST_TEST(contains(loaded(), "first.Active second.Active"));
  test::Folder other;
  plugin("third", R"("onTopic:never")");
  BOOST_TEST(load().waiting.size() == 1u);
  folder.write("later/plugin.json", R"({"name": "later", "version": "1.0.0", "language": "made up", "entry_point": "x", "dependencies": ["third >= 1"]})");
  manager.loadPlugin(folder / "later").value();
  BOOST_TEST(contains(loaded(), "third.Active later.Loaded"));
}

BOOST_FIXTURE_TEST_CASE(one_that_fails_is_its_users_error_and_waits_no_more, WithFolder) {
  plugin("fails", R"("onTopic:wake.fails")");
  plugin("needs", R"("onTopic:never")", R"("dependencies": ["fails"])");
  bool fails = true;
  loader->steps["fails"] = [&](Plugin&) -> expected<void> { return fails ? expected<void>(Error("not today")) : expected<void>(); };
  load();
  const auto failed = manager.activate("needs");
  BOOST_TEST((failed.error() == Errc::DependencyMissing));
  BOOST_TEST(contains(failed.error().message(), "not today"));
  BOOST_TEST(loaded() == "fails.Error");
  fails = false;
  manager.find("fails").value()->initialize().value();
  BOOST_TEST((manager.find("needs").error() == Errc::PluginNotFound));
}

BOOST_FIXTURE_TEST_CASE(several_threads_wake_one_plugin_once, WithFolder) {
  plugin("busy", R"("onInterface:test.greeter", "onTopic:wake.busy")");
  loader->steps["busy"] = [&](Plugin& self) -> expected<void> {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto own = self.find<Greeter>("busy");  // its own, while it is woken
    return own ? expected<void>() : expected<void>(own.error());
  };
  load();
  std::vector<std::future<std::size_t>> found;
  for (int i = 0; i < 4; ++i) found.push_back(std::async(std::launch::async, [&] { return manager.findAll<Greeter>().size(); }));
  MessageBus::instance().publish("wake.busy", 1);
  for (auto& each : found) BOOST_TEST(each.get() == 1u);
  BOOST_TEST(soon([&] { return loaded() == "busy.Active"; }));
  BOOST_TEST(loader->loads["busy"] == 1);
}

BOOST_FIXTURE_TEST_CASE(one_that_waits_holds_its_name_and_can_be_unloaded, WithFolder) {
  plugin("waits", R"("onTopic:wake.waits")");
  load();
  auto& bus = MessageBus::instance();
  folder.write("same/plugin.json", R"({"name": "Waits", "version": "1.0.0", "language": "made up", "entry_point": "x"})");
  const auto same = manager.loadPlugin(folder / "same");
  BOOST_TEST((same.error() == Errc::DuplicatePlugin));
  BOOST_TEST(contains(same.error().message(), "waits for its activation"));
  manager.unloadPlugin("waits").value();
  BOOST_TEST(bus.publish("wake.waits", 1).value().receivers() == 0u);
  BOOST_TEST(loader->loads.empty());
  manager.loadPlugin(folder / "same").value();
}

BOOST_AUTO_TEST_CASE(a_manager_may_end_while_its_plugins_wait_or_wake) {
  auto& bus = MessageBus::instance();
  for (int i = 0; i < 20; ++i) {
    WithFolder with;
    with.plugin("a", R"("onTopic:wake.end")");
    with.plugin("b", R"("onTopic:never")");
    with.load();
    if (i % 2) bus.publish("wake.end", i);
    if (i % 4 == 3) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  BOOST_TEST(soon([&] { return bus.publish("wake.end", 1).value().receivers() == 0u; }));
}

BOOST_AUTO_TEST_SUITE_END()
