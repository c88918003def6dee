#pragma once
// qtforge/python/buffer_view.hpp: Buffer as a read-only memoryview, and bytes-like objects as Buffer, without a copy
// where they cannot change.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/python/detail/exporter_type.hpp>
#include <qtforge/python/python_error.hpp>

#include <new>

namespace qtforge::inline QTFORGE_ABI::python {

namespace detail {

struct BufferExporter {
  PyObject_HEAD
  Buffer buffer;

  static int getBuffer(PyObject* self, Py_buffer* view, int flags) {
    const auto& held = reinterpret_cast<BufferExporter*>(self)->buffer;
    static const std::uint8_t nothing = 0;
    auto* data = const_cast<std::uint8_t*>(held.data() ? held.data() : &nothing);
    return PyBuffer_FillInfo(view, self, data, static_cast<Py_ssize_t>(held.size()), 1, flags);
  }

  static PyTypeObject* type(const Gil& gil) { return exporterType<BufferExporter>("qtforge.SharedBytes", gil); }
};

}  // namespace detail

/// A read-only memoryview of unsigned bytes over `buffer`, which it keeps alive. Null with an error set on failure.
inline Ref viewOf(const Buffer& buffer, const Gil& gil) {
  PyTypeObject* type = detail::BufferExporter::type(gil);
  if (!type) return {};
  const Ref exporter = Ref::steal(type->tp_alloc(type, 0));
  if (!exporter) return {};
  new (&reinterpret_cast<detail::BufferExporter*>(exporter.get())->buffer) Buffer(buffer);
  return Ref::steal(PyMemoryView_FromObject(exporter.get()));
}

/// The bytes of a bytes-like object: shared where they are read-only and contiguous, else by one copy.
///
/// @return the buffer, or Errc::ConversionFailed if it is not bytes-like
inline expected<Buffer> bufferOf(PyObject* object, const Gil& gil) {
  if (PyBytes_CheckExact(object)) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(object)),
                          static_cast<std::size_t>(PyBytes_GET_SIZE(object)));
    return Buffer::of(bytes, SharedRef(Ref::borrow(object)));
  }
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) != 0)
    return takePythonError("bytes expected", gil, Errc::ConversionFailed);
  // What cannot change is shared: views of bytes and of our own buffers' exporters.
  PyObject* owner = view.obj && PyMemoryView_Check(view.obj) ? PyMemoryView_GET_BUFFER(view.obj)->obj : view.obj;
  const bool immutable =
      owner && (PyBytes_CheckExact(owner) || Py_TYPE(owner) == detail::BufferExporter::type(gil));
  Buffer result;
  int failed = 0;
  if (immutable && PyBuffer_IsContiguous(&view, 'C')) {
    result = Buffer::of({static_cast<const std::uint8_t*>(view.buf), static_cast<std::size_t>(view.len)},
                        SharedRef(Ref::borrow(owner)));
  } else if (view.len > 0) {
    std::vector<std::uint8_t> copy(static_cast<std::size_t>(view.len));
    failed = PyBuffer_ToContiguous(copy.data(), &view, view.len, 'C');
    result = Buffer(std::move(copy));
  }
  PyBuffer_Release(&view);
  if (failed) return takePythonError("bytes expected", gil, Errc::ConversionFailed);
  return result;
}

}  // namespace qtforge::inline QTFORGE_ABI::python
