// error: call_of_a_method_that_there_is_not.cpp:
// error gcc: call<"titel">
// error clang: no matching member function for call to 'call'
#include "filter.hpp"

#include <qtforge/core/plugin_manager.hpp>

auto ask(const qtforge::InterfaceHandle<Filter>& filter) { return filter.call<"titel">(); }
