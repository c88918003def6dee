// array_source.cpp: see array_source.hpp.

#include "array_source.hpp"

#include "dtype.hpp"

#include <qtforge/python/detail/exporter_type.hpp>

#include <cstring>
#include <new>

namespace qtforge::bindings {

namespace {

bool wrongInterface(const char* what) {
  PyErr_Format(PyExc_ValueError, "BinaryMessage() argument 'data' has an __array_interface__ %s", what);
  return false;
}

bool wrongTensor() {
  PyErr_SetString(PyExc_ValueError, "BinaryMessage() argument 'data': the tensor of its __dlpack__() takes no memory that "
                                    "there can be");
  return false;
}

bool refuseObjects() {
  PyErr_SetString(PyExc_TypeError, "BinaryMessage() argument 'data' must hold plain numbers, not Python objects");
  return false;
}

PyObject* tupleOf(const Py_ssize_t* numbers, Py_ssize_t count) {
  Ref tuple(PyTuple_New(count));
  for (Py_ssize_t i = 0; tuple && i < count; ++i) {
    PyObject* number = PyLong_FromSsize_t(numbers[i]);
    if (!number) return nullptr;
    PyTuple_SET_ITEM(tuple.get(), i, number);
  }
  return tuple.release();
}

// Of `struct`, whose fields may have names between colons.
bool formatHoldsObjects(const char* format) noexcept {
  for (bool name = false; *format; ++format) {
    if (*format == ':') name = !name;
    else if (*format == 'O' && !name) return true;
  }
  return false;
}

// What is never an array, or only by the buffer protocol, is not asked for attributes.
bool mayDescribeItself(PyObject* object) noexcept {
  return !PyBytes_CheckExact(object) && !PyMemoryView_Check(object) && !PyByteArray_CheckExact(object) &&
         !PyUnicode_Check(object);
}

bool isNoSuchAttribute() {
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return false;
  PyErr_Clear();
  return true;
}

}  // namespace

std::unique_ptr<ArraySource> ArraySource::of(PyObject* object) {
  std::unique_ptr<ArraySource> source(new ArraySource(object));
  if (mayDescribeItself(object)) {
    const Ref described(PyObject_GetAttrString(object, "__array_interface__"));
    if (!described && !isNoSuchAttribute()) return nullptr;
    if (described && PyDict_Check(described.get()))
      return source->readInterface(described.get()) ? std::move(source) : nullptr;
  }
  if (PyObject_CheckBuffer(object)) return source->readBuffer() ? std::move(source) : nullptr;
  if (BorrowedTensor::isOfferedBy(object)) return source->readTensor() ? std::move(source) : nullptr;
  raiseType("BinaryMessage", "data", "bytes-like or a numpy array", object);
  return nullptr;
}

bool ArraySource::readBuffer() {
  if (!held_.acquire(object_.get(), PyBUF_FULL_RO)) return false;
  layout_ = *held_;
  const char* format = layout_.format ? layout_.format : "B";
  if (formatHoldsObjects(format)) return refuseObjects();
  const bool bytes = layout_.ndim == 1 && std::strcmp(format, "B") == 0;
  dtype_.reset(bytes ? PyUnicode_InternFromString("") : dtypeOfFormat(format, layout_.itemsize));
  if (!dtype_) return false;
  shape_.reset(tupleOf(layout_.shape, PyUnicode_GET_LENGTH(dtype_.get()) ? layout_.ndim : 0));
  return shape_ != nullptr;
}

bool ArraySource::readInterface(PyObject* given) {
  const Ref own(PyDict_Copy(given));  // numbers and texts in it may be objects whose code changes the dict
  if (!own) return false;
  PyObject* described = own.get();
  PyObject* type = PyDict_GetItemString(described, "typestr");
  PyObject* fields = PyDict_GetItemString(described, "descr");
  PyObject* shape = PyDict_GetItemString(described, "shape");
  if (!type || !PyUnicode_Check(type) || !shape || !PyTuple_Check(shape)) return wrongInterface("without typestr and shape");
  dtype_.reset(dtypeOfInterface(type, fields));
  if (!dtype_) return false;
  if (holdsObjects(dtype_.get())) return refuseObjects();
  layout_.itemsize = itemSize(type);
  if (layout_.itemsize == 0) return wrongInterface("whose typestr says no size");
  if (!readExtents(shape, PyDict_GetItemString(described, "strides"))) return false;
  shape_.reset(tupleOf(extents_.data(), layout_.ndim));
  return shape_ && readMemory(PyDict_GetItemString(described, "data"), PyDict_GetItemString(described, "offset"));
}

bool ArraySource::readExtents(PyObject* shape, PyObject* strides) {
  const Py_ssize_t dimensions = PyTuple_GET_SIZE(shape);
  if (dimensions > PyBUF_MAX_NDIM) return wrongInterface("of too many dimensions");
  const bool given = strides && strides != Py_None;
  if (given && (!PyTuple_Check(strides) || PyTuple_GET_SIZE(strides) != dimensions))
    return wrongInterface("whose strides do not match its shape");
  extents_.resize(static_cast<std::size_t>(dimensions));
  strides_.resize(given ? extents_.size() : 0);
  for (Py_ssize_t i = 0; i < dimensions; ++i) {
    const auto at = static_cast<std::size_t>(i);
    extents_[at] = PyNumber_AsSsize_t(PyTuple_GET_ITEM(shape, i), PyExc_OverflowError);
    if (given) strides_[at] = PyNumber_AsSsize_t(PyTuple_GET_ITEM(strides, i), PyExc_OverflowError);
    if (PyErr_Occurred()) return PyErr_Clear(), wrongInterface("whose shape or strides are no numbers of 64 bits");
  }
  return layOut() || wrongInterface("whose shape takes no memory that there can be");
}

// By extents_ and strides_, which is empty for C order. False for what is no layout.
bool ArraySource::layOut() {
  const bool given = !strides_.empty();
  strides_.resize(extents_.size());
  bool none = false, large = false;
  Py_ssize_t size = layout_.itemsize;
  for (std::size_t i = extents_.size(); i-- > 0;) {
    if (extents_[i] < 0) return false;
    if (!given) strides_[i] = size;
    none = none || extents_[i] == 0;
    large = __builtin_mul_overflow(size, extents_[i], &size) || large;
  }
  layout_.len = none ? 0 : size;
  layout_.ndim = static_cast<int>(extents_.size());
  layout_.shape = extents_.data();
  layout_.strides = strides_.data();
  return none || !large;
}

bool ArraySource::readTensor() {
  if (!tensor_.take(object_.get())) return false;
  dtype_.reset(tensor_.dtype());
  if (!dtype_) return false;
  layout_.itemsize = itemSize(dtype_.get());
  layout_.buf = static_cast<char*>(tensor_->data) + tensor_->byteOffset;
  const auto dimensions = static_cast<std::size_t>(tensor_->ndim);
  if (dimensions > PyBUF_MAX_NDIM) return wrongTensor();
  extents_.assign(tensor_->shape, tensor_->shape + dimensions);
  if (tensor_->strides) strides_.assign(tensor_->strides, tensor_->strides + dimensions);
  for (auto& stride : strides_)
    if (__builtin_mul_overflow(stride, layout_.itemsize, &stride)) return wrongTensor();
  if (!layOut() || (!tensor_->data && layout_.len != 0)) return wrongTensor();
  shape_.reset(tupleOf(extents_.data(), layout_.ndim));
  return shape_ != nullptr;
}

// By address, by an object with the buffer protocol, or the described object is one itself.
bool ArraySource::readMemory(PyObject* data, PyObject* offset) {
  if (data && PyTuple_Check(data) && PyTuple_GET_SIZE(data) == 2) {
    layout_.buf = PyLong_AsVoidPtr(PyTuple_GET_ITEM(data, 0));
    layout_.readonly = PyObject_IsTrue(PyTuple_GET_ITEM(data, 1));
    if (PyErr_Occurred()) return false;
    return layout_.buf || layout_.len == 0 || wrongInterface("whose address is null");
  }
  if (data && data != Py_None) object_.reset(retained(data));
  if (!held_.acquire(object_.get(), PyBUF_SIMPLE)) return false;
  const Py_ssize_t skipped = offset && offset != Py_None ? PyLong_AsSsize_t(offset) : 0;
  if (PyErr_Occurred()) return false;
  if (skipped < 0 || skipped > held_->len) return wrongInterface("whose offset lies outside of its data");
  const auto* first = static_cast<const char*>(held_->buf) + skipped;
  if (!stays(first, held_->len - skipped)) return wrongInterface("whose shape and strides lead out of its data");
  layout_.buf = const_cast<char*>(first);
  layout_.readonly = held_->readonly;
  return true;
}

// Whether all elements lie within the held buffer; `size` bytes of it follow `first`.
bool ArraySource::stays(const char* first, Py_ssize_t size) const noexcept {
  if (layout_.len == 0) return true;
  Py_ssize_t low = 0, high = layout_.itemsize;
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    Py_ssize_t reach = 0;
    if (__builtin_mul_overflow(extents_[i] - 1, strides_[i], &reach)) return false;
    if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) return false;
  }
  return high <= size && low >= static_cast<const char*>(held_->buf) - first;
}

Ref ArraySource::lastingOwner() const {
  if (!layout_.readonly) return nullptr;
  const python::Gil gil{python::GilHeld()};
  return Ref(python::detail::lastingOwner(object_.get(), layout_.buf, static_cast<std::size_t>(layout_.len), gil).release());
}

PyObject* ArraySource::copy() const {
  Ref bytes(PyBytes_FromStringAndSize(nullptr, layout_.len));
  if (!bytes) return nullptr;
  if (layout_.len &&
      PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes.get()), const_cast<Py_buffer*>(&layout_), layout_.len, 'C') != 0)
    return nullptr;
  return bytes.release();
}

int ArraySource::visit(visitproc visit, void* arg) const {
  Py_VISIT(object_.get());
  return 0;
}

namespace {

struct Lender {
  PyObject_HEAD
  ArraySource* source;

  static Lender* cast(PyObject* self) noexcept { return reinterpret_cast<Lender*>(self); }

  static int getBuffer(PyObject* self, Py_buffer* view, int flags) {
    const auto* source = cast(self)->source;
    if (!source) return PyErr_SetString(PyExc_BufferError, "it lends nothing"), -1;
    return PyBuffer_FillInfo(view, self, const_cast<void*>(source->data()), source->size(), 1, flags);
  }
  static int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    return cast(self)->source ? cast(self)->source->visit(visit, arg) : 0;
  }
  static void destroy(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    delete cast(self)->source;
    type->tp_free(self);
    Py_DECREF(type);
  }
};

PyTypeObject* lenderType() {
  static PyTypeObject* made = nullptr;  // the GIL is the guard
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, slot(Lender::destroy)},
      {Py_tp_traverse, slot(Lender::traverse)},
      {Py_bf_getbuffer, slot(Lender::getBuffer)},
      {0, nullptr},
  };
  static PyType_Spec spec = {python::detail::sharedBytesName, sizeof(Lender), 0,
                             python::detail::exporterFlags | Py_TPFLAGS_HAVE_GC, slots};
  if (!made) made = python::detail::withoutConstructor(PyType_FromSpec(&spec));
  return made;
}

}  // namespace

PyObject* lend(std::unique_ptr<ArraySource> source) {
  PyTypeObject* type = lenderType();
  auto* self = type ? PyObject_GC_New(Lender, type) : nullptr;
  if (!self) return nullptr;
  self->source = source.release();
  PyObject_GC_Track(self);
  const Ref lender(reinterpret_cast<PyObject*>(self));
  return PyMemoryView_FromObject(lender.get());
}

}  // namespace qtforge::bindings
