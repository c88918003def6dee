// standalone.cpp: the one file of the extension that holds the library itself, for a Python without a host.

#include "standalone.hpp"

#include <qtforge/python/detail/bridge_host.hpp>

namespace qtforge::bindings {

const python::Bridge* standaloneBridge() { return python::detail::joinInterpreter(); }

}  // namespace qtforge::bindings
