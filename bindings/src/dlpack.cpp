// dlpack.cpp: see dlpack.hpp.

#include "dlpack.hpp"

#include "dtype.hpp"

#include <qtforge/python/detail/lasting_memory.hpp>

#include <cstring>
#include <vector>

namespace qtforge::bindings {

namespace {

using dlpack::ManagedTensor;
using dlpack::Tensor;
using dlpack::VersionedTensor;

constexpr const char *managedName = "dltensor", *usedManagedName = "used_dltensor";
constexpr const char *versionedName = "dltensor_versioned", *usedVersionedName = "used_dltensor_versioned";
constexpr std::int32_t cpu = 1;
constexpr std::uint64_t readOnlyFlag = 1, copiedFlag = 2;
constexpr std::uint32_t majorVersion = 1;

/// numpy's letters in the order of DLPack's type codes; '?' for what numpy does not have.
constexpr char kinds[] = "iuf??cb";

Signature<4> signature{"BinaryMessage.__dlpack__", {"stream", "max_version", "dl_device", "copy"}, 1, 0};

PyObject* refuse(const char* why, PyObject* what) {
  PyErr_Format(PyExc_BufferError, why, what);
  return nullptr;
}

}  // namespace

BorrowedTensor::~BorrowedTensor() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);  // a deleter may be Python code
  if (managed_ && managed_->deleter) managed_->deleter(managed_);
  if (versioned_ && versioned_->deleter) versioned_->deleter(versioned_);
  PyErr_Restore(type, value, traceback);
}

bool BorrowedTensor::isOfferedBy(PyObject* object) {
  const Ref offered(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object)), "__dlpack__"));
  PyErr_Clear();
  return offered != nullptr;
}

bool BorrowedTensor::take(PyObject* object) {
  const Ref device(PyObject_CallMethod(object, "__dlpack_device__", nullptr));
  if (!device) return false;
  PyObject* type = PyTuple_Check(device.get()) && PyTuple_GET_SIZE(device.get()) ? PyTuple_GET_ITEM(device.get(), 0) : nullptr;
  const Py_ssize_t number = type ? PyNumber_AsSsize_t(type, nullptr) : -1;
  if (number != cpu) {
    if (!PyErr_Occurred())
      PyErr_Format(PyExc_ValueError, "BinaryMessage() argument 'data' lies in the memory of another device, %R by DLPack's "
                                     "numbers: copy it to the CPU first", device.get());
    return false;
  }
  const Ref none(PyTuple_New(0)), named(Py_BuildValue("{s(ii)}", "max_version", 1, 0));
  const Ref function(PyObject_GetAttrString(object, "__dlpack__"));
  if (!none || !named || !function) return false;
  Ref capsule(PyObject_Call(function.get(), none.get(), named.get()));
  if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // a library from before there were versions
    PyErr_Clear();
    capsule.reset(PyObject_CallNoArgs(function.get()));
  }
  return capsule && takeFrom(capsule.get());
}

bool BorrowedTensor::takeFrom(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, versionedName)) {
    versioned_ = static_cast<VersionedTensor*>(PyCapsule_GetPointer(capsule, versionedName));
    if (PyCapsule_SetName(capsule, usedVersionedName) != 0) return versioned_ = nullptr, false;
    if (versioned_->major != majorVersion) {
      PyErr_Format(PyExc_BufferError, "BinaryMessage() argument 'data' speaks version %u of DLPack, not %u",
                   versioned_->major, majorVersion);
      return false;
    }
    tensor_ = &versioned_->tensor;
  } else if (PyCapsule_IsValid(capsule, managedName)) {
    managed_ = static_cast<ManagedTensor*>(PyCapsule_GetPointer(capsule, managedName));
    if (PyCapsule_SetName(capsule, usedManagedName) != 0) return managed_ = nullptr, false;
    tensor_ = &managed_->tensor;
  } else {
    PyErr_Format(PyExc_BufferError, "BinaryMessage() argument 'data': its __dlpack__() gave no tensor, but %R", capsule);
    return false;
  }
  return true;
}

PyObject* BorrowedTensor::dtype() const {
  const auto [code, bits, lanes] = tensor_->dtype;
  const char kind = code < sizeof(kinds) - 1 ? kinds[code] : '?';
  if (kind == '?' || lanes != 1 || bits == 0 || bits % 8 != 0) {
    PyErr_Format(PyExc_TypeError, "BinaryMessage() argument 'data' has a type that numpy does not have: code %d, %d bits, "
                                  "%d lanes in DLPack", code, bits, lanes);
    return nullptr;
  }
  const char order = bits == 8 ? '|' : PY_LITTLE_ENDIAN ? '<' : '>';
  return PyUnicode_FromFormat("%c%c%d", order, kind, bits / 8);
}

namespace {

/// A tensor that others have, with all that it points to. Only one of `managed` and `versioned` is shown.
struct LentTensor {
  ManagedTensor managed{};
  VersionedTensor versioned{};
  std::vector<std::int64_t> shape, strides;
  Ref copied;  // a bytearray, of a copy
  python::detail::HeldBuffer shared;

  // On any thread, with or without the GIL.
  template <class Shown>
  static void giveBack(Shown* shown) {
    if (!Py_IsInitialized()) return;
    const python::Gil gil;
    delete static_cast<LentTensor*>(shown->context);
  }
};

template <class Shown>
void destroyCapsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // somebody has taken it
  auto* shown = static_cast<Shown*>(PyCapsule_GetPointer(capsule, name));
  shown->deleter(shown);
}

bool describe(LentTensor& lent, PyObject* dtype, PyObject* shape, Tensor& tensor) {
  const Py_ssize_t dimensions = PyTuple_GET_SIZE(shape);
  const char kind = PyUnicode_GET_LENGTH(dtype) ? nativeKind(dtype) : 'u';
  const Py_ssize_t size = itemSize(dtype);
  const char* code = kind ? std::strchr(kinds, kind) : nullptr;
  if (!code || size < 1 || size > 31)
    return refuse("DLPack has no counterpart of dtype %R", dtype), false;
  lent.shape.resize(static_cast<std::size_t>(dimensions));
  lent.strides.resize(lent.shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = lent.shape.size(); i-- > 0;) {
    lent.shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, static_cast<Py_ssize_t>(i)));
    lent.strides[i] = stride;
    if (lent.shape[i] > 1 && __builtin_mul_overflow(stride, lent.shape[i], &stride)) stride = 1;  // there is no element
  }
  tensor.data = lent.copied ? PyByteArray_AS_STRING(lent.copied.get()) : lent.shared->buf;
  tensor.device = {cpu, 0};
  tensor.ndim = static_cast<std::int32_t>(dimensions);
  tensor.dtype = {static_cast<std::uint8_t>(code - kinds), static_cast<std::uint8_t>(8 * size), 1};
  tensor.shape = lent.shape.data();
  tensor.strides = lent.strides.data();
  return true;
}

// Whether the caller understands capsules with a version, which can say that memory is read-only.
bool readVersion(PyObject* given, bool& out) {
  out = false;
  if (!given || given == Py_None) return true;
  int major = 0, minor = 0;
  if (!PyTuple_Check(given)) return raiseType(signature.function(), signature.name(1), "a tuple of two int", given), false;
  if (!PyArg_ParseTuple(given, "ii;max_version: a tuple of two int expected", &major, &minor)) return false;
  out = major >= static_cast<int>(majorVersion);
  return true;
}

bool isHere(PyObject* device) {
  const Ref here(tensorDevice());
  return here && PyObject_RichCompareBool(device, here.get(), Py_EQ) == 1;
}

}  // namespace

PyObject* lendTensor(PyObject* data, PyObject* dtype, PyObject* shape, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords) {
  std::array<PyObject*, 4> given;
  bool versioned = false;
  if (!signature.bind(args, count, keywords, given) || !readVersion(given[1], versioned)) return nullptr;
  if (given[0] && given[0] != Py_None) return refuse("stream must be None for memory of the CPU, not %R", given[0]);
  if (given[2] && given[2] != Py_None && !isHere(given[2]))
    return PyErr_Occurred() ? nullptr : refuse("a BinaryMessage is in the CPU's memory, device (1, 0), not %R", given[2]);
  const bool copy = given[3] == Py_True;
  if (!versioned && !copy)
    return refuse("a BinaryMessage is read-only, which DLPack before version 1 cannot say: ask with max_version=(1, 0) or "
                  "copy=True", nullptr);
  auto lent = std::make_unique<LentTensor>();
  if (copy) lent->copied.reset(PyByteArray_FromObject(data));
  if (copy ? !lent->copied : !lent->shared.acquire(data, PyBUF_SIMPLE)) return nullptr;
  if (!describe(*lent, dtype, shape, versioned ? lent->versioned.tensor : lent->managed.tensor)) return nullptr;
  lent->managed.context = lent->versioned.context = lent.get();
  lent->managed.deleter = &LentTensor::giveBack<ManagedTensor>;
  lent->versioned.deleter = &LentTensor::giveBack<VersionedTensor>;
  lent->versioned.major = majorVersion;
  lent->versioned.flags = copy ? copiedFlag : readOnlyFlag;
  PyObject* capsule =
      versioned ? PyCapsule_New(&lent->versioned, versionedName,
                                [](PyObject* self) { destroyCapsule<VersionedTensor>(self, versionedName); })
                : PyCapsule_New(&lent->managed, managedName,
                                [](PyObject* self) { destroyCapsule<ManagedTensor>(self, managedName); });
  if (capsule) (void)lent.release();
  return capsule;
}

PyObject* tensorDevice() { return Py_BuildValue("(ii)", cpu, 0); }

bool prepareTensors() { return signature.intern(); }

}  // namespace qtforge::bindings
