#pragma once
// qtforge/python/detail/json_from_python.hpp: Python values as JSON; bytes go beside, as attachments.

#include <qtforge/communication/message.hpp>
#include <qtforge/python/buffer_view.hpp>
#include <qtforge/python/detail/imported.hpp>

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
    const auto* type = Py_TYPE(object);
    if (type == &PyUnicode_Type) return fromText(object, out);
    if (type == &PyLong_Type) return fromInteger(object, out);
    if (type == &PyFloat_Type) return out = PyFloat_AS_DOUBLE(object), true;
    if (type == &PyDict_Type) return nested([&] { return fromDict(object, out); });
    if (type == &PyList_Type) return nested([&] { return fromSequence(object, out); });
    if (object == Py_None) return out = nullptr, true;
    if (object == Py_True) return out = true, true;
    if (object == Py_False) return out = false, true;
    return fromOther(object, out);
  }

  std::string reason;
  std::string place;
  Attachments attachments;

 private:
  template <class F>
  bool nested(F&& f) {
    return within(depth_, f);
  }
  // What stands for a value may be such a value again, without end.
  template <class F>
  bool standing(F&& f) {
    return within(standing_, f);
  }
  template <class F>
  bool within(int& depth, F&& f) {
    if (depth == maxPayloadDepth) return fail("nested deeper than " + std::to_string(maxPayloadDepth) + " containers");
    ++depth;
    const bool done = f();
    --depth;
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

  // Of another type than those which most values have.
  [[gnu::noinline]] bool fromOther(PyObject* object, boost::json::value& out) {
    if (PyUnicode_Check(object)) return fromText(object, out);
    if (PyLong_Check(object)) return fromInteger(object, out);
    if (PyFloat_Check(object)) return out = PyFloat_AS_DOUBLE(object), true;
    if (PyDict_Check(object)) return nested([&] { return fromMapping(object, out); });
    if (PyList_Check(object) || PyTuple_Check(object)) return nested([&] { return fromSequence(object, out); });
    if (PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object)) return fromBytes(object, out);
    return fromProtocol(object, out);
  }

  bool fromText(PyObject* object, boost::json::value& out) {
    if (PyUnicode_IS_COMPACT_ASCII(object)) {
      out.emplace_string().assign(static_cast<const char*>(PyUnicode_DATA(object)),
                                  static_cast<std::size_t>(PyUnicode_GET_LENGTH(object)));
      return true;
    }
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
    object.reserve(static_cast<std::size_t>(PyDict_GET_SIZE(dict)));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
      const Ref name = Ref::borrow(key), held = Ref::borrow(value);  // converting may run code that changes the dict
      if (!addMember(name.get(), held.get(), object)) return false;
    }
    return true;
  }

  // What its items() gives, in that order: an OrderedDict's is not that of the dict in it.
  bool fromMapping(PyObject* mapping, boost::json::value& out) {
    const Ref items = Ref::steal(PyMapping_Items(mapping)), dict = Ref::steal(PyDict_New());
    if (!items || !dict || PyDict_MergeFromSeq2(dict.get(), items.get(), 1) != 0) return failed("its items()");
    return fromDict(dict.get(), out);
  }

  // Both are held by the caller.
  bool addMember(PyObject* key, PyObject* value, boost::json::object& object) {
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
    const auto before = attachments.size();
    const bool bad = !convert(value, object[name]);
    if (bad || attachments.size() != before)
      prefix("[\"" + std::string(name) + "\"]", escaped(name), before, bad);
    return !bad;
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

  // Integers of other libraries, numpy's first of all, by what they say they are; other types by what stands for them.
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
    const Ref plain = plainOf(object);
    if (!plain) return failed(type.c_str());
    if (plain.get() != Py_NotImplemented) return standing([&] { return convert(plain.get(), out); });
    if (PyObject_CheckBuffer(object))
      return fail(type + " does not go into JSON; send x.tolist() or x.tobytes(), or nothing but it, as a "
                         "qtforge.BinaryMessage");
    return fail(type + " does not go into JSON; use dict, list, tuple, str, int, float, bool, None or bytes");
  }

  // What stands for it, NotImplemented where nothing does. Null with a Python error set.
  Ref plainOf(PyObject* object) {
    static PyObject* function = nullptr;
    if (imported(function, "qtforge._plain", "plain", gil_)) return Ref::steal(PyObject_CallOneArg(function, object));
    PyErr_Clear();  // an executor in a host without the package
    return Ref::borrow(Py_NotImplemented);
  }

  const Gil& gil_;
  int depth_ = 0, standing_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
