// What the host gives to plugins in C++: their log, their folders, their store, and functions that are called at the end.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/host.hpp>

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <iterator>
#include <latch>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace qtforge;
using test::contains;

namespace plugin_services {

namespace json = boost::json;

class Plugin : public IPlugin {
 public:
  explicit Plugin(std::vector<std::string>& told) : told_(told) {}
  ~Plugin() override {
    told_.push_back("destructor");
    if (auto kept = store()) told_.push_back("a store at the end");
  }
  expected<void> initialize() override { return inInitialize ? inInitialize() : expected<void>(); }
  void cleanup() override { told_.push_back("cleanup"); }

  int hear(int value) noexcept { return heard += value; }
  void hearAll(const Message&) const { ++all; }

  std::function<expected<void>()> inInitialize;
  std::atomic<int> heard{0};
  mutable std::atomic<int> all{0};

 private:
  std::vector<std::string>& told_;
};

class Loader : public IPluginLoader {
 public:
  explicit Loader(std::vector<std::string>& told) : told_(told) {}
  std::string_view language() const override { return "made up"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    if (inLoad)
      if (auto done = inLoad(); !done) return done.error();
    auto made = std::make_unique<Plugin>(told_);
    plugin = made.get();
    return std::unique_ptr<IPlugin>(std::move(made));
  }

  Plugin* plugin = nullptr;  // the last
  std::function<expected<void>()> inLoad;

 private:
  std::vector<std::string>& told_;
};

/// A manager with the plugin "mine", whose data lies in "data".
struct Loaded {
  Loaded() {
    auto made = std::make_unique<Loader>(told);
    loader = made.get();
    manager.addLoader(std::move(made));
    manager.setDataFolder(folder / "data");
    folder.write("p/plugin.json", R"({"name": "mine", "version": "1.0.0", "language": "made up", "entry_point": "x"})");
    load();
  }

  void load() {
    handle = manager.loadPlugin(folder / "p").value();
    plugin = loader->plugin;
  }

  [[nodiscard]] test::fs::path file() const { return folder / "data/mine/store.json"; }
  [[nodiscard]] Store store() const { return plugin->store().value(); }
  [[nodiscard]] json::value kept() const {
    std::ifstream in(file(), std::ios::binary);
    return json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
  }

  test::Folder folder;
  std::vector<std::string> told;
  PluginManager manager;
  Loader* loader = nullptr;
  PluginHandle handle;
  Plugin* plugin = nullptr;
};

}  // namespace plugin_services

BOOST_AUTO_TEST_SUITE(plugin_services)

BOOST_FIXTURE_TEST_CASE(a_plugin_knows_its_folders, Loaded) {
  BOOST_TEST(plugin->path() == folder / "p");
  BOOST_TEST(!test::fs::exists(folder / "data"));
  const auto data = plugin->dataDir().value();
  BOOST_TEST(data == folder / "data/mine");
  BOOST_TEST(test::fs::is_directory(data));
  folder.write("file", "");
  manager.unloadPlugin("mine").value();
  manager.setDataFolder(folder / "file");
  load();
  const auto none = plugin->dataDir();
  BOOST_TEST((none.error() == Errc::FileFailed));
  BOOST_TEST(contains(none.error().message(), (folder / "file/mine").string()));
}

BOOST_AUTO_TEST_CASE(one_that_nobody_manages_has_none) {
  std::vector<std::string> told;
  Plugin plugin(told);
  BOOST_TEST(plugin.path().empty());
  BOOST_TEST((plugin.dataDir().error() == Errc::PluginNotFound));
  BOOST_TEST((plugin.store().error() == Errc::PluginNotFound));
}

BOOST_FIXTURE_TEST_CASE(a_store_keeps_each_change_at_once, Loaded) {
  auto store = this->store();
  BOOST_TEST(store.values().empty());
  BOOST_TEST(!test::fs::exists(file()));
  store.set("visits", 1).value();
  BOOST_TEST(kept() == json::parse(R"({"visits": 1})"));
  store.update({{"name", "x"}, {"list", {1, 2.5}}}).value();
  store.erase("visits").value();
  store.erase("visits").value();
  BOOST_TEST(kept() == json::parse(R"({"name": "x", "list": [1, 2.5]})"));
  BOOST_TEST(store.get<std::vector<double>>("list").value() == (std::vector<double>{1, 2.5}));
  BOOST_TEST(store.get<int>("visits", 7).value() == 7);
  BOOST_TEST((store.get<int>("name", 7).error() == Errc::ConversionFailed));
  BOOST_TEST(contains(store.get<int>("nam").error().message(), "did you mean \"name\"?"));
  BOOST_TEST(this->store().contains("name"));  // the same one
  manager.unloadPlugin("mine").value();
  load();
  BOOST_TEST(this->store().values() == kept().as_object());
  this->store().clear().value();
  BOOST_TEST(kept() == json::object());
}

BOOST_FIXTURE_TEST_CASE(a_store_refuses_what_could_not_be_read_again, Loaded) {
  auto store = this->store();
  store.set("a", 1).value();
  const auto wrong = [&](json::value value) {
    const auto done = store.set("b", std::move(value));
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::InvalidArgument));
    BOOST_TEST(!store.contains("b"));
    BOOST_TEST(kept() == json::parse(R"({"a": 1})"));
  };
  const auto infinite = store.set("b", json::object{{"x/y", json::array{0, std::numeric_limits<double>::infinity()}}});
  BOOST_TEST(contains(infinite.error().message(), "store: /b/x~1y/1: NaN and infinity are no JSON"));
  wrong(std::numeric_limits<double>::infinity());
  wrong(std::numeric_limits<double>::quiet_NaN());
  wrong("\xff");
  json::value deep(1);
  for (int i = 0; i < 2000; ++i) deep = json::array{std::move(deep)};
  wrong(std::move(deep));
  BOOST_TEST((store.set("b", std::string(64 * 1024 * 1024, 'x')).error() == Errc::LimitExceeded));
  store.set("b", 2).value();
}

BOOST_FIXTURE_TEST_CASE(a_broken_file_is_named_and_left_alone, Loaded) {
  folder.write("data/mine/store.json", "[1]");
  const auto store = plugin->store();
  BOOST_TEST((store.error() == Errc::FileFailed));
  BOOST_TEST(contains(store.error().message(), file().string()));
  folder.write("data/mine/store.json", R"({"a": 1})");
  auto mended = this->store();
  BOOST_TEST(mended.get<int>("a").value() == 1);
  folder.write("data/mine/store.json", R"({"a": 2})");
  BOOST_TEST((mended.set("b", 1).error() == Errc::FileFailed));  // somebody else's change is not lost
  BOOST_TEST(!mended.contains("b"));
  BOOST_TEST(kept() == json::parse(R"({"a": 2})"));
}

BOOST_FIXTURE_TEST_CASE(a_store_is_changed_by_several_threads, Loaded) {
  auto store = this->store();
  std::vector<std::thread> all;
  for (int thread = 0; thread < 4; ++thread)
    all.emplace_back([&, thread] {
      for (int i = 0; i < 5; ++i) (void)store.set(std::to_string(thread) + "." + std::to_string(i), i);
    });
  for (auto& thread : all) thread.join();
  BOOST_TEST(store.values().size() == std::size_t{20});
  BOOST_TEST(kept() == store.values());
}

BOOST_FIXTURE_TEST_CASE(a_store_outlives_its_plugin_unchanged, Loaded) {
  auto store = this->store();
  store.set("a", 1).value();
  manager.unloadPlugin("mine").value();
  BOOST_TEST(store.get<int>("a").value() == 1);
  BOOST_TEST((store.set("a", 2).error() == Errc::PluginUnloaded));
  BOOST_TEST(kept() == json::parse(R"({"a": 1})"));
}

BOOST_FIXTURE_TEST_CASE(functions_are_called_at_the_end_the_last_first, Loaded) {
  const auto tells = [&](std::string text) { return [&, text] { told.push_back(text); }; };
  plugin->onUnload(tells("before")).value();
  plugin->inInitialize = [&]() -> expected<void> {
    plugin->onUnload(tells("first")).value();
    plugin->onUnload([] { throw std::runtime_error("thrown"); }).value();
    plugin->onUnload(tells("second")).value();
    return {};
  };
  handle->initialize().value();
  handle->cleanup().value();
  BOOST_TEST(told == (std::vector<std::string>{"cleanup", "second", "first"}));
  told.clear();
  plugin->onUnload([&] { BOOST_TEST((plugin->onUnload([] {}).error() == Errc::PluginUnloaded)); }).value();
  handle->initialize().value();
  manager.unloadPlugin("mine").value();
  BOOST_TEST(told == (std::vector<std::string>{"cleanup", "second", "first", "before", "destructor"}));
}

BOOST_FIXTURE_TEST_CASE(what_a_failed_initialize_began_ends_before_another_try, Loaded) {
  plugin->inInitialize = [&]() -> expected<void> {
    plugin->onUnload([&] { told.push_back("taken back"); }).value();
    return Error("no");
  };
  BOOST_TEST(!handle->initialize());
  plugin->inInitialize = [&]() -> expected<void> {
    told.push_back("another try");
    return {};
  };
  handle->initialize().value();
  BOOST_TEST((handle->state() == PluginState::Initialized));
  manager.unloadPlugin("mine").value();
  BOOST_TEST(told == (std::vector<std::string>{"cleanup", "taken back", "another try", "cleanup", "destructor"}));
}

BOOST_FIXTURE_TEST_CASE(timers_and_threads_begun_in_initialize_end_after_cleanup, Loaded) {
  for (const bool unload : {false, true}) {
    const auto held = std::make_shared<int>(0);
    std::atomic<int> ticks{0}, once{0}, never{0};
    std::atomic<bool> asked{false};
    std::latch ticked(3), called(1);
    plugin->inInitialize = [&]() -> expected<void> {
      plugin->every(std::chrono::milliseconds(1), [&, held] {
        if (++ticks <= 3) ticked.count_down();
      }).value();
      plugin->later(std::chrono::nanoseconds(0), [&, held] {
        if (++once == 1) called.count_down();
        throw std::runtime_error("thrown");
      }).value();
      plugin->later(std::chrono::hours(1), [&, held] { ++never; }).value();
      plugin->runInThread([&, held](const StopSignal& stop) {
        while (!stop.waitFor(std::chrono::hours(1))) {}
        asked = true;
        throw std::runtime_error("thrown");
      }).value();
      return {};
    };
    handle->initialize().value();
    plugin->inInitialize = nullptr;
    ticked.wait();
    called.wait();
    BOOST_TEST(!asked);
    if (unload) manager.unloadPlugin("mine").value();
    else handle->cleanup().value();
    BOOST_TEST(asked);
    BOOST_TEST(held.use_count() == 1);
    BOOST_TEST(once == 1);
    BOOST_TEST(never == 0);
  }
}

BOOST_FIXTURE_TEST_CASE(those_begun_before_initialize_end_with_the_plugin, Loaded) {
  const auto held = std::make_shared<int>(0);
  plugin->every(std::chrono::hours(1), [held] {}).value();
  plugin->runInThread([held](const StopSignal& stop) { stop.waitFor(std::chrono::hours(1)); }).value();
  handle->initialize().value();
  handle->cleanup().value();
  BOOST_TEST(held.use_count() == 3);
  plugin->onUnload([&] {
    BOOST_TEST((plugin->every(std::chrono::hours(1), [] {}).error() == Errc::PluginUnloaded));
    BOOST_TEST((plugin->later(std::chrono::hours(1), [] {}).error() == Errc::PluginUnloaded));
    BOOST_TEST((plugin->runInThread([](const StopSignal&) {}).error() == Errc::PluginUnloaded));
  }).value();
  manager.unloadPlugin("mine").value();
  BOOST_TEST(held.use_count() == 1);
}

BOOST_FIXTURE_TEST_CASE(member_functions_and_others_are_subscribed_until_they_are_taken_back, Loaded) {
  auto& bus = MessageBus::instance();
  std::atomic<int> others{0};
  plugin->subscribe("services.heard", &Plugin::hear).value();  // until the unload
  plugin->inInitialize = [&]() -> expected<void> {
    plugin->subscribe("services.>", &Plugin::hearAll, {.delivery = DeliveryMode::Direct}).value();
    return plugin->subscribe("services.*", [&](int value) { others += value; });
  };
  handle->initialize().value();
  BOOST_TEST(bus.publish("services.heard", 2).value().receivers() == 3u);
  bus.drain().value();
  BOOST_TEST(plugin->heard == 2);
  BOOST_TEST(plugin->all == 1);
  BOOST_TEST(others == 2);
  handle->cleanup().value();
  BOOST_TEST(bus.publish("services.heard", 3).value().receivers() == 1u);
  bus.drain().value();
  BOOST_TEST(plugin->heard == 5);
  BOOST_TEST((plugin->subscribe("services..", &Plugin::hear).error() == Errc::InvalidPattern));
  plugin->onUnload([&] { BOOST_TEST((plugin->subscribe("services.late", &Plugin::hear).error() == Errc::PluginUnloaded)); }).value();
  manager.unloadPlugin("mine").value();
  BOOST_TEST(bus.publish("services.heard", 1).value().receivers() == 0u);
}

BOOST_FIXTURE_TEST_CASE(wrong_times_and_plugins_that_nobody_manages_are_refused, Loaded) {
  BOOST_TEST((plugin->every(std::chrono::nanoseconds(1), [] {}).error() == Errc::InvalidArgument));
  BOOST_TEST((plugin->later(std::chrono::nanoseconds(-1), [] {}).error() == Errc::InvalidArgument));
  Plugin alone(told);
  BOOST_TEST((alone.every(std::chrono::hours(1), [] {}).error() == Errc::PluginNotFound));
  BOOST_TEST((alone.later(std::chrono::hours(1), [] {}).error() == Errc::PluginNotFound));
  BOOST_TEST((alone.runInThread([](const StopSignal&) {}).error() == Errc::PluginNotFound));
  BOOST_TEST((alone.subscribe("services.alone", &Plugin::hear).error() == Errc::PluginNotFound));
}

BOOST_FIXTURE_TEST_CASE(a_thread_that_does_not_end_is_told_of_and_waited_for, Loaded) {
  std::promise<void> told;
  std::atomic<bool> ended{false};
  setLogSinks({[&](const LogRecord& record) {
    if (contains(std::string(record.message), "does not end")) told.set_value();
  }});
  plugin->runInThread([&](const StopSignal&) {
    told.get_future().wait();
    ended = true;
  }).value();
  manager.unloadPlugin("mine").value();
  BOOST_TEST(ended);
  setLogSinks({});
}

BOOST_FIXTURE_TEST_CASE(a_thread_may_unload_its_own_plugin, Loaded) {
  std::promise<expected<void>> unloaded;
  plugin->runInThread([&](const StopSignal&) { unloaded.set_value(manager.unloadPlugin("mine")); }).value();
  unloaded.get_future().get().value();
  BOOST_TEST((handle->state() == PluginState::Unloaded));
}

BOOST_FIXTURE_TEST_CASE(hooks_that_take_longer_than_their_limit_are_told_of_and_fail, Loaded) {
  std::optional<std::latch> overdue;
  std::string said;
  const auto hears = MessageBus::instance().subscribe("qtforge.plugins", [&](const json::value& event) {
    if (event.at("event").as_string() != "overdue") return;
    said = event.at("message").as_string().c_str();
    overdue->count_down();
  }, {.delivery = DeliveryMode::Direct}).value();
  const auto waits = [&]() -> expected<void> {
    overdue->wait();  // returns once it was told of
    return {};
  };
  manager.unloadPlugin("mine").value();
  manager.setHookLimit(std::chrono::milliseconds(20));
  overdue.emplace(1);
  loader->inLoad = waits;
  BOOST_TEST((manager.loadPlugin(folder / "p").error() == Errc::TimedOut));
  BOOST_TEST(contains(said, "plugin 'mine': load: runs for longer than its limit of 20 ms"));
  loader->inLoad = nullptr;
  load();
  overdue.emplace(1);
  plugin->inInitialize = waits;
  const auto late = handle->initialize();
  BOOST_TEST((late.error() == Errc::TimedOut));
  BOOST_TEST(contains(said, "plugin 'mine': initialize: runs for longer than its limit of 20 ms"));
  BOOST_TEST(contains(late.error().message(), "its limit is 20 ms"));
  BOOST_TEST((handle->state() == PluginState::Error));
  plugin->inInitialize = nullptr;
  handle->initialize().value();
}

BOOST_FIXTURE_TEST_CASE(limits_of_hooks_do_not_count_while_a_debugger_is_attached, Loaded) {
  manager.unloadPlugin("mine").value();
  manager.setHookLimit(std::chrono::milliseconds(20));
  load();
  std::atomic<int> told{0};
  const auto hears = MessageBus::instance().subscribe("qtforge.plugins", [&](const json::value& event) {
    told += event.at("event").as_string() == "overdue";
  }, {.delivery = DeliveryMode::Direct}).value();
  plugin->inInitialize = []() -> expected<void> {
    auto& debugged = detail::processRoot().debugged;
    debugged.set(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(70));  // more than three times the limit
    debugged.set(false);
    return {};
  };
  BOOST_TEST(handle->initialize().has_value());
  BOOST_TEST(told == 0);
}

BOOST_AUTO_TEST_CASE(what_is_subscribed_while_initialized_ends_after_cleanup) {
  const test::Folder folder;
  PluginManager manager;
  manager.setDataFolder(folder.path());
  const auto plugin = manager.loadPlugin(test::fixture("author")).value();
  auto& bus = MessageBus::instance();
  const auto heard = [&] { return bus.publish("author.hears", 1).value().receivers(); };
  BOOST_TEST(heard() == 1u);  // by its constructor's
  plugin->initialize().value();
  BOOST_TEST(heard() == 2u);
  (void)plugin->cleanup();  // fails
  BOOST_TEST(heard() == 1u);
  plugin->initialize().value();
  BOOST_TEST(heard() == 2u);
  (void)manager.unloadPlugin("Author");
  BOOST_TEST(heard() == 0u);
}

BOOST_AUTO_TEST_CASE(a_native_plugin_has_all_of_it) {
  const test::Folder folder;
  auto& bus = MessageBus::instance();
  std::vector<std::string> told;
  std::vector<int> visits;
  const SubscribeOptions direct{.delivery = DeliveryMode::Direct};
  const auto texts = bus.subscribe("author.told", [&](const std::string& text) { told.push_back(text); }, direct).value();
  const auto counts = bus.subscribe("author.visits", [&](int count) { visits.push_back(count); }, direct).value();
  for (int i = 0; i < 2; ++i) {
    told.clear();
    PluginManager manager;
    manager.setDataFolder(folder.path());
    const auto plugin = manager.loadPlugin(test::fixture("author")).value();
    plugin->initialize().value();
    const auto unloaded = manager.unloadPlugin("Author");
    BOOST_TEST(told == (std::vector<std::string>{"last of initialize, cleaned", "first of initialize, cleaned",
                                                 "at the unload, cleaned", "destructor"}));
  }
  BOOST_TEST(visits == (std::vector<int>{1, 2}));
  BOOST_TEST(test::fs::exists(folder / "Author/store.json"));
}

BOOST_AUTO_TEST_SUITE_END()
