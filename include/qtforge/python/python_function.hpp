#pragma once
// qtforge/python/python_function.hpp: a Python function that is looked up once and called many times.

#include <qtforge/python/python_value.hpp>

namespace qtforge::inline QTFORGE_ABI::python {

class Gil;  // python/gil.hpp

template <class Signature>
class PythonFunction;

/// A function of Python as a function of C++: `PythonFunction<double(double)>`. From PythonExecutor::function(); it stays
/// what was found when the name gets another meaning, and may outlive the executor. Copies are the same function.
///
/// @par Thread safety  any thread, several at once.
template <class R, class... Args>
class PythonFunction<R(Args...)> {
 public:
  /// Calls it on the caller's thread under the GIL.
  ///
  /// @return its result, or
  ///   - Errc::PythonError       it raised
  ///   - Errc::ConversionFailed  an argument does not go into Python, or the result does not fit R: with the place
  ///   - Errc::InvalidArgument   Python keeps memory of a span, as PythonExecutor::callFunction says
  /// @par Blocking  for the GIL and the call.
  expected<R> operator()(const std::remove_cvref_t<Args>&... arguments) const {
    return call(detail::CallerHolds::Nothing, arguments...);
  }

  /// The same for who holds the GIL already, with a Gil of python/gil.hpp to show for it: for short functions in a loop.
  expected<R> operator()(const Gil&, const std::remove_cvref_t<Args>&... arguments) const {
    return call(detail::CallerHolds::Gil, arguments...);
  }

 private:
  friend class PythonExecutor;
  explicit PythonFunction(detail::PythonHandle function) noexcept : function_(std::move(function)) {}

  expected<R> call(detail::CallerHolds holds, const std::remove_cvref_t<Args>&... arguments) const {
    return detail::withCall<R>(holds, [this](const qtforge::detail::PythonCall& call, qtforge::detail::ErrorSink sink) {
      return function_.table().callFound(function_.get(), &call, sink);
    }, arguments...);
  }

  detail::PythonHandle function_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
