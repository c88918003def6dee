#pragma once
// qtforge/python/convert.hpp: Python values to boost::json and back, directly; bytes go beside, as attachments.

#include <qtforge/communication/message.hpp>
#include <qtforge/python/buffer_view.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>

#include <array>
#include <cstring>
#include <string>

namespace qtforge::inline QTFORGE_ABI::python {

namespace detail {

/// Converts one Python value. What does not fit leaves `reason` and `place` (as in `["a"][2]`).
class FromPython {
 public:
  explicit FromPython(const Gil& gil) : gil_(gil) {}

  bool convert(PyObject* object, boost::json::value& out) {
    if (object == Py_None) return out = nullptr, true;
    if (object == Py_True) return out = true, true;
    if (object == Py_False) return out = false, true;
    if (PyUnicode_Check(object)) return fromText(object, out);
    if (PyLong_Check(object)) return fromInteger(object, out);
    if (PyFloat_Check(object)) return out = PyFloat_AS_DOUBLE(object), true;
    if (PyDict_Check(object)) return nested([&] { return fromDict(object, out); });
    if (PyList_Check(object) || PyTuple_Check(object)) return nested([&] { return fromSequence(object, out); });
    if (PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object)) return fromBytes(object, out);
    return fromProtocol(object, out);
  }

  std::string reason;
  std::string place;
  Attachments attachments;

 private:
  template <class F>
  bool nested(F&& f) {
    if (depth_ == maxPayloadDepth) return fail("nested deeper than " + std::to_string(maxPayloadDepth) + " containers");
    ++depth_;
    const bool done = f();
    --depth_;
    return done;
  }

  bool fail(std::string why) {
    reason = std::move(why);
    return false;
  }

  bool failed(const char* what) {
    return fail(takePythonError(what, gil_).message());
  }

  static std::string typeName(PyObject* object) { return Py_TYPE(object)->tp_name; }

  bool fromText(PyObject* object, boost::json::value& out) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(object, &size);
    if (!data) return failed("text that has no UTF-8 form");
    out.emplace_string().assign(data, static_cast<std::size_t>(size));
    return true;
  }

  bool fromInteger(PyObject* object, boost::json::value& out) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) return out = value, true;
    if (overflow > 0) {
      const unsigned long long large = PyLong_AsUnsignedLongLong(object);
      if (!PyErr_Occurred()) return out = large, true;
      PyErr_Clear();
    }
    return fail("int outside 64 bits");
  }

  // Prefixes places found below one container with its own segment.
  void prefix(const std::string& segment, const std::string& pointerToken, std::size_t firstAttachment, bool bad) {
    if (bad) place = segment + place;
    for (std::size_t i = firstAttachment; i < attachments.size(); ++i)
      attachments[i].place = "/" + pointerToken + attachments[i].place;
  }

  static std::string escaped(std::string_view key) {  // RFC 6901
    std::string token;
    for (const char c : key) {
      if (c == '~') token += "~0";
      else if (c == '/') token += "~1";
      else token += c;
    }
    return token;
  }

  bool fromDict(PyObject* dict, boost::json::value& out) {
    auto& object = out.emplace_object();
    object.reserve(static_cast<std::size_t>(PyDict_Size(dict)));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
      if (!PyUnicode_Check(key)) {
        const Ref shown = Ref::steal(PyObject_Repr(key));
        PyErr_Clear();
        return fail("a key must be str, not " + typeName(key) +
                    (shown ? " (" + textOf(shown.get(), gil_) + ")" : std::string()));
      }
      Py_ssize_t size = 0;
      const char* data = PyUnicode_AsUTF8AndSize(key, &size);
      if (!data) return failed("a key that has no UTF-8 form");
      const std::string_view name(data, static_cast<std::size_t>(size));
      const Ref held = Ref::borrow(value);  // converting may run code that changes the dict
      const auto before = attachments.size();
      auto& slot = object[name];
      const bool bad = !convert(held.get(), slot);
      if (bad || attachments.size() != before)
        prefix("[\"" + std::string(name) + "\"]", escaped(name), before, bad);
      if (bad) return false;
    }
    return true;
  }

  bool fromSequence(PyObject* sequence, boost::json::value& out) {
    const bool list = PyList_Check(sequence);
    auto& array = out.emplace_array();
    array.reserve(static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence)));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); ++i) {
      const Ref held = Ref::borrow(list ? PyList_GET_ITEM(sequence, i) : PyTuple_GET_ITEM(sequence, i));
      const auto before = attachments.size();
      array.emplace_back(nullptr);
      const bool bad = !convert(held.get(), array.back());
      if (bad || attachments.size() != before) {
        const auto index = std::to_string(i);
        prefix("[" + index + "]", index, before, bad);
      }
      if (bad) return false;
    }
    return true;
  }

  bool fromBytes(PyObject* object, boost::json::value& out) {
    auto bytes = bufferOf(object, gil_);
    if (!bytes) return fail(bytes.error().message());
    out = nullptr;
    attachments.push_back({std::string(), std::move(*bytes)});
    return true;
  }

  // Numbers of other libraries, numpy's scalars first of all, by what they say they are.
  bool fromProtocol(PyObject* object, boost::json::value& out) {
    const auto* numbers = Py_TYPE(object)->tp_as_number;
    const bool sequence = PySequence_Check(object);
    if (!sequence && numbers && numbers->nb_index) {
      const Ref integer = Ref::steal(PyNumber_Index(object));
      if (integer) return fromInteger(integer.get(), out);
      PyErr_Clear();
    }
    const std::string type = typeName(object);
    if (type == "numpy.bool" || type == "numpy.bool_") return out = PyObject_IsTrue(object) == 1, true;
    if (!sequence && numbers && numbers->nb_float) {
      const Ref real = Ref::steal(PyNumber_Float(object));
      if (!real) return failed(type.c_str());
      return out = PyFloat_AS_DOUBLE(real.get()), true;
    }
    if (PyObject_CheckBuffer(object))
      return fail(type + " does not go into JSON; send x.tolist() or x.tobytes(), or nothing but it, as a "
                         "qtforge.BinaryMessage");
    return fail(type + " does not go into JSON; use dict, list, tuple, str, int, float, bool, None or bytes");
  }

  const Gil& gil_;
  int depth_ = 0;
};

inline Ref toPythonValue(const boost::json::value& value, const Gil& gil);

inline Ref textToPython(std::string_view text) {
  return Ref::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "strict"));
}

/// Keys of dicts that were made before: messages repeat theirs, and a str that was a key once has its hash.
class KeyCache {
 public:
  static Ref get(std::string_view text, const Gil&) {
    if (text.empty() || text.size() > longest) return textToPython(text);
    static std::array<PyObject*, 512> slots{};  // references of their own; the GIL is the guard
    PyObject*& slot = slots[indexOf(text) % slots.size()];
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

}  // namespace detail

/// A Python value as JSON, with the bytes in it.
struct Converted {
  boost::json::value json;
  Attachments attachments;  ///< json has null at their places
};

/// dict, list, tuple, str, int within 64 bits, float (NaN and infinity too), bool, None, bytes and what behaves like a
/// number, numpy's scalars among them.
///
/// @param what  names the value in errors: "message" gives `message["a"][2]: set does not go into JSON...`
/// @return the value, or
///   - Errc::ConversionFailed  with the place and the reason
inline expected<Converted> fromPython(PyObject* object, const std::string& what, const Gil& gil) {
  detail::FromPython conversion(gil);
  Converted result;
  if (!conversion.convert(object, result.json))
    return Error(Errc::ConversionFailed, what + conversion.place + ": " + conversion.reason);
  result.attachments = std::move(conversion.attachments);
  return result;
}

/// A new dict, list or scalar; attachments come back as bytes. Null with a Python error set on failure.
inline Ref toPython(const boost::json::value& value, const Attachments& attachments, const Gil& gil) {
  Ref root = detail::toPythonValue(value, gil);
  for (const auto& attachment : attachments) {
    if (!root) break;
    Ref bytes = Ref::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(attachment.data.data()),
                                                     static_cast<Py_ssize_t>(attachment.data.size())));
    if (!bytes || !detail::putAt(root, attachment.place, std::move(bytes), gil)) return {};
  }
  return root;
}

}  // namespace qtforge::inline QTFORGE_ABI::python
