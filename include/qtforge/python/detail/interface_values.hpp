#pragma once
// qtforge/python/detail/interface_values.hpp: values of an interface's methods to Python and back, by their descriptions.

#include <qtforge/core/detail/interface_info.hpp>
#include <qtforge/python/detail/bridge_publish.hpp>

#include <cmath>
#include <limits>

namespace qtforge::inline QTFORGE_ABI::python::detail {

using qtforge::detail::TypeInfo;
using qtforge::detail::TypeKind;

template <class T>
const T& valueAt(const void* place) noexcept {
  return *static_cast<const T*>(place);
}

/// A C++ value as Python's. Null with a Python error set.
inline Ref valueToPython(const TypeInfo& type, const void* value, const Gil& gil) {
  struct Building {
    const TypeInfo& element;
    const Gil& gil;
    Ref made;
  };
  switch (type.kind) {
    case TypeKind::Void: return Ref::borrow(Py_None);
    case TypeKind::Bool: return Ref::borrow(valueAt<bool>(value) ? Py_True : Py_False);
    case TypeKind::Int:
      return Ref::steal(PyLong_FromLongLong(type.size == 1   ? valueAt<std::int8_t>(value)
                                            : type.size == 2 ? valueAt<std::int16_t>(value)
                                            : type.size == 4 ? valueAt<std::int32_t>(value)
                                                             : valueAt<std::int64_t>(value)));
    case TypeKind::Uint:
      return Ref::steal(PyLong_FromUnsignedLongLong(type.size == 1   ? valueAt<std::uint8_t>(value)
                                                    : type.size == 2 ? valueAt<std::uint16_t>(value)
                                                    : type.size == 4 ? valueAt<std::uint32_t>(value)
                                                                     : valueAt<std::uint64_t>(value)));
    case TypeKind::Real:
      return Ref::steal(PyFloat_FromDouble(type.size == sizeof(float) ? static_cast<double>(valueAt<float>(value))
                                                                      : valueAt<double>(value)));
    case TypeKind::Text: return textToPython(valueAt<std::string>(value));
    case TypeKind::TextView: return textToPython(valueAt<std::string_view>(value));
    case TypeKind::Json: return toPythonValue(valueAt<boost::json::value>(value), gil);
    case TypeKind::JsonObject: return objectToPython(valueAt<boost::json::object>(value), gil);
    case TypeKind::JsonArray: return arrayToPython(valueAt<boost::json::array>(value), gil);
    case TypeKind::Binary: return binaryToPython(valueAt<BinaryMessage>(value), gil);
    case TypeKind::Optional: {
      Building building{*type.element, gil, Ref::borrow(Py_None)};
      type.each(value, &building, [](void* self, qtforge::detail::Text, const void* element) {
        auto& b = *static_cast<Building*>(self);
        b.made = valueToPython(b.element, element, b.gil);
        return static_cast<bool>(b.made);
      });
      return building.made;
    }
    case TypeKind::List: {
      Building building{*type.element, gil, Ref::steal(PyList_New(0))};
      const bool all = building.made && type.each(value, &building, [](void* self, qtforge::detail::Text, const void* element) {
        auto& b = *static_cast<Building*>(self);
        const Ref item = valueToPython(b.element, element, b.gil);
        return item && PyList_Append(b.made.get(), item.get()) == 0;
      });
      return all ? building.made : Ref();
    }
    case TypeKind::Map: {
      Building building{*type.element, gil, Ref::steal(PyDict_New())};
      const bool all = building.made && type.each(value, &building, [](void* self, qtforge::detail::Text key, const void* element) {
        auto& b = *static_cast<Building*>(self);
        const Ref name = KeyCache::get(key, b.gil);
        const Ref item = name ? valueToPython(b.element, element, b.gil) : Ref();
        return item && PyDict_SetItem(b.made.get(), name.get(), item.get()) == 0;
      });
      return all ? building.made : Ref();
    }
    case TypeKind::None: break;
  }
  PyErr_SetString(PyExc_TypeError, "a type that this host does not know");
  return {};
}

/// Makes C++ values of Python's. What does not fit leaves `reason` and `place` (as in `["a"][2]`).
class ValueFromPython {
 public:
  explicit ValueFromPython(const Gil& gil) : gil_(gil) {}

  /// @param out  a value of that type; a TextView refers to `object`'s own text
  bool convert(const TypeInfo& type, PyObject* object, void* out) {
    switch (type.kind) {
      case TypeKind::Void: return true;
      case TypeKind::Bool: return fromBool(object, out);
      case TypeKind::Int:
      case TypeKind::Uint: return fromInteger(type, object, out);
      case TypeKind::Real: return fromReal(type, object, out);
      case TypeKind::Text:
      case TypeKind::TextView: return fromText(type, object, out);
      case TypeKind::Optional: return object == Py_None || add(type, {}, object, out);
      case TypeKind::List: return fromList(type, object, out);
      case TypeKind::Map: return fromMap(type, object, out);
      case TypeKind::Json:
      case TypeKind::JsonObject:
      case TypeKind::JsonArray: return fromJson(type, object, out);
      case TypeKind::Binary: return fromBinary(object, out);
      case TypeKind::None: break;
    }
    return fail("a type that this host does not know");
  }

  std::string reason;
  std::string place;

 private:
  bool fail(std::string why) {
    if (reason.empty()) reason = std::move(why);
    return false;
  }
  bool mismatch(const char* wanted, PyObject* object) {
    return fail(std::string(wanted) + " expected, " + Py_TYPE(object)->tp_name + " came");
  }
  bool raised(const char* wanted) { return fail(takePythonError(wanted, gil_).message()); }

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
      if (!isNumber(object) || !numbers || !numbers->nb_index) return mismatch("int", object);
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
      if (PyBool_Check(object) || !isNumber(object) || !numbers || !(numbers->nb_float || numbers->nb_index))
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

  // Makes a new element of a container from `object`.
  bool add(const TypeInfo& container, std::string_view key, PyObject* object, void* out) {
    struct Filling {
      ValueFromPython& self;
      const TypeInfo& element;
      PyObject* object;
    } filling{*this, *container.element, object};
    const bool added = container.add(out, key, &filling, [](void* self, void* element) {
      auto& f = *static_cast<Filling*>(self);
      return f.self.convert(f.element, f.object, element);
    });
    return added || fail("out of memory");
  }

  bool fromList(const TypeInfo& type, PyObject* object, void* out) {
    if (PyUnicode_Check(object) || PyDict_Check(object) || !PySequence_Check(object)) return mismatch("list", object);
    const Ref items = Ref::steal(PySequence_Fast(object, "list expected"));
    if (!items) return raised("list expected");
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
      const Ref held = Ref::borrow(PySequence_Fast_GET_ITEM(items.get(), i));  // converting may run code that changes it
      if (add(type, {}, held.get(), out)) continue;
      place = '[' + std::to_string(i) + ']' + place;
      return false;
    }
    return true;
  }

  bool fromMap(const TypeInfo& type, PyObject* object, void* out) {
    if (!PyDict_Check(object)) return mismatch("dict", object);
    const Ref items = Ref::steal(PyDict_Items(object));
    if (!items) return raised("dict expected");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
      PyObject* item = PyList_GET_ITEM(items.get(), i);
      PyObject* key = PyTuple_GET_ITEM(item, 0);
      if (!PyUnicode_Check(key)) return fail(std::string("a key must be str, not ") + Py_TYPE(key)->tp_name);
      Py_ssize_t size = 0;
      const char* data = PyUnicode_AsUTF8AndSize(key, &size);
      if (!data) return raised("a key that has no UTF-8 form");
      const std::string_view name(data, static_cast<std::size_t>(size));
      if (add(type, name, PyTuple_GET_ITEM(item, 1), out)) continue;
      place = "[\"" + std::string(name) + "\"]" + place;
      return false;
    }
    return true;
  }

  bool fromJson(const TypeInfo& type, PyObject* object, void* out) {
    FromPython conversion(gil_);
    boost::json::value json;
    if (!conversion.convert(object, json)) {
      place = conversion.place;
      return fail(conversion.reason);
    }
    if (!conversion.attachments.empty()) {
      place = conversion.attachments.front().place;
      return fail(": bytes do not go into JSON; a BinaryMessage takes them");
    }
    if (type.kind == TypeKind::Json) {
      *static_cast<boost::json::value*>(out) = std::move(json);
    } else if (type.kind == TypeKind::JsonObject) {
      if (!json.is_object()) return mismatch("dict", object);
      *static_cast<boost::json::object*>(out) = std::move(json.get_object());
    } else {
      if (!json.is_array()) return mismatch("list", object);
      *static_cast<boost::json::array*>(out) = std::move(json.get_array());
    }
    return true;
  }

  bool fromBinary(PyObject* object, void* out) {
    static PyObject* binaryType = nullptr;
    if (!imported(binaryType, "qtforge.communication", "BinaryMessage", gil_)) return raised("BinaryMessage expected");
    const int binary = PyObject_IsInstance(object, binaryType);
    if (binary == 0 && !PyObject_CheckBuffer(object)) return mismatch("BinaryMessage", object);
    Ref made = binary == 1 ? Ref::borrow(object) : Ref();
    if (binary == 0) made = Ref::steal(PyObject_CallFunctionObjArgs(binaryType, object, nullptr));
    BinaryMessage message;
    if (!made || !readBinary(made.get(), message, gil_)) return raised("BinaryMessage expected");
    *static_cast<BinaryMessage*>(out) = std::move(message);
    return true;
  }

  const Gil& gil_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
