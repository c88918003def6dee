#pragma once
// qtforge/python/detail/bridge_interfaces.hpp: plugins' interfaces for Python: finding them, and calling their methods.

#include <qtforge/python/detail/bridge_plugins.hpp>
#include <qtforge/python/detail/bridge_services.hpp>
#include <qtforge/python/detail/python_interface.hpp>

#include <cstddef>
#include <new>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What Python code found, by number.
class PythonCallees {
 public:
  static PythonCallees& instance() {
    static auto* callees = new PythonCallees();
    return *callees;
  }

  std::uint64_t add(qtforge::detail::CalleeRef callee) {
    std::lock_guard lock(mutex_);
    for (const auto& [number, known] : callees_)
      if (known == callee) return number;
    callees_.emplace(++last_, std::move(callee));
    return last_;
  }
  [[nodiscard]] qtforge::detail::CalleeRef get(std::uint64_t number) const {
    std::lock_guard lock(mutex_);
    const auto found = callees_.find(number);
    return found == callees_.end() ? nullptr : found->second;
  }

 private:
  mutable std::mutex mutex_;  // guards all below; a leaf
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, qtforge::detail::CalleeRef> callees_;
};

/// The interfaces that who is visited describes itself.
inline std::vector<const InterfaceInfo*> interfacesOf(const qtforge::detail::Visit& visit) {
  std::vector<const InterfaceInfo*> found;
  visit->showInterfaces(&found, [](void* self, const InterfaceInfo* offered) {
    static_cast<std::vector<const InterfaceInfo*>*>(self)->push_back(offered);
  });
  return found;
}

/// Room for one value of a type that is known at run time only.
class ValueRoom {
 public:
  explicit ValueRoom(const TypeInfo& type) : type_(type), place_(allocate(type)) {}
  ValueRoom(ValueRoom&& other) noexcept : type_(other.type_), place_(std::exchange(other.place_, nullptr)), made_(other.made_) {}
  ValueRoom& operator=(ValueRoom&&) = delete;
  ~ValueRoom() {
    if (!place_) return;
    if (made_) type_.destroy(place_);
    ::operator delete(place_, std::align_val_t(type_.alignment));
  }

  [[nodiscard]] void* place() const noexcept { return place_; }
  /// Says that there is a value now.
  void taken() noexcept { made_ = true; }
  void construct() {
    type_.construct(place_);
    made_ = true;
  }

 private:
  static void* allocate(const TypeInfo& type) {
    if (type.size == 0) return nullptr;
    return ::operator new(type.size, std::align_val_t(type.alignment));
  }

  const TypeInfo& type_;
  void* place_;
  bool made_ = false;
};

/// The Python side of a plugin or service. For who is inside.
struct PythonSide {
  std::shared_ptr<PluginContext> context;  // null for one in C++
  PyObject* object = nullptr;              // borrowed from it

  explicit PythonSide(const qtforge::detail::CalleeRef& callee) {
    if (const auto* offered = callee->object()) {
      const auto* own = PythonService::of(*offered);
      if (own) context = own->context(), object = own->object();
      return;
    }
    const auto& manifest = callee->plugin().manifest();
    if (manifest.language == "python") context = Interpreter::find()->pluginNamed(manifest.name);
    if (context) object = context->object.get();
  }
};

/// @return (number, object or None, [(interface, "signature", (name, parameters, result)), ...])
inline PyObject* bridgePluginFind(PyObject* name) {
  const Gil gil{GilHeld()};
  const auto text = textArgument(name, "name");
  if (!text) return nullptr;
  auto callee = qtforge::detail::LiveManagers::instance().findCallee(*text);
  if (!callee) return raise(callee.error(), gil);
  static constexpr qtforge::detail::CallSite site{"qtforge", "find"};
  const qtforge::detail::Visit visit(*callee, site);
  if (!visit) return raise(qtforge::detail::isUnloaded((*callee)->label(), "find"), gil);
  const Ref methods = Ref::steal(PyList_New(0));
  for (const auto* info : interfacesOf(visit))
    for (std::uint32_t i = 0; methods && i < info->count; ++i) {
      const Ref interface = textToPython(info->name), signature = textToPython(spelled(info->methods[i])),
                method = describeMethod(info->methods[i]);
      const Ref entry = Ref::steal(interface && signature && method
                                       ? PyTuple_Pack(3, interface.get(), signature.get(), method.get())
                                       : nullptr);
      if (!entry || PyList_Append(methods.get(), entry.get()) != 0) return nullptr;
    }
  if (!methods) return nullptr;
  PyObject* object = PythonSide(*callee).object;
  return Py_BuildValue("KOO", static_cast<unsigned long long>(PythonCallees::instance().add(*callee)),
                       object ? object : Py_None, methods.get());
}

/// @return the Python object of what was found, while it is there
inline PyObject* bridgePluginFound(std::uint64_t number) {
  const Gil gil{GilHeld()};
  const auto callee = PythonCallees::instance().get(number);
  if (!callee) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  static constexpr qtforge::detail::CallSite site{"qtforge", "find"};
  const qtforge::detail::Visit visit(callee, site);
  if (!visit) return raise(qtforge::detail::isUnloaded(callee->label(), "call"), gil);
  PyObject* object = PythonSide(callee).object;
  return Ref::borrow(object ? object : Py_None).release();
}

/// What a call on a lane shares with its caller, who may have gone.
struct CallOfFound {
  SharedRef function, arguments, named, result, exception;
  Error error;         // where it was stopped
  bool stale = false;  // it was not called: another version has come in the place of its plugin

  void run(const Gil& gil) {
    WatchedCall watched("a method");
    Ref returned = Ref::steal(orStay([this] { return PyObject_Call(function.get(), arguments.get(), named.get()); }));
    watched.end();
    if (returned) result = SharedRef(std::move(returned));
    else if (!watched.wasStopped(gil)) exception = SharedRef(takeException(gil));
    else error = watched.takeError("raised", gil);
  }

  [[nodiscard]] PyObject* outcome() {
    if (result) return Ref::borrow(result.get()).release();
    if (error.code() != Errc::Ok) return raise(error, Gil(GilHeld()));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
    return nullptr;
  }
};

/// Whether a method is marked with qtforge.on_lane.
inline bool isForLane(PyObject* method) {
  constexpr const char* mark = "_qtforge_on_lane";  // bindings/qtforge/_interfaces.py
  PyObject* function = PyMethod_Check(method) ? PyMethod_GET_FUNCTION(method) : method;
  if (PyFunction_Check(function)) {
    PyObject* names = reinterpret_cast<PyFunctionObject*>(function)->func_dict;  // most have none: no lookup that fails
    return names && PyDict_GetItemString(names, mark) == Py_True;
  }
  const Ref marked = Ref::steal(PyObject_GetAttrString(method, mark));
  PyErr_Clear();
  return marked.get() == Py_True;
}

/// Calls a method of what was found in Python, on the lane of its plugin or here. It stays loaded meanwhile.
inline PyObject* bridgePluginInvoke(std::uint64_t number, PyObject* name, PyObject* arguments, PyObject* named) {
  const Gil gil{GilHeld()};
  const auto callee = PythonCallees::instance().get(number);
  const auto method = textArgument(name, "method");
  if (!method) return nullptr;
  if (!callee) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  const qtforge::detail::CallSite site{"qtforge", *method};
  const qtforge::detail::Visit visit(callee, site);
  if (!visit) return raise(qtforge::detail::isUnloaded(callee->label(), *method), gil);
  for (;;) {
    awaitReplacement(PythonSide(callee).context);
    const PythonSide side(callee);
    if (!side.context) return raise(qtforge::detail::isUnloaded(callee->label(), *method), gil);
    const auto call = std::make_shared<CallOfFound>();
    call->arguments = SharedRef(Ref::borrow(arguments));
    call->named = SharedRef(Ref::borrow(named));
    {
      const OutsideCall inside(side.context.get());
      const Ref object = Ref::borrow(side.object);
      Ref function = Ref::steal(PyObject_GetAttr(object.get(), name));
      if (!function) return nullptr;
      const bool hop = !side.context->lane->here() && isForLane(function.get());
      call->function = SharedRef(std::move(function));
      if (!hop) {
        const PluginScope scope(side.context.get());
        call->run(gil);
        return call->outcome();
      }
    }
    const auto done = side.context->lane->call(
        [call, context = side.context](const Gil& held) -> expected<void> {
          const PluginScope scope(context.get());
          if (context->replaced.load()) call->stale = true;
          else call->run(held);
          return {};
        },
        methodLimit);
    if (!done) return raise(done.error().within(callee->label() + ": " + std::string(*method) + "()"), gil);
    if (!call->stale) return call->outcome();
  }
}

/// Calls the method of a C++ plugin with a tuple of arguments.
inline PyObject* bridgePluginCall(std::uint64_t number, PyObject* interface, PyObject* name, PyObject* arguments) {
  const Gil gil{GilHeld()};
  const auto callee = PythonCallees::instance().get(number);
  const auto wanted = textArgument(interface, "interface"), method = textArgument(name, "method");
  if (!wanted || !method) return nullptr;
  if (!callee) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  // Both texts are Python's, which the caller holds.
  const qtforge::detail::CallSite site{*wanted, *method};
  const qtforge::detail::Visit visit(callee, site);
  if (!visit) return raise(qtforge::detail::isUnloaded(callee->label(), *method), gil);
  const auto where = callee->label() + ": " + std::string(*method) + "()";
  for (const auto* info : interfacesOf(visit)) {
    if (std::string_view(info->name) != *wanted) continue;
    for (std::uint32_t at = 0; at < info->count; ++at) {
      const auto& called = info->methods[at];
      if (std::string_view(called.name) != *method) continue;
      if (!PyTuple_Check(arguments) || PyTuple_GET_SIZE(arguments) != static_cast<Py_ssize_t>(called.count))
        return PyErr_Format(PyExc_TypeError, "%s: %u arguments expected", where.c_str(), called.count);
      const auto found = visit->implementation(*info);
      if (!found) return raise(found.error().within(where), gil);
      std::vector<ValueRoom> rooms;
      std::vector<void*> places;
      rooms.reserve(called.count);
      for (std::uint32_t i = 0; i < called.count; ++i) {
        const auto& parameter = called.parameters[i];
        auto& room = rooms.emplace_back(*parameter.type);
        room.construct();
        places.push_back(room.place());
        ValueFromPython conversion(gil);
        if (!conversion.convert(*parameter.type, PyTuple_GET_ITEM(arguments, static_cast<Py_ssize_t>(i)), room.place()))
          return raise(Error(Errc::ConversionFailed, where + ": argument " + std::string(std::string_view(parameter.name)) +
                                                         conversion.place + ": " + conversion.reason),
                       gil);
      }
      ValueRoom result(*called.result);
      Error error;
      const ErrorSink sink = qtforge::detail::sinkInto(error);
      const auto failed = [&] {
        const GilRelease released;
        return called.invoke(found->methods[at], found->self, result.place(), places.data(), &sink);
      }();
      if (failed != 0) return raise(error.within(where), gil);
      if (result.place()) result.taken();
      return valueToPython(*called.result, result.place(), gil).release();
    }
  }
  return raise(Error(Errc::InterfaceMissing, where + ": there is no such method in \"" + std::string(*wanted) + '"'), gil);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
