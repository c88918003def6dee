// The monitor: loads the plugins in a folder, lets them work for a while, ends them in order and says how it went.
//
// Everything that is measured, computed or drawn is in plugins/, in C++ and in Python; see README.md.

#include "options.hpp"
#include "summary.hpp"

#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using monitor::Failures;
using qtforge::PluginHandle;

/// Notes which plugins failed in `step`.
void note(Failures& failures, const char* step, const qtforge::PluginReport& report) {
  for (const auto& failed : report.failed)
    failures.add(failed.name.empty() ? failed.path.filename().string() : failed.name, step, failed.error.message());
}

void note(Failures& failures, const char* step, const PluginHandle& plugin, const qtforge::expected<void>& result) {
  if (!result) failures.add(plugin->name(), step, result.error().message());
}

/// Initializes and activates what is not active yet, each plugin after those it needs.
void start(qtforge::PluginManager& manager, bool plain, Failures& failures) {
  note(failures, "initialize", manager.initializeAll());
  qtforge::MessageBus::instance().publish("monitor.start", boost::json::object{{"plain", plain}});
  note(failures, "activate", manager.activateAll());
}

/// Starts once more what failed, cleaned up: a plugin gets a second chance, then the others go on without it.
void retry(qtforge::PluginManager& manager, bool plain, Failures& failures) {
  bool failed = false;
  for (const auto& plugin : manager.plugins()) {
    if (plugin->state() != qtforge::PluginState::Error) continue;
    failed = true;
    note(failures, "cleanup", plugin, plugin->cleanup());
  }
  if (failed) start(manager, plain, failures);
}

/// Takes the plugins down, the last one first: all are quiet before the first lets go of anything.
void end(const std::vector<PluginHandle>& plugins, Failures& failures) {
  for (auto plugin = plugins.rbegin(); plugin != plugins.rend(); ++plugin)
    if ((*plugin)->state() == qtforge::PluginState::Active)
      note(failures, "deactivate", *plugin, (*plugin)->deactivate());
  if (auto drained = qtforge::MessageBus::instance().drain(); !drained)
    failures.add("host", "drain", drained.error().message());
  for (auto plugin = plugins.rbegin(); plugin != plugins.rend(); ++plugin)
    if ((*plugin)->state() != qtforge::PluginState::Loaded)
      note(failures, "cleanup", *plugin, (*plugin)->cleanup());
}

/// Waits for the time to be over or for a signal, which it returns; 0 for the time.
int wait(asio::io_context& loop, asio::signal_set& signals, const std::optional<double>& seconds) {
  int ended = 0;
  asio::steady_timer timer(loop);
  if (seconds) {
    const auto time = std::chrono::duration<double>(*seconds);
    timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(time));
    timer.async_wait([&](const boost::system::error_code& error) {
      if (!error) signals.cancel();
    });
  }
  signals.async_wait([&](const boost::system::error_code& error, int number) {
    if (error) return;
    ended = number;
    signals.clear();  // whoever cannot wait for the end sends another one
    timer.cancel();
  });
  loop.run();
  return ended;
}

int fail(int code, const std::string& text) {
  std::cerr << "monitor: " << text << '\n';
  return code;
}

/// Loads the plugins, lets them work, ends them; the exit code. Writes the summary to `json`, too, if that is open.
int run(const monitor::Options& options, std::ofstream& json) {
  // From here on Ctrl-C and SIGTERM wait until the loop takes them.
  asio::io_context loop;
  asio::signal_set signals(loop, SIGINT, SIGTERM);

  qtforge::enableLatencyStats(true);
  if (auto python = qtforge::python::PythonIntegration::initialize(); !python) return fail(1, python.error().message());
  qtforge::PluginManager manager;
  manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>());

  const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const auto folder = options.plugins.value_or(here / "plugins");
  const auto loaded = manager.loadPlugins(folder);
  if (!loaded) return fail(1, loaded.error().message());
  for (const auto& failed : loaded->failed) fail(1, failed.error.message());
  Failures failures;
  note(failures, "load", *loaded);
  if (options.withFaulty) {
    const auto faulty = manager.loadPlugin(here / "faulty");
    if (!faulty) failures.add("faulty", "load", faulty.error().message());
  }
  const auto plugins = manager.plugins();
  if (plugins.empty()) return fail(1, "no plugin could be loaded from \"" + folder.string() + "\"");

  const auto began = std::chrono::steady_clock::now();
  start(manager, options.plain, failures);
  retry(manager, options.plain, failures);
  const int signal = wait(loop, signals, options.seconds);
  end(plugins, failures);
  const std::chrono::duration<double> ran = std::chrono::steady_clock::now() - began;

  std::vector<std::string> names;
  for (const auto& plugin : plugins) names.push_back(plugin->name());
  const auto summary = monitor::summarize(qtforge::MessageBus::instance().stats(), names, failures, ran.count(),
                                          signal == SIGINT    ? "SIGINT"
                                          : signal == SIGTERM ? "SIGTERM"
                                                              : "time");
  monitor::print(std::cout, summary);
  if (json.is_open() && !(json << boost::json::serialize(summary) << std::endl))
    return fail(1, "--json: the summary could not be written");
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = monitor::parseOptions(count, arguments);
  if (!options) return fail(2, options.error().message() + "; --help shows what there is");
  if (options->help) {
    std::cout << monitor::usage;
    return 0;
  }
  std::ofstream json;
  if (options->json) {
    json.open(*options->json);
    if (!json) return fail(2, "--json: cannot write \"" + options->json->string() + "\"");
  }
  return run(*options, json);
}
