// Objects that plugins offer to others under a name, and plugins that find each other.

#include "../plugins/native_services/key_value.hpp"
#include "plugin_folder.hpp"

#include <qtforge/core/implements.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/core/service.hpp>
#include <qtforge/host.hpp>
#include <qtforge/utils/log_sinks.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>

using namespace qtforge;
using test::contains;

namespace services {

using fixture_interfaces::Asks;
using fixture_interfaces::KeyValue;

/// A service of this program: whatever a test wants to happen in get() does.
class Answer : public Service<Answer, KeyValue> {
 public:
  std::optional<std::string> get(const std::string& key) { return onGet ? onGet(key) : key; }
  void put(const std::string&, const std::string&) {}

  static constexpr auto methods() { return std::tuple(bind<"get">(&Answer::get), bind<"put">(&Answer::put)); }

  std::function<std::optional<std::string>(const std::string&)> onGet;
};

class Owner : public IPlugin {
 public:
  expected<void> initialize() override { return offer("answer", answer); }
  void cleanup() override { cleaned = true; }

  Answer answer;
  std::atomic<bool> cleaned{false};
};

class Loader : public IPluginLoader {
 public:
  std::string_view language() const override { return "made up"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    auto made = std::make_unique<Owner>();
    owner = made.get();
    return std::unique_ptr<IPlugin>(std::move(made));
  }

  Owner* owner = nullptr;  // the last
};

/// A manager with the plugin "owner", which offers "answer".
struct Offered {
  Offered() {
    auto made = std::make_unique<Loader>();
    loader = made.get();
    manager.addLoader(std::move(made));
    manager.setDataFolder(folder / "data");
    plugin = load("owner");
    plugin->initialize().value();
  }

  [[nodiscard]] PluginHandle load(const std::string& name) {
    folder.write(name + "/plugin.json", R"({"name": ")" + name + R"(", "version": "1.0.0", "language": "made up", "entry_point": "x"})");
    return manager.loadPlugin(folder / name).value();
  }

  test::Folder folder;
  PluginManager manager;
  Loader* loader = nullptr;
  PluginHandle plugin;
};

}  // namespace services

BOOST_AUTO_TEST_SUITE(services)

BOOST_FIXTURE_TEST_CASE(a_service_is_found_by_its_name_and_gone_with_its_cleanup, Offered) {
  const auto answer = manager.find<KeyValue>("answer").value();
  BOOST_TEST(answer.call<"get">("key").value().value() == "key");
  BOOST_TEST(answer.plugin()->name() == "owner");
  BOOST_TEST(manager.findAll<KeyValue>().size() == 1u);
  BOOST_TEST((manager.find<Asks>("answer").error() == Errc::InterfaceMissing));
  BOOST_TEST(contains(manager.find<Asks>("answer").error().message(), "service 'answer' of plugin 'owner': it does not implement"));
  plugin->cleanup().value();
  BOOST_TEST((manager.find<KeyValue>("answer").error() == Errc::PluginNotFound));
  BOOST_TEST(manager.findAll<KeyValue>().empty());
  const auto gone = answer.call<"get">("key");
  BOOST_TEST((gone.error() == Errc::PluginUnloaded));
  BOOST_TEST(contains(gone.error().message(), "service 'answer' of plugin 'owner': get"));
  plugin->initialize().value();
  BOOST_TEST(manager.find<KeyValue>("answer").value().call<"get">("again").value().value() == "again");
  BOOST_TEST((answer.call<"get">("key").error() == Errc::PluginUnloaded));  // another one
}

BOOST_FIXTURE_TEST_CASE(names_are_checked_and_taken_by_plugins_and_services_alike, Offered) {
  auto& owner = *loader->owner;
  BOOST_TEST((owner.offer("", owner.answer).error() == Errc::InvalidArgument));
  BOOST_TEST((owner.offer("../x", owner.answer).error() == Errc::InvalidArgument));
  const auto twice = owner.offer("Answer", owner.answer);
  BOOST_TEST((twice.error() == Errc::DuplicatePlugin));
  BOOST_TEST(contains(twice.error().message(), "service 'answer' of plugin 'owner'"));
  BOOST_TEST((owner.offer("owner", owner.answer).error() == Errc::DuplicatePlugin));
  folder.write("answer/plugin.json", R"({"name": "answer", "version": "1.0.0", "language": "made up", "entry_point": "x"})");
  BOOST_TEST((manager.loadPlugin(folder / "answer").error() == Errc::DuplicatePlugin));
  const auto other = load("other");
  BOOST_TEST((other->initialize().error() == Errc::HookFailed));  // its "answer" is taken
  BOOST_TEST(manager.findAll<KeyValue>().size() == 1u);
  Owner alone;
  BOOST_TEST((alone.initialize().error() == Errc::PluginNotFound));
  BOOST_TEST((alone.find<KeyValue>("answer").error() == Errc::PluginNotFound));
}

BOOST_FIXTURE_TEST_CASE(plugins_find_plugins_and_services, Offered) {
  const auto& owner = *loader->owner;
  BOOST_TEST(owner.find<KeyValue>("answer").value().call<"get">("key").value().value() == "key");
  BOOST_TEST((owner.find<KeyValue>("answers").error() == Errc::PluginNotFound));
  BOOST_TEST((owner.find<KeyValue>("owner").error() == Errc::InterfaceMissing));
}

BOOST_FIXTURE_TEST_CASE(who_is_inside_a_service_keeps_its_plugin, Offered) {
  std::latch inside(1), go(1);
  auto& owner = *loader->owner;
  owner.answer.onGet = [&](const std::string& key) -> std::optional<std::string> {
    if (key == "unload") return manager.unloadPlugin("owner").error().message();
    inside.count_down();
    go.wait();
    return key;
  };
  const auto answer = manager.find<KeyValue>("answer").value();
  BOOST_TEST(contains(answer.call<"get">("unload").value().value(), "this thread is inside its get()"));
  auto caller = std::async(std::launch::async, [&] { return answer.call<"get">("key"); });
  inside.wait();
  Runtime::instance().setShutdownTimeout(std::chrono::milliseconds(50));
  const auto stays = manager.unloadPlugin("owner");
  BOOST_TEST((stays.error() == Errc::TimedOut));
  BOOST_TEST(contains(stays.error().message(), "get() on thread"));
  Runtime::instance().setShutdownTimeout(std::chrono::seconds(20));
  auto unloading = std::async(std::launch::async, [&] { return manager.unloadPlugin("owner"); });
  while (answer.lock()) std::this_thread::yield();  // until nobody comes in
  BOOST_TEST(!owner.cleaned);
  go.count_down();
  BOOST_TEST(caller.get().value().value() == "key");
  unloading.get().value();
  Runtime::instance().setShutdownTimeout(std::chrono::seconds(5));
}

BOOST_FIXTURE_TEST_CASE(cleanup_waits_for_who_is_inside_a_service_but_not_for_itself, Offered) {
  std::latch inside(1), go(1);
  auto& owner = *loader->owner;
  owner.answer.onGet = [&](const std::string& key) -> std::optional<std::string> {
    if (key == "clean up") return plugin->cleanup() ? "done" : "not done";
    inside.count_down();
    go.wait();
    return key;
  };
  std::atomic<bool> waits{false};
  setLogSinks({[&](const LogRecord& record) {
    if (contains(std::string(record.message), "is withdrawn, and waits for get() on thread")) waits = true, go.count_down();
  }});
  const auto answer = manager.find<KeyValue>("answer").value();
  auto caller = std::async(std::launch::async, [&] { return answer.call<"get">("key"); });
  inside.wait();
  plugin->cleanup().value();
  BOOST_TEST(waits);
  BOOST_TEST(caller.get().value().value() == "key");
  setLogSinks({});
  plugin->initialize().value();
  BOOST_TEST(manager.find<KeyValue>("answer").value().call<"get">("clean up").value().value() == "done");
  BOOST_TEST((manager.find<KeyValue>("answer").error() == Errc::PluginNotFound));
}

BOOST_FIXTURE_TEST_CASE(native_plugins_offer_and_find, Offered) {
  const auto native = manager.loadPlugin(test::fixture("services")).value();
  native->initialize().value();
  const auto cache = manager.find<KeyValue>("cache").value();
  BOOST_TEST(cache.call<"get">("offered by").value().value() == "C++");
  cache.call<"put">("key", "value").value();
  const auto asks = manager.find<Asks>("Services").value();
  BOOST_TEST(asks.call<"ask">("cache", "key").value() == "value");
  BOOST_TEST(asks.call<"ask">("cache", "none").value() == "nothing");
  BOOST_TEST(asks.call<"ask">("answer", "key").value() == "key");
  BOOST_TEST((asks.call<"ask">("nobody", "key").error() == Errc::PluginNotFound));
  BOOST_TEST((asks.call<"ask">("owner", "key").error() == Errc::InterfaceMissing));
  BOOST_TEST(asks.call<"ask">("answer", "key").value() == "key");
  plugin->cleanup().value();
  const auto gone = asks.call<"again">("key");
  BOOST_TEST((gone.error() == Errc::PluginUnloaded));
  manager.unloadPlugin("Services").value();
  BOOST_TEST((cache.call<"get">("key").error() == Errc::PluginUnloaded));
}

BOOST_AUTO_TEST_SUITE_END()
