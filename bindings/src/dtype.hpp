#pragma once
// dtype.hpp: element types as numpy writes them: '<f4', or the list of a structure's fields.

#include "support.hpp"

namespace qtforge::bindings {

/// Bytes per element of `dtype`, a str: 1 for an empty one, 0 for what says no size.
Py_ssize_t itemSize(PyObject* dtype);

/// The letter of a number in this machine's byte order, of "biufc"; 0 for all else.
char nativeKind(PyObject* dtype);

/// Whether elements have references to Python objects in them.
bool holdsObjects(PyObject* dtype);

/// Of a number, a character or bool, as the module `struct` writes it. @return a new str, empty for all else; null with a
/// Python error set
PyObject* dtypeOfFormat(const char* format, Py_ssize_t itemSize);

/// Of an `__array_interface__`: its typestr, or the list of fields of a structure. @param fields  its descr, or null
/// @return a new str, or null with a Python error set
PyObject* dtypeOfInterface(PyObject* type, PyObject* fields);

/// The list of fields that `dtype` writes. @return null without a Python error for one without fields
Ref fieldsOf(PyObject* dtype);

/// Checks that `size` bytes are an array: as many as `dtype` and `shape` take, or without a shape whole elements. What
/// says no size is not checked.
///
/// @param shape  a tuple of int of at least 0
/// @return false with a ValueError that names all three
bool fits(Py_ssize_t size, PyObject* dtype, PyObject* shape);

}  // namespace qtforge::bindings
