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
    const Ref methods = describeMethods(wanted);
    if (!methods) return takePythonError("looking for the interface's methods", gil);
    return make(std::move(context), object, wanted.name, wanted.fingerprint, methods, gil);
  }

  /// The same of another plugin or object.
  [[nodiscard]] expected<std::unique_ptr<PythonImplementation>> makeFor(std::shared_ptr<PluginContext> context,
                                                                        PyObject* object, const Gil& gil) const {
    return make(std::move(context), object, name_, fingerprint_, Ref::borrow(described_.get()), gil);
  }

  /// Has calls go to what `other` is of. With the GIL.
  void exchange(PythonImplementation& other) noexcept {
    context_.swap(other.context_);
    methods_.swap(other.methods_);
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
    bool stale = false;  // it was not called: another version has come in the place of its plugin
  };

  static expected<std::unique_ptr<PythonImplementation>> make(std::shared_ptr<PluginContext> context, PyObject* object,
                                                              std::string_view name, std::uint64_t fingerprint,
                                                              const Ref& methods, const Gil& gil) {
    const PluginScope scope(context.get());
    static PyObject* check = nullptr;
    if (!imported(check, "qtforge._interfaces", "check", gil))
      return takePythonError("import of qtforge._interfaces", gil, Errc::PackageMismatch);
    const Ref checked =
        Ref::steal(orStay([&] { return PyObject_CallFunctionObjArgs(check, object, methods.get(), nullptr); }));
    PyObject *found = nullptr, *problems = nullptr;
    if (!checked || !PyArg_ParseTuple(checked.get(), "OO", &found, &problems))
      return takePythonError("looking for the interface's methods", gil);
    const auto& declared = context->interfaces;
    if (PyUnicode_GetLength(problems) != 0) {
      const bool isDeclared = object == context->object.get() && std::find(declared.begin(), declared.end(), name) != declared.end();
      return Error(isDeclared ? Errc::InterfaceMismatch : Errc::InterfaceMissing,
                   "it does not implement the interface \"" + std::string(name) + "\": " + textOf(problems, gil));
    }
    std::unique_ptr<PythonImplementation> made(new PythonImplementation(std::move(context), name, fingerprint, methods));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(found); ++i) {
      PyObject* pair = PyList_GET_ITEM(found, i);
      made->methods_.push_back({SharedRef(Ref::borrow(PyTuple_GET_ITEM(pair, 0))), PyTuple_GET_ITEM(pair, 1) == Py_True});
    }
    return made;
  }

  PythonImplementation(std::shared_ptr<PluginContext> context, std::string_view name, std::uint64_t fingerprint,
                       const Ref& described)
      : ErasedImplementation{&call},
        context_(std::move(context)),
        name_(name),
        fingerprint_(fingerprint),
        described_(Ref::borrow(described.get())) {}

  static CallResult call(const ErasedImplementation* erased, std::uint32_t index, const MethodInfo* info, void* result,
                         const void* const* arguments, const ErrorSink* sink) {
    return qtforge::detail::guarded(*sink, [&]() -> expected<void> {
      const auto& self = *static_cast<const PythonImplementation*>(erased);
      const Gil gil;
      awaitReplacement(self.context_);
      const auto& bound = self.methods_[index];
      const Ref callable = Ref::borrow(bound.callable.get());
      const bool hop = bound.onLane && !self.context_->lane->here();
      const auto kept = hop ? self.context_ : nullptr;  // a reload does not wait for who waits for the lane
      const OutsideCall inside(hop ? nullptr : self.context_.get());
      const PluginScope scope(self.context_.get());
      auto returned = hop ? callOnLane(self, index, *info, arguments, gil) : callHere(callable, *info, arguments, gil);
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

  static expected<Ref> callHere(const Ref& callable, const MethodInfo& info, const void* const* arguments, const Gil& gil) {
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
      return PyObject_Vectorcall(callable.get(), places + 1, info.count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    }));
    watched.end();
    if (!returned) return watched.takeError("raised", gil);
    return returned;
  }

  static expected<Ref> callOnLane(const PythonImplementation& self, std::uint32_t index, const MethodInfo& info,
                                  const void* const* arguments, const Gil& gil) {
    Ref packed = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(info.count)));
    for (std::uint32_t i = 0; packed && i < info.count; ++i) {
      Ref argument = valueToPython(*info.parameters[i].type, arguments[i], gil);
      if (!argument) return badArgument(info, i, gil);
      PyTuple_SET_ITEM(packed.get(), static_cast<Py_ssize_t>(i), argument.release());
    }
    if (!packed) return takePythonError("arguments", gil);
    for (;;) {
      awaitReplacement(self.context_);
      const auto plugin = self.context_;
      auto shared = std::make_shared<LaneCall>();
      shared->arguments = SharedRef(Ref::borrow(packed.get()));
      const auto callable = std::make_shared<SharedRef>(Ref::borrow(self.methods_[index].callable.get()));
      const auto done = plugin->lane->call(
          [shared, plugin, callable](const Gil& held) -> expected<void> {
            const PluginScope scope(plugin.get());
            shared->stale = plugin->replaced.load();
            if (shared->stale) return {};
            WatchedCall watched("a method");
            Ref returned = Ref::steal(orStay([&] { return PyObject_CallObject(callable->get(), shared->arguments.get()); }));
            watched.end();
            if (!returned) return watched.takeError("raised", held);
            shared->result = SharedRef(std::move(returned));
            return {};
          },
          methodLimit);
      if (!done) return done.error();
      if (!shared->stale) return Ref::borrow(shared->result.get());
    }
  }

  std::shared_ptr<PluginContext> context_;
  std::string name_;
  std::uint64_t fingerprint_;
  SharedRef described_;  // as describeMethods() says it
  std::vector<Bound> methods_;  // in the interface's order
};

/// Those of one object that were asked for. Another object may take its place.
///
/// @par Thread safety  any thread.
class PythonImplementations {
 public:
  using Made = std::vector<std::unique_ptr<PythonImplementation>>;

  PythonImplementations(std::shared_ptr<PluginContext> context, PyObject* object)
      : context_(std::move(context)), object_(Ref::borrow(object)) {}

  expected<qtforge::detail::Implementation> find(const InterfaceInfo& wanted) {
    {
      std::lock_guard lock(mutex_);
      for (const auto& known : made_)
        if (known->implements(wanted)) return known->implementation();
    }
    const Gil gil;
    for (;;) {
      const auto context = context_;
      const Ref object = Ref::borrow(object_.get());
      if (!object) return Error(Errc::PluginUnloaded, "it is being unloaded");
      auto made = PythonImplementation::make(context, object.get(), wanted, gil);
      if (!made) return made.error();
      std::lock_guard lock(mutex_);  // another thread may have made it meanwhile, and both will do
      if (context_ != context) continue;
      made_.push_back(std::move(*made));
      return made_.back()->implementation();
    }
  }

  /// Adds to `made`, for take(), those that are here, of an object that is to be in the place of this one. Errors: as make().
  expected<void> makeFor(const std::shared_ptr<PluginContext>& context, PyObject* object, Made& made, const Gil& gil) const {
    for (;;) {
      const PythonImplementation* next = nullptr;  // they stay, as long as this
      {
        std::lock_guard lock(mutex_);
        if (made.size() == made_.size()) return {};
        next = made_[made.size()].get();
      }
      auto one = next->makeFor(context, object, gil);
      if (!one) return one.error();
      made.push_back(std::move(*one));
    }
  }

  /// Whether no more were asked for since makeFor(); as long as the GIL is kept.
  [[nodiscard]] bool isComplete(const Made& made, const Gil&) const {
    std::lock_guard lock(mutex_);
    return made.size() == made_.size();
  }

  /// Has calls go to another object. @param made  complete; out, as the others: what was here
  void take(std::shared_ptr<PluginContext>& context, SharedRef& object, Made& made, const Gil&) noexcept {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < made.size(); ++i) made_[i]->exchange(*made[i]);
    context_.swap(context);
    std::swap(object_, object);
  }

  [[nodiscard]] const std::shared_ptr<PluginContext>& context() const noexcept { return context_; }
  [[nodiscard]] PyObject* object() const noexcept { return object_.get(); }

  void clear(const Gil&) {
    made_.clear();
    object_ = SharedRef();
  }

 private:
  std::shared_ptr<PluginContext> context_;  // guarded by the GIL and mutex_, as object_: changed with both
  SharedRef object_;
  mutable std::mutex mutex_;  // guards made_; a leaf
  Made made_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
