#pragma once
// qtforge/python/python_error.hpp: Python's exceptions as Error, and Error as Python's exceptions.

#include <qtforge/python/detail/memory_reserve.hpp>
#include <qtforge/python/ref.hpp>
#include <qtforge/utils/error.hpp>

#include <string>

namespace qtforge::inline QTFORGE_ABI::python {

namespace detail {

/// The exception that is set, cleared; null if there is none.
inline Ref takeException(const Gil&) {
#if PY_VERSION_HEX >= 0x030C0000
  return Ref::steal(PyErr_GetRaisedException());
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (!type) return {};
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback && value) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return Ref::steal(value);
#endif
}

inline std::string textOf(PyObject* object, const Gil&) {
  const Ref text = Ref::steal(object ? PyObject_Str(object) : nullptr);
  Py_ssize_t size = 0;
  const char* data = text ? PyUnicode_AsUTF8AndSize(text.get(), &size) : nullptr;
  if (data) return {data, static_cast<std::size_t>(size)};
  PyErr_Clear();
  return "<no text>";
}

inline std::string qualifiedName(PyTypeObject* type, const Gil& gil) {
  auto* object = reinterpret_cast<PyObject*>(type);
  const Ref name = Ref::steal(PyObject_GetAttrString(object, "__qualname__"));
  const Ref module = Ref::steal(PyObject_GetAttrString(object, "__module__"));
  PyErr_Clear();
  std::string result = name ? textOf(name.get(), gil) : type->tp_name;
  if (module && PyUnicode_Check(module.get()))
    if (const auto text = textOf(module.get(), gil); text != "builtins") result = text + "." + result;
  return result;
}

// As Python prints it, causes and notes included; empty if it cannot be formatted.
inline std::string formatTraceback(PyObject* exception, const Gil& gil) {
  const Ref module = Ref::steal(PyImport_ImportModule("traceback"));
  Ref trace = Ref::steal(PyException_GetTraceback(exception));
  if (!trace) trace = Ref::borrow(Py_None);
  const Ref lines = Ref::steal(module ? PyObject_CallMethod(module.get(), "format_exception", "OOO",
                                                            reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception,
                                                            trace.get())
                                      : nullptr);
  const Ref empty = Ref::steal(lines ? PyUnicode_FromString("") : nullptr);
  const Ref joined = Ref::steal(empty ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
  if (joined) return textOf(joined.get(), gil);
  PyErr_Clear();
  return {};
}

}  // namespace detail

/// The Python exception that is set, as an Error, and clears it. Any exception, SystemExit and KeyboardInterrupt
/// included.
///
/// @param what  what was tried, put in front of the exception's text
/// @param code  Errc::PythonError unless the caller knows better
[[nodiscard]] inline Error takePythonError(const std::string& what, const Gil& gil, Errc code = Errc::PythonError) {
  const detail::MemoryReserve reserve;
  const Ref exception = detail::takeException(gil);
  if (!exception) return Error(code, what + ": failed without a Python exception");
  const auto type = detail::qualifiedName(Py_TYPE(exception.get()), gil);
  const auto text = detail::textOf(exception.get(), gil);
  auto traceback = detail::formatTraceback(exception.get(), gil);
  return Error(code, what + ": " + type + (text.empty() ? "" : ": " + text), type, std::move(traceback));
}

/// Sets `error` as a Python exception: TypeError and ValueError for arguments, else `qtforge.Error` with its code.
/// @return null, for `return raise(...)`
inline PyObject* raise(const Error& error, const Gil&) {
  const auto message = error.message();
  switch (error.code()) {
    case Errc::ConversionFailed: PyErr_SetString(PyExc_TypeError, message.c_str()); return nullptr;
    case Errc::InvalidArgument: PyErr_SetString(PyExc_ValueError, message.c_str()); return nullptr;
    default: break;
  }
  const Ref module = Ref::steal(PyImport_ImportModule("qtforge.errors"));
  if (!module) return nullptr;
  const Ref made =
      Ref::steal(PyObject_CallMethod(module.get(), "make_error", "isss", static_cast<int>(error.code()),
                                     message.c_str(), error.pythonType().c_str(), error.traceback().c_str()));
  if (made) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.get())), made.get());
  return nullptr;
}

}  // namespace qtforge::inline QTFORGE_ABI::python
