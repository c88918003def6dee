#pragma once
// support.hpp: what every binding needs: owned references, argument lists, errors, and the bridge behind a guard.

#include <qtforge/python/bridge.hpp>
#include <qtforge/python/gil.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <span>

// What may run Python code is not noexcept: see `orStay`.
namespace qtforge::bindings {

struct DecRef {
  void operator()(PyObject* object) const noexcept { Py_DECREF(object); }
};
/// Owns one reference. Needs the GIL where it ends.
using Ref = std::unique_ptr<PyObject, DecRef>;

inline PyObject* retained(PyObject* object) noexcept {
  Py_XINCREF(object);
  return object;
}

using python::orStay;

/// The table of this process. @return null with a Python error set in a forked child, where nothing behind it lives
const python::Bridge* bridge();
/// Whether this process was forked from the one that imported the module.
bool isForkedChild() noexcept;

/// Sets `qtforge.Error` (or its subclass for that code) as the Python error.
void raise(int code, const char* message);
/// Sets a TypeError: "function() argument 'name' must be `expected`, not <type of value>".
void raiseType(const char* function, const char* name, const char* expected, PyObject* value);

namespace detail {
struct Parameters {
  const char* function;
  std::span<const char* const> names;
  std::span<PyObject* const> interned;
  std::size_t positional;
  std::size_t required;
};
bool bindArguments(const Parameters& parameters, PyObject* const* args, std::size_t count, PyObject* keywords,
                   std::span<PyObject*> out);
bool internNames(std::span<const char* const> names, std::span<PyObject*> out);
PyObject* compareEach(std::span<PyObject* const> mine, std::span<PyObject* const> theirs, int operation);
}  // namespace detail

/// Parameters of a METH_FASTCALL|METH_KEYWORDS function: the first `positional` may be given by place, the first
/// `required` must be given.
template <std::size_t N>
class Signature {
 public:
  constexpr Signature(const char* function, std::array<const char*, N> names, std::size_t positional,
                      std::size_t required)
      : function_(function), names_(names), positional_(positional), required_(required) {}

  /// Once, before the first bind. @return false with a Python error set
  bool intern() { return detail::internNames(names_, interned_); }

  /// Sorts a call's arguments into `out`: borrowed references, null for what was not given.
  /// @return false with a TypeError that names function and argument
  bool bind(PyObject* const* args, Py_ssize_t count, PyObject* keywords, std::array<PyObject*, N>& out) const {
    return detail::bindArguments({function_, names_, interned_, positional_, required_}, args,
                                 static_cast<std::size_t>(count), keywords, out);
  }

  [[nodiscard]] const char* function() const noexcept { return function_; }
  [[nodiscard]] const char* name(std::size_t index) const noexcept { return names_[index]; }
  [[nodiscard]] std::span<const char* const> names() const noexcept { return names_; }
  [[nodiscard]] PyObject* key(std::size_t index) const noexcept { return interned_[index]; }

 private:
  const char* function_;
  std::array<const char*, N> names_;
  std::array<PyObject*, N> interned_{};  // for the life of the process, as the module
  std::size_t positional_;
  std::size_t required_;
};

/// A finite number of seconds, at least 0. @return false with a TypeError or ValueError that names the argument
bool toSeconds(const char* function, const char* name, PyObject* value, double& out);

/// A type's tp_richcompare: only `==` and `!=`, and only with the same type, by the objects that `fieldsOf(self)` gives.
template <class FieldsOf>
PyObject* compareFields(PyObject* self, PyObject* other, int operation, FieldsOf&& fieldsOf) {
  if (Py_TYPE(self) != Py_TYPE(other) || (operation != Py_EQ && operation != Py_NE)) return retained(Py_NotImplemented);
  return detail::compareEach(fieldsOf(self), fieldsOf(other), operation);
}

/// "name=value, name=value" for a tp_repr. @return a new reference, or null with a Python error set
PyObject* representFields(std::span<const char* const> names, std::span<PyObject* const> values);

// A type's slots and method tables hold functions as the type they have in C.
template <class Function>
void* slot(Function* function) noexcept {
  return reinterpret_cast<void*>(function);
}
template <class Function>
PyCFunction method(Function* function) noexcept {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace qtforge::bindings
