#pragma once
// types.hpp: the Python types that the extension defines; each function makes one, once, at import.

#include "support.hpp"

#include <cstdint>

namespace qtforge::bindings {

/// @return the type, or null with a Python error set
PyObject* makeMessageBusType();
PyObject* makeSubscriptionType();
PyObject* makeMessageType();
PyObject* makeBinaryMessageType();

/// A qtforge.Subscription for that number. @return a new reference, or null with a Python error set
PyObject* newSubscription(std::uint64_t number, PyObject* pattern);

}  // namespace qtforge::bindings
