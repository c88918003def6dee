#pragma once
// qtforge/python/detail/exporter_type.hpp: Python types of objects that do nothing but lend memory.

#include <qtforge/python/ref.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Of types that nobody makes objects of, or changes: in C alone.
inline constexpr unsigned long exporterFlags =
#if PY_VERSION_HEX >= 0x030A0000
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE;
#else
    Py_TPFLAGS_DEFAULT;
#endif

/// What those flags do not do on Python 3.9. @param type  may be null
inline PyTypeObject* withoutConstructor(PyObject* type) noexcept {
  auto* made = reinterpret_cast<PyTypeObject*>(type);
  if (made) made->tp_new = nullptr;
  return made;
}

/// The type of `Exporter`, which begins with PyObject_HEAD and has getBuffer() and, if it needs one, releaseBuffer(). Its
/// other members are destroyed with it, but constructed by who allocates it.
///
/// @return a borrowed reference, made at the first call; null with a Python error set on failure
template <class Exporter>
PyTypeObject* exporterType(const char* name, const Gil&) {
  static PyTypeObject* made = nullptr;  // the GIL is the guard
  if (made) return made;
  const destructor dealloc = [](PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    reinterpret_cast<Exporter*>(self)->~Exporter();
    type->tp_free(self);
    Py_DECREF(type);
  };
  PyType_Slot functions[] = {{Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                             {Py_bf_getbuffer, reinterpret_cast<void*>(&Exporter::getBuffer)},
                             {0, nullptr},
                             {0, nullptr}};
  if constexpr (requires { &Exporter::releaseBuffer; })
    functions[2] = {Py_bf_releasebuffer, reinterpret_cast<void*>(&Exporter::releaseBuffer)};
  PyType_Spec spec = {name, sizeof(Exporter), 0, exporterFlags, functions};
  made = withoutConstructor(PyType_FromSpec(&spec));
  return made;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
