#pragma once
// qtforge/python/detail/start_settings.hpp: what a host sets of Python when it starts it: checked before, applied then.

#include <qtforge/core/detail/environment_variable.hpp>
#include <qtforge/python/detail/memory_limit.hpp>
#include <qtforge/python/python_config.hpp>
#include <qtforge/python/python_error.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// @return nothing, or Errc::InvalidArgument, naming the field
inline expected<void> checkSettings(const PythonConfig& config) {
  const auto wrong = [](const std::string& field, const std::string& reason) {
    return Error(Errc::InvalidArgument, "PythonConfig::" + field + ": " + reason);
  };
  const auto hasNul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  for (const auto& entry : config.sysPath) {
    std::error_code failure;
    if (hasNul(entry)) return wrong("sysPath", "a path with a NUL byte");
    if (!std::filesystem::exists(entry, failure)) return wrong("sysPath", "'" + entry + "' does not exist");
  }
  for (const auto& argument : config.arguments)
    if (hasNul(argument)) return wrong("arguments", "an argument with a NUL byte");
  for (const auto& [name, value] : config.environment) {
    if (const auto why = qtforge::detail::whyVariableIsRefused(name); !why.empty())
      return wrong("environment", "'" + name + "': " + why);
    if (hasNul(value)) return wrong("environment", "'" + name + "': a value with a NUL byte");
  }
  if (config.gilSwitchInterval.count() < 0) return wrong("gilSwitchInterval", "less than nothing");
  if (config.executionTimeout.count() < 0) return wrong("executionTimeout", "less than nothing");
  if (config.hotReloadInterval.count() < 1) return wrong("hotReloadInterval", "less than 1 ms");
  if (config.debugPort && (*config.debugPort < 0 || *config.debugPort > 65535))
    return wrong("debugPort", std::to_string(*config.debugPort) + " is no port");
#if defined(Py_GIL_DISABLED)
  if (config.maxMemoryUsage != 0) return wrong("maxMemoryUsage", "the memory of a free-threaded Python cannot be counted");
#endif
  const auto bytes = std::to_string(config.maxMemoryUsage) + " bytes";
  if (config.maxMemoryUsage != 0 && config.maxMemoryUsage < static_cast<std::size_t>(MemoryLimit::least))
    return wrong("maxMemoryUsage", bytes + "; Python needs 16 MiB at least, 0 is no limit");
  if (config.maxMemoryUsage > static_cast<std::size_t>(INT64_MAX / 2))
    return wrong("maxMemoryUsage", bytes + " are more than there can be; 0 is no limit");
  return {};
}

inline constexpr const char* debugVariable = "QTFORGE_DEBUGPY";

/// The port of QTFORGE_DEBUGPY; nothing where it is not set. @return Errc::InvalidArgument  for what is no port
inline expected<std::optional<int>> debugPortOfEnvironment() {
  const char* value = std::getenv(debugVariable);
  if (!value || !*value) return std::optional<int>();
  const std::string_view text = value;
  std::uint16_t port = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size())
    return Error(Errc::InvalidArgument, "a port from 0 to 65535 expected, not '" + std::string(text) + "'");
  return std::optional<int>(port);
}

using Variables = std::map<std::string, std::string>;

/// Sets variables of the process, and takes them back unless they are kept.
class AppliedVariables {
 public:
  explicit AppliedVariables(const Variables& variables) {
    for (const auto& [name, value] : variables) {
      const char* before = std::getenv(name.c_str());
      before_.emplace_back(name, before ? std::optional<std::string>(before) : std::nullopt);
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  AppliedVariables(const AppliedVariables&) = delete;
  AppliedVariables& operator=(const AppliedVariables&) = delete;
  ~AppliedVariables() {
    for (const auto& [name, value] : before_) value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

  void keep() noexcept { before_.clear(); }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

/// Puts folders before those of the environment, as absolute paths.
inline expected<void> putFirst(const std::vector<std::string>& folders, const Gil& gil) {
  PyObject* path = PySys_GetObject("path");
  Py_ssize_t place = 0;
  for (const auto& folder : folders) {
    const auto absolute = std::filesystem::absolute(folder).lexically_normal();
    const Ref text = Ref::steal(PyUnicode_DecodeFSDefault(absolute.c_str()));
    if (!text || !path || PyList_Insert(path, place++, text.get()) != 0) return takePythonError("PythonConfig::sysPath", gil);
  }
  return {};
}

/// How long a thread keeps the GIL that others want. Nothing: Python's own time, 5 ms.
inline expected<void> setSwitchInterval(std::chrono::microseconds interval, const Gil& gil) {
  if (interval.count() == 0) return {};
  PyObject* set = PySys_GetObject("setswitchinterval");
  const Ref done = Ref::steal(set ? PyObject_CallFunction(set, "d", std::chrono::duration<double>(interval).count()) : nullptr);
  return done ? expected<void>() : takePythonError("PythonConfig::gilSwitchInterval", gil);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
