// error: asyncCall takes no spans, whose memory would have to wait for the call
#include <qtforge/python/async_call.hpp>

void call(qtforge::python::PythonExecutor& executor, std::span<const double> numbers) {
  executor.asyncCall("f", [](const qtforge::expected<qtforge::python::PythonValue>&) {}, numbers);
}
