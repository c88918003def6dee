// Lanes that something holds up, without any limit: the log says who, with what, and where.

#define BOOST_TEST_MODULE busy_lanes
#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/test/unit_test.hpp>

#include <condition_variable>
#include <cstdlib>

using namespace qtforge;
using namespace std::chrono_literals;

namespace {

struct Lines {
  static Lines& instance() {
    static auto* lines = new Lines();
    return *lines;
  }
  std::string find(const std::string& text) {
    std::unique_lock lock(mutex);
    std::string found;
    BOOST_REQUIRE(arrived.wait_for(lock, 30s, [&] {
      for (const auto& line : lines)
        if (line.find(text) != std::string::npos) found = line;
      return !found.empty();
    }));
    return found;
  }
  std::size_t count(const std::string& text) {
    std::lock_guard lock(mutex);
    return static_cast<std::size_t>(
        std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return line.find(text) != std::string::npos; }));
  }

  std::mutex mutex;  // guards lines
  std::condition_variable arrived;
  std::vector<std::string> lines;
};

struct StartPython {
  StartPython() {
    setLogSinks({[](const LogRecord& record) {
      auto& seen = Lines::instance();
      std::lock_guard lock(seen.mutex);
      seen.lines.emplace_back(record.message);
      seen.arrived.notify_all();
    }});
    if (auto started = python::PythonIntegration::initialize(); !started) throw std::runtime_error(started.error().message());
  }
};

struct LimitsPlugin {
  LimitsPlugin() {
    manager.addLoader(std::make_unique<python::PythonPluginLoader>());
    plugin = manager.loadPlugin(std::string(std::getenv("QTFORGE_TEST_PLUGINS")) + "/py_limits").value();
    plugin->initialize().value();
    auto& seen = Lines::instance();
    std::lock_guard lock(seen.mutex);
    seen.lines.clear();
  }
  PluginManager manager;
  PluginHandle plugin;
};

constexpr const char* busy = "plugin 'py_limits': a handler has been running for";

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(StartPython);

BOOST_FIXTURE_TEST_SUITE(lanes, LimitsPlugin)

BOOST_AUTO_TEST_CASE(a_handler_that_takes_long_is_told_once_with_its_stack) {
  (void)MessageBus::instance().publish("py_limits.run", "for a while");
  const auto line = Lines::instance().find(busy);
  BOOST_TEST((line.find("on lane \"shared\"") != std::string::npos));
  BOOST_TEST((line.find("now in 'py_limits.run'") != std::string::npos));
  BOOST_TEST((line.find("in handle") != std::string::npos));
  BOOST_TEST((line.find("main.py") != std::string::npos));
  BOOST_TEST(MessageBus::instance().drain(2min).has_value());
  BOOST_TEST(Lines::instance().count(busy) == 1u);
}

BOOST_AUTO_TEST_CASE(a_call_into_C_that_keeps_the_lock_is_told_without_a_stack) {
  (void)MessageBus::instance().publish("py_limits.run", "in C");  // some seconds
  const auto line = Lines::instance().find(busy);
  BOOST_TEST_MESSAGE(line);
  BOOST_TEST(((line.find("a call into C, its own or another thread's, holds") != std::string::npos) ||
              line.find("sum(itertools.repeat(") != std::string::npos));
  BOOST_TEST(MessageBus::instance().drain(2min).has_value());
}

BOOST_AUTO_TEST_CASE(short_calls_are_not_told_of) {
  for (int i = 0; i < 3000; ++i) (void)MessageBus::instance().publish("py_limits.run", "");
  BOOST_TEST(MessageBus::instance().drain(2min).has_value());
  BOOST_TEST(Lines::instance().count("has been running") == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
