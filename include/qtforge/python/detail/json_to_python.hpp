#pragma once
// qtforge/python/detail/json_to_python.hpp: JSON as Python values, and bytes put back in their places.

#include <qtforge/python/ref.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline Ref toPythonValue(const boost::json::value& value, const Gil& gil);

inline Ref textToPython(std::string_view text) {
  return Ref::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "strict"));
}

/// Keys of dicts that were made before: messages repeat theirs, and a str that was a key once has its hash.
class KeyCache {
 public:
  static Ref get(std::string_view text, const Gil&) {
    if (text.empty() || text.size() > longest) return textToPython(text);
    static std::array<PyObject*, 512> keys{};  // references of their own; the GIL is the guard
    PyObject*& slot = keys[indexOf(text) % keys.size()];
    if (slot && static_cast<std::size_t>(PyUnicode_GET_LENGTH(slot)) == text.size() &&
        std::memcmp(PyUnicode_1BYTE_DATA(slot), text.data(), text.size()) == 0)
      return Ref::borrow(slot);
    Ref made = textToPython(text);
    if (made && PyUnicode_IS_COMPACT_ASCII(made.get())) {
      Ref old = Ref::steal(slot);
      slot = Ref(made).release();
    }
    return made;
  }

 private:
  static constexpr std::size_t longest = 64;

  static std::size_t indexOf(std::string_view text) noexcept {
    std::uint64_t first = 0, last = 0;
    const auto part = std::min<std::size_t>(8, text.size());
    std::memcpy(&first, text.data(), part);
    std::memcpy(&last, text.data() + text.size() - part, part);
    const auto mixed = (first * 0x9E3779B97F4A7C15u) ^ (last * 0xC2B2AE3D27D4EB4Fu) ^ text.size();
    return static_cast<std::size_t>(mixed >> 40);
  }
};

inline Ref objectToPython(const boost::json::object& object, const Gil& gil) {
  Ref dict = Ref::steal(PyDict_New());
  if (!dict) return {};
  for (const auto& member : object) {
    const Ref key = KeyCache::get({member.key().data(), member.key().size()}, gil);
    const Ref value = key ? toPythonValue(member.value(), gil) : Ref();
    if (!value || PyDict_SetItem(dict.get(), key.get(), value.get()) != 0) return {};
  }
  return dict;
}

inline Ref arrayToPython(const boost::json::array& array, const Gil& gil) {
  Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(array.size())));
  if (!list) return {};
  for (std::size_t i = 0; i < array.size(); ++i) {
    Ref item = toPythonValue(array[i], gil);
    if (!item) return {};
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item.release());
  }
  return list;
}

inline Ref toPythonValue(const boost::json::value& value, const Gil& gil) {
  switch (value.kind()) {
    case boost::json::kind::null: return Ref::borrow(Py_None);
    case boost::json::kind::bool_: return Ref::borrow(value.get_bool() ? Py_True : Py_False);
    case boost::json::kind::int64: return Ref::steal(PyLong_FromLongLong(value.get_int64()));
    case boost::json::kind::uint64: return Ref::steal(PyLong_FromUnsignedLongLong(value.get_uint64()));
    case boost::json::kind::double_: return Ref::steal(PyFloat_FromDouble(value.get_double()));
    case boost::json::kind::string: return textToPython({value.get_string().data(), value.get_string().size()});
    default: break;
  }
  if (Py_EnterRecursiveCall(" while a message was converted")) return {};
  Ref made = value.is_object() ? objectToPython(value.get_object(), gil) : arrayToPython(value.get_array(), gil);
  Py_LeaveRecursiveCall();
  return made;
}

// Puts `bytes` where the JSON pointer `place` leads in `root`; the root itself for an empty one.
inline bool putAt(Ref& root, std::string_view place, Ref bytes, const Gil&) {
  if (place.empty()) {
    root = std::move(bytes);
    return true;
  }
  Ref container = root;
  for (;;) {
    place.remove_prefix(1);
    const auto end = place.find('/');
    std::string token(place.substr(0, end));
    for (std::size_t at = 0; (at = token.find('~', at)) != std::string::npos; ++at)
      token.replace(at, 2, token[at + 1] == '1' ? "/" : "~");
    const bool last = end == std::string_view::npos;
    if (PyDict_Check(container.get())) {
      const Ref key = textToPython(token);
      if (!key) return false;
      if (last) return PyDict_SetItem(container.get(), key.get(), bytes.get()) == 0;
      container = Ref::borrow(PyDict_GetItemWithError(container.get(), key.get()));
    } else if (PyList_Check(container.get())) {
      const Ref index = Ref::steal(PyLong_FromString(token.c_str(), nullptr, 10));
      if (!index) return false;
      if (last) return PyObject_SetItem(container.get(), index.get(), bytes.get()) == 0;
      container = Ref::steal(PyObject_GetItem(container.get(), index.get()));
    } else {
      container = Ref();
    }
    if (!container) {
      if (!PyErr_Occurred()) PyErr_SetString(PyExc_LookupError, "an attachment's place is not in its message");
      return false;
    }
    place.remove_prefix(end);
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
