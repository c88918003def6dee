#pragma once
// qtforge/python/detail/json_from_python.hpp: Python values as JSON; bytes go beside, as attachments.

#include <qtforge/communication/message.hpp>
#include <qtforge/python/buffer_view.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>

#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

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

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
