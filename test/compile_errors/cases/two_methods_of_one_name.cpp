// error: two_methods_of_one_name.cpp:
// error gcc: DistinctMethodNames
// error clang: constraints not satisfied for class template 'Interface'
#include "filter.hpp"

using Twice = Interface<"twice/1", Method<"title()", std::string()>, Method<"title()", int()>>;
