// error: type_without_python_conversion.cpp:
// error gcc: SignatureWithPythonConversion
// error clang: Signature = void (void *)
#include "filter.hpp"

using Odd = Interface<"odd/1", Method<"set(where)", void(void*)>>;
