#pragma once
// numbered.hpp: what the Python objects behind whose number the bus keeps a subscription have in common.

#include "types.hpp"

namespace qtforge::bindings {

struct Numbered {
  PyObject_HEAD
  std::uint64_t number;
  PyObject* pattern;  // str
};

inline std::uint64_t numberOf(PyObject* self) noexcept { return reinterpret_cast<Numbered*>(self)->number; }

inline PyObject* unsubscribe(PyObject* self, PyObject*) {
  const auto* table = bridge();
  return table ? orStay([&] { return table->unsubscribe(numberOf(self)); }) : nullptr;
}

inline PyObject* stats(PyObject* self, PyObject*) {
  const auto* table = bridge();
  return table ? orStay([&] { return table->subscriptionStats(numberOf(self)); }) : nullptr;
}

inline PyObject* active(PyObject* self, void*) {
  Ref counters(stats(self, nullptr));
  return counters ? PyBool_FromLong(counters.get() != Py_None) : nullptr;
}

inline PyObject* enter(PyObject* self, PyObject*) { return retained(self); }

inline PyObject* exit(PyObject* self, PyObject*) {
  Ref ended(unsubscribe(self, nullptr));
  return ended ? retained(Py_None) : nullptr;
}

}  // namespace qtforge::bindings
