#pragma once
// qtforge/python/detail/subscribe_options.hpp: what Python says of a subscription, as a dict: checked and read.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/subscription.hpp>
#include <qtforge/python/ref.hpp>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Reads one option of the package's `subscribe`, `respond` or `tap` at a time. What is not there stays as it is; for what is
/// wrong the functions return false with a TypeError or ValueError set that names function and argument. With the GIL.
class OptionReader {
 public:
  /// @param options   a dict, None or null
  /// @param function  whose they are
  explicit OptionReader(PyObject* options, const char* function = "subscribe")
      : options_(options && options != Py_None ? options : nullptr), function_(function) {
    if (find("responds") == Py_True) function_ = "respond";
  }

  /// Borrowed; null if it is not there.
  [[nodiscard]] PyObject* find(const char* name) const { return options_ ? PyDict_GetItemString(options_, name) : nullptr; }

  bool flag(const char* name, bool& out) const {
    PyObject* given = find(name);
    if (!given) return true;
    if (!PyBool_Check(given)) return wrongType(name, "bool", given);
    out = given == Py_True;
    return true;
  }

  /// @param out  the place among `choices`
  bool choice(const char* name, std::initializer_list<const char*> choices, std::int32_t& out) const {
    PyObject* given = find(name);
    if (!given) return true;
    if (!PyUnicode_Check(given)) return wrongType(name, "str", given);
    std::int32_t index = 0;
    std::string known;
    for (const char* one : choices) {
      if (PyUnicode_CompareWithASCIIString(given, one) == 0) {
        out = index;
        return true;
      }
      ++index;
      known += (known.empty() ? "'" : ", '") + std::string(one) + "'";
    }
    PyErr_Format(PyExc_ValueError, "%s() argument '%s' must be one of %s, not %R", function_, name, known.c_str(), given);
    return false;
  }

  /// At least 1.
  bool count(const char* name, std::uint64_t& out) const {
    PyObject* given = find(name);
    if (!given) return true;
    if (PyBool_Check(given) || !PyIndex_Check(given)) return wrongType(name, "int", given);
    const Ref number = Ref::steal(PyNumber_Index(given));
    const Py_ssize_t size = number ? PyLong_AsSsize_t(number.get()) : -1;
    if (size == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) return false;
    if (size < 1) {
      PyErr_Format(PyExc_ValueError, "%s() argument '%s' must be at least 1 and fit a size, not %R", function_, name, given);
      return false;
    }
    out = static_cast<std::uint64_t>(size);
    return true;
  }

  /// Seconds, of which more than 11 days are as good as for ever.
  bool duration(const char* name, std::int64_t& nanoseconds) const {
    PyObject* given = find(name);
    if (!given) return true;
    const double seconds = PyFloat_AsDouble(given);
    if (seconds == -1.0 && PyErr_Occurred())
      return PyErr_ExceptionMatches(PyExc_TypeError) && wrongType(name, "a number of seconds", given);
    if (!(seconds >= 0)) {
      PyErr_Format(PyExc_ValueError, "%s() argument '%s' must be a number of seconds of at least 0, not %R", function_, name,
                   given);
      return false;
    }
    nanoseconds = static_cast<std::int64_t>(std::min(seconds, 1e6) * 1e9);
    return true;
  }

  /// @param out  borrowed; null if it is not there, or None
  bool callable(const char* name, PyObject*& out) const {
    PyObject* given = find(name);
    out = given == Py_None ? nullptr : given;
    return !out || PyCallable_Check(out) || wrongType(name, "callable or None", given);
  }

  /// @param out  valid as long as the options
  bool text(const char* name, qtforge::detail::Text& out) const {
    PyObject* given = find(name);
    if (!given) return true;
    if (!PyUnicode_Check(given)) return wrongType(name, "str", given);
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(given, &size);
    if (!data) return false;
    out = std::string_view(data, static_cast<std::size_t>(size));
    return true;
  }

 private:
  bool wrongType(const char* name, const char* expected, PyObject* given) const {
    PyErr_Format(PyExc_TypeError, "%s() argument '%s' must be %s, not %.200s", function_, name, expected,
                 Py_TYPE(given)->tp_name);
    return false;
  }

  PyObject* options_;
  const char* function_;
};

/// All that SubscribeArgs holds of them. False with a Python error set.
inline bool readSubscribeOptions(const OptionReader& given, qtforge::detail::SubscribeArgs& args) {
  const SubscribeOptions defaults;
  args.capacity = defaults.capacity;
  args.blockNanoseconds = defaults.blockTimeout.count();
  return given.choice("delivery", {"queued", "direct"}, args.delivery) &&
         given.choice("policy", {"block", "drop_oldest", "drop_newest", "fail", "latest"}, args.policy) &&
         given.count("capacity", args.capacity) && given.duration("block_timeout", args.blockNanoseconds) &&
         given.text("group", args.group) && given.flag("retained", args.retained) &&
         given.flag("responds", args.responds);
}

/// The same for a tap.
inline bool readTapOptions(const OptionReader& given, qtforge::detail::SubscribeArgs& args) {
  constexpr OverflowPolicy policies[] = {OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Latest};
  args.tap = true;
  args.retained = false;
  args.capacity = TapOptions().capacity;
  std::int32_t policy = 0;
  if (!given.choice("policy", {"drop_oldest", "drop_newest", "latest"}, policy)) return false;
  args.policy = static_cast<std::int32_t>(policies[policy]);
  return given.count("every", args.every) && given.count("capacity", args.capacity);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
