#pragma once
// qtforge/python/detail/python_interface.hpp: a Python plugin's methods as an implementation of an interface.

#include <qtforge/python/detail/value_from_python.hpp>
#include <qtforge/python/detail/watched_call.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

using qtforge::detail::CallResult;
using qtforge::detail::ErasedImplementation;
using qtforge::detail::ErrorSink;
using qtforge::detail::InterfaceInfo;
using qtforge::detail::MethodInfo;

/// How long a caller waits for a method on the plugin's lane; the method itself goes on.
inline constexpr std::chrono::seconds methodLimit{120};

// A type as the package's _interfaces.py reads it: ("list", ("float",)).
inline Ref describeType(const TypeInfo& type) {
  if (type.element) {
    const Ref element = describeType(*type.element);
    const char* kind = type.kind == TypeKind::Optional ? "optional" : type.kind == TypeKind::List ? "list" : "dict";
    return element ? Ref::steal(Py_BuildValue("(sO)", kind, element.get())) : Ref();
  }
  const char* kind = "json";
  switch (type.kind) {
    case TypeKind::Void: kind = "None"; break;
    case TypeKind::Bool: kind = "bool"; break;
    case TypeKind::Int:
    case TypeKind::Uint: kind = "int"; break;
    case TypeKind::Real: kind = "float"; break;
    case TypeKind::Text:
    case TypeKind::TextView: kind = "str"; break;
    case TypeKind::JsonObject: kind = "dict"; break;
    case TypeKind::JsonArray: kind = "list"; break;
    case TypeKind::Binary: kind = "BinaryMessage"; break;
    default: break;
  }
  return Ref::steal(Py_BuildValue("(s)", kind));
}

// (name, ((parameter, type), ...), result). Null with a Python error set.
inline Ref describeMethod(const MethodInfo& method) {
  const Ref parameters = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(method.count)));
  const Ref name = textToPython(method.name), result = describeType(*method.result);
  for (std::uint32_t i = 0; parameters && i < method.count; ++i) {
    const auto& parameter = method.parameters[i];
    const Ref called = textToPython(parameter.name), type = describeType(*parameter.type);
    PyObject* pair = called && type ? PyTuple_Pack(2, called.get(), type.get()) : nullptr;
    if (!pair) return {};
    PyTuple_SET_ITEM(parameters.get(), static_cast<Py_ssize_t>(i), pair);
  }
  if (!parameters || !name || !result) return {};
  return Ref::steal(PyTuple_Pack(3, name.get(), parameters.get(), result.get()));
}

inline Ref describeMethods(const InterfaceInfo& info) {
  const Ref methods = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(info.count)));
  for (std::uint32_t i = 0; methods && i < info.count; ++i) {
    Ref method = describeMethod(info.methods[i]);
    if (!method) return {};
    PyTuple_SET_ITEM(methods.get(), static_cast<Py_ssize_t>(i), method.release());
  }
  return methods;
}

/// The bound methods of one plugin for one interface.
///
/// @par Thread safety  any thread, while the plugin lives.
class PythonImplementation final : public ErasedImplementation {
 public:
  /// Looks for the methods of `wanted`.
  ///
  /// @return the implementation, or
  ///   - Errc::InterfaceMissing   with all that is wrong
  ///   - Errc::InterfaceMismatch  the same, where the plugin's manifest declares the interface
  /// @param object  the plugin's object, or one that it offers
  static expected<std::unique_ptr<PythonImplementation>> make(std::shared_ptr<PluginContext> context, PyObject* object,
                                                              const InterfaceInfo& wanted, const Gil& gil) {
    const PluginScope scope(context.get());
    static PyObject* check = nullptr;
    if (!imported(check, "qtforge._interfaces", "check", gil))
      return takePythonError("import of qtforge._interfaces", gil, Errc::PackageMismatch);
    const Ref methods = describeMethods(wanted);
    const Ref checked = Ref::steal(
        methods ? orStay([&] { return PyObject_CallFunctionObjArgs(check, object, methods.get(), nullptr); })
                : nullptr);
    PyObject *found = nullptr, *problems = nullptr;
    if (!checked || !PyArg_ParseTuple(checked.get(), "OO", &found, &problems))
      return takePythonError("looking for the interface's methods", gil);
    const auto& declared = context->interfaces;
    const std::string_view name = wanted.name;
    if (PyUnicode_GetLength(problems) != 0) {
      const bool isDeclared = object == context->object.get() && std::find(declared.begin(), declared.end(), name) != declared.end();
      return Error(isDeclared ? Errc::InterfaceMismatch : Errc::InterfaceMissing,
                   "it does not implement the interface \"" + std::string(name) + "\": " + textOf(problems, gil));
    }
    std::unique_ptr<PythonImplementation> made(new PythonImplementation(std::move(context), wanted));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(found); ++i) {
      PyObject* pair = PyList_GET_ITEM(found, i);
      made->methods_.push_back({SharedRef(Ref::borrow(PyTuple_GET_ITEM(pair, 0))), PyTuple_GET_ITEM(pair, 1) == Py_True});
    }
    return made;
  }

  [[nodiscard]] qtforge::detail::Implementation implementation() noexcept {
    return {nullptr, static_cast<ErasedImplementation*>(this), nullptr};
  }

  [[nodiscard]] bool implements(const InterfaceInfo& info) const {
    return fingerprint_ == info.fingerprint && name_ == std::string_view(info.name);
  }

 private:
  struct Bound {
    SharedRef callable;
    bool onLane;
  };

  // What a call on the lane shares with its caller, which may have gone.
  struct LaneCall {
    SharedRef arguments, result;
  };

  PythonImplementation(std::shared_ptr<PluginContext> context, const InterfaceInfo& info)
      : ErasedImplementation{&call}, context_(std::move(context)), name_(std::string_view(info.name)), fingerprint_(info.fingerprint) {}

  static CallResult call(const ErasedImplementation* erased, std::uint32_t index, const MethodInfo* info, void* result,
                         const void* const* arguments, const ErrorSink* sink) {
    return qtforge::detail::guarded(*sink, [&]() -> expected<void> {
      const auto& self = *static_cast<const PythonImplementation*>(erased);
      const auto& bound = self.methods_[index];
      const Gil gil;
      const PluginScope scope(self.context_.get());
      auto returned = bound.onLane && !self.context_->lane->here() ? self.callOnLane(bound, *info, arguments, gil)
                                                                   : callHere(bound, *info, arguments, gil);
      if (!returned) return returned.error();
      ValueFromPython conversion(gil);
      if (result && !conversion.convert(*info->result, returned->get(), result))
        return Error(Errc::ConversionFailed, "result" + conversion.place + ": " + conversion.reason);
      return {};
    });
  }

  static Error badArgument(const MethodInfo& info, std::uint32_t index, const Gil& gil) {
    return takePythonError("argument " + std::string(std::string_view(info.parameters[index].name)), gil, Errc::ConversionFailed);
  }

  static expected<Ref> callHere(const Bound& bound, const MethodInfo& info, const void* const* arguments, const Gil& gil) {
    constexpr std::uint32_t few = 8;
    std::array<Ref, few> near;
    std::vector<Ref> far(info.count > few ? info.count : 0);
    std::array<PyObject*, few + 1> nearPlaces{};  // the first is the callee's to use
    std::vector<PyObject*> farPlaces(info.count > few ? info.count + 1 : 0);
    Ref* held = info.count > few ? far.data() : near.data();
    PyObject** places = info.count > few ? farPlaces.data() : nearPlaces.data();
    for (std::uint32_t i = 0; i < info.count; ++i) {
      held[i] = valueToPython(*info.parameters[i].type, arguments[i], gil);
      if (!held[i]) return badArgument(info, i, gil);
      places[i + 1] = held[i].get();
    }
    WatchedCall watched("a method", std::string_view(info.name));
    Ref returned = Ref::steal(orStay([&] {
      return PyObject_Vectorcall(bound.callable.get(), places + 1, info.count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    }));
    watched.end();
    if (!returned) return watched.takeError("raised", gil);
    return returned;
  }

  expected<Ref> callOnLane(const Bound& bound, const MethodInfo& info, const void* const* arguments, const Gil& gil) const {
    Ref packed = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(info.count)));
    for (std::uint32_t i = 0; packed && i < info.count; ++i) {
      Ref argument = valueToPython(*info.parameters[i].type, arguments[i], gil);
      if (!argument) return badArgument(info, i, gil);
      PyTuple_SET_ITEM(packed.get(), static_cast<Py_ssize_t>(i), argument.release());
    }
    if (!packed) return takePythonError("arguments", gil);
    auto shared = std::make_shared<LaneCall>();
    shared->arguments = SharedRef(std::move(packed));
    const auto step = [shared, context = context_, callable = std::make_shared<SharedRef>(Ref::borrow(bound.callable.get()))](
                          const Gil& held) -> expected<void> {
      const PluginScope scope(context.get());
      WatchedCall watched("a method");
      Ref returned = Ref::steal(orStay([&] { return PyObject_CallObject(callable->get(), shared->arguments.get()); }));
      watched.end();
      if (!returned) return watched.takeError("raised", held);
      shared->result = SharedRef(std::move(returned));
      return {};
    };
    const auto done = context_->lane->call(step, methodLimit);
    if (!done) return done.error();
    return Ref::borrow(shared->result.get());
  }

  std::shared_ptr<PluginContext> context_;
  std::string name_;
  std::uint64_t fingerprint_;
  std::vector<Bound> methods_;  // in the interface's order
};

/// Those of one object that were asked for.
///
/// @par Thread safety  any thread.
class PythonImplementations {
 public:
  expected<qtforge::detail::Implementation> find(const std::shared_ptr<PluginContext>& context, PyObject* object,
                                                 const InterfaceInfo& wanted) {
    {
      std::lock_guard lock(mutex_);
      for (const auto& known : made_)
        if (known->implements(wanted)) return known->implementation();
    }
    const Gil gil;
    auto made = PythonImplementation::make(context, object, wanted, gil);
    if (!made) return made.error();
    std::lock_guard lock(mutex_);  // another thread may have made it meanwhile, and both will do
    made_.push_back(std::move(*made));
    return made_.back()->implementation();
  }

  void clear() { made_.clear(); }

 private:
  std::mutex mutex_;  // guards made_; a leaf
  std::vector<std::unique_ptr<PythonImplementation>> made_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
