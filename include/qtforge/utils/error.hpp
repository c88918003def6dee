#pragma once
// qtforge/utils/error.hpp: Error, its codes, and expected<T>, what every function that can fail returns.

#include <qtforge/utils/config.hpp>

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

/// What went wrong, for programs; Error::message() says it to people. The numbers are part of the binary interface:
/// new ones are appended.
enum class Errc : int {
  Ok = 0,
  Failed = 1,               ///< an error of the caller's own, made from a text alone
  InvalidArgument = 2,      ///< an argument is outside what the function documents
  InvalidTopic = 3,         ///< not a topic: the message names the offset
  InvalidPattern = 4,       ///< not a topic pattern: the message names the offset
  ReservedTopic = 5,        ///< `qtforge.*` belongs to the library
  Overflow = 6,             ///< a mailbox was full and its policy does not wait (any longer)
  WouldDeadlock = 7,        ///< waiting here could never end
  TimedOut = 8,             ///< the limit passed; the message names who was waited for
  ShuttingDown = 9,         ///< the process or the object is ending
  NoRuntime = 10,           ///< this binary has not been given the host's runtime (yet)
  HandlerFailed = 11,       ///< a handler threw
  PayloadMismatch = 12,     ///< the payload is not of the kind that was asked for
  ManifestNotFound = 13,    ///< no plugin.json where a plugin should be
  ManifestInvalid = 14,     ///< plugin.json is not what it must be: the message has the JSON pointer
  EntryPointInvalid = 15,   ///< the entry point is missing or outside the plugin's folder
  PluginClassMissing = 16,  ///< the entry point has no such class
  NotAPlugin = 17,          ///< what was loaded does not implement IPlugin
  ImportFailed = 18,        ///< the plugin's code could not be loaded
  AbiMismatch = 19,         ///< built with other settings than the host: the message prints both
  DependencyMissing = 20,   ///< a plugin or Python package that is needed is not there
  DependencyVersion = 21,   ///< a plugin or Python package that is needed is there in another version
  DependencyCycle = 22,     ///< plugins that need each other: the message names the path
  DuplicatePlugin = 23,     ///< a plugin of that name is loaded already
  PluginNotFound = 24,      ///< no plugin of that name
  PluginInUse = 25,         ///< others depend on it
  PluginUnloaded = 26,      ///< the handle outlived its plugin
  PluginIncompatible = 27,  ///< the plugin refuses this version of the plugin interface, or wants what another one excludes
  IllegalTransition = 28,   ///< that lifecycle step is not possible in the plugin's state
  HookFailed = 29,          ///< a lifecycle hook returned false, failed or raised
  NoLoader = 30,            ///< no loader for that kind of plugin has been added
  PythonNotInitialized = 31,
  PythonNotFound = 32,          ///< the interpreter that was named does not exist or does not run
  PythonMismatch = 33,          ///< the interpreter is another build than the libpython in use: both are named
  PythonAlreadyInitialized = 34,  ///< initialised before, with another configuration
  PythonError = 35,             ///< Python raised: pythonType() and traceback() say more
  PackageMissing = 36,          ///< the environment has no package `qtforge`
  PackageMismatch = 37,         ///< the environment's package `qtforge` speaks another bridge version
  ConversionFailed = 38,        ///< a value has no counterpart in the other language: the message has the place
  NameNotFound = 39,            ///< no such function or name
  LimitExceeded = 40,
  NoResponder = 41,             ///< nobody responds to the topic of a request
  Cancelled = 42,               ///< by the one who asked
  FileFailed = 43,              ///< a file could not be opened, read or written: the message has path and reason
  RecordingInvalid = 44,        ///< not a recording of messages, or a broken one: the message has line and column
  ConfigurationInvalid = 45,    ///< no such setting, or not a value for it: the message has the JSON pointer
  InterfaceMissing = 46,        ///< the plugin does not implement the interface that was asked for
  InterfaceMismatch = 47,       ///< it does, with other methods: the message names those that differ
  InstallFailed = 48,           ///< packages could not be installed or taken away: the message says what is changed
};

namespace detail {

inline const char* errcText(Errc code) noexcept {
  switch (code) {
    case Errc::Ok: return "ok";
    case Errc::Failed: return "failed";
    case Errc::InvalidArgument: return "invalid argument";
    case Errc::InvalidTopic: return "invalid topic";
    case Errc::InvalidPattern: return "invalid topic pattern";
    case Errc::ReservedTopic: return "reserved topic";
    case Errc::Overflow: return "mailbox overflow";
    case Errc::WouldDeadlock: return "would deadlock";
    case Errc::TimedOut: return "timed out";
    case Errc::ShuttingDown: return "shutting down";
    case Errc::NoRuntime: return "no runtime";
    case Errc::HandlerFailed: return "handler failed";
    case Errc::PayloadMismatch: return "payload mismatch";
    case Errc::ManifestNotFound: return "manifest not found";
    case Errc::ManifestInvalid: return "manifest invalid";
    case Errc::EntryPointInvalid: return "entry point invalid";
    case Errc::PluginClassMissing: return "plugin class missing";
    case Errc::NotAPlugin: return "not a plugin";
    case Errc::ImportFailed: return "import failed";
    case Errc::AbiMismatch: return "binary interface mismatch";
    case Errc::DependencyMissing: return "dependency missing";
    case Errc::DependencyVersion: return "dependency in another version";
    case Errc::DependencyCycle: return "dependency cycle";
    case Errc::DuplicatePlugin: return "duplicate plugin";
    case Errc::PluginNotFound: return "plugin not found";
    case Errc::PluginInUse: return "plugin in use";
    case Errc::PluginUnloaded: return "plugin unloaded";
    case Errc::PluginIncompatible: return "plugin incompatible";
    case Errc::IllegalTransition: return "illegal transition";
    case Errc::HookFailed: return "plugin hook failed";
    case Errc::NoLoader: return "no loader";
    case Errc::PythonNotInitialized: return "Python not initialized";
    case Errc::PythonNotFound: return "Python not found";
    case Errc::PythonMismatch: return "Python mismatch";
    case Errc::PythonAlreadyInitialized: return "Python already initialized";
    case Errc::PythonError: return "Python error";
    case Errc::PackageMissing: return "package qtforge missing";
    case Errc::PackageMismatch: return "package qtforge mismatch";
    case Errc::ConversionFailed: return "conversion failed";
    case Errc::NameNotFound: return "name not found";
    case Errc::LimitExceeded: return "limit exceeded";
    case Errc::NoResponder: return "no responder";
    case Errc::Cancelled: return "cancelled";
    case Errc::FileFailed: return "file failed";
    case Errc::RecordingInvalid: return "recording invalid";
    case Errc::ConfigurationInvalid: return "configuration invalid";
    case Errc::InterfaceMissing: return "interface missing";
    case Errc::InterfaceMismatch: return "interface mismatch";
    case Errc::InstallFailed: return "installation failed";
  }
  return "unknown error";
}

// The fixed id makes codes of different binaries compare equal.
class ErrorCategory final : public boost::system::error_category {
 public:
  constexpr ErrorCategory() noexcept : error_category(0x7174666f72676531ULL) {}
  const char* name() const noexcept override { return "qtforge"; }
  std::string message(int code) const override { return errcText(static_cast<Errc>(code)); }
};

inline constexpr ErrorCategory errorCategoryInstance{};

}  // namespace detail

[[nodiscard]] inline const boost::system::error_category& errorCategory() noexcept {
  return detail::errorCategoryInstance;
}

[[nodiscard]] inline boost::system::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), errorCategory()};
}

/// One failure: a code, a text that says what was tried, on what, and what to do, and, from Python, the exception.
///
/// Copies share their content. @par Thread safety  immutable; any thread.
class Error {
 public:
  /// No error: Errc::Ok with an empty message.
  Error() noexcept = default;

  /// A failure of the caller's own, with Errc::Failed.
  explicit Error(const char* message) : Error(Errc::Failed, std::string(message)) {}

  explicit Error(Errc code, std::string message)
      : content_(std::make_shared<const Content>(Content{code, std::move(message), {}, {}})) {}

  /// A Python exception: its type's qualified name and its formatted traceback.
  explicit Error(Errc code, std::string message, std::string pythonType, std::string traceback)
      : content_(std::make_shared<const Content>(
            Content{code, std::move(message), std::move(pythonType), std::move(traceback)})) {}

  [[nodiscard]] Errc code() const noexcept { return content_ ? content_->code : Errc::Ok; }
  [[nodiscard]] std::string message() const { return content_ ? content_->message : std::string(); }
  /// Qualified name of the Python exception type, empty for other errors.
  [[nodiscard]] std::string pythonType() const { return content_ ? content_->pythonType : std::string(); }
  /// Traceback as Python prints it, causes included; empty for other errors.
  [[nodiscard]] std::string traceback() const { return content_ ? content_->traceback : std::string(); }

  /// All of it in one text, as the log has it: the message and, in the lines below it, the traceback.
  [[nodiscard]] std::string report() const {
    if (!content_ || content_->traceback.empty()) return message();
    return content_->message + '\n' + content_->traceback;
  }

  /// The same error with `where` and a colon in front of its message.
  [[nodiscard]] Error within(std::string_view where) const {
    if (!content_) return *this;
    return Error(content_->code, std::string(where) + ": " + content_->message, content_->pythonType,
                 content_->traceback);
  }

  operator boost::system::error_code() const noexcept { return make_error_code(code()); }

  friend bool operator==(const Error& error, Errc code) noexcept { return error.code() == code; }

 private:
  struct Content {
    Errc code;
    std::string message;
    std::string pythonType;
    std::string traceback;
  };
  std::shared_ptr<const Content> content_;
};

/// What `expected<T>::value()` throws when there is none.
class Exception : public std::runtime_error {
 public:
  explicit Exception(Error error) : std::runtime_error(error.message()), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw Exception(error);
}

/// A value or an Error: Boost's result, since C++20 has no std::expected.
template <class T, class E = Error>
using expected = boost::system::result<T, E>;

}  // namespace qtforge::inline QTFORGE_ABI

namespace boost::system {
template <>
struct is_error_code_enum<qtforge::Errc> : std::true_type {};
}  // namespace boost::system
