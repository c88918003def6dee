#pragma once
// qtforge/python/detail/document_from_python.hpp: Python's values as JSON, BinaryMessage, bytes and PythonValue.

#include <qtforge/python/detail/bridge_publish.hpp>
#include <qtforge/python/detail/scalar_from_python.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// As ScalarFromPython, for what is taken whole.
class DocumentFromPython : public ScalarFromPython {
 protected:
  using ScalarFromPython::ScalarFromPython;

  bool fromJson(const TypeInfo& type, PyObject* object, void* out) {
    FromPython conversion(gil_);
    boost::json::value json;
    if (!conversion.convert(object, json)) {
      place = conversion.place;
      return fail(conversion.reason);
    }
    if (!conversion.attachments.empty()) {
      place = conversion.attachments.front().place;
      return fail("bytes do not go into JSON; a BinaryMessage takes them");
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

  bool fromBytes(PyObject* object, void* out) {
    if (!PyObject_CheckBuffer(object)) return mismatch("bytes", object);
    auto bytes = bufferOf(object, gil_);
    if (!bytes) return fail(bytes.error().message());
    *static_cast<Buffer*>(out) = std::move(*bytes);
    return true;
  }

  bool fromAny(const ValueType& type, PyObject* object, void* out) {
    static PyObject* binaryType = nullptr;
    const bool bytes = PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object);
    const bool plain = bytes || object == Py_None || PyUnicode_Check(object) || PyLong_Check(object) ||
                       PyFloat_Check(object) || PyDict_Check(object) || PyList_Check(object) || PyTuple_Check(object);
    // Without the package there are no BinaryMessages either.
    if (!plain && PyDict_GetItemString(PyImport_GetModuleDict(), "qtforge.communication") &&
        !imported(binaryType, "qtforge.communication", "BinaryMessage", gil_))
      return raised("BinaryMessage");
    const bool buffer = PyObject_CheckBuffer(object) && PySequence_Check(object);
    if (!plain && (buffer || (binaryType && PyObject_IsInstance(object, binaryType) == 1))) {
      BinaryMessage binary;
      if (!fromBinary(object, &binary)) return false;
      type.setBinary(out, &binary);
      return true;
    }
    FromPython conversion(gil_);
    boost::json::value json;
    if (!conversion.convert(object, json)) {
      place = conversion.place;
      return fail(conversion.reason);
    }
    type.setJson(out, &json, &conversion.attachments);
    return true;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
