// error: parameter_without_a_name.cpp:
// error gcc: NamesEveryParameter
// error clang: "set(a)"
#include "filter.hpp"

using Odd = Interface<"odd/1", Method<"set(a)", void(int, int)>>;
