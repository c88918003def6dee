// Settings of plugins: where values come from, what is refused and by whom, the file that keeps them, native plugins.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/plugin_manager.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace qtforge;
using test::contains;

namespace configuration {

namespace json = boost::json;

/// What the plugin of the tests does.
struct Behaviour {
  std::function<expected<void>(const Configuration&, const Configuration&)> changed;
  std::function<expected<void>()> initialize;
  IPlugin* plugin = nullptr;
  int asked = 0;
};

class Plugin : public IPlugin {
 public:
  explicit Plugin(Behaviour& behaviour) : behaviour_(behaviour) { behaviour_.plugin = this; }
  expected<void> initialize() override { return behaviour_.initialize ? behaviour_.initialize() : expected<void>(); }
  expected<void> onConfigChanged(const Configuration& before, const Configuration& after) override {
    ++behaviour_.asked;
    return behaviour_.changed ? behaviour_.changed(before, after) : expected<void>();
  }

 private:
  Behaviour& behaviour_;
};

class Loader : public IPluginLoader {
 public:
  explicit Loader(Behaviour& behaviour) : behaviour_(behaviour) {}
  std::string_view language() const override { return "made up"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    return std::unique_ptr<IPlugin>(std::make_unique<Plugin>(behaviour_));
  }

 private:
  Behaviour& behaviour_;
};

/// A variable of the environment while it lives.
struct Variable {
  Variable(const char* variable, const char* value) : name(variable) { ::setenv(variable, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name); }
  const char* name;
};

/// A manager with the plugin "my plugin".
struct Loaded {
  Loaded() {
    manager.addLoader(std::make_unique<Loader>(behaviour));
    folder.write("p/plugin.json", R"({"name": "my plugin", "version": "1.0.0", "language": "made up", "entry_point": "x",
      "configuration": {
        "timeout": {"type": "integer", "default": 30, "minimum": 1, "maximum": 60},
        "ratio": {"type": "number", "default": 0.5},
        "mode": {"type": "string", "enum": ["fast", "exact"], "default": "fast"},
        "debug-mode": {"type": "boolean", "default": false},
        "codes": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z]+$"}},
        "extra": {"type": "object"}}})");
  }

  PluginHandle& load() {
    handle = manager.loadPlugin(folder / "p").value();
    return handle;
  }

  [[nodiscard]] std::string wrong(const json::value& values) {
    const auto before = handle->configuration().values();
    const auto done = handle->configure(values);
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::ConfigurationInvalid));
    BOOST_TEST((handle->configuration().values() == before));
    return done.error().message();
  }

  test::Folder folder;
  Behaviour behaviour;
  PluginManager manager;
  PluginHandle handle;
};

std::string contentOf(const test::fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t filesIn(const test::fs::path& folder) {
  return static_cast<std::size_t>(std::distance(test::fs::directory_iterator(folder), test::fs::directory_iterator()));
}

}  // namespace configuration

BOOST_AUTO_TEST_SUITE(configuration)

BOOST_AUTO_TEST_CASE(values_are_given_as_the_type_that_is_asked_for) {
  const Configuration values(json::object{{"timeout", 30}, {"ratio", 0.5}, {"name", "x"}, {"list", {1, 2}}, {"on", true}});
  BOOST_TEST(values.get<int>("timeout").value() == 30);
  BOOST_TEST(values.get<std::int64_t>("timeout").value() == 30);
  BOOST_TEST(values.get<unsigned char>("timeout").value() == 30);
  BOOST_TEST(values.get<double>("timeout").value() == 30.0);
  BOOST_TEST(values.get<double>("ratio").value() == 0.5);
  BOOST_TEST(values.get<std::string>("name").value() == "x");
  BOOST_TEST(values.get<bool>("on").value());
  BOOST_TEST((values.get<std::vector<int>>("list").value() == std::vector{1, 2}));
  BOOST_TEST((values.get<json::value>("list").value() == json::array{1, 2}));
  BOOST_TEST(values.contains("on"));
  BOOST_TEST(Configuration().values().empty());
  std::string names;
  for (const auto& member : Configuration(json::object{{"a", 1}, {"b", 2}}).values()) names += member.key();
  BOOST_TEST(names == "ab");
}

BOOST_AUTO_TEST_CASE(a_value_that_is_not_there_or_of_another_type_is_an_error) {
  const Configuration values(json::object{{"timeout", 300}, {"name", "x"}});
  BOOST_TEST((values.get<int>("timeot").error() == Errc::NameNotFound));
  BOOST_TEST(values.get<int>("timeot").error().message() ==
             "no setting \"timeot\" has a value; did you mean \"timeout\"?");
  BOOST_TEST((values.get<int>("name").error() == Errc::ConversionFailed));
  BOOST_TEST(contains(values.get<int>("name").error().message(), "setting \"name\": \"x\" does not fit"));
  BOOST_TEST((values.get<signed char>("timeout").error() == Errc::ConversionFailed));
}

BOOST_FIXTURE_TEST_CASE(defaults_are_in_force_until_the_host_says_otherwise, Loaded) {
  load();
  BOOST_TEST(handle->configuration().values() == json::value({{"timeout", 30}, {"ratio", 0.5}, {"mode", "fast"}, {"debug-mode", false}}).as_object());
  BOOST_TEST(handle->configure({{"timeout", 5}, {"codes", {"A", "BC"}}}).has_value());
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 5);
  BOOST_TEST(handle->configure({{"mode", "exact"}}).has_value());
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 5);
  BOOST_TEST((handle->configuration().get<std::vector<std::string>>("codes").value() == std::vector<std::string>{"A", "BC"}));
  BOOST_TEST(handle->configure({{"timeout", nullptr}, {"codes", nullptr}}).has_value());
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 30);
  BOOST_TEST(!handle->configuration().contains("codes"));
}

BOOST_FIXTURE_TEST_CASE(values_are_checked_all_at_once_and_taken_together_or_not_at_all, Loaded) {
  load();
  BOOST_TEST(wrong({{"timeout", 0}}) == "plugin 'my plugin': /timeout: expected at least 1, got 0");
  BOOST_TEST(wrong({{"timeout", "5"}}) == "plugin 'my plugin': /timeout: expected a value of type integer, got a string");
  BOOST_TEST(wrong({{"timeout", 5}, {"mode", "slow"}, {"codes", {"A", "b"}}}) ==
             "plugin 'my plugin': /mode: expected one of \"fast\", \"exact\", got \"slow\"; "
             "/codes/1: expected text that matches ^[A-Z]+$, got \"b\"");
  BOOST_TEST(wrong({{"timeot", 5}}) ==
             "plugin 'my plugin': /timeot: the plugin declares no such setting; did you mean \"timeout\"?");
  BOOST_TEST(wrong({{"a/b", 5}}) == "plugin 'my plugin': /a~1b: the plugin declares no such setting");
  BOOST_TEST(wrong(json::array{1}) == "plugin 'my plugin': /: expected an object, got an array");
  BOOST_TEST(contains(wrong({{"ratio", std::numeric_limits<double>::infinity()}}), "/ratio: expected a finite number"));
  BOOST_TEST(contains(wrong({{"extra", {{"x", {1, std::nan("")}}}}}), "/extra/x/1: expected a finite number"));
  BOOST_TEST(contains(wrong({{"mode", "\xFF"}}), "/mode: text that is not UTF-8"));
  json::value deep(1);
  for (int i = 0; i < 40; ++i) deep = json::object{{"a", deep}};
  BOOST_TEST(contains(wrong({{"extra", deep}}), "nested deeper than 32"));
}

BOOST_FIXTURE_TEST_CASE(an_integer_that_came_as_a_double_is_kept_as_an_integer, Loaded) {
  load();
  BOOST_TEST(handle->configure({{"timeout", 20.0}}).has_value());
  BOOST_TEST(handle->configuration().values().at("timeout").is_int64());
  BOOST_TEST(contains(wrong({{"timeout", 20.5}}), "/timeout: expected a value of type integer, got 2.05E1"));
}

BOOST_FIXTURE_TEST_CASE(the_plugin_is_asked_while_it_is_initialized_or_active, Loaded) {
  load();
  BOOST_TEST(handle->configure({{"timeout", 2}}).has_value());
  BOOST_TEST(behaviour.asked == 0);
  int during = 0;
  behaviour.changed = [&](const Configuration& before, const Configuration& after) -> expected<void> {
    BOOST_TEST(before.get<int>("timeout").value() + 1 == after.get<int>("timeout").value());
    during = behaviour.plugin->config().get<int>("timeout").value();
    return {};
  };
  BOOST_REQUIRE(handle->initialize());
  BOOST_TEST(handle->configure({{"timeout", 3}}).has_value());
  BOOST_TEST(behaviour.asked == 1);
  BOOST_TEST(during == 2);
  BOOST_TEST(behaviour.plugin->config().get<int>("timeout").value() == 3);
  BOOST_REQUIRE(handle->activate());
  BOOST_TEST(handle->configure({{"timeout", 4}}).has_value());
  BOOST_TEST(behaviour.asked == 2);
  BOOST_TEST(handle->configure({{"timeout", 4}}).has_value());  // no change
  BOOST_TEST(behaviour.asked == 2);
  BOOST_REQUIRE(handle->cleanup());
  BOOST_TEST(handle->configure({{"timeout", 5}}).has_value());
  behaviour.initialize = [] { return expected<void>(Error("no")); };
  BOOST_REQUIRE(!handle->initialize());
  BOOST_TEST((handle->state() == PluginState::Error));
  BOOST_TEST(handle->configure({{"timeout", 6}}).has_value());
  BOOST_TEST(behaviour.asked == 2);
  BOOST_REQUIRE(manager.unloadPlugin("my plugin"));
  BOOST_TEST((handle->configure({{"timeout", 7}}).error() == Errc::PluginUnloaded));
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 6);
}

BOOST_FIXTURE_TEST_CASE(what_the_plugin_refuses_changes_nothing, Loaded) {
  load();
  const auto file = folder / "kept.json";
  BOOST_REQUIRE(handle->keepConfiguration(file));
  BOOST_REQUIRE(handle->initialize());
  behaviour.changed = [](const Configuration&, const Configuration& after) -> expected<void> {
    const auto timeout = after.get<int>("timeout").value();
    if (timeout == 13) return Error("13 brings bad luck");
    if (timeout == 14) throw std::runtime_error("thrown");
    if (timeout == 15) return Error();
    return {};
  };
  const auto refused = [&](int timeout) {
    const auto done = handle->configure({{"timeout", timeout}});
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::HookFailed));
    BOOST_TEST(handle->configuration().get<int>("timeout").value() == 30);
    BOOST_TEST((handle->state() == PluginState::Initialized));
    BOOST_TEST(!test::fs::exists(file));
    return done.error().message();
  };
  BOOST_TEST(refused(13) == "plugin 'my plugin': it refuses the new settings: 13 brings bad luck");
  BOOST_TEST(refused(14) == "plugin 'my plugin': it refuses the new settings: std::runtime_error: thrown");
  BOOST_TEST(contains(refused(15), "it refuses the new settings: "));
  BOOST_TEST(filesIn(folder.path()) == 1u);
  BOOST_TEST(handle->configure({{"timeout", 16}}).has_value());
  BOOST_TEST(contentOf(file) == "{\"timeout\":16}\n");
}

BOOST_FIXTURE_TEST_CASE(a_change_from_inside_a_step_or_a_change_is_an_error, Loaded) {
  load();
  expected<void> inside;
  behaviour.initialize = [&]() -> expected<void> {
    inside = handle->configure({{"timeout", 2}});
    return {};
  };
  BOOST_REQUIRE(handle->initialize());
  BOOST_TEST((inside.error() == Errc::IllegalTransition));
  BOOST_TEST(contains(inside.error().message(), "configure: not possible while initialize runs"));
  behaviour.changed = [&](const Configuration&, const Configuration&) -> expected<void> {
    inside = handle->configure({{"timeout", 3}});
    return {};
  };
  BOOST_TEST(handle->configure({{"timeout", 4}}).has_value());
  BOOST_TEST(contains(inside.error().message(), "configure: not possible while configure runs"));
}

BOOST_FIXTURE_TEST_CASE(the_environment_goes_before_defaults_and_the_host_before_the_environment, Loaded) {
  const Variable timeout("QTFORGE_MY_PLUGIN_TIMEOUT", "45"), ratio("QTFORGE_MY_PLUGIN_RATIO", "0.1"),
      mode("QTFORGE_MY_PLUGIN_MODE", "exact"), debug("QTFORGE_MY_PLUGIN_DEBUG_MODE", "Yes"),
      codes("QTFORGE_MY_PLUGIN_CODES", R"(["A"])"), extra("QTFORGE_MY_PLUGIN_EXTRA", R"({"$ref": [1.5, null]})");
  load();
  BOOST_TEST(handle->configuration().values() ==
             json::value({{"timeout", 45}, {"ratio", 0.1}, {"mode", "exact"}, {"debug-mode", true}, {"codes", {"A"}},
                          {"extra", {{"$ref", {1.5, nullptr}}}}}).as_object());
  BOOST_TEST(handle->configure({{"timeout", 5}}).has_value());
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 5);
  BOOST_TEST(handle->configure({{"timeout", nullptr}}).has_value());
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 45);
}

BOOST_FIXTURE_TEST_CASE(an_environment_that_does_not_fit_keeps_the_plugin_from_being_loaded, Loaded) {
  const auto failure = [&](const char* variable, const char* value) {
    const Variable set(variable, value);
    const auto done = manager.loadPlugin(folder / "p");
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::ConfigurationInvalid));
    BOOST_TEST(contains(done.error().message(), "plugin 'my plugin': environment variable " + std::string(variable) + ": "));
    return done.error().message();
  };
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_TIMEOUT", "61"), "/timeout: expected at most 60, got 61"));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_TIMEOUT", "soon"), "/timeout: expected a value of type integer in JSON"));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_TIMEOUT", ""), "/timeout: expected a value of type integer in JSON"));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_RATIO", "1e999"), "/ratio: "));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_DEBUG_MODE", "maybe"), "/debug-mode: expected true or false"));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_MODE", "\xFF"), "/mode: text that is not UTF-8"));
  BOOST_TEST(contains(failure("QTFORGE_MY_PLUGIN_CODES", R"(["a"])"), "/codes/0: expected text that matches"));
  BOOST_TEST(manager.loadPlugin(folder / "p").has_value());
}

BOOST_FIXTURE_TEST_CASE(what_the_host_sets_is_kept_in_a_file_and_comes_back, Loaded) {
  const auto file = folder / "kept.json";
  load();
  BOOST_REQUIRE(handle->configure({{"mode", "exact"}}));
  BOOST_TEST(handle->keepConfiguration(file).has_value());
  BOOST_TEST(contentOf(file) == "{\"mode\":\"exact\"}\n");  // what was set before
  const double odd = 0.1 + 0.2;
  BOOST_TEST(handle->configure({{"ratio", odd}, {"extra", {{"$double", "NaN"}}}}).has_value());
  BOOST_TEST(filesIn(folder.path()) == 2u);
  struct stat status {};
  BOOST_REQUIRE(::stat(file.c_str(), &status) == 0);
  BOOST_TEST((status.st_mode & 0777) == 0600u);
  BOOST_REQUIRE(::chmod(file.c_str(), 0640) == 0);
  BOOST_REQUIRE(manager.unloadPlugin("my plugin"));

  load();
  BOOST_TEST(handle->configuration().get<std::string>("mode").value() == "fast");
  BOOST_REQUIRE(handle->initialize());
  BOOST_TEST(handle->keepConfiguration(file).has_value());
  BOOST_TEST(behaviour.asked == 1);
  BOOST_TEST(handle->configuration().get<std::string>("mode").value() == "exact");
  BOOST_TEST(handle->configuration().get<double>("ratio").value() == odd);
  BOOST_TEST((handle->configuration().get<json::value>("extra").value() == json::object{{"$double", "NaN"}}));
  BOOST_TEST(handle->configure({{"ratio", nullptr}, {"extra", nullptr}, {"timeout", 7}}).has_value());
  BOOST_TEST(contentOf(file) == "{\"mode\":\"exact\",\"timeout\":7}\n");
  BOOST_REQUIRE(::stat(file.c_str(), &status) == 0);
  BOOST_TEST((status.st_mode & 0777) == 0640u);
}

BOOST_FIXTURE_TEST_CASE(the_environment_goes_before_the_file, Loaded) {
  const auto file = folder.write("kept.json", R"({"timeout": 7, "mode": "exact"})");
  const Variable timeout("QTFORGE_MY_PLUGIN_TIMEOUT", "45");
  load();
  BOOST_REQUIRE(handle->keepConfiguration(file));
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 45);
  BOOST_TEST(handle->configuration().get<std::string>("mode").value() == "exact");
  BOOST_REQUIRE(handle->configure({{"mode", "fast"}}));
  BOOST_TEST(contentOf(file) == "{\"timeout\":7,\"mode\":\"fast\"}\n");
}

BOOST_FIXTURE_TEST_CASE(a_broken_file_is_named_and_left_as_it_is, Loaded) {
  load();
  const auto broken = [&](const std::string& text) {
    const auto file = folder.write("kept.json", text);
    const auto done = handle->keepConfiguration(file);
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::ConfigurationInvalid));
    BOOST_TEST(contains(done.error().message(), "plugin 'my plugin': configuration '" + file.string() + "': "));
    BOOST_TEST(handle->configure({{"timeout", 9}}).has_value());  // is not kept there
    BOOST_TEST(contentOf(file) == text);
    return done.error().message();
  };
  BOOST_TEST(contains(broken(R"({"timeout": 7)"), "not JSON: "));
  BOOST_TEST(contains(broken(""), "at offset 0; mend it or take it away"));
  BOOST_TEST(contains(broken("[]"), "expected an object"));
  BOOST_TEST(contains(broken(R"({"timeout": 7, "timeout": 8})"), "a key that is there twice"));
  BOOST_TEST(contains(broken(R"({"timeout": 70})"), "/timeout: expected at most 60, got 70"));
  BOOST_TEST(contains(broken(R"({"timeout": null})"), "/timeout: expected a value of type integer, got null"));
  BOOST_TEST(contains(broken(R"({"gone": 1})"), "/gone: the plugin declares no such setting"));
  BOOST_TEST(contains(broken(std::string(100'000, '[')), "not JSON: "));
}

BOOST_FIXTURE_TEST_CASE(a_file_that_cannot_be_read_or_written_is_an_error_and_nothing_changes, Loaded) {
  load();
  const auto failure = [&](const test::fs::path& file) {
    const auto done = handle->keepConfiguration(file);
    BOOST_REQUIRE(!done);
    BOOST_TEST((done.error() == Errc::FileFailed));
    return done.error().message();
  };
  BOOST_TEST(contains(failure(folder / "p"), "not a regular file"));
  BOOST_REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  BOOST_TEST(contains(failure(folder / "fifo"), "not a regular file"));
  BOOST_TEST(contains(failure(folder.write("large", std::string(1024 * 1024 + 1, ' '))), "larger than 1 MiB"));
  BOOST_TEST(handle->keepConfiguration(folder / "none/kept.json").has_value());  // is not there yet
  const auto done = handle->configure({{"timeout", 9}});
  BOOST_REQUIRE(!done);
  BOOST_TEST((done.error() == Errc::FileFailed));
  BOOST_TEST(contains(done.error().message(), "none/kept.json"));
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 30);
}

BOOST_FIXTURE_TEST_CASE(a_file_that_cannot_be_written_whole_stays_as_it_was, Loaded) {
  load();
  const auto file = folder.write("kept.json", "{}");
  BOOST_REQUIRE(handle->keepConfiguration(file));
  rlimit before{};
  BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4, before.rlim_max};
  BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto done = handle->configure({{"timeout", 9}});
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  BOOST_REQUIRE(!done);
  BOOST_TEST((done.error() == Errc::FileFailed));
  BOOST_TEST(contains(done.error().message(), "cannot write it: File too large"));
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 30);
  BOOST_TEST(contentOf(file) == "{}");
  BOOST_TEST(filesIn(folder.path()) == 2u);  // nothing is left beside it
  BOOST_TEST(handle->configure({{"timeout", 9}}).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_file_that_somebody_else_has_changed_is_not_overwritten, Loaded) {
  load();
  const auto file = folder.write("kept.json", "{}");
  BOOST_REQUIRE(handle->keepConfiguration(file));
  BOOST_REQUIRE(handle->configure({{"timeout", 9}}));
  folder.write("kept.json", R"({"timeout": 8})");
  const auto done = handle->configure({{"timeout", 10}});
  BOOST_REQUIRE(!done);
  BOOST_TEST((done.error() == Errc::FileFailed));
  BOOST_TEST(contains(done.error().message(), "somebody else has changed it"));
  BOOST_TEST(contentOf(file) == R"({"timeout": 8})");
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 9);
  BOOST_TEST(handle->keepConfiguration(file).has_value());  // reads it again; the host's own word goes before it
  BOOST_TEST(handle->configuration().get<int>("timeout").value() == 9);
}

BOOST_FIXTURE_TEST_CASE(a_link_is_followed_and_stays, Loaded) {
  load();
  const auto file = folder.write("real.json", "{}");
  test::fs::create_symlink("real.json", folder / "link.json");
  BOOST_REQUIRE(handle->keepConfiguration(folder / "link.json"));
  BOOST_REQUIRE(handle->configure({{"timeout", 9}}));
  BOOST_TEST(test::fs::is_symlink(folder / "link.json"));
  BOOST_TEST(contentOf(file) == "{\"timeout\":9}\n");
}

BOOST_FIXTURE_TEST_CASE(values_can_be_read_while_they_change, Loaded) {
  load();
  BOOST_REQUIRE(handle->initialize());
  std::atomic<bool> done{false};
  std::atomic<int> meetings{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      do {
        const auto values = behaviour.plugin->config();
        const auto timeout = values.get<int>("timeout").value();
        if (timeout != 30 && values.get<double>("ratio").value() != timeout) ++meetings;  // half of a change
        (void)handle->configuration();
      } while (!done);
    });
  std::thread other([&] {
    for (int i = 0; i < 200; ++i) (void)handle->configure({{"timeout", i % 20 + 1}, {"ratio", i % 20 + 1}});
  });
  for (int i = 0; i < 200; ++i) {
    const auto changed = handle->configure({{"timeout", i % 20 + 31}, {"ratio", i % 20 + 31}});
    if (!changed) BOOST_TEST((changed.error() == Errc::IllegalTransition));
  }
  other.join();
  done = true;
  for (auto& reader : readers) reader.join();
  BOOST_TEST(meetings == 0);
}

BOOST_AUTO_TEST_CASE(a_native_plugin_reads_its_settings_and_may_refuse_others) {
  const Variable set("QTFORGE_CONFIGURED_PROCESSING_TIMEOUT", "45");
  std::vector<std::string> heard;
  const auto subscription = MessageBus::instance().subscribe(
      "configured.*", [&](const json::value& value) { heard.push_back(json::serialize(value)); },
      {.delivery = DeliveryMode::Direct});
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("configured")).value();
  BOOST_TEST(plugin->configure({{"name", "x"}}).has_value());
  BOOST_REQUIRE(plugin->initialize());
  BOOST_REQUIRE(heard.size() == 1u);
  BOOST_TEST(json::parse(heard[0]) == json::value({{"first", 45}, {"now", {{"processing_timeout", 45}, {"name", "x"}}}}));
  BOOST_TEST(plugin->configure({{"processing_timeout", 5}}).has_value());
  BOOST_REQUIRE(heard.size() == 2u);
  BOOST_TEST(json::parse(heard[1]) == json::value({{"before", {{"processing_timeout", 45}, {"name", "x"}}},
                                                   {"after", {{"processing_timeout", 5}, {"name", "x"}}},
                                                   {"now", {{"processing_timeout", 45}, {"name", "x"}}}}));
  for (const auto& [timeout, reason] : {std::pair(13, "13 brings bad luck"), std::pair(14, "std::runtime_error: thrown for 14")}) {
    const auto refused = plugin->configure({{"processing_timeout", timeout}});
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error() == Errc::HookFailed));
    BOOST_TEST(refused.error().message() ==
               "plugin 'Configured': it refuses the new settings: " + std::string(reason));
  }
  BOOST_TEST(plugin->configuration().get<int>("processing_timeout").value() == 5);
}

BOOST_AUTO_TEST_CASE(a_plugin_that_was_built_before_there_were_settings_is_loaded_and_not_asked) {
  std::string heard;
  const auto subscription = MessageBus::instance().subscribe(
      "older", [&](const json::value& value) { heard = json::serialize(value); }, {.delivery = DeliveryMode::Direct});
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("older")).value();
  BOOST_REQUIRE(plugin->initialize());
  BOOST_TEST(heard == "{}");
  BOOST_TEST(plugin->configure({{"refused", true}}).has_value());
}

BOOST_AUTO_TEST_CASE(a_plugin_without_settings_has_none_to_set) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::library("minimal")).value();
  BOOST_TEST(plugin->configuration().values().empty());
  BOOST_TEST(contains(plugin->configure({{"x", 1}}).error().message(), "/x: the plugin declares no settings"));
  BOOST_TEST(plugin->configure(json::object()).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
