#pragma once
// qtforge/python/python_executor.hpp: running Python code and calling Python functions from C++, in hosts and plugins.

#include <qtforge/core/iplugin.hpp>
#include <qtforge/python/python_value.hpp>
#include <qtforge/utils/detail/root.hpp>

#include <array>
#include <memory>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python {

/// A namespace of Python globals in which code is run and functions are called, on the caller's thread under the GIL.
/// Executors do not see each other's names.
///
/// @par Thread safety  any thread; calls wait for the GIL.
class PythonExecutor {
 public:
  PythonExecutor() {
    const auto* root = qtforge::detail::findRoot();
    table_ = root ? root->python() : nullptr;
    if (!table_) {
      broken_ = Error(Errc::PythonNotInitialized,
                      "PythonExecutor: there is no Python yet; call PythonIntegration::initialize() before");
    } else {
      handle_ = table_->makeExecutor(qtforge::detail::sinkInto(broken_));
    }
  }
  PythonExecutor(PythonExecutor&& other) noexcept
      : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)), broken_(other.broken_) {}
  PythonExecutor& operator=(PythonExecutor&&) = delete;
  ~PythonExecutor() {
    if (handle_) table_->freeExecutor(handle_);
  }

  /// Runs `code` as a module's body.
  ///
  /// @param filename  names the code in tracebacks
  /// @return nothing, or
  ///   - Errc::PythonError           it raised or has a syntax error: pythonType() and traceback() say more
  ///   - Errc::PythonNotInitialized  no interpreter when the executor was made
  expected<void> execute(std::string_view code, std::string_view filename = "<executor>") {
    if (!handle_) return broken_;
    Error error;
    if (table_->execute(handle_, code, filename, qtforge::detail::sinkInto(error)) != 0) return error;
    return {};
  }

  /// Calls the function `name` of this namespace, or of Python's builtins.
  ///
  /// @param arguments  bool, integers, floating point, text, vectors and spans, string-keyed maps, optional,
  ///                   boost::json values, BinaryMessage, and what boost::json::value_from takes
  /// @return its result as R, or
  ///   - Errc::NameNotFound          no such name
  ///   - Errc::PythonError           it raised
  ///   - Errc::ConversionFailed      the result does not fit R: what was expected, what came, and where
  ///   - Errc::PythonNotInitialized  no interpreter when the executor was made
  template <class R = PythonValue, class... Args>
  expected<R> callFunction(std::string_view name, const Args&... arguments) {
    if (!handle_) return broken_;
    const std::array<detail::Argument, sizeof...(Args)> converted{detail::Argument(arguments)...};
    std::array<qtforge::detail::PythonArgument, sizeof...(Args) + 1> plain;
    for (std::size_t i = 0; i < converted.size(); ++i) plain[i] = converted[i].plain();
    boost::json::value json;
    Attachments attachments;
    Error error;
    if (table_->call(handle_, name, plain.data(), converted.size(), &json, &attachments,
                     qtforge::detail::sinkInto(error)) != 0)
      return error;
    PythonValue result(std::move(json), std::move(attachments));
    if constexpr (std::is_same_v<R, PythonValue>) {
      return result;
    } else {
      auto typed = result.template as<R>();
      if (!typed) return typed.error().within(std::string(name) + "()");
      return typed;
    }
  }

 private:
  const qtforge::detail::PythonTable* table_ = nullptr;
  void* handle_ = nullptr;
  Error broken_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
