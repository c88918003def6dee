#pragma once
// qtforge/python/detail/bridge_log.hpp: the log for Python: writing to it, seeing it, its level and debug mode.

#include <qtforge/python/detail/bridge_publish.hpp>
#include <qtforge/python/detail/log_subscription.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// A str as UTF-8, also one with lone surrogates, as names of files may have: nobody loses a line by them.
class LogText {
 public:
  /// What is no str: none, with a TypeError set that names the argument.
  LogText(PyObject* object, const char* argument) {
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(object)) {
      (void)textArgument(object, argument);
      return;
    }
    const char* data = PyUnicode_AsUTF8AndSize(object, &size);
    if (!data) {
      PyErr_Clear();
      bytes_ = Ref::steal(PyUnicode_AsEncodedString(object, "utf-8", "backslashreplace"));
      if (!bytes_) return;
      data = PyBytes_AS_STRING(bytes_.get());
      size = PyBytes_GET_SIZE(bytes_.get());
    }
    text_ = std::string_view(data, static_cast<std::size_t>(size));
  }

  explicit operator bool() const noexcept { return text_.has_value(); }
  [[nodiscard]] std::string_view operator*() const noexcept { return *text_; }

 private:
  Ref bytes_;
  std::optional<std::string_view> text_;
};

inline PyObject* bridgeLog(int level, PyObject* logger, PyObject* message, PyObject* file, unsigned line) {
  const Gil gil{GilHeld()};
  const LogText name(logger, "logger"), text(message, "message"), path(file, "file");
  if (!name || !text || !path) return nullptr;
  auto plugin = Interpreter::find()->pluginOfModule(*name);
  if (auto* context = PluginScope::current(); !plugin && context) plugin = context->shared_from_this();
  const std::string speaker = plugin ? plugin->name : std::string(*name);
  {
    const GilRelease released;  // a sink may wait
    root().log->write(nullptr, level, std::string_view(speaker), *text, *path, line);
  }
  Py_RETURN_NONE;
}

inline PyObject* bridgeLogOfLogging(int level, PyObject* logger, PyObject* message, PyObject* file, unsigned line) {
  const LogSubscription::OfLogging known;
  return bridgeLog(level, logger, message, file, line);
}

inline int bridgeLogLevel() { return static_cast<int>(qtforge::detail::processRoot().log().level()); }
inline void bridgeSetLogLevel(int level) {
  qtforge::detail::processRoot().log().setLevel(static_cast<LogLevel>(std::clamp(level, 0, 5)));
}

/// The function waits for no lock but the log's own.
inline PyObject* bridgeLogSubscribe(PyObject* function, int level) {
  const Gil gil{GilHeld()};
  auto plugin = callingPlugin(gil);
  Lane& lane = plugin && plugin->lane ? *plugin->lane : Interpreter::find()->sharedLane();
  auto made = std::make_shared<LogSubscription>(std::move(plugin), lane, function, static_cast<LogLevel>(std::clamp(level, 0, 5)));
  return PyLong_FromUnsignedLongLong(LogSubscriptions::instance().add(std::move(made)));
}

inline PyObject* bridgeLogUnsubscribe(std::uint64_t subscription) {
  const bool ended = [&] {
    const GilRelease released;
    return LogSubscriptions::instance().end(subscription);
  }();
  return PyBool_FromLong(ended);
}

inline int bridgeOwnsPython() { return Interpreter::find()->owns(); }
inline int bridgeDebugMode() { return qtforge::detail::LogCore::debugMode(); }
inline void bridgeSetDebugMode(int enabled) { qtforge::detail::processRoot().log().setDebugMode(enabled != 0); }

inline PyObject* bridgeFollowLog(PyObject* function) {
  Interpreter::find()->followLog(SharedRef(Ref::borrow(function)));
  qtforge::detail::processRoot().log().onChange([] { Interpreter::find()->tellLogChanged(); });
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
