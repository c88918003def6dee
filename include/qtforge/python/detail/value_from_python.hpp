#pragma once
// qtforge/python/detail/value_from_python.hpp: Python values as C++ ones, by their descriptions.

#include <qtforge/python/detail/document_from_python.hpp>
#include <qtforge/python/detail/value_name.hpp>
#include <qtforge/python/detail/value_to_python.hpp>

#include <bit>
#include <cstring>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Makes C++ values of Python's. What does not fit leaves `reason` and `place` (as in `["a"][2]`).
class ValueFromPython : public DocumentFromPython {
 public:
  explicit ValueFromPython(const Gil& gil) : DocumentFromPython(gil) {}

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
      case TypeKind::List: return nested([&] { return fromList(type, object, out); });
      case TypeKind::Map: return nested([&] { return fromMap(type, object, out); });
      case TypeKind::Json:
      case TypeKind::JsonObject:
      case TypeKind::JsonArray: return fromJson(type, object, out);
      case TypeKind::Binary: return fromBinary(object, out);
      case TypeKind::Extended:
        return nested([&] { return fromExtended(static_cast<const ValueType&>(type), object, out); });
      case TypeKind::None: break;
    }
    return fail("a type that this host does not know");
  }

 private:
  // Lists that hold themselves have no end.
  template <class F>
  bool nested(F&& f) {
    if (depth_ == maxPayloadDepth) return fail("nested deeper than " + std::to_string(maxPayloadDepth) + " containers");
    ++depth_;
    const bool done = f();
    --depth_;
    return done;
  }

  bool failAt(const std::string& where) {
    place.insert(0, where);
    return false;
  }
  bool failAt(Py_ssize_t index) { return failAt("[" + std::to_string(index) + "]"); }

  bool fromExtended(const ValueType& type, PyObject* object, void* out) {
    switch (type.extended) {
      case ValueKind::Nothing: return object == Py_None || mismatch("None", object);
      case ValueKind::Numbers: return fromNumbers(type, object, out);
      case ValueKind::Bytes: return fromBytes(object, out);
      case ValueKind::Any: return fromAny(type, object, out);
      case ValueKind::Tuple:
      case ValueKind::Array: return fromParts(type, object, out);
      case ValueKind::Record: return fromRecord(type, object, out);
      case ValueKind::Variant: return fromVariant(type, object, out);
      case ValueKind::Dict: return fromDict(type, object, out);
      case ValueKind::Duration: return fromDuration(type, object, out);
      case ValueKind::TimePoint: return fromTimePoint(type, object, out);
      case ValueKind::Path: return fromPath(object, out);
      case ValueKind::Converted: return fromConverted(type, object, out);
      case ValueKind::Span:
      case ValueKind::Plain: break;
    }
    return fail("a type that this host does not know");
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

  // The items of a list, tuple, set or other sequence but text; null: it is none, which has been told.
  Ref itemsOf(const char* wanted, PyObject* object) {
    const bool text = PyUnicode_Check(object) || PyDict_Check(object);
    const bool fits = exact_ ? PyList_Check(object) : PyList_Check(object) || PyTuple_Check(object) ||
                                                          PyAnySet_Check(object) || (!text && PySequence_Check(object));
    Ref items = Ref::steal(fits ? PySequence_Fast(object, "list expected") : nullptr);
    if (!items) raisedOr(wanted, object);
    return items;
  }

  bool fromList(const TypeInfo& type, PyObject* object, void* out) {
    const Ref items = itemsOf("list", object);
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
      const Ref held = Ref::borrow(PySequence_Fast_GET_ITEM(items.get(), i));  // converting may run code that changes it
      if (!add(type, {}, held.get(), out)) return failAt(i);
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
      return failAt("[\"" + std::string(name) + "\"]");
    }
    return true;
  }

  // The numbers of a buffer of just that type, in one copy. @return false: it is none of that kind
  bool copyNumbers(const ValueType& type, PyObject* object, void* out) {
    if (!PyObject_CheckBuffer(object)) return false;
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) return PyErr_Clear(), false;
    const auto& element = *type.element;
    const std::string_view format = view.format ? view.format : "B";
    constexpr std::string_view order = std::endian::native == std::endian::little ? "@=<" : "@=>!";
    const bool native = format.size() == 1 || (format.size() == 2 && order.find(format[0]) != std::string_view::npos);
    const std::string_view letters = element.kind == TypeKind::Real ? "fd" : element.kind == TypeKind::Int ? "bhilqn" : "BHILQN";
    bool same = view.ndim == 1 && native && view.itemsize == static_cast<Py_ssize_t>(element.size) &&
                letters.find(format.back()) != std::string_view::npos;
    const auto count = same ? static_cast<std::size_t>(view.len / view.itemsize) : 0;
    same = same && (type.count == 0 || type.count == count);
    void* data = same ? type.resize(out, count) : nullptr;
    same = same && (data || count == 0);
    if (same && count != 0) std::memcpy(data, view.buf, static_cast<std::size_t>(view.len));
    PyBuffer_Release(&view);
    return same;
  }

  bool fromNumbers(const ValueType& type, PyObject* object, void* out) {
    if (!exact_ && copyNumbers(type, object, out)) return true;
    if (PyBytes_Check(object) || PyByteArray_Check(object)) return mismatch("list", object);
    const Ref items = itemsOf("list", object);
    if (!items) return false;
    const auto size = PySequence_Fast_GET_SIZE(items.get());
    const auto count = static_cast<std::size_t>(size);
    if (type.count != 0 && type.count != count) return wrongLength("list", type.count, count);
    auto* data = static_cast<char*>(type.resize(out, count));
    if (!data && size != 0) return fail("out of memory");
    const bool doubles = type.element->kind == TypeKind::Real && type.element->size == sizeof(double);
    for (Py_ssize_t i = 0; i < size; ++i, data += type.element->size) {
      if (PySequence_Fast_GET_SIZE(items.get()) != size) return fail("the list changed while it was converted");
      PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
      if (doubles && PyFloat_CheckExact(item)) {
        *reinterpret_cast<double*>(data) = PyFloat_AS_DOUBLE(item);
        continue;
      }
      const Ref held = Ref::borrow(item);
      if (!convert(*type.element, item, data)) return failAt(i);
    }
    return true;
  }

  bool wrongLength(const char* what, std::size_t wanted, std::size_t came) {
    return fail(std::string(what) + " of " + std::to_string(wanted) + " expected, one of " + std::to_string(came) + " came");
  }

  bool fromParts(const ValueType& type, PyObject* object, void* out) {
    const bool tuple = type.extended == ValueKind::Tuple;
    const char* wanted = tuple ? "tuple" : "list";
    const bool exactly = tuple ? PyTuple_Check(object) : PyList_Check(object);
    if (!exactly && (exact_ || (tuple && !PyList_Check(object)))) return mismatch(wanted, object);
    const Ref items = exactly ? Ref::borrow(object) : itemsOf(wanted, object);
    if (!items) return false;
    const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(items.get()));
    if (count != type.count) return wrongLength(wanted, type.count, count);
    for (std::size_t i = 0; i < type.count; ++i) {
      const auto index = static_cast<Py_ssize_t>(i);
      if (index >= PySequence_Fast_GET_SIZE(items.get())) return fail("the list changed while it was converted");
      const Ref held = Ref::borrow(PySequence_Fast_GET_ITEM(items.get(), index));
      if (!convert(tuple ? *type.parts[i] : *type.element, held.get(), type.part(out, i))) return failAt(index);
    }
    return true;
  }

  bool fromRecord(const ValueType& type, PyObject* object, void* out) {
    if (!PyDict_Check(object)) return mismatch("dict", object);
    for (std::size_t i = 0; i < type.count; ++i) {
      const std::string_view name = type.names[i];
      const Ref key = KeyCache::get(name, gil_);
      const Ref value = Ref::borrow(key ? PyDict_GetItemWithError(object, key.get()) : nullptr);
      if (!value && PyErr_Occurred()) return raised("dict");
      const auto& member = *type.parts[i];
      if (value ? convert(member, value.get(), type.part(out, i)) : member.kind == TypeKind::Optional) continue;
      if (!value) fail(nameOf(member) + " expected, nothing came");
      return failAt("." + std::string(name));
    }
    return true;
  }

  bool fromVariant(const ValueType& type, PyObject* object, void* out) {
    const bool outer = exact_;
    std::string deep, where;  // of the last alternative that fits but for something in it
    for (const bool exact : {true, false}) {
      if (outer && !exact) break;
      for (std::size_t i = 0; i < type.count; ++i) {
        exact_ = exact;
        void* part = type.emplace(out, i);
        const bool fits = part && convert(*type.parts[i], object, part);
        exact_ = outer;
        if (fits) return true;
        if (!part) return fail("an alternative that cannot be made");
        if (!place.empty()) deep = std::move(reason), where = std::move(place);
        reason.clear();
        place.clear();
      }
    }
    place = where;
    if (!deep.empty()) return fail(deep);
    return mismatch(nameOf(type), object);
  }

  bool fromDict(const ValueType& type, PyObject* object, void* out) {
    if (!PyDict_Check(object)) return mismatch("dict", object);
    const Ref items = Ref::steal(PyDict_Items(object));
    if (!items) return raised("dict");
    struct Filling {
      ValueFromPython& self;
      const ValueType& type;
      PyObject *key, *value;
    };
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
      PyObject* item = PyList_GET_ITEM(items.get(), i);
      Filling filling{*this, type, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1)};
      const bool taken = type.insert(out, &filling, [](void* self, void* key, void* value) {
        auto& f = *static_cast<Filling*>(self);
        if (!f.self.convert(*f.type.key, f.key, key)) {
          f.self.reason.insert(0, "a key: ");
          f.self.place.clear();
          return false;
        }
        return f.self.convert(*f.type.element, f.value, value);
      });
      if (!taken) return fail("out of memory") || failAt(placeOf(filling.key, gil_));
    }
    return true;
  }

  bool fromConverted(const ValueType& type, PyObject* object, void* out) {
    if (!type.accept) return fail("a type that does not come from Python: its PythonConversion has no fromPython()");
    struct Filling {
      ValueFromPython& self;
      const TypeInfo& form;
      PyObject* object;
    } filling{*this, *type.key, object};
    Error error;
    const bool made = type.accept(out, &filling, [](void* self, void* form) {
      auto& f = *static_cast<Filling*>(self);
      return f.self.convert(f.form, f.object, form);
    }, qtforge::detail::sinkInto(error));
    return made || fail(error.message());
  }

  int depth_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
