#pragma once
// qtforge/python/detail/snapshot.hpp: copies of what is JSON's own in Python, from Python to Python without JSON.

#include <qtforge/communication/detail/message_data.hpp>
#include <qtforge/communication/detail/payload_depth.hpp>
#include <qtforge/python/ref.hpp>

#include <cstddef>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Makes a copy of a dict or list that shares nothing with it which can change: what a message holds for receivers in
/// Python, and what each of them gets of that.
class Snapshot {
 public:
  /// Takes what is of exactly these types: dict with str as keys, list, tuple (as a list), str with a UTF-8 form, int within
  /// 64 bits, float, bool and None, not nested deeper than a payload may be.
  ///
  /// @return null without a Python error: something else is in it
  static Ref of(PyObject* object, const Gil&) {
    Ref copy;
    if (!isContainer(object) || !take(object, copy, maxPayloadDepth)) PyErr_Clear();
    return copy;
  }

  /// Of a snapshot. Null with a Python error set.
  static Ref copy(PyObject* snapshot, const Gil&) { return copyOf(snapshot); }

  /// Beside a message's JSON. Takes the reference.
  static qtforge::detail::PayloadShadow shadow(Ref snapshot) noexcept { return {snapshot.release(), &drop}; }

  /// Borrowed; null: there is none.
  static PyObject* in(const qtforge::detail::PayloadShadow* shadow) noexcept {
    return shadow && shadow->destroy == &drop ? static_cast<PyObject*>(shadow->object) : nullptr;
  }

 private:
  static void drop(void* object) { dropAnywhere(static_cast<PyObject*>(object)); }

  static bool isContainer(PyObject* object) noexcept {
    return PyDict_CheckExact(object) || PyList_CheckExact(object) || PyTuple_CheckExact(object);
  }

  static bool isText(PyObject* object) noexcept {
    return PyUnicode_CheckExact(object) && (PyUnicode_IS_COMPACT_ASCII(object) || PyUnicode_AsUTF8AndSize(object, nullptr));
  }

  static bool isScalar(PyObject* object) noexcept {
    if (PyUnicode_CheckExact(object)) return isText(object);
    if (PyFloat_CheckExact(object) || object == Py_None || PyBool_Check(object)) return true;
    if (!PyLong_CheckExact(object)) return false;
    int overflow = 0;
    PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) return true;
    return overflow > 0 && (PyLong_AsUnsignedLongLong(object), !PyErr_Occurred());
  }

  // The copy is made first, and then looked at: code that runs meanwhile may change the original.
  static bool take(PyObject* object, Ref& out, std::size_t depth) {
    if (depth == 0) return false;
    if (PyDict_CheckExact(object)) {
      Ref made = Ref::steal(PyDict_Copy(object));
      PyObject *key = nullptr, *value = nullptr;
      for (Py_ssize_t at = 0; made && PyDict_Next(made.get(), &at, &key, &value);) {
        if (!isText(key)) return false;
        if (isScalar(value)) continue;
        if (!isContainer(value)) return false;
        Ref inner;
        const Ref name = Ref::borrow(key), held = Ref::borrow(value);
        if (!take(held.get(), inner, depth - 1) || PyDict_SetItem(made.get(), name.get(), inner.get()) != 0) return false;
      }
      out = std::move(made);
    } else {
      Ref made = Ref::steal(PyList_CheckExact(object) ? PyList_GetSlice(object, 0, PyList_GET_SIZE(object))
                                                      : PySequence_List(object));
      for (Py_ssize_t i = 0; made && i < PyList_GET_SIZE(made.get()); ++i) {
        PyObject* item = PyList_GET_ITEM(made.get(), i);
        if (isScalar(item)) continue;
        if (!isContainer(item)) return false;
        Ref inner;
        const Ref held = Ref::borrow(item);
        if (!take(held.get(), inner, depth - 1) || PyList_SetItem(made.get(), i, inner.release()) != 0) return false;
      }
      out = std::move(made);
    }
    return static_cast<bool>(out);
  }

  static Ref copyOf(PyObject* snapshot) {
    if (PyDict_CheckExact(snapshot)) {
      Ref made = Ref::steal(PyDict_Copy(snapshot));
      PyObject *key = nullptr, *value = nullptr;
      for (Py_ssize_t at = 0; made && PyDict_Next(snapshot, &at, &key, &value);) {
        if (!isContainer(value)) continue;
        const Ref inner = copyOf(value);
        if (!inner || PyDict_SetItem(made.get(), key, inner.get()) != 0) return {};
      }
      return made;
    }
    Ref made = Ref::steal(PyList_GetSlice(snapshot, 0, PyList_GET_SIZE(snapshot)));
    for (Py_ssize_t i = 0; made && i < PyList_GET_SIZE(snapshot); ++i) {
      PyObject* item = PyList_GET_ITEM(snapshot, i);
      if (!isContainer(item)) continue;
      Ref inner = copyOf(item);
      if (!inner || PyList_SetItem(made.get(), i, inner.release()) != 0) return {};
    }
    return made;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
