// The manager: loading one and many, finding, unloading, events, threads, and the end in every way a process can end.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/utils/log_sinks.hpp>

#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <vector>

using namespace qtforge;
using test::contains;
using namespace std::chrono_literals;

namespace plugin_manager {

std::vector<std::string> names(const std::vector<PluginHandle>& plugins) {
  std::vector<std::string> out;
  for (const auto& plugin : plugins) out.push_back(plugin->name());
  return out;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : " ") + text;
  return out;
}

// "plugin.event" of what is published on qtforge.plugins while it lives.
class Events {
 public:
  Events()
      : subscription_(MessageBus::instance()
                          .subscribe("qtforge.plugins",
                                     [this](const boost::json::value& event) {
                                       std::lock_guard lock(mutex_);
                                       events_.push_back(std::string(event.at("plugin").as_string()) + '.' +
                                                         std::string(event.at("event").as_string()));
                                     },
                                     {.delivery = DeliveryMode::Direct})
                          .value()) {}
  std::string all() const {
    std::lock_guard lock(mutex_);
    return joined(events_);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
  Subscription subscription_;
};

// A plugin of another kind: its hooks are what the test says.
struct Hooks {
  std::function<expected<void>()> initialize = [] { return expected<void>(); };
  std::function<void()> cleanup = [] {};
};

class ScriptedLoader : public IPluginLoader {
 public:
  using Load = std::function<expected<void>(const Manifest&)>;

  explicit ScriptedLoader(std::map<std::string, Hooks> hooks, Load load = {})
      : hooks_(std::move(hooks)), load_(std::move(load)) {}
  std::string_view language() const override { return "script"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest& manifest, const LoadContext&) override {
    if (load_)
      if (auto done = load_(manifest); !done) return done.error();
    const auto found = hooks_.find(manifest.name);  // several threads may load
    return std::unique_ptr<IPlugin>(std::make_unique<Scripted>(found == hooks_.end() ? Hooks() : found->second));
  }

 private:
  struct Scripted : IPlugin {
    explicit Scripted(Hooks given) : hooks(std::move(given)) {}
    expected<void> initialize() override { return hooks.initialize(); }
    expected<void> activate() override {
      MessageBus::instance().publish("script.topic", topic("frame"));
      return {};
    }
    void cleanup() override { hooks.cleanup(); }
    Hooks hooks;
  };
  const std::map<std::string, Hooks> hooks_;
  const Load load_;
};

test::fs::path scripted(const test::Folder& folder, const std::string& name, const std::string& more = {}) {
  folder.write(name + "/plugin.json", R"({"name": ")" + name +
                                          R"(", "version": "1.0.0", "language": "script", "entry_point": "x")" +
                                          (more.empty() ? "" : ", " + more) + "}");
  return folder / name;
}

}  // namespace plugin_manager

BOOST_AUTO_TEST_SUITE(plugin_manager)

BOOST_AUTO_TEST_CASE(loading_nothing_names_the_path_as_it_was_given) {
  PluginManager manager;
  const auto loaded = manager.loadPlugin("python_plugins/my_python_plugin/");
  BOOST_REQUIRE(!loaded);
  BOOST_TEST((loaded.error() == Errc::ManifestNotFound));
  BOOST_TEST(loaded.error().message().starts_with(
      "cannot load 'python_plugins/my_python_plugin/': no such file or folder in '"));
}

BOOST_AUTO_TEST_CASE(what_is_no_plugin_gets_the_most_helpful_reason) {
  const test::Folder folder;
  PluginManager manager;
  const auto reason = [&](const test::fs::path& path) {
    const auto loaded = manager.loadPlugin(path);
    BOOST_REQUIRE(!loaded);
    BOOST_TEST(contains(loaded.error().message(), "cannot load '" + path.string() + "': "));
    return loaded.error();
  };
  BOOST_TEST((reason(folder.path()) == Errc::ManifestNotFound));
  BOOST_TEST((reason(folder.write("notes.txt", "")) == Errc::NoLoader));
  folder.write("json/plugin.json", "{");
  BOOST_TEST((reason(folder / "json") == Errc::ManifestInvalid));
  folder.write("py/plugin.json", R"({"name": "P", "version": "1.0.0", "language": "python", "entry_point": "p.py"})");
  const auto python = reason(folder / "py");
  BOOST_TEST((python == Errc::NoLoader));
  BOOST_TEST(contains(python.message(), "no loader for language \"python\" (there are: cpp)"));
  BOOST_TEST(contains(python.message(), "PythonPluginLoader"));
  folder.plugin("out", R"("capabilities": 1)");
  BOOST_TEST(contains(reason(folder / "out").message(), "/capabilities: expected an array of strings, got a number"));
}

BOOST_AUTO_TEST_CASE(a_handle_outlives_its_plugin_and_keeps_the_texts) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  const auto copy = plugin;
  BOOST_TEST((copy == plugin));
  plugin->initialize();  // bare, as in the guide
  BOOST_REQUIRE(manager.unloadPlugin("Good"));
  BOOST_TEST(copy->name() == "Good");
  BOOST_TEST(copy->version() == "1.2.3");
  BOOST_TEST((copy->state() == PluginState::Unloaded));
  for (const auto& done : {copy->initialize(), copy->activate(), copy->deactivate(), copy->cleanup()})
    BOOST_TEST((done.error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_CASE(an_illegal_step_never_reaches_the_plugin) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  const auto done = plugin->activate();
  BOOST_REQUIRE(!done);
  BOOST_TEST((done.error() == Errc::IllegalTransition));
  BOOST_TEST(done.error().message() ==
             "plugin 'Good': activate: not possible in state Loaded: initialize first");
}

BOOST_AUTO_TEST_CASE(two_of_one_name_are_refused) {
  const test::Folder folder;
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("Twin")));
  test::fs::rename(folder / "Twin", folder / "Other");
  const auto again = manager.loadPlugin(folder.plugin("Twin"));
  BOOST_REQUIRE(!again);
  BOOST_TEST((again.error() == Errc::DuplicatePlugin));
  BOOST_TEST(contains(again.error().message(), "plugin 'Twin' is loaded already, from '"));
}

BOOST_AUTO_TEST_CASE(find_gives_the_plugin_or_the_nearest_name) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  BOOST_TEST((manager.find("Good").value() == plugin));
  const auto none = manager.find("god");
  BOOST_REQUIRE(!none);
  BOOST_TEST((none.error() == Errc::PluginNotFound));
  BOOST_TEST(none.error().message() == "no plugin 'god' is loaded; did you mean 'Good'?");
}

BOOST_AUTO_TEST_CASE(what_is_needed_must_be_loaded_in_a_fitting_version) {
  const test::Folder folder;
  PluginManager manager;
  const auto path = folder.plugin("User", R"("dependencies": ["Base >= 1.5.0"])");
  const auto missing = manager.loadPlugin(path);
  BOOST_TEST((missing.error() == Errc::DependencyMissing));
  BOOST_TEST(contains(missing.error().message(), "plugin 'User' needs 'Base >= 1.5.0', which is not loaded"));
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("Base", "", "minimal", "1.4.0")));
  const auto old = manager.loadPlugin(path);
  BOOST_TEST((old.error() == Errc::DependencyVersion));
  BOOST_TEST(contains(old.error().message(), "but 'Base' has version 1.4.0"));
  BOOST_REQUIRE(manager.unloadPlugin("Base"));
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("Base", "", "minimal", "1.5.0")));
  BOOST_TEST(manager.loadPlugin(path).has_value());
}

BOOST_AUTO_TEST_CASE(names_that_differ_only_in_case_or_a_dot_clash) {
  const test::Folder folder;
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("Image.blur")));
  for (const char* name : {"image.blur", "IMAGE_BLUR"}) {
    const auto alike = manager.loadPlugin(folder.plugin(name));
    BOOST_REQUIRE(!alike);
    BOOST_TEST((alike.error() == Errc::DuplicatePlugin));
    BOOST_TEST(contains(alike.error().message(), "too much like 'Image.blur', which is loaded already"));
  }
  BOOST_REQUIRE(manager.unloadPlugin("Image.blur"));
  BOOST_TEST(manager.loadPlugin(folder / "IMAGE_BLUR").has_value());
}

BOOST_AUTO_TEST_CASE(a_plugin_that_every_user_can_change_is_loaded_with_a_warning) {
  const test::Folder folder;
  PluginManager manager;
  std::vector<std::string> warnings;
  detail::processRoot().log().setSinks({[&](const LogRecord& record) {
    if (record.level == LogLevel::Warning) warnings.emplace_back(record.message);
  }});
  const std::shared_ptr<void> noSinks(nullptr, [](void*) { detail::processRoot().log().setSinks({}); });  // also if it fails
  const auto path = folder.plugin("open");
  test::fs::permissions(path / "plugin.so", test::fs::perms::others_write, test::fs::perm_options::add);
  const auto loaded = manager.loadPlugin(path);
  BOOST_TEST(loaded.has_value());
  BOOST_REQUIRE(warnings.size() == 1u);
  BOOST_TEST(contains(warnings[0], "every user of this machine can change '" + (path / "plugin.so").string() + "'"));
}

BOOST_AUTO_TEST_CASE(unload_refuses_while_others_need_it_or_takes_them_along) {
  const test::Folder folder;
  PluginManager manager;
  const Events events;
  for (const auto& [name, more] : {std::pair{"a", ""}, {"b", R"("dependencies": ["a"])"}, {"c", R"("dependencies": ["b"])"},
                                   {"d", R"("dependencies": [{"name": "a", "optional": true}])"}, {"e", ""}})
    BOOST_REQUIRE(manager.loadPlugin(folder.plugin(name, more)));
  const auto refused = manager.unloadPlugin("a");
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error() == Errc::PluginInUse));
  BOOST_TEST(contains(refused.error().message(), "plugin 'a' is needed by 'b', 'd'"));
  BOOST_REQUIRE(manager.unloadPlugin("a", Unload::Cascade));
  BOOST_TEST(joined(names(manager.plugins())) == "e");
  BOOST_TEST(events.all().ends_with("d.unloaded c.unloaded b.unloaded a.unloaded"));
  BOOST_TEST((manager.unloadPlugin("a").error() == Errc::PluginNotFound));
}

BOOST_AUTO_TEST_CASE(what_was_not_there_when_it_was_wanted_is_not_in_use) {
  const test::Folder folder;
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("a", R"("dependencies": [{"name": "b", "optional": true}])")));
  BOOST_REQUIRE(manager.loadPlugin(folder.plugin("b", R"("dependencies": [{"name": "a", "optional": true}])")));
  BOOST_TEST((manager.unloadPlugin("a").error() == Errc::PluginInUse));
  BOOST_TEST(manager.unloadPlugin("b").has_value());
  BOOST_TEST(manager.unloadPlugin("a").has_value());
}

BOOST_AUTO_TEST_CASE(a_folder_is_loaded_in_dependency_order_and_all_failures_are_told) {
  const test::Folder folder;
  folder.plugin("a_user", R"("dependencies": ["z_base ^1"])");
  folder.plugin("b_late", R"("dependencies": ["a_user"])");
  folder.plugin("z_base");
  folder.plugin("cycle1", R"("dependencies": ["cycle2"])");
  folder.plugin("cycle2", R"("dependencies": ["cycle1"])");
  folder.plugin("too_new", R"("dependencies": ["z_base ^2"])");
  folder.plugin("foreign", "", "other_abi");
  folder.plugin("of_foreign", R"("dependencies": ["foreign"])");
  folder.write("broken/plugin.json", "{");
  folder.write("python/plugin.json", R"({"name": "python", "version": "1.0.0", "language": "python", "entry_point": "p.py"})");
  folder.plugin("of_python", R"("dependencies": ["python"])");
  folder.write("no_plugin/readme.txt", "");
  folder.plugin(".hidden");
  PluginManager manager;
  const auto report = manager.loadPlugins(folder.path()).value();
  BOOST_TEST(!report);
  BOOST_TEST(joined(names(report.done)) == "z_base a_user b_late");
  BOOST_TEST(joined(names(manager.plugins())) == "z_base a_user b_late");
  std::map<std::string, Error> failed;
  for (const auto& failure : report.failed) failed[failure.path.filename().string()] = failure.error;
  BOOST_TEST(failed.size() == 8u);
  BOOST_TEST((failed["cycle1"] == Errc::DependencyCycle));
  BOOST_TEST(contains(failed["cycle2"].message(), "cycle1 -> cycle2 -> cycle1"));
  BOOST_TEST((failed["too_new"] == Errc::DependencyVersion));
  BOOST_TEST((failed["foreign"] == Errc::AbiMismatch));
  BOOST_TEST((failed["of_foreign"] == Errc::DependencyMissing));
  BOOST_TEST(contains(failed["of_foreign"].message(), "needs 'foreign', which cannot be loaded: "));
  BOOST_TEST((failed["broken"] == Errc::ManifestInvalid));
  BOOST_TEST((failed["python"] == Errc::NoLoader));
  BOOST_TEST(contains(failed["of_python"].message(), "no loader for language \"python\""));
  for (const auto& failure : report.failed) BOOST_TEST(contains(failure.error.message(), failure.path.string()));
}

BOOST_AUTO_TEST_CASE(those_that_do_not_need_each_other_are_loaded_at_the_same_time) {
  const test::Folder folder;
  for (const char* name : {"a", "b"}) scripted(folder, name);
  scripted(folder, "0_of_both", R"("dependencies": ["a", "b"])");
  std::latch both(2);
  std::atomic<int> loaded{0};
  PluginManager manager;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>(), [&](const Manifest& manifest) -> expected<void> {
    if (manifest.name == "0_of_both") return loaded == 2 ? expected<void>() : Error("too early");
    both.count_down();
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!both.try_wait())
      if (std::chrono::steady_clock::now() > limit) return Error("alone");
    ++loaded;
    return {};
  }));
  const auto report = manager.loadPlugins(folder.path(), 2).value();
  BOOST_REQUIRE(report);
  BOOST_TEST(joined(names(report.done)) == "a b 0_of_both");
  BOOST_TEST(joined(names(manager.plugins())) == "a b 0_of_both");
}

BOOST_AUTO_TEST_CASE(one_thread_is_the_calling_one_and_so_it_is_in_a_handler) {
  const test::Folder folder;
  for (const char* name : {"a", "b", "c"}) scripted(folder, name);
  std::atomic<int> elsewhere{0};
  const auto load = [&](std::size_t threads) {
    PluginManager manager;
    manager.addLoader(std::make_unique<ScriptedLoader>(
        std::map<std::string, Hooks>(), [&, mine = std::this_thread::get_id()](const Manifest&) -> expected<void> {
          if (std::this_thread::get_id() != mine) ++elsewhere;
          return {};
        }));
    return manager.loadPlugins(folder.path(), threads).value().done.size();
  };
  BOOST_TEST(load(1) == 3u);
  auto& bus = MessageBus::instance();
  std::promise<std::size_t> loaded;
  const auto handler = bus.subscribe("load.here", [&](int) { loaded.set_value(load(8)); }).value();
  bus.publish("load.here", 1);
  BOOST_TEST(loaded.get_future().get() == 3u);
  BOOST_TEST(elsewhere == 0);
}

BOOST_AUTO_TEST_CASE(many_threads_load_a_folder_as_one_does) {
  std::mt19937 random(7);
  for (int round = 0; round < 5; ++round) {
    const test::Folder folder;
    const int count = 60;
    std::set<std::string> broken;
    for (int i = 0; i < count; ++i) {
      const auto name = "p" + std::to_string(i);
      std::string needs;
      for (int j = 0; j < 3; ++j) {
        const auto other = random() % count;
        if (static_cast<int>(other) < i || random() % 100 == 0)
          needs += (needs.empty() ? "" : ", ") + (R"({"name": "p)" + std::to_string(other)) +
                   (random() % 2 ? R"(", "optional": true})" : R"("})");
      }
      scripted(folder, name, R"("dependencies": [)" + needs + "]");
      if (random() % 10 == 0) broken.insert(name);
    }
    const auto outcome = [&](std::size_t threads) {
      std::mutex mutex;
      std::set<std::string> there;
      PluginManager manager;
      manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>(), [&](const Manifest& manifest) -> expected<void> {
        if (broken.contains(manifest.name)) return Error("broken");
        std::lock_guard lock(mutex);
        for (const auto& wanted : manifest.dependencies)
          if (!wanted.optional && !there.contains(wanted.name)) return Error(Errc::Failed, "too early: " + wanted.name);
        there.insert(manifest.name);
        return {};
      }));
      const auto report = manager.loadPlugins(folder.path(), threads).value();
      BOOST_TEST(report.done.size() + report.failed.size() == std::size_t{count});
      std::string text = joined(names(report.done)) + " | " + joined(names(manager.plugins()));
      for (const auto& failure : report.failed) text += '\n' + failure.error.message();
      BOOST_TEST(!contains(text, "too early"));
      return text;
    };
    BOOST_TEST(outcome(1) == outcome(8));
  }
}

BOOST_AUTO_TEST_CASE(a_native_plugin_is_there_several_times_under_names_of_its_own) {
  const test::Folder folder;
  std::map<std::string, int> visits;
  auto& bus = MessageBus::instance();
  const SubscribeOptions direct{.delivery = DeliveryMode::Direct};
  const auto counts = bus.subscribe("author.visits", [&](const Message& message) {
    visits[std::string(message.sender())] = static_cast<int>(message.json()->as_int64());
  }, direct).value();
  PluginManager manager;
  manager.setDataFolder(folder.path());
  const auto path = test::fixture("author");
  const auto one = manager.loadPlugin(path).value();
  BOOST_TEST((manager.loadPlugin(path).error() == Errc::DuplicatePlugin));
  BOOST_TEST((manager.loadPlugin(path, {.name = "a/b"}).error() == Errc::InvalidArgument));
  BOOST_TEST((manager.loadPlugin(path, {.name = "x", .topicPrefix = "a..b"}).error() == Errc::InvalidTopic));
  BOOST_TEST((manager.loadPlugin(path, {.name = "x", .configuration = {{"no", 1}}}).error() == Errc::ConfigurationInvalid));
  const auto two = manager.loadPlugin(path, {.name = "two"}).value(), three = manager.loadPlugin(path, {.name = "three"}).value();
  BOOST_TEST((manager.loadPlugin(path, {.name = "Two"}).error() == Errc::DuplicatePlugin));
  BOOST_TEST(joined(names(manager.plugins())) == "Author two three");
  for (const auto& plugin : manager.plugins()) plugin->initialize().value();
  BOOST_TEST((visits == std::map<std::string, int>{{"Author", 1}, {"three", 1}, {"two", 1}}));
  BOOST_TEST(test::fs::exists(folder / "two/store.json"));
  (void)manager.unloadPlugin("Author");  // the others are there as before
  BOOST_TEST((two->state() == PluginState::Initialized));
  (void)two->cleanup();
  two->initialize().value();
  BOOST_TEST(visits["two"] == 2);
  manager.unloadPlugin("two").value();
  const auto again = manager.loadPlugin(path, {.name = "two"}).value();
  again->initialize().value();
  BOOST_TEST(visits["two"] == 3);
}

BOOST_AUTO_TEST_CASE(an_instance_has_its_own_settings_and_topics) {
  const test::Folder folder;
  const auto path = scripted(folder, "camera", R"("configuration": {"device": {"type": "integer", "default": 0}})");
  PluginManager manager;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>()));
  const auto left = manager.loadPlugin(path, {.name = "left", .topicPrefix = "of.left", .configuration = {{"device", 7}}}).value();
  const auto plain = manager.loadPlugin(path).value();
  BOOST_TEST(left->configuration().get<int>("device").value() == 7);
  BOOST_TEST(plain->configuration().get<int>("device").value() == 0);
  left->configure({{"device", 8}}).value();
  BOOST_TEST(left->configuration().get<int>("device").value() == 8);
  std::vector<std::string> topics;
  const auto told = MessageBus::instance().subscribe("script.topic", [&](const std::string& text) { topics.push_back(text); },
                                                     {.delivery = DeliveryMode::Direct}).value();
  manager.initializeAll();
  manager.activateAll();
  BOOST_TEST(joined(topics) == "of.left.frame frame");
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_not_there_is_an_error) {
  PluginManager manager;
  const auto report = manager.loadPlugins("/nowhere/at/all");
  BOOST_TEST((report.error() == Errc::ManifestNotFound));
  BOOST_TEST(contains(report.error().message(), "/nowhere/at/all"));
}

BOOST_AUTO_TEST_CASE(all_are_stepped_in_order_and_ended_in_reverse) {
  const test::Folder folder;
  folder.plugin("a", R"("dependencies": ["c"])");
  folder.plugin("b");
  folder.plugin("c");
  const Events events;
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugins(folder.path(), 1).value());
    BOOST_TEST(joined(names(manager.initializeAll().done)) == "c a b");
    BOOST_TEST(joined(names(manager.activateAll().done)) == "c a b");
    BOOST_TEST(manager.initializeAll().done.empty());
  }
  BOOST_TEST(events.all() ==
             "c.loaded a.loaded b.loaded c.initialized a.initialized b.initialized c.activated a.activated b.activated "
             "b.deactivated b.cleaned b.unloaded a.deactivated a.cleaned a.unloaded c.deactivated c.cleaned c.unloaded");
}

BOOST_AUTO_TEST_CASE(a_plugin_whose_dependency_failed_is_not_tried) {
  const test::Folder folder;
  scripted(folder, "base");
  scripted(folder, "user", R"("dependencies": ["base"])");
  PluginManager manager;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>{
      {"base", {[]() -> expected<void> { return Error(Errc::PythonError, "no", "ValueError", "Traceback: ..."); }, [] {}}}}));
  BOOST_REQUIRE(manager.loadPlugins(folder.path()).value());
  const auto report = manager.initializeAll();
  BOOST_TEST(report.done.empty());
  BOOST_REQUIRE(report.failed.size() == 2u);
  BOOST_TEST((report.failed[0].error == Errc::HookFailed));
  BOOST_TEST(report.failed[0].error.message() == "plugin 'base': initialize: no");
  BOOST_TEST(report.failed[0].error.pythonType() == "ValueError");
  BOOST_TEST(report.failed[0].error.traceback() == "Traceback: ...");
  BOOST_TEST(report.failed[1].error.message() == "plugin 'user' needs 'base', which is Error");
}

BOOST_AUTO_TEST_CASE(a_failure_is_told_as_event_with_message_and_traceback) {
  const test::Folder folder;
  PluginManager manager;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>{
      {"s", {[]() -> expected<void> { return Error(Errc::PythonError, "no", "ValueError", "Traceback: ..."); }, [] {}}}}));
  const auto plugin = manager.loadPlugin(scripted(folder, "s")).value();
  boost::json::value seen;
  const auto heard = MessageBus::instance().subscribe(
      "qtforge.plugins", [&](const boost::json::value& event) { seen = event; }, {.delivery = DeliveryMode::Direct});
  BOOST_TEST(!plugin->initialize());
  BOOST_TEST(boost::json::serialize(seen) ==
             R"({"plugin":"s","event":"error","message":"plugin 's': initialize: no","traceback":"Traceback: ..."})");
}

BOOST_AUTO_TEST_CASE(a_hook_may_ask_its_own_plugin_and_gets_no_second_step) {
  const test::Folder folder;
  PluginManager manager;
  PluginHandle plugin;
  std::string inside;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>{{"s", {[&]() -> expected<void> {
                      inside = std::string(toString(plugin->state())) + "; " + plugin->activate().error().message() + "; " +
                               manager.unloadPlugin("s").error().message() + "; " + manager.find("s").value()->name();
                      return {};
                    }, [] {}}}}));
  plugin = manager.loadPlugin(scripted(folder, "s")).value();
  BOOST_REQUIRE(plugin->initialize());
  BOOST_TEST(inside == "Loaded; plugin 's': activate: not possible while initialize runs; "
                       "plugin 's': unload: not possible while initialize runs; s");
  BOOST_TEST((plugin->state() == PluginState::Initialized));
}

BOOST_AUTO_TEST_CASE(who_hears_of_a_step_can_take_the_next_one) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  const auto heard = MessageBus::instance().subscribe(
      "qtforge.plugins",
      [&](const boost::json::value& event) {
        if (event.at("event").as_string() == "initialized") plugin->activate();
      },
      {.delivery = DeliveryMode::Direct});
  plugin->initialize();
  BOOST_TEST((plugin->state() == PluginState::Active));
}

BOOST_AUTO_TEST_CASE(many_threads_may_load_step_and_unload_at_once) {
  const test::Folder folder;
  for (int i = 0; i < 4; ++i) scripted(folder, "p" + std::to_string(i));
  PluginManager manager;
  manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>{}));
  std::atomic<int> loaded{0}, unloaded{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 40; ++round) {
        const auto name = "p" + std::to_string((round + t) % 4);
        if (auto plugin = manager.loadPlugin(folder / name)) {
          ++loaded;
          plugin.value()->initialize();
          plugin.value()->activate();
        }
        (void)manager.plugins();
        if (manager.unloadPlugin("p" + std::to_string(round % 4))) ++unloaded;
      }
    });
  for (auto& thread : threads) thread.join();
  BOOST_TEST(loaded > 0);
  BOOST_TEST(loaded == unloaded + static_cast<int>(manager.plugins().size()));
  BOOST_REQUIRE(manager.unloadAll());
  BOOST_TEST(manager.plugins().empty());
}

BOOST_AUTO_TEST_CASE(a_plugin_that_is_stuck_is_left_behind_and_the_others_end) {
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(300));
  const test::Folder folder;
  const auto go = std::make_shared<std::atomic<bool>>(false);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  const Events events;
  const auto began = std::chrono::steady_clock::now();
  {
    PluginManager manager;
    manager.addLoader(std::make_unique<ScriptedLoader>(std::map<std::string, Hooks>{
        {"stuck", {[] { return expected<void>(); }, [go, gone] {
           while (!*go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
           *gone = true;
         }}}}));
    BOOST_REQUIRE(manager.loadPlugin(scripted(folder, "other")));
    BOOST_REQUIRE(manager.loadPlugin(scripted(folder, "stuck")));
    BOOST_REQUIRE(manager.initializeAll());
  }
  BOOST_TEST((std::chrono::steady_clock::now() - began < std::chrono::seconds(3)));
  BOOST_TEST(contains(events.all(), "other.cleaned other.unloaded"));
  BOOST_TEST(!contains(events.all(), "stuck.unloaded"));
  *go = true;
  for (int i = 0; i < 5000 && !contains(events.all(), "stuck.unloaded"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  BOOST_TEST(contains(events.all(), "stuck.unloaded"));
  Runtime::instance().setShutdownTimeout(std::chrono::seconds(5));
}

// Whose handler or timer runs, which a library that goes would pull away.
BOOST_AUTO_TEST_CASE(a_plugin_whose_code_runs_stays_until_that_has_ended) {
  for (const std::string what : {"handler", "timer.other", "handler.itself", "timer.itself"}) {
    const bool timer = what.starts_with("timer");
    std::atomic<bool> done{false};
    PluginManager manager;
    manager.setHookLimit(std::chrono::milliseconds(300));
    const auto plugin = manager.loadPlugin(test::fixture("busy")).value();
    BOOST_REQUIRE(plugin->initialize());
    const Events events;
    MessageBus::instance().publish("busy." + what, reinterpret_cast<std::uint64_t>(&done)).value();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // it begins
    for (int again = 0; again < 2; ++again) {
      const auto unloaded = manager.unloadPlugin("Busy");
      BOOST_REQUIRE(!unloaded);
      BOOST_TEST((unloaded.error() == Errc::TimedOut));
      BOOST_TEST(contains(unloaded.error().message(), "plugin 'Busy': unload: what it was called for has not ended: "));
      BOOST_TEST(contains(unloaded.error().message(), timer ? "a timer of Busy" : "subscription \"busy." + what + "\" of Busy"));
      BOOST_TEST((plugin->state() == PluginState::Error));
      BOOST_TEST((manager.find("Busy").value() == plugin));
    }
    done = true;
    BOOST_TEST(manager.unloadPlugin("Busy").has_value());
    BOOST_TEST((plugin->state() == PluginState::Unloaded));
    const std::string cleaned = timer ? "Busy.cleaned " : "Busy.error ";  // cleanup ends what is subscribed
    BOOST_TEST(events.all() == cleaned + "Busy.error Busy.error Busy.unloaded");
  }
}

BOOST_AUTO_TEST_CASE(a_plugin_whose_code_runs_when_its_manager_ends_goes_when_that_has_ended) {
  std::atomic<bool> done{false};
  const auto seconds = [begin = std::chrono::steady_clock::now()] { return (std::chrono::steady_clock::now() - begin) / 1s; };
  PluginHandle plugin;
  {
    PluginManager manager;
    manager.setHookLimit(std::chrono::milliseconds(300));
    plugin = manager.loadPlugin(test::fixture("busy")).value();
    BOOST_REQUIRE(plugin->initialize());
    MessageBus::instance().publish("busy.handler", reinterpret_cast<std::uint64_t>(&done)).value();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // it begins
  }
  BOOST_TEST(seconds() < 20);  // its patience is 5
  BOOST_TEST((plugin->state() != PluginState::Unloaded));
  done = true;
  while (plugin->state() != PluginState::Unloaded && seconds() < 30) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  BOOST_TEST((plugin->state() == PluginState::Unloaded));
}

BOOST_AUTO_TEST_CASE(a_manager_can_be_destroyed_inside_a_handler) {
  const test::Folder folder;
  std::unique_ptr<PluginManager> manager = std::make_unique<PluginManager>();
  const Events events;
  const auto plugin = manager->loadPlugin(test::fixture("good")).value();
  BOOST_REQUIRE(plugin->initialize());
  {
    const auto heard = MessageBus::instance().subscribe("native.pong", [&](const boost::json::value&) { manager.reset(); });
    MessageBus::instance().publish("native.ping", boost::json::value(1));
    BOOST_REQUIRE(MessageBus::instance().drain());
  }
  BOOST_TEST((plugin->state() == PluginState::Unloaded));
  // Its library is kept: the plugin's code may be on this stack.
  BOOST_TEST(events.all() == "Good.loaded Good.initialized Good.kept Good.cleaned Good.unloaded");
}

BOOST_AUTO_TEST_SUITE_END()

// Programs that end in some way, each run by a case of `process_end` in a process of its own.
BOOST_AUTO_TEST_SUITE(process_end_child, *boost::unit_test::disabled())

namespace {

// Kept to the very end, past the destructors of statics, where a leak check still finds it.
template <class T>
T& keep(T kept) {
  static auto* all = new std::vector<std::unique_ptr<T>>();
  all->push_back(std::make_unique<T>(std::move(kept)));
  return *all->back();
}

PluginManager& leakedManager() { return *keep(std::make_unique<PluginManager>()); }

// Tells the plugins' steps on stdout.
void tellSteps() {
  const auto tell = [](const Message& step) {
    std::cout << "step " << step.sender() << ' ' << std::string_view(step.json()->as_string()) << std::endl;
  };
  keep(MessageBus::instance().subscribe("native.steps", tell, {.delivery = DeliveryMode::Direct}).value());
}

void bringUp(PluginManager& manager, const std::string& name) {
  const auto plugin = manager.loadPlugin(test::fixture(name)).value();
  plugin->initialize().value();
  plugin->activate().value();
}

// At namespace scope: made before main, destroyed after it, and no runtime is made for it while it is empty.
PluginManager atNamespaceScope;

}  // namespace

BOOST_AUTO_TEST_CASE(static_manager) {
  tellSteps();
  bringUp(atNamespaceScope, "good");
  std::exit(5);
}

BOOST_AUTO_TEST_CASE(function_static_manager) {
  tellSteps();
  static PluginManager manager;
  bringUp(manager, "good");
  std::exit(5);
}

BOOST_AUTO_TEST_CASE(leaked_manager) {
  tellSteps();
  bringUp(leakedManager(), "good");
  std::exit(5);
}

BOOST_AUTO_TEST_CASE(stuck_in_cleanup) {
  tellSteps();
  auto& manager = leakedManager();
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(500));
  bringUp(manager, "good");
  bringUp(manager, "failing");
  ::setenv("QTFORGE_TEST_FAIL", "cleanup:hang", 1);
  std::cout << "unflushed";
  std::exit(5);
}

BOOST_AUTO_TEST_CASE(exit_inside_a_hook) {
  tellSteps();
  auto& manager = leakedManager();
  bringUp(manager, "good");
  ::setenv("QTFORGE_TEST_FAIL", "initialize:exit", 1);
  bringUp(manager, "failing");
}

BOOST_AUTO_TEST_CASE(exit_inside_a_plugins_handler) {
  tellSteps();
  auto& manager = leakedManager();
  bringUp(manager, "good");
  bringUp(manager, "failing");
  ::setenv("QTFORGE_TEST_FAIL", "handler:exit", 1);
  MessageBus::instance().publish("native.fail", boost::json::value(1));
  std::this_thread::sleep_for(std::chrono::seconds(30));
}

BOOST_AUTO_TEST_CASE(exit_inside_a_handler_with_a_stuck_plugin) {
  tellSteps();
  auto& manager = leakedManager();
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(500));
  bringUp(manager, "failing");
  ::setenv("QTFORGE_TEST_FAIL", "cleanup:hang", 1);
  keep(MessageBus::instance().subscribe("test.end", [](const boost::json::value&) { std::exit(5); }).value());
  MessageBus::instance().publish("test.end", boost::json::value(1));
  std::this_thread::sleep_for(std::chrono::seconds(30));
}

BOOST_AUTO_TEST_CASE(exit_while_another_thread_is_inside_a_hook) {
  tellSteps();
  auto& manager = leakedManager();
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(500));
  bringUp(manager, "good");
  const auto failing = manager.loadPlugin(test::fixture("failing")).value();
  ::setenv("QTFORGE_TEST_FAIL", "initialize:hang", 1);
  std::thread([failing] { failing->initialize(); }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::exit(5);
}

BOOST_AUTO_TEST_CASE(messages_still_flow) {
  tellSteps();
  bringUp(atNamespaceScope, "good");
  std::thread([] {
    for (;;) MessageBus::instance().publish("native.ping", boost::json::object{{"n", 1}});
  }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::exit(5);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(process_end, *boost::unit_test::timeout(120))

namespace {

struct Ended {
  int status;
  std::string output;
  double seconds;
};

Ended run(const std::string& child) {
  const auto self = test::fs::read_symlink("/proc/self/exe").string();
  const auto began = std::chrono::steady_clock::now();
  FILE* pipe = ::popen(("'" + self + "' --run_test=process_end_child/" + child + " --log_level=nothing 2>&1").c_str(), "r");
  BOOST_REQUIRE(pipe);
  Ended ended;
  char buffer[4096];
  for (std::size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) ended.output.append(buffer, got);
  const int status = ::pclose(pipe);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  ended.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return ended;
}

const std::string goodEnd = "step Good initialize\nstep Good activate\nstep Good deactivate\nstep Good cleanup\n"
                            "step Good destructor\n";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_static_manager_ends_its_plugins_once) {
  for (const std::string child : {"static_manager", "function_static_manager"}) {
    const auto ended = run(child);
    BOOST_TEST(ended.status == 5);
    BOOST_TEST(contains(ended.output, goodEnd), ended.output);
    BOOST_TEST(count(ended.output, "cleanup") == 1u);
  }
}

BOOST_AUTO_TEST_CASE(a_leaked_manager_ends_its_plugins_once) {
  const auto ended = run("leaked_manager");
  BOOST_TEST(ended.status == 5);
  BOOST_TEST(contains(ended.output, goodEnd), ended.output);
}

BOOST_AUTO_TEST_CASE(a_stuck_plugin_is_named_the_others_end_output_is_flushed_and_the_process_ends) {
  const auto ended = run("stuck_in_cleanup");
  BOOST_TEST(ended.status == 5);
  BOOST_TEST(contains(ended.output, "plugin 'Failing' (in cleanup)"), ended.output);
  BOOST_TEST(contains(ended.output, "step Good cleanup"));
  BOOST_TEST(contains(ended.output, "unflushed"));
  BOOST_TEST(ended.seconds < 10);
}

BOOST_AUTO_TEST_CASE(exit_inside_a_hook_does_not_wait_for_itself) {
  const auto ended = run("exit_inside_a_hook");
  BOOST_TEST(ended.status == 17);
  BOOST_TEST(contains(ended.output, "from inside initialize"), ended.output);
  BOOST_TEST(contains(ended.output, "step Good deactivate\nstep Good cleanup\nstep Good destructor\n"), ended.output);
  BOOST_TEST(!contains(ended.output, "did not end in time"), ended.output);
  BOOST_TEST(ended.seconds < 4);
}

BOOST_AUTO_TEST_CASE(exit_inside_a_plugins_handler_does_not_wait_for_itself) {
  const auto ended = run("exit_inside_a_plugins_handler");
  BOOST_TEST(ended.status == 17);
  BOOST_TEST(contains(ended.output, goodEnd), ended.output);
  BOOST_TEST(!contains(ended.output, "did not end in time"), ended.output);
  BOOST_TEST(ended.seconds < 4);
}

BOOST_AUTO_TEST_CASE(exit_inside_a_handler_is_bounded_too) {
  const auto ended = run("exit_inside_a_handler_with_a_stuck_plugin");
  BOOST_TEST(contains(ended.output, "plugin 'Failing' (in cleanup)"), ended.output);
  BOOST_TEST(ended.seconds < 10);
}

BOOST_AUTO_TEST_CASE(exit_while_another_thread_is_stuck_in_a_hook_is_bounded_and_named) {
  const auto ended = run("exit_while_another_thread_is_inside_a_hook");
  BOOST_TEST(ended.status == 5);
  BOOST_TEST(contains(ended.output, "plugin 'Failing' (in initialize)"), ended.output);
  BOOST_TEST(contains(ended.output, "step Good cleanup"));
  BOOST_TEST(ended.seconds < 10);
}

BOOST_AUTO_TEST_CASE(exit_while_messages_flow_ends_well) {
  const auto ended = run("messages_still_flow");
  BOOST_TEST(ended.status == 5);
  BOOST_TEST(contains(ended.output, goodEnd), ended.output);
}

BOOST_AUTO_TEST_SUITE_END()
