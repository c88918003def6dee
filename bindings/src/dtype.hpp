#pragma once
// dtype.hpp: element types as numpy writes them: '<f4', or the list of a structure's fields.

#include "support.hpp"

namespace qtforge::bindings {

/// Bytes per element of `dtype`, a str: 1 for an empty one, 0 for what says no size.
Py_ssize_t itemSize(PyObject* dtype);

/// Checks that `size` bytes are an array: as many as `dtype` and `shape` take, or without a shape whole elements. What
/// says no size is not checked.
///
/// @param shape  a tuple of int of at least 0
/// @return false with a ValueError that names all three
bool fits(Py_ssize_t size, PyObject* dtype, PyObject* shape);

}  // namespace qtforge::bindings
