#pragma once
// application.hpp: a shared library of the application, linked to the program, that uses the bus by itself.

#include <qtforge/utils/error.hpp>

namespace application __attribute__((visibility("default"))) {

qtforge::expected<void> listen();
qtforge::expected<void> speak();
void report();

/// What it takes for the process's: the root, the runtime and its io_context.
void* root();
const void* runtime();
const void* context();

}
