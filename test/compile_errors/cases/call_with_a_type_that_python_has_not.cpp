// error: an argument has no counterpart in Python: specialise qtforge::python::PythonConversion for its type
#include <qtforge/python/python_executor.hpp>

struct Mine {};

void call(qtforge::python::PythonExecutor& executor) { (void)executor.callFunction("f", Mine()); }
