#pragma once
// qtforge/python/detail/imported.hpp: what is imported once and kept.

#include <qtforge/python/ref.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Imports `module.name`; a borrowed reference that lives as long as the process, or null with a Python error set.
inline PyObject* imported(PyObject*& cache, const char* module, const char* name, const Gil&) {
  if (cache) return cache;
  const Ref loaded = Ref::steal(PyImport_ImportModule(module));
  if (loaded) cache = PyObject_GetAttrString(loaded.get(), name);
  return cache;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
