// Reload: the transaction with plugins of a made-up kind, who waits for whom, and what a change of files leads to.

#include "plugin_folder.hpp"

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/host.hpp>
#include <qtforge/utils/log_sinks.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <sys/inotify.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace qtforge;
using namespace std::chrono_literals;
using test::contains;
namespace fs = std::filesystem;

namespace reload {

/// What happened, in order.
class Journal {
 public:
  void add(const std::string& what) {
    std::lock_guard lock(mutex_);
    text_ += (text_.empty() ? "" : ", ") + what;
    changed_.notify_all();
  }
  std::string take() {
    std::lock_guard lock(mutex_);
    return std::exchange(text_, {});
  }
  bool waitFor(const std::string& part) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return contains(text_, part); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

struct Loader;

class Plugin : public IPlugin {
 public:
  Plugin(Loader& by, int number) : loader_(by), number_(number) {}
  ~Plugin() override { note("gone"); }

  expected<void> initialize() override { return step("initialize"); }
  expected<void> activate() override { return step("activate"); }
  expected<void> deactivate() override { return step("deactivate"); }
  void cleanup() override { note("cleanup"); }
  std::string version() const override { return std::to_string(number_) + ".0.0"; }

 private:
  expected<void> step(const std::string& what);
  void note(const std::string& what);

  Loader& loader_;
  const int number_;
};

/// Of plugins that say what is done with them; what `failing` names fails.
struct Loader : IPluginLoader {
  std::string_view language() const override { return "made up"; }
  std::optional<std::chrono::milliseconds> reloadInterval() const override { return interval; }
  bool isCode(const fs::path& file) const override { return file.extension() == ".code" || IPluginLoader::isCode(file); }

  expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override { return make("load"); }
  expected<std::unique_ptr<IPlugin>> loadBeside(IPlugin&, const Manifest&, const LoadContext&) override {
    return make("loadBeside");
  }
  expected<void> replace(IPlugin&, IPlugin& next, const ReloadStates& states) override {
    if (failing == "replace") return Error("replace: not today");
    if (states.to == PluginState::Active)
      if (auto active = next.activate(); !active) return active;
    journal.add("replaced " + std::string(toString(states.from)) + " by " + std::string(toString(states.to)));
    return {};
  }

  expected<std::unique_ptr<IPlugin>> make(const std::string& what) {
    if (meanwhile) meanwhile();
    if (failing == what) return Error(Errc::ImportFailed, "not today");
    journal.add(what + ' ' + std::to_string(++count));
    return std::unique_ptr<IPlugin>(std::make_unique<Plugin>(*this, count));
  }

  Journal journal;
  std::string failing;
  std::function<void()> meanwhile;
  std::optional<std::chrono::milliseconds> interval;
  std::atomic<int> count{0};
};

expected<void> Plugin::step(const std::string& what) {
  note(what);
  return loader_.failing == what ? expected<void>(Error("not today")) : expected<void>();
}
void Plugin::note(const std::string& what) { loader_.journal.add(what + ' ' + std::to_string(number_)); }

struct WithPlugin {
  WithPlugin() {
    auto made = std::make_unique<Loader>();
    loader = made.get();
    manager.addLoader(std::move(made));
    manager.setDataFolder(folder / "data");
    describe("plugins/one", "One");
  }

  void describe(const std::string& path, const std::string& name, const std::string& more = {}) {
    folder.write(path + "/plugin.json", R"({"name": ")" + name + R"(", "version": "1.0.0", "language": "made up", "entry_point": "x")" +
                                            (more.empty() ? "" : ", " + more) + "}");
  }
  PluginHandle load(PluginState state = PluginState::Active) {
    auto plugin = manager.loadPlugin(folder / "plugins/one").value();
    if (state != PluginState::Loaded) plugin->initialize().value();
    if (state == PluginState::Active) plugin->activate().value();
    loader->journal.take();
    return plugin;
  }
  /// Has a file of the plugin's code changed, as an editor does.
  void edit(const std::string& name = "plugins/one/a.code") { folder.write(name, std::to_string(++edits)); }

  test::Folder folder;
  PluginManager manager;
  Loader* loader = nullptr;
  int edits = 0;
};

}  // namespace reload

BOOST_AUTO_TEST_SUITE(reload)

BOOST_FIXTURE_TEST_CASE(the_next_version_is_brought_up_before_the_old_one_goes, WithPlugin) {
  const auto plugin = load();
  const std::string& before = plugin->version();
  BOOST_TEST((manager.reloadPlugin("One").value() == plugin));
  BOOST_TEST(loader->journal.take() ==
             "loadBeside 2, initialize 2, activate 2, replaced Active by Active, deactivate 1, cleanup 1, gone 1");
  BOOST_TEST(plugin->version() == "2.0.0");
  BOOST_TEST(before == "1.0.0");  // what was told stays
  BOOST_TEST((plugin->state() == PluginState::Active));
  manager.unloadPlugin("One").value();
  BOOST_TEST(loader->journal.take() == "deactivate 2, cleanup 2, gone 2");
}

BOOST_FIXTURE_TEST_CASE(it_comes_as_far_as_the_old_one_was, WithPlugin) {
  auto plugin = load(PluginState::Loaded);
  manager.reloadPlugin("One").value();
  BOOST_TEST(loader->journal.take() == "loadBeside 2, replaced Loaded by Loaded, gone 1");
  plugin->initialize().value();
  loader->journal.take();
  manager.reloadPlugin("One").value();
  BOOST_TEST(loader->journal.take() == "loadBeside 3, initialize 3, replaced Initialized by Initialized, cleanup 2, gone 2");
  loader->failing = "activate";
  BOOST_TEST(!plugin->activate().has_value());
  loader->failing = "";
  loader->journal.take();
  manager.reloadPlugin("One").value();
  BOOST_TEST(loader->journal.take() == "loadBeside 4, initialize 4, activate 4, replaced Error by Active, cleanup 3, gone 3");
  BOOST_TEST((plugin->state() == PluginState::Active));
}

BOOST_FIXTURE_TEST_CASE(what_fails_leaves_the_old_one, WithPlugin) {
  const auto plugin = load();
  const std::pair<const char*, const char*> rows[] = {
      {"loadBeside", ""},
      {"initialize", "loadBeside 2, initialize 2, cleanup 2, gone 2"},
      {"activate", "loadBeside 3, initialize 3, activate 3, cleanup 3, gone 3"},
      {"replace", "loadBeside 4, initialize 4, cleanup 4, gone 4"},
  };
  for (const auto& [failing, journal] : rows) {
    BOOST_TEST_CONTEXT(failing) {
      loader->failing = failing;
      const auto failed = manager.reloadPlugin("One");
      BOOST_REQUIRE(!failed.has_value());
      BOOST_TEST(contains(failed.error().message(), "cannot reload plugin 'One'"));
      BOOST_TEST(contains(failed.error().message(), "not today"));
      BOOST_TEST(loader->journal.take() == journal);
      BOOST_TEST((plugin->state() == PluginState::Active));
      BOOST_TEST(plugin->version() == "1.0.0");
    }
  }
  loader->failing = "";
  manager.reloadPlugin("One").value();
  BOOST_TEST(plugin->version() == "5.0.0");
}

BOOST_FIXTURE_TEST_CASE(who_is_not_there_or_waits_is_named, WithPlugin) {
  BOOST_TEST((manager.reloadPlugin("Nobody").error() == Errc::PluginNotFound));
  describe("plugins/one", "One", R"("activation": ["onTopic:never"])");
  manager.loadPlugins(folder / "plugins").value();
  const auto waits = manager.reloadPlugin("One").error();
  BOOST_TEST((waits == Errc::PluginNotFound));
  BOOST_TEST(contains(waits.message(), "waits for its activation"));
}

BOOST_FIXTURE_TEST_CASE(a_reload_from_inside_of_one_is_an_error, WithPlugin) {
  const auto plugin = load();
  Errc code = Errc::Ok;
  loader->meanwhile = [&] { code = manager.reloadPlugin("One").error().code(); };
  manager.reloadPlugin("One").value();
  BOOST_TEST((code == Errc::WouldDeadlock));
}

BOOST_AUTO_TEST_CASE(those_that_ask_while_one_runs_share_the_next) {
  detail::ReloadTurns turns;
  std::atomic<int> count{0};
  std::latch inside(1), asked(4), go(1);
  auto one = std::async(std::launch::async, [&] {
    return turns.run(
        [&]() -> expected<void> {
          inside.count_down();
          go.wait();
          ++count;
          return Error("the first");
        },
        [] { return expected<void>(); });
  });
  inside.wait();
  const auto refused = turns.run([]() -> expected<void> { return {}; }, [] { return expected<void>(Error("cannot wait")); });
  BOOST_TEST(refused.error().message() == "cannot wait");
  std::vector<std::future<expected<void>>> others;
  for (int i = 0; i < 4; ++i)
    others.push_back(std::async(std::launch::async, [&] {
      return turns.run(
          [&]() -> expected<void> {
            ++count;
            return Error("the second");
          },
          [&] {
            asked.count_down();
            return expected<void>();
          });
    }));
  asked.wait();
  go.count_down();
  BOOST_TEST(one.get().error().message() == "the first");
  for (auto& other : others) BOOST_TEST(other.get().error().message() == "the second");
  BOOST_TEST(count.load() == 2);
}

BOOST_FIXTURE_TEST_CASE(steps_and_the_unload_wait_for_a_reload, WithPlugin) {
  const auto plugin = load();
  std::latch inside(1), go(1);
  loader->meanwhile = [&] {
    inside.count_down();
    go.wait();
  };
  auto reloaded = std::async(std::launch::async, [&] { return manager.reloadPlugin("One").has_value(); });
  inside.wait();
  auto stepped = std::async(std::launch::async, [&] { return plugin->deactivate().has_value(); });
  auto unloaded = std::async(std::launch::async, [&] { return manager.unloadPlugin("One"); });
  BOOST_TEST((stepped.wait_for(20ms) == std::future_status::timeout));
  BOOST_TEST((unloaded.wait_for(20ms) == std::future_status::timeout));
  go.count_down();
  BOOST_TEST(reloaded.get());
  stepped.get();
  if (!unloaded.get()) manager.unloadPlugin("One").value();  // the step was first
  BOOST_TEST((plugin->state() == PluginState::Unloaded));
}

BOOST_AUTO_TEST_CASE(a_manager_may_end_during_a_reload) {
  WithPlugin with;
  auto manager = std::make_unique<PluginManager>();
  auto made = std::make_unique<Loader>();
  auto& loader = *made;
  manager->addLoader(std::move(made));
  manager->setDataFolder(with.folder / "data");
  manager->loadPlugin(with.folder / "plugins/one").value()->initialize().value();
  std::latch inside(1), go(1);
  loader.meanwhile = [&] {
    inside.count_down();
    go.wait();
  };
  auto reloaded = std::async(std::launch::async, [&, plain = manager.get()] { return plain->reloadPlugin("One").has_value(); });
  inside.wait();
  std::string journal;
  auto ended = std::async(std::launch::async, [&] { manager.reset(); });
  BOOST_TEST((ended.wait_for(20ms) == std::future_status::timeout));
  go.count_down();
  reloaded.get();
  ended.get();
}

BOOST_AUTO_TEST_CASE(changes_are_gathered_and_those_during_a_reload_lead_to_another) {
  using Time = detail::ReloadSchedule::Time;
  const auto at = [](int ms) { return Time(std::chrono::milliseconds(ms)); };
  detail::ReloadSchedule schedule(100ms);
  BOOST_TEST((schedule.changed(at(0)) == at(100)));
  BOOST_TEST(!schedule.changed(at(10)).has_value());
  schedule.begin();
  BOOST_TEST(!schedule.end(at(120)).has_value());
  BOOST_TEST((schedule.changed(at(200)) == at(300)));
  schedule.begin();
  BOOST_TEST(!schedule.changed(at(310)).has_value());
  BOOST_TEST(!schedule.changed(at(320)).has_value());
  BOOST_TEST((schedule.end(at(330)) == at(430)));
  BOOST_TEST(!schedule.changed(at(340)).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_changed_file_of_the_code_leads_to_a_reload_and_others_do_not, WithPlugin) {
  loader->interval = 20ms;
  edit();
  const auto plugin = load();
  for (const char* other : {"data.txt", ".a.code.swp", "a.code~", "__pycache__/a.code", ".hidden/a.code", "#a.code#"})
    edit(std::string("plugins/one/") + other);
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  edit("plugins/one/deep/er/b.code");  // a folder that is new
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  edit("plugins/one/deep/er/b.code");
  BOOST_TEST(loader->journal.waitFor("gone 3"));
  fs::rename(folder.write("elsewhere.code", "new"), folder / "plugins/one/a.code");  // as many editors save
  BOOST_TEST(loader->journal.waitFor("gone 4"));
  fs::remove(folder / "plugins/one/deep/er/b.code");
  BOOST_TEST(loader->journal.waitFor("gone 5"));
  describe("plugins/one", "One", R"("description": "other")");
  BOOST_TEST(loader->journal.waitFor("gone 6"));
  BOOST_TEST(plugin->description() == "other");
  BOOST_TEST(loader->count.load() == 7);
}

BOOST_FIXTURE_TEST_CASE(many_saves_are_one_reload, WithPlugin) {
  loader->interval = 300ms;
  const auto plugin = load();
  for (int i = 0; i < 50; ++i) edit();
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  BOOST_TEST(loader->count.load() == 3);
}

BOOST_FIXTURE_TEST_CASE(a_version_that_fails_does_not_end_the_watching, WithPlugin) {
  loader->interval = 20ms;
  const auto plugin = load();
  loader->failing = "initialize";
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  loader->failing = "";
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  BOOST_TEST((plugin->state() == PluginState::Active));
}

BOOST_FIXTURE_TEST_CASE(a_folder_that_is_replaced_as_a_whole_is_followed, WithPlugin) {
  loader->interval = 20ms;
  const auto plugin = load();
  describe("next", "One", R"("description": "moved")");
  fs::rename(folder / "plugins/one", folder / "before");
  fs::rename(folder / "next", folder / "plugins/one");
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  BOOST_TEST(plugin->description() == "moved");
}

BOOST_FIXTURE_TEST_CASE(the_folder_of_all_plugins_may_be_replaced_too, WithPlugin) {
  loader->interval = 20ms;
  const auto plugin = load();
  describe("next/one", "One", R"("description": "moved")");
  fs::rename(folder / "plugins", folder / "before");
  fs::rename(folder / "next", folder / "plugins");
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  BOOST_TEST(plugin->description() == "moved");
}

BOOST_FIXTURE_TEST_CASE(a_link_that_leads_elsewhere_is_followed, WithPlugin) {
  loader->interval = 20ms;
  describe("v1", "One", R"("description": "v1")");
  describe("v2", "One", R"("description": "v2")");
  fs::remove_all(folder / "plugins/one");
  fs::create_directory_symlink(folder / "v1", folder / "plugins/one");
  const auto plugin = load();
  fs::create_directory_symlink(folder / "v2", folder / "plugins/new");
  fs::rename(folder / "plugins/new", folder / "plugins/one");
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  BOOST_TEST(plugin->description() == "v2");
  edit("v2/a.code");
  BOOST_TEST(loader->journal.waitFor("gone 2"));
}

BOOST_FIXTURE_TEST_CASE(where_the_kernel_tells_nothing_it_is_looked_at_the_interval, WithPlugin) {
  std::mutex mutex;
  std::string warnings;
  setLogSinks({[&](const LogRecord& record) {
    std::lock_guard lock(mutex);
    if (record.level == LogLevel::Warning) warnings += record.message;
  }});
  std::vector<int> all;  // that this user may have
  for (int file = 0; file >= 0 && all.size() < 100'000; all.push_back(file)) file = inotify_init1(IN_CLOEXEC);
  all.pop_back();
  loader->interval = 20ms;
  edit();
  const auto plugin = load();
  for (const int file : all) ::close(file);
  edit();
  BOOST_TEST(loader->journal.waitFor("gone 1"));
  edit("plugins/one/deep/b.code");
  BOOST_TEST(loader->journal.waitFor("gone 2"));
  setLogSinks({});
  std::lock_guard lock(mutex);
  BOOST_TEST(contains(warnings, "inotify"));
  BOOST_TEST(contains(warnings, "raise fs.inotify.max_user_instances"));
}

BOOST_FIXTURE_TEST_CASE(nothing_is_watched_after_the_unload_or_without_an_interval, WithPlugin) {
  load();
  edit();
  loader->interval = 10ms;
  describe("plugins/two", "Two");
  manager.unloadPlugin("One").value();
  load();
  manager.loadPlugin(folder / "plugins/two").value();
  manager.unloadPlugin("One").value();
  loader->journal.take();
  edit();
  edit("plugins/two/a.code");
  BOOST_TEST(loader->journal.waitFor("loadBeside"));
  BOOST_TEST(loader->count.load() == 4);
}

BOOST_AUTO_TEST_SUITE_END()
