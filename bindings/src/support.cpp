// support.cpp: argument lists, errors, and slots that types share.

#include "support.hpp"

#include <cmath>

namespace qtforge::bindings {

namespace {

/// The longest wait that hosts accept: 11 days.
constexpr double longestWait = 1e6;

}  // namespace

void raise(int code, const char* message) {
  Ref errors(PyImport_ImportModule("qtforge.errors"));
  if (!errors) return;
  Ref error(PyObject_CallMethod(errors.get(), "make_error", "isss", code, message, "", ""));
  if (error) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
}

void raiseType(const char* function, const char* name, const char* expected, PyObject* value) {
  PyErr_Format(PyExc_TypeError, "%s() argument '%s' must be %s, not %.200s", function, name, expected,
               Py_TYPE(value)->tp_name);
}

bool toSeconds(const char* function, const char* name, PyObject* value, double& out) {
  out = PyFloat_AsDouble(value);
  if (out == -1.0 && PyErr_Occurred()) {
    if (PyErr_ExceptionMatches(PyExc_TypeError)) raiseType(function, name, "a number of seconds", value);
    return false;
  }
  if (!(out >= 0.0)) {
    PyErr_Format(PyExc_ValueError, "%s() argument '%s' must be a number of seconds of at least 0, not %R", function,
                 name, value);
    return false;
  }
  out = std::fmin(out, longestWait);
  return true;
}

PyObject* representFields(std::span<const char* const> names, std::span<PyObject* const> values) {
  Ref parts(PyList_New(0)), separator(PyUnicode_FromString(", "));
  for (std::size_t i = 0; i < names.size(); ++i) {
    Ref part(parts && separator ? PyUnicode_FromFormat("%s=%R", names[i], values[i]) : nullptr);
    if (!part || PyList_Append(parts.get(), part.get()) != 0) return nullptr;
  }
  return PyUnicode_Join(separator.get(), parts.get());
}

namespace detail {

namespace {

// Keywords written in source are interned, so that identity finds nearly all; others are compared.
std::size_t indexOf(std::span<PyObject* const> names, PyObject* keyword) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == keyword) return i;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (PyUnicode_Compare(names[i], keyword) == 0) return i;
  return names.size();
}

}  // namespace

bool internNames(std::span<const char* const> names, std::span<PyObject*> out) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!out[i] && !(out[i] = PyUnicode_InternFromString(names[i]))) return false;
  return true;
}

PyObject* compareEach(std::span<PyObject* const> mine, std::span<PyObject* const> theirs, int operation) {
  bool equal = true;
  for (std::size_t i = 0; equal && i < mine.size(); ++i) {
    const int same = PyObject_RichCompareBool(mine[i], theirs[i], Py_EQ);
    if (same < 0) return nullptr;
    equal = same == 1;
  }
  return PyBool_FromLong(equal == (operation == Py_EQ));
}

bool bindArguments(const Parameters& parameters, PyObject* const* args, std::size_t count, PyObject* keywords,
                   std::span<PyObject*> out) {
  if (count > parameters.positional) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zu positional argument%s but %zu were given",
                 parameters.function, parameters.positional, parameters.positional == 1 ? "" : "s", count);
    return false;
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = i < count ? args[i] : nullptr;
  const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t k = 0; k < named; ++k) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
    const std::size_t i = indexOf(parameters.interned, keyword);
    if (i == out.size()) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", parameters.function, keyword);
      return false;
    }
    if (out[i]) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", parameters.function, keyword);
      return false;
    }
    out[i] = args[count + static_cast<std::size_t>(k)];
  }
  for (std::size_t i = 0; i < parameters.required; ++i) {
    if (out[i]) continue;
    PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", parameters.function, parameters.names[i]);
    return false;
  }
  return true;
}

}  // namespace detail

}  // namespace qtforge::bindings
