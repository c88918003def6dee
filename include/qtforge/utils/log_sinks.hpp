#pragma once
// qtforge/utils/log_sinks.hpp: where a host's log goes. The default is stderr, from LogLevel::Info on.

#include <qtforge/utils/detail/timing.hpp>
#include <qtforge/utils/log.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
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
  LogCore() : sinks_(std::make_shared<const Sinks>(Sinks{&writeToStderr})), taps_(std::make_shared<const Taps>()) {}

  void write(const LogRecord& record) {
    std::shared_ptr<const Sinks> sinks;
    std::shared_ptr<const Taps> taps;
    {
      std::lock_guard lock(mutex_);
      sinks = sinks_;
      taps = taps_;
    }
    for (const auto& sink : *sinks) call(sink, record);
    for (const auto& [number, tap] : *taps) call(tap, record);
  }

  [[nodiscard]] bool enabled(LogLevel level) const noexcept {
    return level >= level_.load(std::memory_order_relaxed) && level < LogLevel::Off;
  }
  [[nodiscard]] LogLevel level() const noexcept { return level_.load(std::memory_order_relaxed); }
  void setLevel(LogLevel level) {
    level_.store(level, std::memory_order_relaxed);
    tellChanged();
  }

  void setSinks(std::vector<LogSink> sinks) {
    auto next = std::make_shared<const Sinks>(std::move(sinks));  // the ones before end after the lock
    std::lock_guard lock(mutex_);
    sinks_.swap(next);
  }

  /// Shows records to one more who looks on, whatever the sinks are. @return its number
  std::uint64_t addTap(LogSink tap) {
    std::lock_guard lock(mutex_);
    auto next = *taps_;
    next.emplace_back(++lastTap_, std::move(tap));
    taps_ = std::make_shared<const Taps>(std::move(next));
    return lastTap_;
  }
  /// It may still be in a call on another thread.
  void removeTap(std::uint64_t number) {
    std::shared_ptr<const Taps> before;  // ends after the lock
    std::lock_guard lock(mutex_);
    auto next = *taps_;
    std::erase_if(next, [&](const auto& tap) { return tap.first == number; });
    before = std::exchange(taps_, std::make_shared<const Taps>(std::move(next)));
  }

  /// As qtforge::setDebugMode.
  void setDebugMode(bool enabled) {
    {
      std::lock_guard lock(mutex_);
      if (enabled == before_.has_value()) return;
      const auto before = level();
      level_.store(enabled ? std::min(before, LogLevel::Debug) : *before_, std::memory_order_relaxed);
      if (enabled) before_ = before;
      else before_.reset();
    }
    timingEnabled().store(enabled, std::memory_order_relaxed);
    tellChanged();
  }
  [[nodiscard]] static bool debugMode() noexcept { return timingEnabled().load(std::memory_order_relaxed); }

  /// Has `changed` called after each change of level or debug mode, on the thread that makes it.
  void onChange(void (*changed)()) noexcept { changed_.store(changed, std::memory_order_release); }

 private:
  using Sinks = std::vector<LogSink>;
  using Taps = std::vector<std::pair<std::uint64_t, LogSink>>;

  static void call(const LogSink& sink, const LogRecord& record) {
    try {
      sink(record);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "qtforge: a log sink threw: %s\n", e.what());
    } catch (...) {
      std::fputs("qtforge: a log sink threw something that is no std::exception\n", stderr);
    }
  }

  void tellChanged() {
    if (auto* changed = changed_.load(std::memory_order_acquire)) changed();
  }

  static void writeToStderr(const LogRecord& record) {
    const auto line = formatLogLine(record);
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

  std::atomic<LogLevel> level_{LogLevel::Info};
  std::atomic<void (*)()> changed_{nullptr};
  std::mutex mutex_;  // guards all below
  std::shared_ptr<const Sinks> sinks_;
  std::shared_ptr<const Taps> taps_;
  std::uint64_t lastTap_ = 0;
  std::optional<LogLevel> before_;  // debug mode began; there is none now
};

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI
