#pragma once
// qtforge/python/python.hpp: Python in a C++ program: the interpreter, its plugins, and calls into it.

#include <qtforge/python/async_call.hpp>
#include <qtforge/python/captured_output.hpp>
#include <qtforge/python/package_manager.hpp>
#include <qtforge/python/python_config.hpp>
#include <qtforge/python/python_conversion.hpp>
#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_function.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/python/python_value.hpp>
