// error: no such value comes from Python: it must own what it holds
#include <qtforge/python/python_executor.hpp>

void call(qtforge::python::PythonExecutor& executor) { (void)executor.evaluate<std::string_view>("'text'"); }
