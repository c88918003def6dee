#pragma once
// What the tests of errors and logging share: what is logged, and plugins that are written for one test.

#include "../unit/plugin_folder.hpp"

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace test {

struct Logged {
  qtforge::LogLevel level;
  std::string logger, message, file;
  std::uint32_t line;
};

/// Keeps what is logged while it lives. The tests' program writes no log otherwise.
class LogBox {
 public:
  LogBox() {
    qtforge::setLogSinks({[this](const qtforge::LogRecord& record) {
      const std::lock_guard lock(mutex_);
      seen_.push_back({record.level, std::string(record.logger), std::string(record.message), std::string(record.file), record.line});
      arrived_.notify_all();
    }});
  }
  LogBox(const LogBox&) = delete;
  LogBox& operator=(const LogBox&) = delete;
  ~LogBox() { qtforge::setLogSinks({}); }

  /// Waits for the first line that has `part`.
  Logged await(std::string_view part) {
    std::unique_lock lock(mutex_);
    const Logged* found = nullptr;
    const bool came = arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return (found = find(part)); });
    BOOST_REQUIRE_MESSAGE(came, "nobody logged \"" << part << '"');
    return *found;
  }

  /// How many of the lines so far have `part`.
  std::size_t count(std::string_view part) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(seen_.begin(), seen_.end(), [&](const Logged& one) { return contains(one.message, part); }));
  }

 private:
  const Logged* find(std::string_view part) const {
    for (const auto& one : seen_)
      if (contains(one.message, part)) return &one;
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Logged> seen_;
};

/// Writes a Python plugin whose class is called Sample.
inline fs::path pythonPlugin(const Folder& folder, const std::string& name, const std::string& code) {
  folder.write(name + "/main.py", code);
  folder.write(name + "/plugin.json", R"({"name": ")" + name + R"(", "version": "1.0.0", "language": "python", )"
                                      R"("entry_point": "main.py", "main_class": "Sample"})");
  return folder / name;
}

/// Loads it, up to Active.
inline qtforge::PluginHandle start(qtforge::PluginManager& manager, const fs::path& plugin) {
  auto loaded = manager.loadPlugin(plugin);
  BOOST_REQUIRE_MESSAGE(loaded.has_value(), loaded.error().report());
  const auto ready = (*loaded)->initialize();
  BOOST_REQUIRE_MESSAGE(ready.has_value(), ready.error().report());
  BOOST_REQUIRE((*loaded)->activate().has_value());
  return *loaded;
}

struct PythonManager : qtforge::PluginManager {
  PythonManager() { addLoader(std::make_unique<qtforge::python::PythonPluginLoader>()); }
};

/// Runs code that must not fail.
inline void run(qtforge::python::PythonExecutor& executor, const std::string& code) {
  const auto done = executor.execute(code);
  BOOST_REQUIRE_MESSAGE(done.has_value(), done.error().report());
}

/// Waits for an expression to become true.
inline bool becomesTrue(qtforge::python::PythonExecutor& executor, const std::string& expression) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < until) {
    if (executor.evaluate<bool>(expression).value()) return true;
    std::this_thread::yield();
  }
  return false;
}

}  // namespace test
