#pragma once
// qtforge/python/detail/lasting_memory.hpp: Python objects whose memory does not change, and whether some memory is theirs.

#include <qtforge/python/ref.hpp>

#include <cstddef>
#include <cstring>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Name of every type whose instances lend bytes that do not change. Host and extension each have one, and know the other's
/// by it.
inline constexpr const char* sharedBytesName = "qtforge.SharedBytes";

/// A buffer of plain bytes, while it lives.
class HeldBuffer {
 public:
  HeldBuffer() noexcept = default;
  HeldBuffer(const HeldBuffer&) = delete;
  HeldBuffer& operator=(const HeldBuffer&) = delete;
  ~HeldBuffer() { release(); }

  /// @return false with a Python error set
  bool acquire(PyObject* object, int flags) {
    release();
    return held_ = PyObject_GetBuffer(object, &view_, flags) == 0;
  }
  const Py_buffer& operator*() const noexcept { return view_; }
  const Py_buffer* operator->() const noexcept { return &view_; }

 private:
  void release() {
    if (std::exchange(held_, false)) PyBuffer_Release(&view_);
  }

  Py_buffer view_{};
  bool held_ = false;
};

/// bytes, or an object whose type has `sharedBytesName`, which no class written in Python is.
inline bool lastsUnchanged(PyObject* object) noexcept {
  const auto* type = Py_TYPE(object);
  return PyBytes_CheckExact(object) ||
         (std::strcmp(type->tp_name, sharedBytesName) == 0 && !PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_BASETYPE));
}

/// Who owns the `size` bytes at `data` that `object` shows, if they never change: through memoryviews and through arrays
/// with `base`, which is believed only if the bytes lie within what it leads to.
///
/// @return bytes or an object with `sharedBytesName`; null without a Python error for all else
inline Ref lastingOwner(PyObject* object, const void* data, std::size_t size, const Gil&) {
  constexpr int longest = 32;
  Ref at = Ref::borrow(object);
  for (int step = 0; at && step < longest; ++step) {
    if (lastsUnchanged(at.get())) {
      HeldBuffer whole;
      if (!whole.acquire(at.get(), PyBUF_SIMPLE)) break;
      const auto* first = static_cast<const char*>(whole->buf);
      const auto* bytes = static_cast<const char*>(data);
      const auto length = static_cast<std::size_t>(whole->len);
      const bool inside = bytes >= first && size <= length && static_cast<std::size_t>(bytes - first) <= length - size;
      return inside ? at : Ref();
    }
    if (PyMemoryView_Check(at.get())) {
      HeldBuffer alive;  // one that was released does not hold its owner any more
      if (!alive.acquire(at.get(), PyBUF_FULL_RO)) break;
      at = Ref::borrow(PyMemoryView_GET_BUFFER(at.get())->obj);
    } else {
      at = Ref::steal(PyObject_GetAttrString(at.get(), "base"));
    }
  }
  PyErr_Clear();
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
