#pragma once
// types.hpp: the Python types that the extension defines; each function makes one, once, at import.

#include "support.hpp"

#include <cstdint>

namespace qtforge::bindings {

/// @return the type, or null with a Python error set
PyObject* makeMessageBusType();
PyObject* makeSubscriptionType();
PyObject* makeReceiverType();
PyObject* makeMessageType();
PyObject* makeBinaryMessageType();

/// A qtforge.Subscription for that number. @return a new reference, or null with a Python error set
PyObject* newSubscription(std::uint64_t number, PyObject* pattern);
/// A qtforge.Receiver, on a host whose table has receivers. @return as newSubscription
PyObject* newReceiver(PyObject* pattern, PyObject* options);

}  // namespace qtforge::bindings
