// Typed interfaces: who implements one, what a call gives back, and what unloading does to callers.

#include "../plugins/native_interface/expect_everything.hpp"
#include "plugin_folder.hpp"

#include <qtforge/core/implements.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/host.hpp>

#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

using namespace qtforge;
using test::contains;

namespace interface {

using fixture_interfaces::Everything;
using fixture_interfaces::expectEverything;
using fixture_interfaces::ImageFilter;
using Counter = Interface<"test.counter/1", Method<"add(amount)", int(int)>, Method<"meet()", void()>>;

/// Where threads meet.
class Meeting {
 public:
  void arrive() {
    std::lock_guard lock(mutex_);
    here_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return here_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool here_ = false;
};

/// A plugin of this program: whatever a test wants to happen in meet() does.
class CounterPlugin : public Implements<CounterPlugin, Counter> {
 public:
  ~CounterPlugin() override {
    alive = false;
    alive.notify_all();
  }

  int add(int amount) { return count_ += amount; }
  void meet() {
    if (const auto now = onMeet) now();
  }
  void cleanup() override { cleaned = true; }

  static constexpr auto methods() {
    return std::tuple(bind<"add">(&CounterPlugin::add), bind<"meet">(&CounterPlugin::meet));
  }

  static inline std::function<void()> onMeet;
  static inline std::atomic<bool> alive{false}, cleaned{false};

 private:
  std::atomic<int> count_{0};
};

class CounterLoader : public IPluginLoader {
 public:
  [[nodiscard]] std::string_view language() const override { return "test"; }
  [[nodiscard]] expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    CounterPlugin::alive = true;
    CounterPlugin::cleaned = false;
    return std::unique_ptr<IPlugin>(std::make_unique<CounterPlugin>());
  }
};

struct ShutdownLimit {
  explicit ShutdownLimit(std::chrono::milliseconds limit) { Runtime::instance().setShutdownTimeout(limit); }
  ~ShutdownLimit() { Runtime::instance().setShutdownTimeout(std::chrono::seconds(5)); }
};

/// A manager with a CounterPlugin called "counter".
struct WithCounter {
  explicit WithCounter(std::chrono::milliseconds time = std::chrono::seconds(20)) : limit(time) {
    manager.addLoader(std::make_unique<CounterLoader>());
    folder.write("counter/plugin.json",
                 R"({"name": "counter", "version": "1.0.0", "language": "test", "entry_point": "none"})");
    load();
  }
  ~WithCounter() { CounterPlugin::onMeet = nullptr; }
  void load() {
    const auto plugin = manager.loadPlugin(folder / "counter");
    BOOST_REQUIRE(plugin.has_value());
    BOOST_REQUIRE((*plugin)->initialize().has_value());
    counter = manager.find<Counter>("counter").value();
  }

  ShutdownLimit limit;  // goes after the manager
  test::Folder folder;
  PluginManager manager;
  InterfaceHandle<Counter> counter;
};

BinaryMessage image() { return {Buffer({10, 20}), "image/raw", "|u1", {2}}; }

BOOST_AUTO_TEST_SUITE(interfaces)

BOOST_AUTO_TEST_CASE(names_and_types_of_methods_are_known_at_compile_time_and_make_the_fingerprint) {
  static_assert(ImageFilter::name == "image.filter/1" && ImageFilter::count == 2);
  static_assert(ImageFilter::indexOf("title") == 1 && ImageFilter::indexOf("apply(") == 2);
  static_assert(std::string_view(ImageFilter::methods[0].parameters[1].name) == "amount");
  using Renamed = Interface<"image.filter/2", Method<" apply( picture ,by )", BinaryMessage(BinaryMessage, double)>,
                            Method<"title()", std::string()>>;
  static_assert(ImageFilter::fingerprint == Renamed::fingerprint);
  using Turned = Interface<"image.filter/1", Method<"title()", std::string()>,
                           Method<"apply(image, amount)", BinaryMessage(BinaryMessage, double)>>;
  using ByReference = Interface<"image.filter/1", Method<"apply(image, amount)", BinaryMessage(const BinaryMessage&, double)>,
                                Method<"title()", std::string()>>;
  static_assert(ImageFilter::fingerprint != Turned::fingerprint && ImageFilter::fingerprint != ByReference::fingerprint);
  BOOST_TEST(detail::spelled(Everything::methods[9]) ==
             "std::vector<std::vector<double>> list(const std::vector<std::vector<double>>&)");
}

BOOST_AUTO_TEST_CASE(call_of_a_native_plugin_gives_what_its_member_function_returns) {
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(test::fixture("interface")).has_value());
  const auto filter = manager.find<ImageFilter>("InterfacePlugin");
  BOOST_REQUIRE(filter.has_value());
  const auto original = image();
  const auto half = filter->call<"apply">(original, 0.5);
  BOOST_REQUIRE(half.has_value());
  BOOST_TEST((half->data == Buffer({5, 10})));
  BOOST_TEST(half->contentType == "image/raw");
  BOOST_TEST(original.data.size() == 2u);
  BOOST_TEST((*filter)->call<"title">().value() == "blur");
  BOOST_TEST(qtforge::call<"title">(filter).value() == "blur");
  BOOST_TEST((qtforge::call<"apply">(*filter, image(), 2)->data == Buffer({20, 40})));
  BOOST_TEST(filter->plugin()->name() == "InterfacePlugin");

  expectEverything(manager.find<Everything>("InterfacePlugin").value());
}

BOOST_AUTO_TEST_CASE(json_that_a_plugin_returns_outlives_its_library) {
  boost::json::value kept;
  {
    PluginManager manager;
    BOOST_REQUIRE(manager.loadPlugin(test::fixture("interface")).has_value());
    kept = manager.find<Everything>("InterfacePlugin")->call<"json">(boost::json::value{{"deep", {1, 2, "three"}}}).value();
  }
  BOOST_TEST(boost::json::serialize(kept) == R"({"deep":[1,2,"three"]})");
}

BOOST_AUTO_TEST_CASE(what_a_method_throws_or_returns_as_error_is_the_callers_error) {
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(test::fixture("interface")).has_value());
  const auto all = manager.find<Everything>("InterfacePlugin").value();
  BOOST_TEST(all.call<"fail">("").value() == 1);
  const auto thrown = all.call<"fail">("throw");
  BOOST_TEST((thrown.error() == Errc::HandlerFailed));
  BOOST_TEST(thrown.error().message() == "plugin 'InterfacePlugin': fail(): std::runtime_error: thrown");
  BOOST_TEST((all.call<"fail">("number").error() == Errc::HandlerFailed));
  const auto returned = all.lock()->call<"fail">("error");
  BOOST_TEST((returned.error() == Errc::LimitExceeded));
  BOOST_TEST(returned.error().message() == "plugin 'InterfacePlugin': fail(): returned");
}

BOOST_AUTO_TEST_CASE(find_of_what_a_plugin_does_not_implement_returns_InterfaceMissing) {
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(test::fixture("interface")).has_value());
  BOOST_REQUIRE(manager.loadPlugin(test::fixture("good")).has_value());
  const auto missing = manager.find<Counter>("InterfacePlugin");
  BOOST_TEST((missing.error() == Errc::InterfaceMissing));
  BOOST_TEST(missing.error().message() ==
             "plugin 'InterfacePlugin': it does not implement the interface \"test.counter/1\"");
  BOOST_TEST((manager.find<Counter>("InterfacePlugim").error() == Errc::PluginNotFound));
  BOOST_TEST((qtforge::call<"add">(missing, 1).error() == Errc::InterfaceMissing));
  BOOST_TEST(manager.findAll<Counter>().empty());
  BOOST_TEST(manager.findAll<ImageFilter>().size() == 1u);
}

BOOST_AUTO_TEST_CASE(find_of_an_interface_with_other_methods_names_those_that_differ) {
  PluginManager manager;
  BOOST_REQUIRE(manager.loadPlugin(test::fixture("interface_other")).has_value());
  const auto other = manager.find<ImageFilter>("OtherPlugin");
  BOOST_TEST((other.error() == Errc::InterfaceMismatch));
  BOOST_TEST(other.error().message() ==
             "plugin 'OtherPlugin': its interface \"image.filter/1\" is not the caller's: the caller has 'BinaryMessage "
             "apply(BinaryMessage, double)', the plugin 'BinaryMessage apply(BinaryMessage, float)'; the plugin has no "
             "'std::string title()'; the caller has no 'int version()'");
  BOOST_TEST(manager.findAll<ImageFilter>().empty());
}

BOOST_AUTO_TEST_CASE(plugin_that_does_not_implement_what_its_manifest_declares_is_not_loaded_once_the_host_knows_it) {
  PluginManager manager;
  manager.addInterface<ImageFilter>();
  manager.addInterface<Everything>();
  const auto other = manager.loadPlugin(test::fixture("interface_other"));
  BOOST_TEST((other.error() == Errc::InterfaceMismatch));
  BOOST_TEST(contains(other.error().message(), "plugin.json: /interfaces"));
  test::Folder folder;
  const auto none = manager.loadPlugin(folder.plugin("none", R"("interfaces": ["image.filter/1", "unknown/1"])"));
  BOOST_TEST((none.error() == Errc::InterfaceMissing));
  BOOST_TEST(manager.plugins().empty());
  BOOST_TEST(manager.loadPlugin(test::fixture("interface")).has_value());
}

BOOST_AUTO_TEST_CASE(handle_that_points_to_nothing_gives_an_error) {
  const InterfaceHandle<Counter> nothing;
  BOOST_TEST((nothing.call<"add">(1).error() == Errc::PluginUnloaded));
  BOOST_TEST((nothing.lock().error() == Errc::PluginUnloaded));
  BOOST_TEST(!nothing);
  BOOST_TEST((PluginHandle().as<Counter>().error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_CASE(call_after_the_unload_or_a_reload_returns_PluginUnloaded) {
  WithCounter with;
  auto old = with.counter;
  BOOST_TEST(old.call<"add">(2).value() == 2);
  BOOST_REQUIRE(with.manager.unloadPlugin("counter").has_value());
  const auto gone = old.call<"add">(1);
  BOOST_TEST((gone.error() == Errc::PluginUnloaded));
  BOOST_TEST(gone.error().message() == "plugin 'counter': add: the plugin has been unloaded, or is being unloaded");
  BOOST_TEST((old.lock().error() == Errc::PluginUnloaded));
  with.load();
  BOOST_TEST((old.call<"add">(1).error() == Errc::PluginUnloaded));
  BOOST_TEST(with.counter.call<"add">(1).value() == 1);
}

BOOST_AUTO_TEST_CASE(handle_that_outlives_its_manager_returns_PluginUnloaded) {
  InterfaceHandle<Counter> counter;
  {
    WithCounter with;
    counter = with.counter;
  }
  BOOST_TEST(!CounterPlugin::alive);
  BOOST_TEST((counter.call<"add">(1).error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_CASE(unload_waits_for_a_call_that_runs_on_another_thread) {
  WithCounter with;
  Meeting inside, leave;
  std::atomic<bool> untouched{false};
  CounterPlugin::onMeet = [&] {
    inside.arrive();
    leave.wait();
    untouched = CounterPlugin::alive && !CounterPlugin::cleaned;
  };
  auto called = std::async(std::launch::async, [&] { return with.counter.call<"meet">(); });
  BOOST_REQUIRE(inside.wait());
  auto unloaded = std::async(std::launch::async, [&] { return with.manager.unloadPlugin("counter"); });
  while (with.counter.call<"add">(1)) std::this_thread::yield();  // until the gate is closed
  leave.arrive();
  BOOST_TEST(unloaded.get().has_value());
  BOOST_TEST(called.get().has_value());
  BOOST_TEST(untouched);
  BOOST_TEST(CounterPlugin::cleaned);
  BOOST_TEST(!CounterPlugin::alive);
}

BOOST_AUTO_TEST_CASE(unload_that_waits_in_vain_names_who_is_stuck_and_leaves_the_plugin_as_it_was) {
  WithCounter with(std::chrono::milliseconds(50));
  Meeting inside, leave;
  CounterPlugin::onMeet = [&] {
    inside.arrive();
    leave.wait();
  };
  auto called = std::async(std::launch::async, [&] { return with.counter.call<"meet">(); });
  BOOST_REQUIRE(inside.wait());
  auto guard = with.counter.lock().value();
  const auto refused = with.manager.unloadPlugin("counter");
  BOOST_TEST((refused.error() == Errc::TimedOut));
  const auto message = refused.error().message();
  BOOST_TEST(contains(message, "plugin 'counter' stays loaded: within 50 ms these did not end: "), message);
  BOOST_TEST(contains(message, "meet() on thread "), message);
  BOOST_TEST(contains(message, "a guard of test.counter/1 taken on thread "), message);
  BOOST_TEST(with.counter.call<"add">(1).value() == 1);
  BOOST_TEST(with.manager.find("counter").has_value());
  leave.arrive();
  BOOST_TEST(called.get().has_value());
  { const auto ended = std::move(guard); }
  BOOST_TEST(with.manager.unloadPlugin("counter").has_value());
}

BOOST_AUTO_TEST_CASE(unload_from_inside_a_method_returns_WouldDeadlock) {
  WithCounter with;
  expected<void> inside;
  CounterPlugin::onMeet = [&] { inside = with.manager.unloadPlugin("counter"); };
  BOOST_TEST(with.counter.call<"meet">().has_value());
  BOOST_TEST((inside.error() == Errc::WouldDeadlock));
  BOOST_TEST(contains(inside.error().message(), "this thread is inside its meet()"));
  BOOST_TEST(with.counter.call<"add">(1).value() == 1);
}

BOOST_AUTO_TEST_CASE(guard_calls_without_further_ado_and_holds_off_the_unload) {
  WithCounter with(std::chrono::milliseconds(20));
  auto guard = with.counter.lock();
  BOOST_REQUIRE(guard.has_value());
  BOOST_TEST(guard->call<"add">(3).value() == 3);
  BOOST_TEST(qtforge::call<"add">(*guard, 3).value() == 6);
  BOOST_TEST((with.manager.unloadPlugin("counter").error() == Errc::TimedOut));
  BOOST_TEST(guard->call<"add">(1).value() == 7);
  guard = Error("ended");
  BOOST_TEST(with.manager.unloadPlugin("counter").has_value());
}

BOOST_AUTO_TEST_CASE(method_may_call_the_same_plugin_again_deeper_than_there_are_places) {
  WithCounter with;
  int depth = 0;
  CounterPlugin::onMeet = [&] {
    if (++depth < 40) BOOST_TEST(with.counter.call<"meet">().has_value());
  };
  BOOST_TEST(with.counter.call<"meet">().has_value());
  BOOST_TEST(depth == 40);
  BOOST_TEST(with.manager.unloadPlugin("counter").has_value());
}

BOOST_AUTO_TEST_CASE(manager_that_ends_leaves_a_plugin_that_is_called_behind_until_the_call_ends) {
  Meeting inside, leave;
  std::atomic<bool> untouched{false};
  std::future<expected<void>> called;
  InterfaceHandle<Counter> counter;
  {
    WithCounter with(std::chrono::milliseconds(50));
    counter = with.counter;
    CounterPlugin::onMeet = [&] {
      inside.arrive();
      leave.wait();
      untouched = CounterPlugin::alive && !CounterPlugin::cleaned;
    };
    called = std::async(std::launch::async, [&] { return counter.call<"meet">(); });
    BOOST_REQUIRE(inside.wait());
  }
  BOOST_TEST(CounterPlugin::alive);
  BOOST_TEST((counter.call<"add">(1).error() == Errc::PluginUnloaded));
  leave.arrive();
  BOOST_TEST(called.get().has_value());
  BOOST_TEST(untouched);
  CounterPlugin::alive.wait(true);
  BOOST_TEST(CounterPlugin::cleaned);
  BOOST_TEST(!CounterPlugin::alive);
}

BOOST_AUTO_TEST_CASE(threads_that_call_while_the_plugin_is_unloaded_and_loaded_again_get_results_or_PluginUnloaded) {
  WithCounter with;
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> good{0}, gone{0}, odd{0};
  std::mutex mutex;  // guards with.counter
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&, i] {
      while (!ended) {
        InterfaceHandle<Counter> counter;
        {
          std::lock_guard lock(mutex);
          counter = with.counter;
        }
        for (int n = 0; n < 50; ++n) {
          expected<int> result = 0;
          if (i % 2) {
            result = counter.call<"add">(1);
          } else if (auto guard = counter.lock()) {
            result = guard->call<"add">(1);
          } else {
            result = guard.error();
          }
          if (result) ++good;
          else if (result.error() == Errc::PluginUnloaded) ++gone;
          else ++odd;
        }
      }
    });
  for (int round = 0; round < 100; ++round) {
    for (const auto before = good.load(); good == before;) std::this_thread::yield();
    BOOST_TEST(with.manager.unloadPlugin("counter").has_value());
    BOOST_REQUIRE(with.manager.loadPlugin(with.folder / "counter").has_value());
    auto next = with.manager.find<Counter>("counter").value();
    std::lock_guard lock(mutex);
    with.counter = next;
  }
  ended = true;
  for (auto& caller : callers) caller.join();
  BOOST_TEST(odd == 0u);
}

BOOST_AUTO_TEST_CASE(threads_that_call_while_the_manager_ends_get_results_until_PluginUnloaded) {
  for (int round = 0; round < 20; ++round) {
    std::optional<WithCounter> with(std::in_place);
    std::atomic<std::uint64_t> good{0}, odd{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i)
      callers.emplace_back([&, counter = with->counter] {
        for (;;) {
          const auto result = counter.call<"add">(1);
          if (!result && result.error() == Errc::PluginUnloaded) return;
          ++(result ? good : odd);
        }
      });
    while (good < 10) std::this_thread::yield();
    with.reset();
    for (auto& caller : callers) caller.join();
    BOOST_TEST(odd == 0u);
    BOOST_TEST(!CounterPlugin::alive);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace interface
