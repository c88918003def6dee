// error: positional arguments come before those with keywords
#include <qtforge/python/python_executor.hpp>

using qtforge::python::arg;

void call(qtforge::python::PythonExecutor& executor) { (void)executor.callFunction("f", arg("scale") = 2.0, 1); }
