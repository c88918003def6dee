#pragma once
// qtforge/python/buffer_view.hpp: Buffer as a read-only memoryview, and bytes-like objects as Buffer, without a copy
// where they cannot change.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/python/detail/exporter_type.hpp>
#include <qtforge/python/detail/lasting_memory.hpp>
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

  static PyTypeObject* type(const Gil& gil) { return exporterType<BufferExporter>(sharedBytesName, gil); }
};

// The bytes object that is exactly `buffer`, or null. Borrowed.
inline PyObject* bytesBehind(const Buffer& buffer, const Gil&) noexcept {
  const auto* owner = buffer.owner<SharedRef>();
  PyObject* object = owner ? owner->get() : nullptr;
  const bool same = object && PyBytes_CheckExact(object) &&
                    reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(object)) == buffer.data() &&
                    static_cast<std::size_t>(PyBytes_GET_SIZE(object)) == buffer.size();
  return same ? object : nullptr;
}

// `bytes` of an owner as lastingOwner gives it. What came from C++ goes back as that, not wrapped once more.
inline Buffer bufferWithin(Ref owner, std::span<const std::uint8_t> bytes, const Gil& gil) {
  if (Py_TYPE(owner.get()) != BufferExporter::type(gil)) return Buffer::of(bytes, SharedRef(std::move(owner)));
  const Buffer& whole = reinterpret_cast<BufferExporter*>(owner.get())->buffer;
  return whole.data() == bytes.data() && whole.size() == bytes.size() ? whole : Buffer::of(bytes, whole);
}

}  // namespace detail

/// A read-only memoryview of unsigned bytes over `buffer`, which it keeps alive. Null with an error set on failure.
inline Ref viewOf(const Buffer& buffer, const Gil& gil) {
  if (PyObject* bytes = detail::bytesBehind(buffer, gil)) return Ref::steal(PyMemoryView_FromObject(bytes));
  PyTypeObject* type = detail::BufferExporter::type(gil);
  if (!type) return {};
  const Ref exporter = Ref::steal(type->tp_alloc(type, 0));
  if (!exporter) return {};
  new (&reinterpret_cast<detail::BufferExporter*>(exporter.get())->buffer) Buffer(buffer);
  return Ref::steal(PyMemoryView_FromObject(exporter.get()));
}

/// As bytes: the object that `buffer` was made of, if it was one, else a copy. Null with an error set on failure.
inline Ref bytesOf(const Buffer& buffer, const Gil& gil) {
  if (PyObject* bytes = detail::bytesBehind(buffer, gil)) return Ref::borrow(bytes);
  return Ref::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(buffer.data()),
                                              static_cast<Py_ssize_t>(buffer.size())));
}

/// The bytes of a bytes-like object: shared where they never change, which is so for bytes, what C++ published, and
/// contiguous memoryviews and arrays of them; else one copy.
///
/// @return the buffer, or Errc::ConversionFailed if it is not bytes-like
inline expected<Buffer> bufferOf(PyObject* object, const Gil& gil) {
  if (PyBytes_CheckExact(object)) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(object)),
                          static_cast<std::size_t>(PyBytes_GET_SIZE(object)));
    return Buffer::of(bytes, SharedRef(Ref::borrow(object)));
  }
  detail::HeldBuffer view;
  if (!view.acquire(object, PyBUF_FULL_RO)) return takePythonError("bytes expected", gil, Errc::ConversionFailed);
  if (view->len == 0) return Buffer();
  const auto size = static_cast<std::size_t>(view->len);
  if (view->readonly && PyBuffer_IsContiguous(&*view, 'C')) {
    Ref owner = detail::lastingOwner(object, view->buf, size, gil);
    if (owner) return detail::bufferWithin(std::move(owner), {static_cast<const std::uint8_t*>(view->buf), size}, gil);
  }
  std::vector<std::uint8_t> copy(size);
  if (PyBuffer_ToContiguous(copy.data(), const_cast<Py_buffer*>(&*view), view->len, 'C') != 0)
    return takePythonError("bytes expected", gil, Errc::ConversionFailed);
  return Buffer(std::move(copy));
}

}  // namespace qtforge::inline QTFORGE_ABI::python
