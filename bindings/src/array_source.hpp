#pragma once
// array_source.hpp: what an object shows as an array: its memory, element type and shape.

#include "dlpack.hpp"

#include <qtforge/python/detail/lasting_memory.hpp>

#include <vector>

namespace qtforge::bindings {

/// The memory of an object that has the buffer protocol, `__array_interface__` or `__dlpack__`; held, not copied, while this lives.
class ArraySource {
 public:
  /// @return null with a Python error set: TypeError for what is no array or one of Python objects, ValueError for an
  ///         `__array_interface__` that contradicts itself
  static std::unique_ptr<ArraySource> of(PyObject* object);

  ArraySource(const ArraySource&) = delete;
  ArraySource& operator=(const ArraySource&) = delete;

  [[nodiscard]] const void* data() const noexcept { return layout_.buf; }
  /// In bytes.
  [[nodiscard]] Py_ssize_t size() const noexcept { return layout_.len; }
  /// Whether the memory is all elements in C order, one behind the other.
  [[nodiscard]] bool isContiguous() const noexcept { return PyBuffer_IsContiguous(&layout_, 'C') != 0; }
  /// As dtype.hpp has it; empty: bytes, and the shape is so too. Borrowed.
  [[nodiscard]] PyObject* dtype() const noexcept { return dtype_.get(); }
  [[nodiscard]] PyObject* shape() const noexcept { return shape_.get(); }

  /// Who owns the memory if it never changes, else null, without a Python error.
  [[nodiscard]] Ref lastingOwner() const;
  /// A copy as bytes, in C order. @return null with a Python error set
  [[nodiscard]] PyObject* copy() const;

  int visit(visitproc visit, void* arg) const;

 private:
  explicit ArraySource(PyObject* object) : object_(retained(object)) {}

  bool readBuffer();
  bool readInterface(PyObject* given);
  bool readTensor();
  bool readExtents(PyObject* shape, PyObject* strides);
  bool layOut();
  bool readMemory(PyObject* data, PyObject* offset);
  bool stays(const char* first, Py_ssize_t size) const noexcept;

  Ref object_;                 // the object, or the one that its interface says has the memory
  python::detail::HeldBuffer held_;
  BorrowedTensor tensor_;
  std::vector<Py_ssize_t> extents_, strides_;
  Py_buffer layout_{};         // not to be released: a description
  Ref dtype_, shape_;
};

/// A read-only memoryview of the bytes of a contiguous array, which others may yet write: the caller has promised that none
/// does. @return null with a Python error set
PyObject* lend(std::unique_ptr<ArraySource> source);

}  // namespace qtforge::bindings
