#pragma once
// qtforge/python/detail/lent_view.hpp: numbers of somebody else as a read-only memoryview, for the time of a call.

#include <qtforge/core/detail/interface_info.hpp>
#include <qtforge/python/detail/exporter_type.hpp>

#include <cstddef>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// The letter of the module `struct` for a number; null for other types.
inline const char* numberFormat(const qtforge::detail::TypeInfo& type) {
  using qtforge::detail::TypeKind;
  const auto ofSize = [&](const char* one, const char* two, const char* four, const char* eight) {
    return type.size == 1 ? one : type.size == 2 ? two : type.size == 4 ? four : eight;
  };
  switch (type.kind) {
    case TypeKind::Int: return ofSize("b", "h", "i", sizeof(long) == 8 ? "l" : "q");
    case TypeKind::Uint: return ofSize("B", "H", "I", sizeof(long) == 8 ? "L" : "Q");
    case TypeKind::Real: return type.size == sizeof(float) ? "f" : "d";
    default: return nullptr;
  }
}

/// What memoryviews of lent numbers refer to; it knows how many do.
struct LentNumbers {
  PyObject_HEAD
  void* data;
  const char* format;
  Py_ssize_t size, itemSize;  // size in elements
  Py_ssize_t views;

  static int getBuffer(PyObject* self, Py_buffer* view, int flags) {
    auto& lent = *reinterpret_cast<LentNumbers*>(self);
    if (PyBuffer_FillInfo(view, self, lent.data, lent.size * lent.itemSize, 1, flags) != 0) return -1;
    view->itemsize = lent.itemSize;
    if (flags & PyBUF_FORMAT) view->format = const_cast<char*>(lent.format);
    if (view->shape) view->shape = &lent.size;
    if (view->strides) view->strides = &lent.itemSize;
    ++lent.views;
    return 0;
  }
  static void releaseBuffer(PyObject* self, Py_buffer*) { --reinterpret_cast<LentNumbers*>(self)->views; }
};

/// A memoryview over somebody's numbers.
class LentView {
 public:
  /// Null inside, with a Python error set, on failure.
  LentView(const qtforge::detail::TypeInfo& element, const void* data, std::size_t size, const Gil& gil) {
    PyTypeObject* type = exporterType<LentNumbers>("qtforge.LentNumbers", gil);
    owner_ = Ref::steal(type ? type->tp_alloc(type, 0) : nullptr);
    if (!owner_) return;
    static double nothing = 0;
    auto& lent = *reinterpret_cast<LentNumbers*>(owner_.get());
    lent.data = data ? const_cast<void*>(data) : &nothing;
    lent.format = numberFormat(element);
    lent.size = static_cast<Py_ssize_t>(size);
    lent.itemSize = static_cast<Py_ssize_t>(element.size);
    view_ = Ref::steal(PyMemoryView_FromObject(owner_.get()));
  }

  [[nodiscard]] const Ref& view() const noexcept { return view_; }

  /// Ends the view: who uses it later gets a ValueError. @return false: Python still uses the numbers through something else
  bool end(const Gil&) {
    if (!view_) return true;
    if (PyObject* done = PyObject_CallMethod(view_.get(), "release", nullptr)) Py_DECREF(done);
    else PyErr_Clear();
    return reinterpret_cast<LentNumbers*>(owner_.get())->views == 0;
  }

 private:
  Ref owner_, view_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
