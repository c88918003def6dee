// binary_message.cpp: qtforge.BinaryMessage: bytes that do not change, with what is needed to understand them.

#include "array_source.hpp"
#include "dlpack.hpp"
#include "dtype.hpp"
#include "types.hpp"

#include <structmember.h>

namespace qtforge::bindings {

namespace {

struct BinaryMessageObject {
  PyObject_HEAD
  PyObject* data;         // memoryview of unsigned bytes, one dimension, read-only
  PyObject* contentType;  // str
  PyObject* dtype;        // str
  PyObject* shape;        // tuple of int
};

Signature<5> signature{"BinaryMessage", {"data", "content_type", "dtype", "shape", "copy"}, 4, 1};

BinaryMessageObject* cast(PyObject* self) noexcept { return reinterpret_cast<BinaryMessageObject*>(self); }

enum class Copying { WhereItMayChange, Always, Never };

bool readCopying(PyObject* given, Copying& out) {
  if (given && given != Py_None && !PyBool_Check(given))
    return raiseType(signature.function(), signature.name(4), "True, False or None", given), false;
  out = !given || given == Py_None ? Copying::WhereItMayChange : given == Py_True ? Copying::Always : Copying::Never;
  return true;
}

// A read-only memoryview of the array's bytes.
PyObject* bytesOf(std::unique_ptr<ArraySource> source, Copying copying) {
  const bool shared = copying != Copying::Always && source->isContiguous();
  if (copying == Copying::Never && !shared) {
    PyErr_SetString(PyExc_ValueError, "BinaryMessage() argument 'data' is not contiguous in C order: copy=False cannot "
                                      "share it; leave `copy` out, or pass a contiguous array");
    return nullptr;
  }
  if (const Ref owner = shared && source->size() ? source->lastingOwner() : nullptr) {
    Ref whole(PyMemoryView_FromObject(owner.get()));
    if (!whole) return nullptr;
    const Py_buffer* all = PyMemoryView_GET_BUFFER(whole.get());
    const auto first = static_cast<const char*>(source->data()) - static_cast<const char*>(all->buf);
    return source->size() == all->len ? whole.release() : PySequence_GetSlice(whole.get(), first, first + source->size());
  }
  if (copying == Copying::Never) return lend(std::move(source));
  const Ref bytes(source->copy());
  return bytes ? PyMemoryView_FromObject(bytes.get()) : nullptr;
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
  std::array<PyObject*, 5> given;
  Copying copying;
  if (!signature.bind(args, PyVectorcall_NARGS(count), keywords, given) || !readCopying(given[4], copying)) return nullptr;
  for (std::size_t i = 1; i <= 2; ++i)
    if (given[i] && !PyUnicode_Check(given[i]))
      return raiseType(signature.function(), signature.name(i), "str", given[i]), nullptr;
  auto source = ArraySource::of(given[0]);
  if (!source) return nullptr;
  const bool typed = given[2] && PyUnicode_GET_LENGTH(given[2]);
  Ref dtype(retained(typed ? given[2] : source->dtype()));
  Ref shape(given[3] ? dimensionsOf(given[3]) : typed ? PyTuple_New(0) : retained(source->shape()));
  if (!shape) return nullptr;
  const Ref contentType(given[1] ? retained(given[1]) : PyUnicode_InternFromString("application/octet-stream"));
  Ref data(bytesOf(std::move(source), copying));
  if (!data) return nullptr;
  const Py_ssize_t size = PyObject_Size(data.get());
  if (size < 0 || !fits(size, dtype.get(), shape.get())) return nullptr;
  auto* types = reinterpret_cast<PyTypeObject*>(type);
  PyObject* self = contentType ? types->tp_alloc(types, 0) : nullptr;
  if (!self) return nullptr;
  cast(self)->data = data.release();
  cast(self)->contentType = retained(contentType.get());
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
  Ref fields(size < 0 ? nullptr : representFields(signature.names().subspan(1, 3), std::array{m->contentType, m->dtype, m->shape}));
  return fields ? PyUnicode_FromFormat("<BinaryMessage of %zd bytes, %U>", size, fields.get()) : nullptr;
}

PyObject* reduce(PyObject* self, PyObject*) {
  const auto* m = cast(self);
  Ref bytes(PyBytes_FromObject(m->data));
  return bytes ? Py_BuildValue("(O(OOOO))", Py_TYPE(self), bytes.get(), m->contentType, m->dtype, m->shape) : nullptr;
}

PyObject* same(PyObject* self, PyObject*) { return retained(self); }

// Of the array that it is: without a shape it has one dimension. Null, without an error for a dtype that says no size.
PyObject* extentsOf(const BinaryMessageObject* message) {
  if (PyTuple_GET_SIZE(message->shape)) return retained(message->shape);
  const Py_ssize_t item = itemSize(message->dtype), size = PyObject_Size(message->data);
  return item == 0 || size < 0 ? nullptr : Py_BuildValue("(n)", size / item);
}

// numpy would prefer the buffer protocol and lose dtype and shape, so the type does not offer it; `data` does.
PyObject* arrayInterface(PyObject* self, void*) {
  const auto* m = cast(self);
  const Py_ssize_t item = itemSize(m->dtype);
  if (item == 0) {
    PyErr_Format(PyExc_AttributeError, "a BinaryMessage with dtype %R describes no array", m->dtype);
    return nullptr;
  }
  const bool typed = PyUnicode_GET_LENGTH(m->dtype) != 0;
  const Ref shape(extentsOf(m));
  if (!shape) return nullptr;
  const Ref fields = fieldsOf(m->dtype);
  const Ref type(fields ? PyUnicode_FromFormat("|V%zd", item) : typed ? retained(m->dtype) : PyUnicode_FromString("|u1"));
  if (!type) return nullptr;
  Ref interface(Py_BuildValue("{sisOsOsO}", "version", 3, "typestr", type.get(), "shape", shape.get(), "data", m->data));
  if (interface && fields && PyDict_SetItemString(interface.get(), "descr", fields.get()) != 0) return nullptr;
  return interface.release();
}

PyObject* toDlpack(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const auto* m = cast(self);
  const Ref shape(extentsOf(m));
  if (!shape && PyErr_Occurred()) return nullptr;
  return lendTensor(m->data, m->dtype, shape ? shape.get() : m->shape, args, count, keywords);
}

PyObject* dlpackDevice(PyObject*, PyObject*) { return tensorDevice(); }

PyMethodDef methods[] = {
    {"__dlpack__", method(toDlpack), METH_FASTCALL | METH_KEYWORDS,
     "The array for consumers of DLPack: read-only and shared with max_version=(1, 0), or with copy=True a copy.\n\n"
     "Raises:\n"
     "    BufferError: DLPack has no such dtype, or the consumer knows no read-only memory."},
    {"__dlpack_device__", method(dlpackDevice), METH_NOARGS, "(1, 0): the CPU's memory."},
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
    "BinaryMessage(data, content_type='application/octet-stream', dtype='', shape=(), *, copy=None)\n--\n\n"
    "Bytes with what is needed to understand them. Its attributes cannot be set.\n\n"
    "Args:\n"
    "    data: bytes-like, or an array by the buffer protocol, __array_interface__ or __dlpack__, which gives dtype and\n"
    "        shape too: array.array, numpy's and memoryviews with a format among them.\n"
    "    content_type: media type (RFC 6838).\n"
    "    dtype: element type in numpy's notation, of structures the list of fields as text; empty: bytes.\n"
    "    shape: elements per dimension, C order.\n"
    "    copy: None shares what never changes (bytes, what C++ published, contiguous read-only views and arrays of them)\n"
    "        and copies all else, into C order. True copies. False shares what others may write too: do not change it\n"
    "        while anybody may look at the message.\n\n"
    "Raises:\n"
    "    TypeError, ValueError: an argument is wrong; the message names it. ValueError also where dtype and shape take\n"
    "        another number of bytes than there are, and with copy=False for what is not contiguous in C order.\n";

}  // namespace

PyObject* makeBinaryMessageType() {
  if (!signature.intern() || !prepareTensors()) return nullptr;
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
