// Native plugins from their libraries: what is refused before its code runs, what comes up, and what is left behind.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/communication/receiver.hpp>
#include <qtforge/core/plugin_manager.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/describe/class.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace qtforge;
using test::contains;

// As in test/plugins/native_typed.
namespace fixture {

struct Same {
  std::string name;
  double value = 0;
};
BOOST_DESCRIBE_STRUCT(Same, (), (name, value))

struct Other {
  std::string name;
  double value = 0;
};
BOOST_DESCRIBE_STRUCT(Other, (), (name, value))

}  // namespace fixture

namespace native_loader {

// What is published on a pattern while it lives, as "sender: payload", taken on the publisher's thread.
class Heard {
 public:
  explicit Heard(const std::string& pattern)
      : subscription_(MessageBus::instance()
                          .subscribe(pattern,
                                     [this](const Message& message) {
                                       std::lock_guard lock(mutex_);
                                       heard_.push_back(std::string(message.sender()) + ": " +
                                                        boost::json::serialize(*message.json()));
                                     },
                                     {.delivery = DeliveryMode::Direct})
                          .value()) {}

  std::vector<std::string> all() const {
    std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> heard_;
  Subscription subscription_;
};

struct FailAt {
  explicit FailAt(const char* what) { ::setenv("QTFORGE_TEST_FAIL", what, 1); }
  ~FailAt() { ::unsetenv("QTFORGE_TEST_FAIL"); }
};

bool mapped(const test::fs::path& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (handle) ::dlclose(handle);
  return handle != nullptr;
}

// Waits, but not for ever.
template <class Condition>
void waitFor(Condition&& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
}

// A runtime thread unmaps it, when the code that let go of it has returned.
bool unmappedSoon(const test::fs::path& library) {
  waitFor([&] { return !mapped(library); });
  return !mapped(library);
}

std::string refusal(const std::string& name, Errc code) {
  PluginManager manager;
  const auto loaded = manager.loadPlugin(test::fixture(name));
  BOOST_REQUIRE(!loaded);
  BOOST_TEST((loaded.error() == code));
  BOOST_TEST(!mapped(test::library(name)));
  BOOST_TEST(manager.plugins().empty());
  return loaded.error().message();
}

}  // namespace native_loader

BOOST_AUTO_TEST_SUITE(native_loader)

BOOST_AUTO_TEST_CASE(a_plugin_goes_through_its_life_on_the_hosts_bus) {
  const Heard steps("native.steps");
  {
    PluginManager manager;
    const auto plugin = manager.loadPlugin(test::fixture("good")).value();
    BOOST_TEST((plugin->state() == PluginState::Loaded));
    BOOST_REQUIRE(plugin->initialize());
    BOOST_REQUIRE(plugin->activate());
    BOOST_TEST((plugin->state() == PluginState::Active));
    const Heard pong("native.pong");
    MessageBus::instance().publish("native.ping", boost::json::object{{"n", 42}});
    BOOST_REQUIRE(MessageBus::instance().drain());
    BOOST_REQUIRE(pong.all().size() == 1u);
    BOOST_TEST(pong.all()[0] == R"(Good: {"ping":{"n":42},"by":"Good"})");
  }
  const std::vector<std::string> expected{R"(Good: "initialize")", R"(Good: "activate")", R"(Good: "deactivate")",
                                          R"(Good: "cleanup")", R"(Good: "destructor")"};
  BOOST_TEST(steps.all() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(its_texts_replace_those_of_the_manifest) {
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  BOOST_TEST(plugin->version() == "1.2.3");  // 1.2.0 in the manifest
  BOOST_TEST(plugin->author() == "its code");
  BOOST_TEST(plugin->description() == "Fixture: see good.cpp");
  BOOST_TEST(plugin->manifest().version.toString() == "1.2.0");
}

BOOST_AUTO_TEST_CASE(a_library_alone_is_a_plugin_too) {
  PluginManager manager;
  const auto minimal = manager.loadPlugin(test::library("minimal")).value();
  BOOST_TEST(minimal->name() == "minimal");
  BOOST_TEST(minimal->version() == "0.0.0");
  const auto good = manager.loadPlugin(test::library("good")).value();
  BOOST_TEST(good->name() == "Good");
  BOOST_TEST(good->version() == "1.2.3");
}

BOOST_AUTO_TEST_CASE(a_library_goes_with_its_plugin_and_comes_back) {
  const auto library = test::library("good");
  for (int i = 0; i < 3; ++i) {
    PluginManager manager;
    const auto plugin = manager.loadPlugin(test::fixture("good")).value();
    BOOST_TEST(mapped(library));
    BOOST_REQUIRE(plugin->initialize());
    BOOST_REQUIRE(manager.unloadPlugin("Good"));
    BOOST_TEST(!mapped(library));
  }
}

BOOST_AUTO_TEST_CASE(what_others_hold_of_its_messages_keeps_the_library_until_they_let_go) {
  const auto library = test::library("good");
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("good")).value();
  BOOST_REQUIRE(plugin->initialize());
  auto lease = std::make_unique<Heard>("native.pong");
  MessageBus::instance().publish("native.ping", boost::json::value(1));
  BOOST_REQUIRE(MessageBus::instance().drain());
  BOOST_REQUIRE(manager.unloadPlugin("Good"));
  BOOST_TEST(lease->all().size() == 1u);
  BOOST_TEST(!mapped(library));  // JSON is the bus's own: nothing of the plugin's code is in it
}

BOOST_AUTO_TEST_CASE(one_library_has_one_living_plugin_in_the_process) {
  PluginManager one, two;
  BOOST_REQUIRE(one.loadPlugin(test::fixture("good")));
  const auto again = two.loadPlugin(test::fixture("good"));
  BOOST_REQUIRE(!again);
  BOOST_TEST((again.error() == Errc::DuplicatePlugin));
  BOOST_TEST(contains(again.error().message(), "is loaded already in this process"));
  BOOST_REQUIRE(one.unloadPlugin("Good"));
  BOOST_TEST(two.loadPlugin(test::fixture("good")).has_value());
}

BOOST_AUTO_TEST_CASE(a_wrong_tag_is_refused_before_any_code_runs) {
  const auto text = refusal("other_abi", Errc::AbiMismatch);  // its constructor function would abort
  BOOST_TEST(contains(text, "qtforge=9.9 boost=0_00"));
  BOOST_TEST(contains(text, QTFORGE_ABI_TAG));
}

BOOST_AUTO_TEST_CASE(what_is_no_plugin_is_refused_with_the_remedy) {
  BOOST_TEST(contains(refusal("plain", Errc::NotAPlugin), "QTFORGE_PLUGIN"));
  BOOST_TEST(contains(refusal("no_entry", Errc::NotAPlugin), "does not export"));
  BOOST_TEST(contains(refusal("exports", Errc::NotAPlugin), "exports more than its entry"));
}

BOOST_AUTO_TEST_CASE(a_library_that_cannot_be_linked_gives_the_loaders_words) {
  const test::Folder folder;
  folder.plugin("Broken");
  // A library it needs is renamed in the string table, to one that does not exist.
  std::ifstream in(folder / "Broken/plugin.so", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  in.close();
  const auto at = text.find("libstdc++.so.6");
  BOOST_REQUIRE(at != std::string::npos);
  text.replace(at, 14, "libnowhere.so6");
  folder.write("Broken/plugin.so", text);
  PluginManager manager;
  const auto loaded = manager.loadPlugin(folder / "Broken");
  BOOST_REQUIRE(!loaded);
  BOOST_TEST((loaded.error() == Errc::ImportFailed));
  BOOST_TEST(contains(loaded.error().message(), "libnowhere.so6"));
  folder.plugin("Broken");  // repaired, it loads
  BOOST_TEST(manager.loadPlugin(folder / "Broken").has_value());
}

BOOST_AUTO_TEST_CASE(the_bus_in_a_static_initialiser_is_a_named_error) {
  const Heard early("native.early");
  PluginManager manager;
  const auto plugin = manager.loadPlugin(test::fixture("static_bus")).value();
  BOOST_REQUIRE(plugin->initialize());
  BOOST_REQUIRE(early.all().size() == 1u);
  BOOST_TEST(contains(early.all()[0], "\"code\":" + std::to_string(static_cast<int>(Errc::NoRuntime))));
  BOOST_TEST(contains(early.all()[0], "not in static initialisers"));
}

BOOST_AUTO_TEST_CASE(hooks_that_fail_by_error_throw_or_without_a_word_lead_to_Error) {
  for (const std::string hook : {"initialize", "activate", "deactivate", "cleanup"}) {
    for (const std::string how : {"error", "throw", "odd", "empty"}) {
      BOOST_TEST_CONTEXT(hook << ":" << how) {
        PluginManager manager;
        const auto plugin = manager.loadPlugin(test::fixture("failing")).value();
        if (hook != "initialize") BOOST_REQUIRE(plugin->initialize());
        if (hook == "deactivate") BOOST_REQUIRE(plugin->activate());
        expected<void> done;
        {
          const FailAt fail((hook + ":" + how).c_str());
          done = hook == "initialize"   ? plugin->initialize()
                 : hook == "activate"   ? plugin->activate()
                 : hook == "deactivate" ? plugin->deactivate()
                                        : plugin->cleanup();
        }
        BOOST_REQUIRE(!done);
        BOOST_TEST((done.error() == Errc::HookFailed));
        const auto text = done.error().message();
        BOOST_TEST(text.starts_with("plugin 'Failing': " + hook + ": "));
        if (how == "error") BOOST_TEST(contains(text, "returned by " + hook));
        if (how == "throw") BOOST_TEST(contains(text, "thrown by " + hook));
        if (how == "odd") BOOST_TEST(contains(text, "no std::exception"));
        if (how == "empty") BOOST_TEST(contains(text, "failed without saying why"));
        BOOST_TEST((plugin->state() == PluginState::Error));
        BOOST_TEST((plugin->activate().error() == Errc::IllegalTransition));
        BOOST_TEST(plugin->cleanup().has_value());
        BOOST_TEST((plugin->state() == PluginState::Loaded));
        BOOST_TEST(plugin->initialize().has_value());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_constructor_that_throws_leaves_nothing_behind) {
  PluginManager manager;
  {
    const FailAt fail("constructor:throw");
    const auto loaded = manager.loadPlugin(test::fixture("failing"));
    BOOST_REQUIRE(!loaded);
    BOOST_TEST((loaded.error() == Errc::HookFailed));
    BOOST_TEST(contains(loaded.error().message(), "plugin 'Failing': constructor: std::runtime_error: thrown by constructor"));
    BOOST_TEST(!mapped(test::library("failing")));
  }
  BOOST_TEST(manager.loadPlugin(test::fixture("failing")).has_value());
}

BOOST_AUTO_TEST_CASE(a_plugin_that_refuses_the_interface_is_not_loaded) {
  const FailAt fail("isCompatible:error");
  PluginManager manager;
  const auto loaded = manager.loadPlugin(test::fixture("failing"));
  BOOST_REQUIRE(!loaded);
  BOOST_TEST((loaded.error() == Errc::PluginIncompatible));
  BOOST_TEST(contains(loaded.error().message(), pluginApiVersion));
}

BOOST_AUTO_TEST_CASE(unloading_a_plugin_whose_timer_runs_leaves_no_call_into_its_library) {
  std::atomic<int> heard{0};
  const auto subscription = MessageBus::instance().subscribe("native_timer.bytes", [&](const BinaryMessage& message) {
    if (message.data.size() == 3) ++heard;
  }).value();
  for (int round = 0; round < 100; ++round) {
    PluginManager manager;
    auto plugin = manager.loadPlugin(test::fixture("timer")).value();
    BOOST_REQUIRE(plugin->initialize().has_value());
    waitFor([&, before = heard.load()] { return heard != before; });
  }
  BOOST_TEST(heard >= 100);
}

BOOST_AUTO_TEST_CASE(bytes_that_a_plugin_made_keep_its_library_until_the_last_reader_lets_go) {
  std::optional<BinaryMessage> kept;
  std::mutex mutex;
  auto subscription = MessageBus::instance().subscribe("native_timer.bytes", [&](const BinaryMessage& message) {
    std::lock_guard lock(mutex);
    kept = message;
  }, {.delivery = DeliveryMode::Direct}).value();
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugin(test::fixture("timer")).value()->initialize().has_value());
    for (bool have = false; !have;) {
      std::lock_guard lock(mutex);
      have = kept.has_value();
    }
  }
  subscription.unsubscribe();
  BOOST_TEST(mapped(test::library("timer")));
  BOOST_TEST(kept->data[2] == 3);
  kept.reset();
  BOOST_TEST(unmappedSoon(test::library("timer")));
}

BOOST_AUTO_TEST_CASE(a_struct_of_the_same_layout_crosses_as_it_is_and_keeps_the_library_that_made_it) {
  const auto& bus = MessageBus::instance();
  boost::json::value told;
  const auto telling = bus.subscribe("native_typed.told", [&](const boost::json::value& v) { told = v; },
                                     {.delivery = DeliveryMode::Direct}).value();
  std::optional<Message> answer;
  const fixture::Same given{"a name that is longer than the short strings", 1.5};
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugin(test::fixture("typed")).value()->initialize().has_value());
    const auto answers = bus.subscribe("native_typed.answer", [&](const Message& message) { answer = message; },
                                       {.delivery = DeliveryMode::Direct}).value();
    BOOST_TEST(bus.publish("native_typed.same", given).value().called == 1u);
    BOOST_TEST(told.at("address").to_number<std::uintptr_t>() == reinterpret_cast<std::uintptr_t>(&given));
    BOOST_TEST(told.at("name").as_string() == given.name);

    BOOST_TEST(bus.publish("native_typed.other", fixture::Other{"x", 2.5}).value().called == 1u);
    BOOST_TEST(told.at("name").as_string() == "x");
    BOOST_TEST(told.at("value").as_double() == 2.5);
  }
  BOOST_REQUIRE(answer.has_value());
  BOOST_REQUIRE(answer->get<fixture::Same>() != nullptr);
  BOOST_TEST(answer->get<fixture::Same>()->value == 2.5);
  BOOST_TEST(mapped(test::library("typed")));
  BOOST_TEST(answer->json()->at("name").as_string() == given.name + "!");  // code of the plugin
  std::optional<boost::json::value> copy;
  const auto late = bus.subscribe("native_typed.built", [&](const boost::json::value& built) { copy.emplace(built); },
                                  {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(bus.clearRetained("native_typed.>").value() == 2u);
  BOOST_REQUIRE(copy.has_value());
  BOOST_TEST(copy->at("name").as_string() == given.name);
  BOOST_TEST(copy->at("values").as_array().at(999).as_double() == given.value);
  answer.reset();
  BOOST_TEST(unmappedSoon(test::library("typed")));
}

BOOST_AUTO_TEST_CASE(a_publisher_that_waits_elsewhere_keeps_the_library_whose_executor_it_may_use) {
  const auto& bus = MessageBus::instance();
  boost::asio::io_context mine;
  std::atomic<int> heard{0}, out{0}, sent{0};
  const auto answers = bus.subscribe("native_executor.out", [&](const boost::json::value&) { ++out; },
                                     {.delivery = DeliveryMode::Direct}).value();
  std::thread publisher;
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugin(test::fixture("executor")).value()->initialize().has_value());
    const auto slow = bus.subscribe("native_executor.in",
                                    boost::asio::bind_executor(mine, [&](const boost::json::value&) { ++heard; }),
                                    {.capacity = 1, .blockTimeout = std::chrono::minutes(1)}).value();
    publisher = std::thread([&] {
      while (sent < 2 && bus.publish("native_executor.in", sent.load())) ++sent;
    });
    waitFor([&] { return out == 2; });  // both went to the plugin, the second is held up by `slow`
    BOOST_TEST(sent == 1);
    BOOST_REQUIRE(manager.unloadPlugin("ExecutorPlugin").has_value());
    BOOST_TEST(mapped(test::library("executor")));
    mine.run();
    publisher.join();
    BOOST_TEST(sent == 2);
  }
  BOOST_TEST(unmappedSoon(test::library("executor")));
}

BOOST_AUTO_TEST_CASE(a_plugin_may_be_unloaded_with_asynchronous_operations_under_way) {
  auto& bus = MessageBus::instance();
  const Heard out("native_async.out");
  const auto twice = bus.respond("native_async.twice", [](std::int64_t n) { return n * 2; }).value();
  boost::asio::io_context mine;
  const auto never = bus.respond("native_async.slow", boost::asio::bind_executor(mine, [](const boost::json::value& v) { return v; })).value();
  auto full = bus.subscribe("native_async.full", {.capacity = 1}).value();
  bus.publish("native_async.full", 0);
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugin(test::fixture("async")).value()->initialize().has_value());
    waitFor([&] { return out.all().size() == 1; });
    bus.publish("native_async.in", 1);
    waitFor([&] { return out.all().size() == 2; });
    BOOST_TEST(out.all() == (std::vector<std::string>{"AsyncPlugin: 42", "AsyncPlugin: 1"}), boost::test_tools::per_element());
    BOOST_REQUIRE(manager.unloadPlugin("AsyncPlugin").has_value());
  }
  BOOST_TEST(unmappedSoon(test::library("async")));
  BOOST_TEST(full.tryReceive().value().json()->as_int64() == 0);
  BOOST_TEST(!full.tryReceive());  // what waited has gone
}

BOOST_AUTO_TEST_SUITE_END()
