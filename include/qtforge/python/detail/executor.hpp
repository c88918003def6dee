#pragma once
// qtforge/python/detail/executor.hpp: namespaces, code and calls for PythonExecutor, behind its table.

#include <qtforge/python/convert.hpp>
#include <qtforge/python/detail/bridge_bus.hpp>
#include <qtforge/python/detail/python_table.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

struct ExecutorFunctions {
  using Argument = qtforge::detail::PythonArgument;
  using Sink = qtforge::detail::ErrorSink;

  /// A namespace; the handle of an executor is its dict.
  static void* make(Sink sink) {
    const Gil gil;
    Ref globals = Ref::steal(PyDict_New());
    const Ref name = Ref::steal(PyUnicode_FromString("__qtforge_executor__"));
    PyObject* builtins = PyEval_GetBuiltins();
    if (globals && name && PyDict_SetItemString(globals.get(), "__name__", name.get()) == 0 &&
        PyDict_SetItemString(globals.get(), "__builtins__", builtins) == 0)
      return globals.release();
    sink(takePythonError("PythonExecutor", gil));
    return nullptr;
  }

  static void free(void* executor) { dropAnywhere(static_cast<PyObject*>(executor)); }

  static std::int32_t execute(void* executor, qtforge::detail::Text code, qtforge::detail::Text filename, Sink sink) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const std::string source{std::string_view(code)}, name{std::string_view(filename)};
      if (source.find('\0') != std::string::npos)
        return Error(Errc::InvalidArgument, "execute: the code has a NUL byte");
      const Gil gil;
      const Ref compiled = Ref::steal(Py_CompileString(source.c_str(), name.c_str(), Py_file_input));
      auto* globals = static_cast<PyObject*>(executor);
      const Ref done = Ref::steal(compiled ? orStay([&] { return PyEval_EvalCode(compiled.get(), globals, globals); }) : nullptr);
      if (!done) return takePythonError("execute", gil);
      return {};
    });
  }

  static std::int32_t call(void* executor, qtforge::detail::Text name, const Argument* arguments, std::size_t count,
                           boost::json::value* result, Attachments* attachments, Sink sink) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const std::string function{std::string_view(name)};
      const Gil gil;
      const Ref key = textToPython(function);
      auto* globals = static_cast<PyObject*>(executor);
      Ref callable = key ? Ref::borrow(PyDict_GetItemWithError(globals, key.get())) : Ref();
      if (!callable && key) {
        PyErr_Clear();
        callable = Ref::borrow(PyDict_GetItemWithError(PyEval_GetBuiltins(), key.get()));
      }
      PyErr_Clear();
      if (!callable) return Error(Errc::NameNotFound, "there is no Python function '" + function + "' in this executor");
      const Ref packed = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(count)));
      for (std::size_t i = 0; packed && i < count; ++i) {
        Ref argument = toPythonArgument(arguments[i], gil);
        if (!argument) return takePythonError(function + "(): argument " + std::to_string(i), gil, Errc::ConversionFailed);
        PyTuple_SET_ITEM(packed.get(), static_cast<Py_ssize_t>(i), argument.release());
      }
      const Ref returned = Ref::steal(packed ? orStay([&] { return PyObject_CallObject(callable.get(), packed.get()); }) : nullptr);
      if (!returned) return takePythonError(function + "()", gil);
      auto converted = fromPython(returned.get(), function + "()", gil);
      if (!converted) return converted.error();
      *result = std::move(converted->json);
      *attachments = std::move(converted->attachments);
      return {};
    });
  }

  static constexpr qtforge::detail::PythonTable table{1, sizeof(qtforge::detail::PythonTable), &make, &free, &execute,
                                                      &call};

 private:
  template <class Element, class Make>
  static Ref listOf(const Argument& argument, Make make) {
    const auto* elements = static_cast<const Element*>(argument.data);
    Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(argument.size)));
    for (std::size_t i = 0; list && i < argument.size; ++i) {
      PyObject* item = make(elements[i]);
      if (!item) return {};
      PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item);
    }
    return list;
  }

  static Ref toPythonArgument(const Argument& argument, const Gil& gil) {
    using Kind = Argument::Kind;
    switch (argument.kind) {
      case Kind::None: return Ref::borrow(Py_None);
      case Kind::Bool: return Ref::borrow(argument.boolean ? Py_True : Py_False);
      case Kind::Int: return Ref::steal(PyLong_FromLongLong(argument.integer));
      case Kind::Uint: return Ref::steal(PyLong_FromUnsignedLongLong(argument.natural));
      case Kind::Real: return Ref::steal(PyFloat_FromDouble(argument.real));
      case Kind::String: return textToPython({static_cast<const char*>(argument.data), argument.size});
      case Kind::Reals: return listOf<double>(argument, &PyFloat_FromDouble);
      case Kind::Ints:
        return listOf<std::int64_t>(argument, [](std::int64_t v) { return PyLong_FromLongLong(v); });
      case Kind::Json: return toPythonValue(*static_cast<const boost::json::value*>(argument.data), gil);
      case Kind::Binary: {
        Arrival arrival;
        arrival.payload = {qtforge::detail::PayloadKind::Binary, argument.data, nullptr};
        return payloadOf(arrival, gil);
      }
    }
    PyErr_SetString(PyExc_TypeError, "an argument of a kind that this host does not know");
    return {};
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
