#pragma once
// standalone.hpp: the bridge of a Python that no host embeds. Declares only: this side knows none of the host's headers.

#include <qtforge/python/bridge.hpp>

namespace qtforge::bindings {

/// Starts the library in a process that already runs Python, once. The GIL is held.
/// @return its table, or null with a Python error set
const python::Bridge* standaloneBridge();

}  // namespace qtforge::bindings
