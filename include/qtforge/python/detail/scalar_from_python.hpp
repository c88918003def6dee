#pragma once
// qtforge/python/detail/scalar_from_python.hpp: Python's numbers, texts, times and paths as C++ values.

#include <qtforge/python/detail/datetime.hpp>
#include <qtforge/python/detail/value_type.hpp>
#include <qtforge/python/python_error.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Makes C++ values of Python's that hold no others. What does not fit leaves `reason` and `place` (as in `["a"][2]`).
class ScalarFromPython {
 public:
  explicit ScalarFromPython(const Gil& gil) : gil_(gil) {}

  std::string reason;
  std::string place;

 protected:
  bool fail(std::string why) {
    if (reason.empty()) reason = std::move(why);
    return false;
  }
  bool mismatch(const std::string& wanted, PyObject* object) {
    return fail(wanted + " expected, " + Py_TYPE(object)->tp_name + " came");
  }
  bool raised(const char* wanted) { return fail(takePythonError(wanted, gil_).message()); }
  // `wanted` names what, or the Python error that is set says why not.
  bool raisedOr(const char* wanted, PyObject* object) {
    return PyErr_Occurred() ? raised(wanted) : mismatch(wanted, object);
  }

  static bool isNumber(PyObject* object) { return !PyUnicode_Check(object) && !PySequence_Check(object); }

  template <class T>
  static bool set(void* out, T value) {
    *static_cast<T*>(out) = value;
    return true;
  }

  bool fromBool(PyObject* object, void* out) {
    if (PyBool_Check(object)) return set(out, object == Py_True);
    const std::string_view type = Py_TYPE(object)->tp_name;
    if (type == "numpy.bool" || type == "numpy.bool_") return set(out, PyObject_IsTrue(object) == 1);
    return mismatch("bool", object);
  }

  template <class T>
  bool setInteger(PyObject* number, void* out) {
    if constexpr (std::is_signed_v<T>) {
      int overflow = 0;
      const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
      if (overflow == 0 && std::in_range<T>(value)) return set(out, static_cast<T>(value));
    } else {
      const unsigned long long value = PyLong_AsUnsignedLongLong(number);
      if (!PyErr_Occurred() && std::in_range<T>(value)) return set(out, static_cast<T>(value));
    }
    PyErr_Clear();
    return fail("int from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                std::to_string(std::numeric_limits<T>::max()) + " expected, " + textOf(number, gil_) + " came");
  }

  bool fromInteger(const TypeInfo& type, PyObject* object, void* out) {
    Ref number = Ref::borrow(object);
    if (PyBool_Check(object)) return mismatch("int", object);
    if (!PyLong_Check(object)) {
      const auto* numbers = Py_TYPE(object)->tp_as_number;
      if (exact_ || !isNumber(object) || !numbers || !numbers->nb_index) return mismatch("int", object);
      number = Ref::steal(PyNumber_Index(object));
      if (!number) return raised("int expected");
    }
    const bool isSigned = type.kind == TypeKind::Int;
    switch (type.size) {
      case 1: return isSigned ? setInteger<std::int8_t>(number.get(), out) : setInteger<std::uint8_t>(number.get(), out);
      case 2: return isSigned ? setInteger<std::int16_t>(number.get(), out) : setInteger<std::uint16_t>(number.get(), out);
      case 4: return isSigned ? setInteger<std::int32_t>(number.get(), out) : setInteger<std::uint32_t>(number.get(), out);
      default: return isSigned ? setInteger<std::int64_t>(number.get(), out) : setInteger<std::uint64_t>(number.get(), out);
    }
  }

  bool fromReal(const TypeInfo& type, PyObject* object, void* out) {
    double value = 0;
    if (PyFloat_Check(object)) {
      value = PyFloat_AS_DOUBLE(object);
    } else {
      const auto* numbers = Py_TYPE(object)->tp_as_number;
      if (exact_ || PyBool_Check(object) || !isNumber(object) || !numbers || !(numbers->nb_float || numbers->nb_index))
        return mismatch("float", object);
      value = PyFloat_AsDouble(object);
      if (PyErr_Occurred()) return raised("float expected");
    }
    if (type.size != sizeof(float)) return set(out, value);
    if (std::isfinite(value) && std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
      return fail("float of 32 bits expected, " + std::to_string(value) + " came");
    return set(out, static_cast<float>(value));
  }

  bool fromText(const TypeInfo& type, PyObject* object, void* out) {
    if (!PyUnicode_Check(object)) return mismatch("str", object);
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(object, &size);
    if (!data) return raised("text that has a UTF-8 form expected");
    const std::string_view text(data, static_cast<std::size_t>(size));
    if (type.kind == TypeKind::TextView) return set(out, text);
    static_cast<std::string*>(out)->assign(text);
    return true;
  }

  bool fromDuration(const ValueType& type, PyObject* object, void* out) {
    const auto micros = Datetime::microsOf(object, gil_);
    if (!micros) return raisedOr("timedelta", object);
    return type.setMicros(out, *micros) || fail("timedelta that a C++ duration of its unit has exactly expected, " +
                                                textOf(object, gil_) + " came");
  }

  bool fromTimePoint(const ValueType& type, PyObject* object, void* out) {
    if (Datetime::isTime(object, gil_)) {
      const Ref zone = Ref::steal(PyObject_CallMethod(object, "utcoffset", nullptr));
      if (!zone) return raised("datetime");
      if (zone.get() == Py_None) return fail("datetime with a time zone expected, " + textOf(object, gil_) + " came");
    }
    const auto micros = Datetime::microsSince1970(object, gil_);
    if (!micros) return raisedOr("datetime", object);
    return type.setMicros(out, *micros) || fail("datetime that a C++ time point of its unit has exactly expected, " +
                                                textOf(object, gil_) + " came");
  }

  bool fromPath(PyObject* object, void* out) {
    const bool text = PyUnicode_Check(object) || PyBytes_Check(object);
    const bool path = !text && PyObject_HasAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object)), "__fspath__");
    if (!path && (exact_ || !text)) return mismatch("Path", object);
    PyObject* converted = nullptr;
    if (!PyUnicode_FSConverter(object, &converted)) return raised("Path");
    const Ref bytes = Ref::steal(converted);
    static_cast<std::filesystem::path*>(out)->assign(
        std::string(PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))));
    return true;
  }

  const Gil& gil_;
  bool exact_ = false;  // nothing is taken that only can be made one
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
