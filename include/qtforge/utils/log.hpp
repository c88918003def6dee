#pragma once
// qtforge/utils/log.hpp: leveled messages with the name of who speaks. Works in hosts, libraries and plugins.

#include <qtforge/utils/detail/root.hpp>

#include <cstdio>
#include <source_location>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI {

enum class LogLevel : std::int32_t { Trace = 0, Debug = 1, Info = 2, Warning = 3, Error = 4, Off = 5 };

[[nodiscard]] inline std::string_view toString(LogLevel level) noexcept {
  constexpr std::string_view names[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "OFF"};
  const auto index = static_cast<std::int32_t>(level);
  return index < 0 || index > 5 ? "?" : names[index];
}

/// Writes under one name: by default that of the plugin it is used in, "host" in a program. Cheap to make.
///
/// @par Thread safety  any thread. Sinks run on the calling thread, so a call may block as long as a sink does.
class Logger {
 public:
  Logger() = default;
  explicit Logger(std::string name) : name_(std::move(name)) {}

  using Where = std::source_location;
  void trace(std::string_view text, Where where = Where::current()) const { write(LogLevel::Trace, text, where); }
  void debug(std::string_view text, Where where = Where::current()) const { write(LogLevel::Debug, text, where); }
  void info(std::string_view text, Where where = Where::current()) const { write(LogLevel::Info, text, where); }
  void warning(std::string_view text, Where where = Where::current()) const { write(LogLevel::Warning, text, where); }
  void error(std::string_view text, Where where = Where::current()) const { write(LogLevel::Error, text, where); }

  /// Whether a message of `level` would reach a sink; ask before building an expensive text.
  [[nodiscard]] static bool enabled(LogLevel level) noexcept {
    const auto* root = detail::findRoot();
    return root && root->log->enabled(static_cast<std::int32_t>(level));
  }

  void write(LogLevel level, std::string_view text, Where where = Where::current()) const {
    const auto* root = detail::findRoot();
    if (!root) {  // a plugin's static initialiser: no sinks yet
      std::fprintf(stderr, "%s: %.*s\n", name_.c_str(), static_cast<int>(text.size()), text.data());
    } else if (root->log->enabled(static_cast<std::int32_t>(level))) {
      root->log->write(root->client, static_cast<std::int32_t>(level), std::string_view(name_), text,
                       std::string_view(where.file_name()), where.line());
    }
  }

  /// The name it was given; empty for the default.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
};

}  // namespace qtforge::inline QTFORGE_ABI
