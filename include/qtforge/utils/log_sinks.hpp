#pragma once
// qtforge/utils/log_sinks.hpp: where a host's log goes. The default is stderr, from LogLevel::Info on.

#include <qtforge/utils/log.hpp>

#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

struct LogRecord {
  LogLevel level;
  std::string_view logger;
  std::string_view message;
  std::string_view file;
  std::uint32_t line;
  std::chrono::system_clock::time_point time;
};

/// Called on the thread that logs, for one record at a time per record; several threads may call it at once.
using LogSink = std::function<void(const LogRecord&)>;

namespace detail {

/// One line: `12:34:56.789 WARNING name: message`, local time.
inline std::string formatLogLine(const LogRecord& record) {
  const auto seconds = std::chrono::system_clock::to_time_t(record.time);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(record.time.time_since_epoch()).count() % 1000;
  std::tm local{};
  localtime_r(&seconds, &local);
  char head[32];
  std::snprintf(head, sizeof head, "%02d:%02d:%02d.%03d ", local.tm_hour, local.tm_min, local.tm_sec,
                static_cast<int>(millis));
  std::string line(head);
  line += toString(record.level);
  line += ' ';
  line += record.logger;
  line += ": ";
  line += record.message;
  line += '\n';
  return line;
}

class LogCore {
 public:
  LogCore() : sinks_(std::make_shared<const Sinks>(Sinks{&writeToStderr})) {}

  void write(const LogRecord& record) {
    std::shared_ptr<const Sinks> sinks;
    {
      std::lock_guard lock(mutex_);
      sinks = sinks_;
    }
    for (const auto& sink : *sinks) {
      try {
        sink(record);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "qtforge: a log sink threw: %s\n", e.what());
      } catch (...) {
        std::fputs("qtforge: a log sink threw something that is no std::exception\n", stderr);
      }
    }
  }

  [[nodiscard]] bool enabled(LogLevel level) const noexcept {
    return level >= level_.load(std::memory_order_relaxed) && level < LogLevel::Off;
  }
  [[nodiscard]] LogLevel level() const noexcept { return level_.load(std::memory_order_relaxed); }
  void setLevel(LogLevel level) noexcept { level_.store(level, std::memory_order_relaxed); }

  void setSinks(std::vector<LogSink> sinks) {
    auto next = std::make_shared<const Sinks>(std::move(sinks));
    std::lock_guard lock(mutex_);
    sinks_.swap(next);
  }

 private:
  using Sinks = std::vector<LogSink>;

  static void writeToStderr(const LogRecord& record) {
    const auto line = formatLogLine(record);
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

  std::atomic<LogLevel> level_{LogLevel::Info};
  std::mutex mutex_;  // guards sinks_
  std::shared_ptr<const Sinks> sinks_;
};

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI
