#pragma once
// qtforge/python/python_executor.hpp: running Python code and calling Python functions from C++, in hosts and plugins.

#include <qtforge/python/python_function.hpp>
#include <qtforge/python/python_value.hpp>
#include <qtforge/utils/detail/root.hpp>

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
    const auto* table = root ? root->python() : nullptr;
    if (!table) {
      broken_ = Error(Errc::PythonNotInitialized,
                      "PythonExecutor: there is no Python yet; call PythonIntegration::initialize() before");
    } else if (table->size < sizeof(qtforge::detail::PythonTable)) {
      broken_ = Error(Errc::AbiMismatch, "PythonExecutor: the host was built with an older qtforge than this plugin");
    } else {
      handle_ = {table, table->makeExecutor(qtforge::detail::sinkInto(broken_))};
    }
  }
  PythonExecutor(PythonExecutor&& other) noexcept = default;
  PythonExecutor& operator=(PythonExecutor&&) = delete;

  /// Runs `code` as a module's body.
  ///
  /// @param filename  names the code in tracebacks; the default is numbered. Their source lines are kept of the last 1000
  ///                  texts that were executed
  /// @return nothing, or
  ///   - Errc::PythonError           it raised or has a syntax error: pythonType() and traceback() say more
  ///   - Errc::InvalidArgument       it has a NUL byte
  ///   - Errc::PythonNotInitialized  no interpreter when the executor was made
  ///   - Errc::AbiMismatch           likewise, in a plugin: a host that is older than what it was built with
  /// @par Blocking  for the GIL and the code.
  expected<void> execute(std::string_view code, std::string_view filename = "<executor>") {
    if (!handle_) return broken();
    Error error;
    if (handle_.table().execute(handle_.get(), code, filename, qtforge::detail::sinkInto(error)) != 0) return error;
    return {};
  }

  /// The value of an expression.
  ///
  /// @return the value as R, or
  ///   - the errors of execute
  ///   - Errc::ConversionFailed  it does not fit R: `evaluate: result[3].name: str expected, int came`
  /// @par Blocking  for the GIL and the expression.
  template <class R = PythonValue>
  expected<R> evaluate(std::string_view expression) {
    if (!handle_) return broken();
    return detail::withCall<R>(detail::CallerHolds::Nothing, [&](const auto& call, qtforge::detail::ErrorSink sink) {
      return handle_.table().evaluate(handle_.get(), expression, call.shape->result, call.out, sink);
    });
  }

  /// Calls the function `name` of this namespace, or of Python's builtins.
  ///
  /// @param arguments  values of the types that python_conversion.hpp lists; last those with a keyword, `arg("scale") = 2`.
  ///                   The memory of a std::span must stay until the call returns: Python's view of it ends then.
  /// @return its result as R, or
  ///   - Errc::NameNotFound          no such name
  ///   - Errc::PythonError           it raised
  ///   - Errc::ConversionFailed      an argument does not go into Python (`f(): argument 1[3].name: ...`; the first is 0),
  ///                                 or the result does not fit R (`f()[3].name: str expected, int came`)
  ///   - Errc::InvalidArgument       it has been called, and Python keeps something that uses the memory of a span (an
  ///                                 array of numpy, not a mere memoryview): that memory must stay as long as Python does
  ///   - Errc::PythonNotInitialized  no interpreter when the executor was made
  ///   - Errc::AbiMismatch           as execute
  /// @par Blocking  for the GIL and the call.
  template <class R = PythonValue, class... Args>
  expected<R> callFunction(std::string_view name, const Args&... arguments) {
    return call<R>(detail::CallerHolds::Nothing, name, arguments...);
  }

  /// The same for who holds the GIL already, with a Gil of python/gil.hpp to show for it: for short functions in a loop.
  template <class R = PythonValue, class... Args>
  expected<R> callFunction(const Gil&, std::string_view name, const Args&... arguments) {
    return call<R>(detail::CallerHolds::Gil, name, arguments...);
  }

  /// Looks up a function, or anything else that can be called, of this namespace or of Python's builtins.
  ///
  ///     auto f = executor.function<double(double, int)>("f");
  ///     if (f) (*f)(0.5, 3);
  ///
  /// @return the function, or
  ///   - Errc::NameNotFound  no such name, or what it names cannot be called
  ///   - Errc::PythonNotInitialized, Errc::AbiMismatch  as execute
  /// @par Blocking  for the GIL.
  template <class Signature>
  [[nodiscard]] expected<PythonFunction<Signature>> function(std::string_view name) {
    if (!handle_) return broken();
    Error error;
    void* found = handle_.table().findFunction(handle_.get(), name, qtforge::detail::sinkInto(error));
    if (!found) return error;
    return PythonFunction<Signature>(detail::PythonHandle(&handle_.table(), found));
  }

  /// As callFunction, on a thread of Python's for such calls, the calls of all executors one after the other. This returns
  /// at once, never waits for the GIL, and the executor may go before the call. Needs python/async_call.hpp.
  ///
  /// @param token      for the signature `void(expected<R>)`; communication/async.hpp says how completion handlers are
  ///                   called. Errors: those of callFunction, and
  ///   - Errc::Cancelled     before it began; a call that runs goes on and completes
  ///   - Errc::ShuttingDown  Python has ended before it began
  /// @param arguments  copied or moved before this returns, texts too; no spans, whose memory would have to wait: a Buffer
  ///                   or BinaryMessage shares its bytes
  template <class R = PythonValue, class Token, class... Args>
  auto asyncCall(std::string_view name, Token&& token, Args&&... arguments);

 private:
  template <class R, class... Args>
  expected<R> call(detail::CallerHolds holds, std::string_view name, const Args&... arguments) {
    if (!handle_) return broken();
    return detail::withCall<R>(holds, [&](const qtforge::detail::PythonCall& call, qtforge::detail::ErrorSink sink) {
      return handle_.table().callNamed(handle_.get(), name, &call, sink);
    }, arguments...);
  }

  [[nodiscard]] Error broken() const {
    return broken_.code() != Errc::Ok ? broken_ : Error(Errc::InvalidArgument, "PythonExecutor: it has been moved from");
  }

  detail::PythonHandle handle_;
  Error broken_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
