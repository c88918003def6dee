// binary_message.cpp: qtforge.BinaryMessage: bytes that do not change, with what is needed to understand them.

#include "dtype.hpp"
#include "types.hpp"

#include <structmember.h>

#include <cstring>

namespace qtforge::bindings {

namespace {

struct BinaryMessageObject {
  PyObject_HEAD
  PyObject* data;         // memoryview of unsigned bytes, one dimension, read-only
  PyObject* contentType;  // str
  PyObject* dtype;        // str
  PyObject* shape;        // tuple of int
};

Signature<4> signature{"BinaryMessage", {"data", "content_type", "dtype", "shape"}, 4, 1};

BinaryMessageObject* cast(PyObject* self) noexcept { return reinterpret_cast<BinaryMessageObject*>(self); }

class BufferView {
 public:
  ~BufferView() {
    if (held_) PyBuffer_Release(&view_);
  }
  bool acquire(PyObject* source) { return held_ = PyObject_GetBuffer(source, &view_, PyBUF_FULL_RO) == 0; }
  const Py_buffer* operator->() const { return &view_; }
  const Py_buffer* get() const { return &view_; }

 private:
  Py_buffer view_{};
  bool held_ = false;
};

bool isPlainBytes(const Py_buffer& view) noexcept {
  return view.ndim == 1 && (!view.format || std::strcmp(view.format, "B") == 0);
}

PyObject* copyOf(const Py_buffer& view) {
  Ref bytes(PyBytes_FromStringAndSize(nullptr, view.len));
  if (!bytes) return nullptr;
  if (view.len && PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes.get()), const_cast<Py_buffer*>(&view), view.len, 'C'))
    return nullptr;
  return PyMemoryView_FromObject(bytes.get());
}

// What is read-only is taken as it is, all else is copied: its owner may write to it later.
PyObject* immutableView(PyObject* source) {
  if (!PyObject_CheckBuffer(source))
    return raiseType(signature.function(), "data", "bytes-like or a numpy array", source), nullptr;
  BufferView view;
  if (!view.acquire(source)) return nullptr;
  if (view->format && std::strchr(view->format, 'O')) {
    PyErr_SetString(PyExc_TypeError, "BinaryMessage() argument 'data' must hold plain numbers, not Python objects");
    return nullptr;
  }
  if (!view->readonly || view->len == 0 || !PyBuffer_IsContiguous(view.get(), 'C')) return copyOf(*view.get());
  Ref whole(PyMemoryView_FromObject(source));
  if (!whole || isPlainBytes(*view.get())) return whole.release();
  if (PyObject* flat = PyObject_CallMethod(whole.get(), "cast", "s", "B")) return flat;
  if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError)) return nullptr;
  PyErr_Clear();  // memoryview casts no structures and foreign byte orders
  return copyOf(*view.get());
}

bool mayDescribeItself(PyObject* source) noexcept {
  return !PyBytes_CheckExact(source) && !PyMemoryView_Check(source) && !PyByteArray_CheckExact(source);
}

// dtype and shape by numpy's array interface, where the source has one. @return false with a Python error set
bool describe(PyObject* source, Ref& dtype, Ref& shape) {
  Ref described(PyObject_GetAttrString(source, "__array_interface__"));
  if (!described) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return false;
    PyErr_Clear();
    return true;
  }
  if (!PyDict_Check(described.get())) return true;
  PyObject* type = PyDict_GetItemString(described.get(), "typestr");
  PyObject* dimensions = PyDict_GetItemString(described.get(), "shape");
  if (type && PyUnicode_Check(type)) dtype.reset(retained(type));
  if (!shape && dimensions && PyTuple_Check(dimensions)) shape.reset(retained(dimensions));
  return true;
}

PyObject* dimensionsOf(PyObject* given) {
  Ref shape(PySequence_Tuple(given));
  if (!shape) {
    if (PyErr_ExceptionMatches(PyExc_TypeError)) raiseType(signature.function(), "shape", "a sequence of int", given);
    return nullptr;
  }
  Ref out(PyTuple_New(PyTuple_GET_SIZE(shape.get())));
  for (Py_ssize_t i = 0; out && i < PyTuple_GET_SIZE(shape.get()); ++i) {
    PyObject* item = PyTuple_GET_ITEM(shape.get(), i);
    if (!PyIndex_Check(item)) return raiseType(signature.function(), "shape", "a sequence of int", given), nullptr;
    Ref number(PyNumber_Index(item));
    const Py_ssize_t size = number ? PyLong_AsSsize_t(number.get()) : -1;
    if (size < 0) {
      if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_Format(PyExc_ValueError, "BinaryMessage() argument 'shape' must hold sizes of at least 0, not %R", item);
      return nullptr;
    }
    PyTuple_SET_ITEM(out.get(), i, number.release());
  }
  return out.release();
}

PyObject* construct(PyObject* type, PyObject* const* args, std::size_t count, PyObject* keywords) {
  std::array<PyObject*, 4> given;
  if (!signature.bind(args, PyVectorcall_NARGS(count), keywords, given)) return nullptr;
  for (std::size_t i = 1; i <= 2; ++i)
    if (given[i] && !PyUnicode_Check(given[i]))
      return raiseType(signature.function(), signature.name(i), "str", given[i]), nullptr;
  Ref data(immutableView(given[0]));
  if (!data) return nullptr;
  Ref dtype, shape;
  if (given[2] && PyUnicode_GET_LENGTH(given[2])) dtype.reset(retained(given[2]));
  if (given[3] && !(shape.reset(dimensionsOf(given[3])), shape)) return nullptr;
  if (!dtype && mayDescribeItself(given[0]) && !describe(given[0], dtype, shape)) return nullptr;
  Ref contentType(given[1] ? retained(given[1]) : PyUnicode_InternFromString("application/octet-stream"));
  if (!dtype) dtype.reset(PyUnicode_InternFromString(""));
  if (!shape) shape.reset(PyTuple_New(0));
  const Py_ssize_t size = PyObject_Size(data.get());
  if (size < 0 || !dtype || !shape || !fits(size, dtype.get(), shape.get())) return nullptr;
  auto* types = reinterpret_cast<PyTypeObject*>(type);
  PyObject* self = contentType ? types->tp_alloc(types, 0) : nullptr;
  if (!self) return nullptr;
  cast(self)->data = data.release();
  cast(self)->contentType = contentType.release();
  cast(self)->dtype = dtype.release();
  cast(self)->shape = shape.release();
  return self;
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  return PyObject_Call(reinterpret_cast<PyObject*>(type), args, keywords);  // to `construct`
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(cast(self)->data);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_CLEAR(cast(self)->data);
  Py_CLEAR(cast(self)->contentType);
  Py_CLEAR(cast(self)->dtype);
  Py_CLEAR(cast(self)->shape);
  type->tp_free(self);
  Py_DECREF(type);
}

int clear(PyObject* self) {
  Py_CLEAR(cast(self)->data);
  return 0;
}

PyObject* compare(PyObject* self, PyObject* other, int operation) {
  return compareFields(self, other, operation, [](PyObject* message) {
    const auto* m = cast(message);
    return std::array{m->contentType, m->dtype, m->shape, m->data};  // what is longest to compare last
  });
}

PyObject* represent(PyObject* self) {
  const auto* m = cast(self);
  const Py_ssize_t size = PyObject_Size(m->data);
  Ref fields(size < 0 ? nullptr : representFields(signature.names().subspan(1), std::array{m->contentType, m->dtype, m->shape}));
  return fields ? PyUnicode_FromFormat("<BinaryMessage of %zd bytes, %U>", size, fields.get()) : nullptr;
}

PyObject* reduce(PyObject* self, PyObject*) {
  const auto* m = cast(self);
  Ref bytes(PyBytes_FromObject(m->data));
  return bytes ? Py_BuildValue("(O(OOOO))", Py_TYPE(self), bytes.get(), m->contentType, m->dtype, m->shape) : nullptr;
}

PyObject* same(PyObject* self, PyObject*) { return retained(self); }

// numpy would prefer the buffer protocol and lose dtype and shape, so the type does not offer it; `data` does.
PyObject* arrayInterface(PyObject* self, void*) {
  const auto* m = cast(self);
  const bool typed = PyUnicode_GET_LENGTH(m->dtype) != 0;
  const Py_ssize_t item = itemSize(m->dtype), size = PyObject_Size(m->data);
  if (item == 0) {
    PyErr_Format(PyExc_AttributeError, "a BinaryMessage with dtype %R describes no array", m->dtype);
    return nullptr;
  }
  Ref shape(PyTuple_GET_SIZE(m->shape) ? retained(m->shape) : size < 0 ? nullptr : Py_BuildValue("(n)", size / item));
  if (!shape) return nullptr;
  Ref plain(typed ? nullptr : PyUnicode_FromString("|u1"));
  if (!typed && !plain) return nullptr;
  return Py_BuildValue("{sisOsOsO}", "version", 3, "typestr", typed ? m->dtype : plain.get(), "shape", shape.get(),
                       "data", m->data);
}

PyMethodDef methods[] = {
    {"__reduce__", method(reduce), METH_NOARGS, nullptr},
    {"__copy__", method(same), METH_NOARGS, nullptr},
    {"__deepcopy__", method(same), METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"data", T_OBJECT_EX, offsetof(BinaryMessageObject, data), READONLY, "Read-only memoryview of the bytes."},
    {"content_type", T_OBJECT_EX, offsetof(BinaryMessageObject, contentType), READONLY, "Media type (RFC 6838)."},
    {"dtype", T_OBJECT_EX, offsetof(BinaryMessageObject, dtype), READONLY,
     "Element type in numpy's notation ('<f4'); empty: bytes."},
    {"shape", T_OBJECT_EX, offsetof(BinaryMessageObject, shape), READONLY,
     "Elements per dimension, C order; empty: one dimension."},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"__array_interface__", arrayInterface, nullptr, "So that numpy.asarray(message) is the array, not copied.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

constexpr const char* documentation =
    "BinaryMessage(data, content_type='application/octet-stream', dtype='', shape=())\n--\n\n"
    "Bytes with what is needed to understand them. Its attributes cannot be set.\n\n"
    "Args:\n"
    "    data: bytes-like, or a numpy array, which gives dtype and shape too. What is read-only and contiguous is\n"
    "        shared and must not change any more; what is writable is copied, in C order.\n"
    "    content_type: media type (RFC 6838).\n"
    "    dtype: element type in numpy's notation; empty: bytes.\n"
    "    shape: elements per dimension, C order.\n\n"
    "Raises:\n"
    "    TypeError, ValueError: an argument is wrong; the message names it. ValueError also where dtype and shape take\n"
    "        another number of bytes than there are.\n";

}  // namespace

PyObject* makeBinaryMessageType() {
  if (!signature.intern()) return nullptr;
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, slot(make)},
      {Py_tp_dealloc, slot(destroy)},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_richcompare, slot(compare)},
      {Py_tp_hash, slot(PyObject_HashNotImplemented)},
      {Py_tp_repr, slot(represent)},
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {Py_tp_getset, properties},
      {0, nullptr},
  };
  static PyType_Spec spec = {"qtforge.communication.BinaryMessage", sizeof(BinaryMessageObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
  Ref type(PyType_FromSpec(&spec));
  if (!type) return nullptr;
  reinterpret_cast<PyTypeObject*>(type.get())->tp_vectorcall = construct;
  Ref names(Py_BuildValue("(ssss)", signature.name(0), signature.name(1), signature.name(2), signature.name(3)));
  if (!names || PyObject_SetAttrString(type.get(), "__match_args__", names.get()) != 0) return nullptr;
  return type.release();
}

}  // namespace qtforge::bindings
