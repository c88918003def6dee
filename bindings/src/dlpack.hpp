#pragma once
// dlpack.hpp: arrays from and for other libraries by DLPack (https://dmlc.github.io/dlpack/latest/).

#include "support.hpp"

#include <cstdint>

namespace qtforge::bindings {

namespace dlpack {

struct Device {
  std::int32_t type, id;
};
struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: C order
  std::uint64_t byteOffset;
};
/// What capsules named "dltensor" hold.
struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor* self);
};
/// What capsules named "dltensor_versioned" hold.
struct VersionedTensor {
  std::uint32_t major, minor;
  void* context;
  void (*deleter)(VersionedTensor* self);
  std::uint64_t flags;
  Tensor tensor;
};

}  // namespace dlpack

/// A tensor that another library lends, given back at the end.
class BorrowedTensor {
 public:
  BorrowedTensor() = default;
  BorrowedTensor(const BorrowedTensor&) = delete;
  BorrowedTensor& operator=(const BorrowedTensor&) = delete;
  ~BorrowedTensor();

  static bool isOfferedBy(PyObject* object);
  /// @return false with a Python error set: ValueError for memory of another device, or what `object` raises
  bool take(PyObject* object);
  /// After take().
  [[nodiscard]] const dlpack::Tensor& operator*() const noexcept { return *tensor_; }
  [[nodiscard]] const dlpack::Tensor* operator->() const noexcept { return tensor_; }
  /// @return a new str as dtype.hpp has it, or null with a TypeError for types that numpy does not have
  [[nodiscard]] PyObject* dtype() const;

 private:
  bool takeFrom(PyObject* capsule);

  const dlpack::Tensor* tensor_ = nullptr;
  dlpack::ManagedTensor* managed_ = nullptr;
  dlpack::VersionedTensor* versioned_ = nullptr;
};

/// `__dlpack__` of an array in `data`, a memoryview of bytes, and of `shape`, a tuple of int.
///
/// @param args, count, keywords  as METH_FASTCALL | METH_KEYWORDS has them: stream, max_version, dl_device, copy
/// @return a capsule, or null with a Python error set: BufferError for what DLPack cannot say, as the array API has it
PyObject* lendTensor(PyObject* data, PyObject* dtype, PyObject* shape, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords);
/// `__dlpack_device__`
PyObject* tensorDevice();
/// Once, before the first lendTensor. @return false with a Python error set
bool prepareTensors();

}  // namespace qtforge::bindings
