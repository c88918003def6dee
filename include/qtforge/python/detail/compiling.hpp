#pragma once
// qtforge/python/detail/compiling.hpp: compiles source, also where there is little memory left.
//
// Python's own compiler does not survive it when it is refused memory (3.11 frees what it never had, in compile.c), so it
// has of what a limit keeps back.

#include <qtforge/python/detail/memory_reserve.hpp>
#include <qtforge/python/ref.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// As Py_CompileString.
inline Ref compileText(const char* text, const char* filename, int start, const Gil&) {
  const MemoryReserve reserve;
  return Ref::steal(Py_CompileString(text, filename, start));
}

/// A module's source, as `compile` takes it.
inline PyObject* bridgeCompileModule(PyObject* source, PyObject* filename) {
  const MemoryReserve reserve;
  const Ref compile = Ref::borrow(PyDict_GetItemString(PyEval_GetBuiltins(), "compile"));
  if (!compile) return PyErr_Format(PyExc_RuntimeError, "builtins has no compile");
  constexpr int flags = 0, dontInherit = 1;
  return PyObject_CallFunction(compile.get(), "OOsii", source, filename, "exec", flags, dontInherit);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
