#pragma once
// qtforge/python/detail/datetime.hpp: Python's timedelta and datetime by microseconds.

#include <qtforge/python/detail/interpreter.hpp>

#include <cstdint>
#include <optional>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Through the objects, not datetime.h, whose table would be another in every file that includes it.
class Datetime {
 public:
  /// A timedelta. Null with a Python error set.
  static Ref delta(std::int64_t micros, const Gil& gil) {
    PyObject* type = deltaType(gil);
    constexpr std::int64_t perSecond = 1'000'000;
    const auto seconds = micros / perSecond - (micros % perSecond < 0 ? 1 : 0);
    return Ref::steal(type ? PyObject_CallFunction(type, "iLL", 0, static_cast<long long>(seconds),
                                                   static_cast<long long>(micros - seconds * perSecond))
                           : nullptr);
  }

  /// A datetime in UTC, of so much after 1970. Null with a Python error set.
  static Ref time(std::int64_t micros, const Gil& gil) {
    PyObject* begin = epoch(gil);
    const Ref since = begin ? delta(micros, gil) : Ref();
    return since ? Ref::steal(PyNumber_Add(begin, since.get())) : Ref();
  }

  /// Of a timedelta. Nothing, with or without a Python error set, where it is none or does not fit.
  static std::optional<std::int64_t> microsOf(PyObject* delta, const Gil& gil) {
    PyObject* type = deltaType(gil);
    if (!type || PyObject_IsInstance(delta, type) != 1) return std::nullopt;
    std::int64_t parts[3] = {};
    const char* names[] = {"days", "seconds", "microseconds"};
    for (int i = 0; i < 3; ++i) {
      const Ref part = Ref::steal(PyObject_GetAttrString(delta, names[i]));
      parts[i] = part ? PyLong_AsLongLong(part.get()) : -1;
      if (PyErr_Occurred()) return std::nullopt;
    }
    std::int64_t micros = 0;
    if (__builtin_mul_overflow(parts[0] * 86'400 + parts[1], std::int64_t{1'000'000}, &micros) ||
        __builtin_add_overflow(micros, parts[2], &micros))
      return std::nullopt;
    return micros;
  }

  /// As microsOf, of a datetime with a time zone, since 1970.
  static std::optional<std::int64_t> microsSince1970(PyObject* time, const Gil& gil) {
    PyObject* begin = isTime(time, gil) ? epoch(gil) : nullptr;
    const Ref since = Ref::steal(begin ? PyNumber_Subtract(time, begin) : nullptr);
    return since ? microsOf(since.get(), gil) : std::nullopt;
  }

  static bool isTime(PyObject* object, const Gil& gil) {
    static PyObject* type = nullptr;
    return imported(type, "datetime", "datetime", gil) && PyObject_IsInstance(object, type) == 1;
  }

 private:
  static PyObject* deltaType(const Gil& gil) {
    static PyObject* type = nullptr;
    return imported(type, "datetime", "timedelta", gil);
  }

  // A borrowed reference that lives as long as the process.
  static PyObject* epoch(const Gil& gil) {
    static PyObject *begin = nullptr, *type = nullptr, *zones = nullptr;
    if (begin) return begin;
    if (!imported(type, "datetime", "datetime", gil) || !imported(zones, "datetime", "timezone", gil)) return nullptr;
    const Ref utc = Ref::steal(PyObject_GetAttrString(zones, "utc"));
    begin = utc ? PyObject_CallFunction(type, "iiiiiiiO", 1970, 1, 1, 0, 0, 0, 0, utc.get()) : nullptr;
    return begin;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
