#pragma once
// qtforge/python/detail/python_invoke.hpp: a call of a Python object with C++ values and a C++ result.

#include <qtforge/python/detail/python_table.hpp>
#include <qtforge/python/detail/value_from_python.hpp>
#include <qtforge/python/detail/value_to_python.hpp>
#include <qtforge/python/detail/watched_call.hpp>

#include <cstring>
#include <memory>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// The arguments of one vectorcall: few of them need no memory.
class CallArguments {
 public:
  explicit CallArguments(std::size_t count) : places_(near_) {
    if (count < few) return;
    far_ = std::make_unique<PyObject*[]>(count + 1);
    places_ = far_.get();
  }
  CallArguments(const CallArguments&) = delete;
  CallArguments& operator=(const CallArguments&) = delete;
  ~CallArguments() {
    while (count_ > 0) Py_DECREF(places_[count_--]);
  }

  /// False for null.
  bool add(Ref argument) noexcept {
    if (!argument) return false;
    places_[++count_] = argument.release();
    return true;
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// The place before them is the callee's to use.
  [[nodiscard]] PyObject* const* begin() const noexcept { return places_ + 1; }

 private:
  static constexpr std::size_t few = 8;

  PyObject* near_[few];
  std::unique_ptr<PyObject*[]> far_;
  PyObject** places_;
  std::size_t count_ = 0;
};

/// Where an error of a call goes. @return its Errc
inline std::int32_t refuse(const qtforge::detail::ErrorSink& sink, Error error) {
  return qtforge::detail::fail(sink, std::move(error));
}

/// @param what  names the value in errors
/// @param out   null: it is thrown away
inline std::int32_t takeResult(PyObject* object, const TypeInfo& type, void* out, const std::string& what,
                               const qtforge::detail::ErrorSink& sink, const Gil& gil) {
  ValueFromPython conversion(gil);
  if (!out || conversion.convert(type, object, out)) return 0;
  return refuse(sink, Error(Errc::ConversionFailed, what + conversion.place + ": " + conversion.reason));
}

/// A call of `callable` with `call`'s values; PythonExecutor::callFunction says with which errors.
class Invocation {
 public:
  Invocation(PyObject* callable, std::string_view name, const qtforge::detail::PythonCall& call,
             const qtforge::detail::ErrorSink& sink, const Gil& gil) noexcept
      : callable_(callable), name_(name), call_(call), shape_(*call.shape), sink_(sink), gil_(gil) {}

  /// @return 0, or the Errc of the error that was told
  [[gnu::always_inline]] std::int32_t run() {
    // Numbers alone are the usual arguments of short functions: nothing is set up for them.
    if (!shape_.numbers) return runAny();
    CallArguments arguments(shape_.count);
    for (std::size_t at = 0; at < shape_.count; ++at)
      if (!arguments.add(numberToPython(*shape_.types[at], call_.values[at]))) return badArgument(at, {});
    WatchedCall watched("a function of an executor", name_);
    const Ref returned = Ref::steal(callWith(arguments, nullptr));
    watched.end();
    return returned ? take(returned.get()) : refuse(sink_, watched.takeError(called(), gil_));
  }

 private:
  [[gnu::always_inline]] PyObject* callWith(const CallArguments& arguments, PyObject* keywords) const {
    const auto positional = (arguments.count() - shape_.keywordCount) | PY_VECTORCALL_ARGUMENTS_OFFSET;
    const PyTypeObject* type = Py_TYPE(callable_);
    vectorcallfunc direct = nullptr;  // as PyVectorcall_Function finds it, without a call
    if (PyType_HasFeature(const_cast<PyTypeObject*>(type), Py_TPFLAGS_HAVE_VECTORCALL))
      std::memcpy(&direct, reinterpret_cast<const char*>(callable_) + type->tp_vectorcall_offset, sizeof(direct));
    return orStay([&] {
      return direct ? direct(callable_, arguments.begin(), positional, keywords)
                    : PyObject_Vectorcall(callable_, arguments.begin(), positional, keywords);
    });
  }

  [[gnu::always_inline]] std::int32_t take(PyObject* returned) const {
    const auto& type = *shape_.result;
    if (type.kind == TypeKind::Real && type.size == sizeof(double) && PyFloat_CheckExact(returned)) {
      *static_cast<double*>(call_.out) = PyFloat_AS_DOUBLE(returned);
      return 0;
    }
    return takeAny(returned);
  }

  [[gnu::noinline]] std::int32_t takeAny(PyObject* returned) const {
    return takeResult(returned, *shape_.result, call_.out, called(), sink_, gil_);
  }

  [[gnu::noinline]] std::int32_t runAny() const {
    CallArguments arguments(shape_.count);
    ValueToPython conversion(gil_);
    for (std::size_t at = 0; at < shape_.count; ++at)
      if (!arguments.add(conversion.make(*shape_.types[at], call_.values[at]))) return badArgument(at, conversion.place);
    const Ref keywords = shape_.keywordCount > 0 ? keywordNames() : Ref();
    if (shape_.keywordCount > 0 && !keywords) return refuse(sink_, raised());
    WatchedCall watched("a function of an executor", name_);
    Ref returned = Ref::steal(callWith(arguments, keywords.get()));
    watched.end();
    Error error = returned ? Error() : watched.takeError(called(), gil_);
    if (returned)
      takeResult(returned.get(), *shape_.result, call_.out, called(), qtforge::detail::sinkInto(error), gil_);
    returned = Ref();  // which may have used the memory of a span
    if (!conversion.endLoans()) [[unlikely]]
      error = Error(Errc::InvalidArgument,
                    (error.code() == Errc::Ok ? called() + ": " : error.message() + "; and ") +
                        "Python keeps something that uses the memory of a span; let it copy the numbers, or "
                        "pass a Buffer or a BinaryMessage",
                    error.pythonType(), error.traceback());
    return error.code() == Errc::Ok ? 0 : refuse(sink_, std::move(error));
  }

  [[nodiscard]] std::string called() const { return std::string(name_) + "()"; }
  [[nodiscard]] Error raised() const { return takePythonError(called(), gil_); }

  [[gnu::cold]] std::int32_t badArgument(std::size_t index, const std::string& place) const {
    const auto positional = shape_.count - shape_.keywordCount;
    const auto which = index < positional ? std::to_string(index)
                                          : std::string(std::string_view(call_.keywords[index - positional]));
    return refuse(sink_, takePythonError(called() + ": argument " + which + place, gil_, Errc::ConversionFailed));
  }

  // As vectorcall wants them. Null with a Python error set.
  [[nodiscard]] Ref keywordNames() const {
    const Ref names = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(shape_.keywordCount)));
    for (std::size_t i = 0; names && i < shape_.keywordCount; ++i) {
      Ref name = KeyCache::get(call_.keywords[i], gil_);
      if (!name) return {};
      PyTuple_SET_ITEM(names.get(), static_cast<Py_ssize_t>(i), name.release());
    }
    return names;
  }

  PyObject* callable_;
  std::string_view name_;
  const qtforge::detail::PythonCall& call_;
  const qtforge::detail::PythonCallShape& shape_;
  const qtforge::detail::ErrorSink& sink_;
  const Gil& gil_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
