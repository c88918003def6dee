#pragma once
// qtforge/python/detail/value_to_python.hpp: C++ values as Python's, by their descriptions.

#include <qtforge/python/detail/bridge_publish.hpp>
#include <qtforge/python/detail/datetime.hpp>
#include <qtforge/python/detail/lent_view.hpp>
#include <qtforge/python/detail/value_type.hpp>

#include <filesystem>

namespace qtforge::inline QTFORGE_ABI::python::detail {

template <class T>
const T& valueAt(const void* place) noexcept {
  return *static_cast<const T*>(place);
}

inline Ref numberToPython(const TypeInfo& type, const void* value) {
  if (type.kind == TypeKind::Real)
    return Ref::steal(PyFloat_FromDouble(type.size == sizeof(float) ? static_cast<double>(valueAt<float>(value))
                                                                    : valueAt<double>(value)));
  if (type.kind == TypeKind::Int)
    return Ref::steal(PyLong_FromLongLong(type.size == 1   ? valueAt<std::int8_t>(value)
                                          : type.size == 2 ? valueAt<std::int16_t>(value)
                                          : type.size == 4 ? valueAt<std::int32_t>(value)
                                                           : valueAt<std::int64_t>(value)));
  return Ref::steal(PyLong_FromUnsignedLongLong(type.size == 1   ? valueAt<std::uint8_t>(value)
                                                : type.size == 2 ? valueAt<std::uint16_t>(value)
                                                : type.size == 4 ? valueAt<std::uint32_t>(value)
                                                                 : valueAt<std::uint64_t>(value)));
}

/// Makes Python values of C++ ones. What fails leaves a Python error set, and `place` (as in `[2].name`).
class ValueToPython {
 public:
  explicit ValueToPython(const Gil& gil) : gil_(gil) {}

  Ref make(const TypeInfo& type, const void* value) {
    switch (type.kind) {
      case TypeKind::Void: return Ref::borrow(Py_None);
      case TypeKind::Bool: return Ref::borrow(valueAt<bool>(value) ? Py_True : Py_False);
      case TypeKind::Int:
      case TypeKind::Uint:
      case TypeKind::Real: return numberToPython(type, value);
      case TypeKind::Text: return textToPython(valueAt<std::string>(value));
      case TypeKind::TextView: return textToPython(valueAt<std::string_view>(value));
      case TypeKind::Json: return toPythonValue(valueAt<boost::json::value>(value), gil_);
      case TypeKind::JsonObject: return objectToPython(valueAt<boost::json::object>(value), gil_);
      case TypeKind::JsonArray: return arrayToPython(valueAt<boost::json::array>(value), gil_);
      case TypeKind::Binary: return binaryToPython(valueAt<BinaryMessage>(value), gil_);
      case TypeKind::Optional: return optional(type, value);
      case TypeKind::List: return list(type, value);
      case TypeKind::Map: return map(type, value);
      case TypeKind::Extended: return extended(static_cast<const ValueType&>(type), value);
      case TypeKind::None: break;
    }
    return refuse("a type that this host does not know");
  }

  /// Ends the views that were made of spans. @return false: Python still uses the memory of one
  bool endLoans() {
    bool ended = true;
    for (auto& view : lent_) ended = view.end(gil_) && ended;
    return ended;
  }

  std::string place;

 private:
  // What a walk through a container makes.
  struct Building {
    ValueToPython& self;
    const TypeInfo& element;
    const TypeInfo* key;
    Ref made;
    std::size_t index = 0;
  };

  static Ref refuse(const char* why) {
    PyErr_SetString(PyExc_TypeError, why);
    return {};
  }

  Ref optional(const TypeInfo& type, const void* value) {
    Building building{*this, *type.element, nullptr, Ref::borrow(Py_None)};
    type.each(value, &building, [](void* self, Text, const void* element) {
      auto& b = *static_cast<Building*>(self);
      b.made = b.self.make(b.element, element);
      return static_cast<bool>(b.made);
    });
    return building.made;
  }

  Ref list(const TypeInfo& type, const void* value) {
    Building building{*this, *type.element, nullptr, Ref::steal(PyList_New(0))};
    const bool all = building.made && type.each(value, &building, [](void* self, Text, const void* element) {
      auto& b = *static_cast<Building*>(self);
      const Ref item = b.self.make(b.element, element);
      if (!item) return b.self.at(b.index);
      ++b.index;
      return PyList_Append(b.made.get(), item.get()) == 0;
    });
    return all ? building.made : Ref();
  }

  Ref map(const TypeInfo& type, const void* value) {
    Building building{*this, *type.element, nullptr, Ref::steal(PyDict_New())};
    const bool all = building.made && type.each(value, &building, [](void* self, Text key, const void* element) {
      auto& b = *static_cast<Building*>(self);
      const Ref name = KeyCache::get(key, b.self.gil_);
      const Ref item = name ? b.self.make(b.element, element) : Ref();
      if (name && !item) return b.self.at(name.get());
      return item && PyDict_SetItem(b.made.get(), name.get(), item.get()) == 0;
    });
    return all ? building.made : Ref();
  }

  Ref dict(const ValueType& type, const void* value) {
    Building building{*this, *type.element, type.key, Ref::steal(PyDict_New())};
    const bool all = building.made && type.entries(value, &building, [](void* self, const void* key, const void* mapped) {
      auto& b = *static_cast<Building*>(self);
      const Ref name = b.key->kind == TypeKind::Text ? KeyCache::get(valueAt<std::string>(key), b.self.gil_)
                                                     : b.self.make(*b.key, key);
      const Ref item = name ? b.self.make(b.element, mapped) : Ref();
      if (name && !item) return b.self.at(name.get());
      return item && PyDict_SetItem(b.made.get(), name.get(), item.get()) == 0;
    });
    return all ? building.made : Ref();
  }

  Ref extended(const ValueType& type, const void* value) {
    switch (type.extended) {
      case ValueKind::Nothing: return Ref::borrow(Py_None);
      case ValueKind::Numbers: return numbers(type, value);
      case ValueKind::Span: return span(type, value);
      case ValueKind::Bytes: return viewOf(valueAt<Buffer>(value), gil_);
      case ValueKind::Any: return any(type.apart(value));
      case ValueKind::Tuple:
      case ValueKind::Array: return parts(type, value);
      case ValueKind::Record: return record(type, value);
      case ValueKind::Variant: {
        const auto index = type.index(value);
        if (index == type.count) return refuse("a variant without a value");
        return make(*type.parts[index], type.part(const_cast<void*>(value), index));
      }
      case ValueKind::Dict: return dict(type, value);
      case ValueKind::Duration:
      case ValueKind::TimePoint: {
        std::int64_t micros = 0;
        if (!type.micros(value, &micros)) return refuse("a time of more than 292,000 years");
        return type.extended == ValueKind::Duration ? Datetime::delta(micros, gil_) : Datetime::time(micros, gil_);
      }
      case ValueKind::Path: return path(valueAt<std::filesystem::path>(value));
      case ValueKind::Converted: return converted(type, value);
      case ValueKind::Plain: break;
    }
    return refuse("a type that this host does not know");
  }

  // Thousands of them may come: as little as possible is done for each.
  Ref numbers(const ValueType& type, const void* value) {
    std::size_t size = 0;
    const auto* data = static_cast<const char*>(type.data(value, &size));
    Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(size)));
    if (!list) return {};
    if (type.element->kind == TypeKind::Real && type.element->size == sizeof(double)) {
      const auto* doubles = reinterpret_cast<const double*>(data);
      for (std::size_t i = 0; i < size; ++i) {
        PyObject* item = PyFloat_FromDouble(doubles[i]);
        if (!item) return {};
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item);
      }
      return list;
    }
    for (std::size_t i = 0; i < size; ++i) {
      Ref item = numberToPython(*type.element, data + i * type.element->size);
      if (!item) return {};
      PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item.release());
    }
    return list;
  }

  Ref span(const ValueType& type, const void* value) {
    std::size_t size = 0;
    const void* data = type.data(value, &size);
    return lent_.emplace_back(*type.element, data, size, gil_).view();
  }

  Ref any(const AnyParts& parts) {
    return parts.binary ? binaryToPython(*parts.binary, gil_) : toPython(*parts.json, *parts.attachments, gil_);
  }

  Ref parts(const ValueType& type, const void* value) {
    const bool tuple = type.extended == ValueKind::Tuple;
    const auto count = static_cast<Py_ssize_t>(type.count);
    const Ref made = Ref::steal(tuple ? PyTuple_New(count) : PyList_New(count));
    for (std::size_t i = 0; made && i < type.count; ++i) {
      Ref item = make(tuple ? *type.parts[i] : *type.element, type.part(const_cast<void*>(value), i));
      if (!item) return at(i), Ref();
      if (tuple) PyTuple_SET_ITEM(made.get(), static_cast<Py_ssize_t>(i), item.release());
      else PyList_SET_ITEM(made.get(), static_cast<Py_ssize_t>(i), item.release());
    }
    return made;
  }

  Ref record(const ValueType& type, const void* value) {
    Ref made = Ref::steal(PyDict_New());
    for (std::size_t i = 0; made && i < type.count; ++i) {
      const std::string_view name = type.names[i];
      const Ref key = KeyCache::get(name, gil_);
      const Ref item = key ? make(*type.parts[i], type.part(const_cast<void*>(value), i)) : Ref();
      if (!item) place.insert(0, "." + std::string(name));
      if (!item || PyDict_SetItem(made.get(), key.get(), item.get()) != 0) return {};
    }
    return made;
  }

  Ref path(const std::filesystem::path& path) {
    static PyObject* type = nullptr;
    if (!imported(type, "pathlib", "Path", gil_)) return {};
    const auto size = static_cast<Py_ssize_t>(path.native().size());
    const Ref text = Ref::steal(PyUnicode_DecodeFSDefaultAndSize(path.c_str(), size));
    return text ? Ref::steal(PyObject_CallOneArg(type, text.get())) : Ref();
  }

  Ref converted(const ValueType& type, const void* value) {
    if (!type.lend) return refuse("a type that does not go to Python: its PythonConversion has no toPython()");
    Building building{*this, *type.element, nullptr, {}};
    Error error;
    const bool lent = type.lend(value, &building, [](void* self, const void* form) {
      auto& b = *static_cast<Building*>(self);
      b.made = b.self.make(b.element, form);
      return static_cast<bool>(b.made);
    }, qtforge::detail::sinkInto(error));
    if (lent) return building.made;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, error.message().c_str());
    return {};
  }

  bool at(std::size_t index) {
    place.insert(0, "[" + std::to_string(index) + "]");
    return false;
  }
  bool at(PyObject* key);

  const Gil& gil_;
  std::vector<LentView> lent_;
};

/// A key as in `["a"]`, an element's place as in `[2]`.
inline std::string placeOf(PyObject* key, const Gil& gil) {
  if (PyUnicode_Check(key)) return "[\"" + textOf(key, gil) + "\"]";
  const Ref shown = Ref::steal(PyObject_Repr(key));
  PyErr_Clear();
  return shown ? "[" + textOf(shown.get(), gil) + "]" : "[...]";
}

inline bool ValueToPython::at(PyObject* key) {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;  // showing the key must not touch what is set
  PyErr_Fetch(&type, &value, &traceback);
  place.insert(0, placeOf(key, gil_));
  PyErr_Restore(type, value, traceback);
  return false;
}

/// A C++ value as Python's. Null with a Python error set.
inline Ref valueToPython(const TypeInfo& type, const void* value, const Gil& gil) {
  return ValueToPython(gil).make(type, value);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
