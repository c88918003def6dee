#pragma once
// qtforge/python/ref.hpp: owning references to Python objects: Ref under the GIL, SharedRef anywhere.

#include <qtforge/python/gil.hpp>

#include <atomic>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python {

/// Owns one reference. Make, copy and destroy it with the GIL held.
class Ref {
 public:
  Ref() noexcept = default;
  /// Takes over a new reference, null included.
  [[nodiscard]] static Ref steal(PyObject* object) noexcept { return Ref(object); }
  /// Adds a reference to a borrowed one.
  [[nodiscard]] static Ref borrow(PyObject* object) noexcept {
    Py_XINCREF(object);
    return Ref(object);
  }

  Ref(const Ref& other) noexcept : object_(other.object_) { Py_XINCREF(object_); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  /// Gives the reference to the caller.
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
  [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  explicit Ref(PyObject* object) noexcept : object_(object) {}
  PyObject* object_ = nullptr;
};

namespace detail {

// Where references go that are dropped without the GIL: set while lanes run, else they are leaked.
inline std::atomic<void (*)(PyObject*)>& dropElsewhere() noexcept {
  static std::atomic<void (*)(PyObject*)> drop{nullptr};
  return drop;
}

/// Gives up a reference on any thread, without waiting for the GIL.
inline void dropAnywhere(PyObject* object) noexcept {
  if (!object || !Py_IsInitialized()) return;
  if (PyGILState_Check()) {
    Py_DECREF(object);
  } else if (auto* drop = dropElsewhere().load(std::memory_order_acquire)) {
    drop(object);
  }
}

}  // namespace detail

/// Owns one reference and may be moved and destroyed on any thread, with or without the GIL.
class SharedRef {
 public:
  SharedRef() noexcept = default;
  explicit SharedRef(Ref ref) noexcept : object_(ref.release()) {}
  SharedRef(SharedRef&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  SharedRef& operator=(SharedRef&& other) noexcept {
    if (this != &other) {
      detail::dropAnywhere(object_);
      object_ = std::exchange(other.object_, nullptr);
    }
    return *this;
  }
  ~SharedRef() { detail::dropAnywhere(object_); }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
