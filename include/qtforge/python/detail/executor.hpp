#pragma once
// qtforge/python/detail/executor.hpp: namespaces, code and calls for PythonExecutor, behind its table.

#include <qtforge/python/detail/bridge_bus.hpp>
#include <qtforge/python/detail/compiling.hpp>
#include <qtforge/python/detail/executed_source.hpp>
#include <qtforge/python/detail/found_names.hpp>
#include <qtforge/python/detail/python_invoke.hpp>
#include <qtforge/python/detail/python_table.hpp>
#include <qtforge/python/detail/watched_call.hpp>
#include <qtforge/python/python_value.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

struct ExecutorFunctions {
  using Sink = qtforge::detail::ErrorSink;
  using Call = qtforge::detail::PythonCall;

  /// An executor's namespace, a dict; or a function that was found.
  struct Held {
    std::atomic<std::uint32_t> shares{1};
    const SharedRef object;
    const std::string name;  // of a function
    FoundNames names;        // of an executor

    explicit Held(Ref held, std::string called = {}) : object(std::move(held)), name(std::move(called)) {}
    [[nodiscard]] static PyObject* of(void* handle) { return static_cast<Held*>(handle)->object.get(); }
  };

  static void* make(Sink sink) noexcept {
    return made(sink, [](const Gil& gil) -> expected<Held*> {
      if (auto told = Interpreter::find()->mainThread().tell(gil); !told) return told.error();
      Ref globals = Ref::steal(PyDict_New());
      const Ref name = Ref::steal(PyUnicode_FromString("__qtforge_executor__"));
      PyObject* builtins = PyEval_GetBuiltins();
      if (globals && name && PyDict_SetItemString(globals.get(), "__name__", name.get()) == 0 &&
          PyDict_SetItemString(globals.get(), "__builtins__", builtins) == 0)
        return new Held(std::move(globals));
      return takePythonError("PythonExecutor", gil);
    });
  }

  static void keep(void* handle) { static_cast<Held*>(handle)->shares.fetch_add(1, std::memory_order_relaxed); }
  static void free(void* handle) {
    auto* held = static_cast<Held*>(handle);
    if (held->shares.fetch_sub(1, std::memory_order_acq_rel) == 1) delete held;
  }

  static std::int32_t execute(void* executor, Text code, Text filename, Sink sink) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const Gil gil;
      auto done = run(executor, "execute", code, filename, Py_file_input, gil);
      if (!done) return done.error();
      return {};
    });
  }

  static std::int32_t evaluate(void* executor, Text expression, const TypeInfo* type, void* out, Sink sink) {
    return plainly(sink, false, [&](const Gil& gil) {
      auto value = run(executor, "evaluate", expression, std::string_view("<expression>"), Py_eval_input, gil);
      if (!value) return refuse(sink, value.error());
      return takeResult(value->get(), *type, out, "evaluate: result", sink, gil);
    });
  }

  static void* find(void* executor, Text name, Sink sink) noexcept {
    return made(sink, [&](const Gil& gil) -> expected<Held*> {
      Ref found = lookUp(executor, name, gil);
      if (!found) return notFound(name);
      if (!PyCallable_Check(found.get()))
        return Error(Errc::NameNotFound, "'" + std::string(std::string_view(name)) + "' is no function but of type " +
                                             Py_TYPE(found.get())->tp_name);
      return new Held(std::move(found), std::string(std::string_view(name)));
    });
  }

  static std::int32_t callNamed(void* executor, Text name, const Call* call, Sink sink) {
    return plainly(sink, call->gilHeld, [&](const Gil& gil) __attribute__((always_inline)) {
      const Ref function = lookUp(executor, name, gil);
      return function ? Invocation(function.get(), name, *call, sink, gil).run() : refuse(sink, notFound(name));
    });
  }

  static std::int32_t callFound(void* function, const Call* call, Sink sink) {
    return plainly(sink, call->gilHeld, [&](const Gil& gil) __attribute__((always_inline)) {
      const auto& held = *static_cast<Held*>(function);
      return Invocation(held.object.get(), held.name, *call, sink, gil).run();
    });
  }

  static void post(qtforge::detail::Task task) { Interpreter::find()->postCall(task); }

  /// As callNamed, for binaries that describe their arguments by PythonArgument.
  static std::int32_t call(void* executor, Text name, const qtforge::detail::PythonArgument* arguments, std::size_t count,
                           boost::json::value* result, Attachments* attachments, Sink sink) {
    return plainly(sink, false, [&](const Gil& gil) {
      std::vector<const TypeInfo*> types(count);
      std::vector<const void*> values(count);
      std::vector<std::variant<std::string_view, std::span<const double>, std::span<const std::int64_t>>> held(count);
      for (std::size_t i = 0; i < count; ++i) std::tie(types[i], values[i]) = described(arguments[i], held[i]);
      PythonValue value;
      const qtforge::detail::PythonCallShape shape{types.data(), count, 0, &valueType<PythonValue>, false};
      const Call typed{&shape, values.data(), nullptr, &value, true};
      const Ref function = lookUp(executor, name, gil);
      if (!function) return refuse(sink, notFound(name));
      if (const auto failed = Invocation(function.get(), name, typed, sink, gil).run(); failed != 0) return failed;
      if (value.binary())
        return refuse(sink, Error(Errc::ConversionFailed, std::string(std::string_view(name)) +
                                                              "(): BinaryMessage does not go into JSON"));
      *result = value.json();
      *attachments = value.attachments();
      return std::int32_t{0};
    });
  }

  static constexpr qtforge::detail::PythonTable table{1,        sizeof(qtforge::detail::PythonTable),
                                                      &make,    &free,
                                                      &execute, &call,
                                                      &keep,    &evaluate,
                                                      &callNamed, &find,
                                                      &callFound, &post};

 private:
  template <class F>
  static void* made(Sink sink, F&& f) noexcept {
    void* handle = nullptr;
    qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const Gil gil;
      auto held = f(gil);
      if (!held) return held.error();
      handle = *held;
      return {};
    });
    return handle;
  }

  static expected<Ref> run(void* executor, const char* what, Text code, Text filename, int start, const Gil& gil) {
    const std::string source{std::string_view(code)};
    if (source.find('\0') != std::string::npos)
      return Error(Errc::InvalidArgument, std::string(what) + ": the code has a NUL byte");
    const auto name = start == Py_file_input ? ExecutedSources::instance().add(filename, source, gil)
                                             : std::string(std::string_view(filename));
    const Ref compiled = compileText(source.c_str(), name.c_str(), start, gil);
    auto* globals = Held::of(executor);
    WatchedCall watched("the code of an executor", name);
    Ref done = Ref::steal(compiled ? orStay([&] { return PyEval_EvalCode(compiled.get(), globals, globals); }) : nullptr);
    watched.end();
    if (!done) return watched.takeError(what, gil);
    return done;
  }

  // As guarded(), of `f` under the GIL, which tells its errors itself.
  template <class F>
  [[gnu::always_inline]] static std::int32_t plainly(const Sink& sink, bool gilHeld, F&& f) noexcept {
    try {
      const Gil gil = gilHeld ? Gil(GilHeld()) : Gil();
      return f(gil);
    } catch (...) {
      return qtforge::detail::fail(sink, qtforge::detail::caughtError());
    }
  }

  // Null: there is none.
  [[gnu::always_inline]] static Ref lookUp(void* executor, std::string_view name, const Gil& gil) {
    const auto& held = *static_cast<Held*>(executor);
    PyObject* known = held.names.find(held.object.get(), name, gil);
    return known ? Ref::borrow(known) : lookUpAnew(executor, name, gil);
  }

  [[gnu::noinline]] static Ref lookUpAnew(void* executor, std::string_view name, const Gil& gil) {
    auto& held = *static_cast<Held*>(executor);
    PyObject* globals = held.object.get();
    const Ref key = KeyCache::get(name, gil);
    PyObject* found = key ? PyDict_GetItemWithError(globals, key.get()) : nullptr;
    if (found) held.names.remember(globals, name, found, gil);
    else if (key && !PyErr_Occurred()) found = PyDict_GetItemWithError(PyEval_GetBuiltins(), key.get());
    if (!found) PyErr_Clear();
    return Ref::borrow(found);
  }

  static Error notFound(Text name) {
    return Error(Errc::NameNotFound,
                 "there is no Python function '" + std::string(std::string_view(name)) + "' in this executor");
  }

  // The spans are lists there.
  template <class Held>
  static std::pair<const TypeInfo*, const void*> described(const qtforge::detail::PythonArgument& argument, Held& held) {
    using Kind = qtforge::detail::PythonArgument::Kind;
    const auto list = [&]<class T>(T span) -> std::pair<const TypeInfo*, const void*> {
      static constexpr ValueType type = [] {
        ValueType made = valueType<T>;
        made.extended = ValueKind::Numbers;
        return made;
      }();
      return {&type, &held.template emplace<T>(span)};
    };
    switch (argument.kind) {
      case Kind::None: return {&valueType<std::nullptr_t>, nullptr};
      case Kind::Bool: return {&valueType<bool>, &argument.boolean};
      case Kind::Int: return {&valueType<std::int64_t>, &argument.integer};
      case Kind::Uint: return {&valueType<std::uint64_t>, &argument.natural};
      case Kind::Real: return {&valueType<double>, &argument.real};
      case Kind::String:
        return {&valueType<std::string_view>,
                &held.template emplace<std::string_view>(static_cast<const char*>(argument.data), argument.size)};
      case Kind::Reals: return list(std::span(static_cast<const double*>(argument.data), argument.size));
      case Kind::Ints: return list(std::span(static_cast<const std::int64_t*>(argument.data), argument.size));
      case Kind::Json: return {&valueType<boost::json::value>, argument.data};
      case Kind::Binary: return {&valueType<BinaryMessage>, argument.data};
    }
    static constexpr TypeInfo unknown;
    return {&unknown, nullptr};
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
