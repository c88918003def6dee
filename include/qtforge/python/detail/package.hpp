#pragma once
// qtforge/python/detail/package.hpp: finding the package `qtforge` and, through it, a plugin's module and class.

#include <qtforge/core/manifest.hpp>
#include <qtforge/python/detail/python_plugin.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// The folder that was imported in place of the package, since it has its name, and forgets it; empty if it is the package.
inline std::string forgetMereFolder(PyObject* module, const Gil& gil) {
  const Ref file = Ref::steal(PyObject_GetAttrString(module, "__file__"));
  PyErr_Clear();
  if (file && file.get() != Py_None) return {};
  const Ref path = Ref::steal(PyObject_GetAttrString(module, "__path__"));
  const Ref folders = Ref::steal(path ? PySequence_List(path.get()) : nullptr);
  std::string folder = "a folder";
  if (folders && PyList_GET_SIZE(folders.get()) > 0) folder = textOf(PyList_GET_ITEM(folders.get(), 0), gil);
  PyErr_Clear();
  if (PyDict_DelItemString(PyImport_GetModuleDict(), "qtforge") != 0) PyErr_Clear();
  return folder;
}

/// Imports the package `qtforge`: the environment's, else the copy that was installed with the headers.
///
/// @return nothing, or
///   - Errc::PackageMissing   naming the interpreter and what to do
///   - Errc::PackageMismatch  it is there but cannot be imported: the message says why
inline expected<void> ensurePackage(const Gil& gil) {
  const Ref module = Ref::steal(PyImport_ImportModule("qtforge"));
  std::string folder;
  if (module) {
    folder = forgetMereFolder(module.get(), gil);
    if (folder.empty()) return {};
  } else if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) {
    return takePythonError("import of the package qtforge", gil, Errc::PackageMismatch);
  } else {
    const Error error = takePythonError("import of the package qtforge", gil, Errc::PackageMismatch);
    if (error.message().find("'qtforge'") == std::string::npos) return error;  // it is there and lacks another
  }
  PyObject* executable = PySys_GetObject("executable");
  const auto python = executable && executable != Py_None ? textOf(executable, gil) : std::string("python");
  return Error(Errc::PackageMissing,
               "'" + python + "' has no package qtforge" +
                   (folder.empty() ? "" : " ('" + folder + "', which is on its path, has no __init__.py)") +
                   "; install it there: " + python + " -m pip install qtforge");
}

/// Whether `object` is an instance (or a subclass) of qtforge.core.IPlugin; -1 with a Python error set.
inline int isPlugin(PyObject* object, int (*check)(PyObject*, PyObject*), const Gil& gil) {
  static PyObject* type = nullptr;
  return imported(type, "qtforge.core", "IPlugin", gil) ? check(object, type) : -1;
}

// The callable that makes the plugin.
inline expected<Ref> findFactory(PyObject* module, const Manifest& manifest, const Gil& gil) {
  if (!manifest.mainClass.empty()) {
    Ref named = Ref::steal(PyObject_GetAttrString(module, manifest.mainClass.c_str()));
    PyErr_Clear();
    if (!named)
      return Error(Errc::PluginClassMissing,
                   "plugin.json: /main_class: " + manifest.entryPoint + " has no class '" + manifest.mainClass + "'");
    const int plugin = PyType_Check(named.get()) ? isPlugin(named.get(), &PyObject_IsSubclass, gil) : 0;
    if (plugin < 0) return takePythonError("main_class", gil, Errc::NotAPlugin);
    if (plugin == 0)
      return Error(Errc::NotAPlugin, "plugin.json: /main_class: '" + manifest.mainClass +
                                         "' is no class derived from qtforge.core.IPlugin");
    return named;
  }
  if (Ref factory = Ref::steal(PyObject_GetAttrString(module, "create_plugin"))) return factory;
  PyErr_Clear();
  Ref only;
  PyObject *key = nullptr, *value = nullptr;
  const Ref own = Ref::steal(PyModule_GetNameObject(module));
  for (Py_ssize_t at = 0; PyDict_Next(PyModule_GetDict(module), &at, &key, &value);) {
    if (!PyType_Check(value) || isPlugin(value, &PyObject_IsSubclass, gil) != 1) continue;
    const Ref home = Ref::steal(PyObject_GetAttrString(value, "__module__"));
    if (!home || !own || PyUnicode_Compare(home.get(), own.get()) != 0) continue;  // imported, as IPlugin itself is
    if (only)
      return Error(Errc::PluginClassMissing,
                   "plugin.json: /main_class: " + manifest.entryPoint + " has several plugin classes; name one");
    only = Ref::borrow(value);
  }
  PyErr_Clear();
  if (only) return only;
  return Error(Errc::PluginClassMissing,
               manifest.entryPoint + " has no class derived from qtforge.core.IPlugin and no create_plugin()");
}

/// A folder of the manifest's sys_path_additions; empty, with a warning, where there is none.
inline expected<std::filesystem::path> moduleFolder(const Manifest& manifest, const std::string& addition) {
  constexpr const char* field = "plugin.json: /python_config/sys_path_additions";
  std::error_code failure;
  if (!std::filesystem::exists(std::filesystem::symlink_status(manifest.folder / addition, failure))) {
    Logger("qtforge.python").warning("plugin '" + manifest.name + "': " + field + ": there is no '" + addition + "'");
    return std::filesystem::path();
  }
  auto folder = qtforge::detail::resolveInside(manifest.folder, addition, Errc::ManifestInvalid);
  if (!folder) return folder.error().within(field);
  return folder;
}

/// Imports the entry point and makes the plugin object.
///
/// @param number  of the plugin's context
inline expected<Ref> makePlugin(PyObject* plugins, const Manifest& manifest, const std::filesystem::path& entry,
                                unsigned long long number, const Gil& gil) {
  const Ref paths = Ref::steal(PyList_New(0));
  const auto add = [&](const std::filesystem::path& path) {
    const Ref text = Ref::steal(PyUnicode_DecodeFSDefault(path.c_str()));
    return text && PyList_Append(paths.get(), text.get()) == 0;
  };
  bool listed = paths && add(entry.parent_path()) && add(manifest.folder);
  for (const auto& addition : manifest.pythonConfig.sysPathAdditions) {
    const auto folder = moduleFolder(manifest, addition);
    if (!folder) return folder.error();
    listed = listed && (folder->empty() || add(*folder));
  }
  const Ref file = Ref::steal(PyUnicode_DecodeFSDefault(entry.c_str()));
  const auto load = [&] { return PyObject_CallMethod(plugins, "load", "sOOK", manifest.name.c_str(), paths.get(), file.get(), number); };
  WatchedCall importing("an import", manifest.entryPoint);
  const Ref module = Ref::steal(listed && file ? orStay(load) : nullptr);
  importing.end();
  if (!module) return importing.takeError("import of " + manifest.entryPoint, gil, Errc::ImportFailed);
  auto factory = findFactory(module.get(), manifest, gil);
  if (!factory) return factory.error();
  WatchedCall making("its constructor");
  Ref object = Ref::steal(orStay([&] { return PyObject_CallObject(factory->get(), nullptr); }));
  making.end();
  if (!object) return making.takeError("constructor", gil, Errc::HookFailed);
  const int plugin = isPlugin(object.get(), &PyObject_IsInstance, gil);
  if (plugin < 0) return takePythonError("create_plugin()", gil, Errc::NotAPlugin);
  if (plugin == 0)
    return Error(Errc::NotAPlugin, std::string("create_plugin() returned ") + Py_TYPE(object.get())->tp_name +
                                       ", not a qtforge.core.IPlugin");
  return object;
}

/// Asks the plugin what it says of itself; what its class leaves to IPlugin stays empty: as the manifest says.
inline expected<void> describePlugin(PyObject* plugin, PluginTexts& texts, const Gil& gil) {
  static PyObject* base = nullptr;
  if (!imported(base, "qtforge.core", "IPlugin", gil)) return takePythonError("qtforge.core", gil, Errc::ImportFailed);
  const auto ask = [&](const char* method) -> expected<Ref> {
    const Ref inherited = Ref::steal(PyObject_GetAttrString(base, method));
    const Ref own = Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(plugin)), method));
    PyErr_Clear();
    if (own.get() == inherited.get()) return Ref();
    Ref answer = Ref::steal(PyObject_CallMethod(plugin, method, nullptr));
    if (!answer) return takePythonError(std::string(method) + "()", gil, Errc::HookFailed);
    return answer;
  };
  const auto text = [&](const char* method, std::string& out) -> expected<void> {
    auto answer = ask(method);
    if (!answer) return answer.error();
    if (!*answer) return {};
    if (!PyUnicode_Check(answer->get()))
      return Error(Errc::HookFailed, std::string(method) + "(): str expected, " + Py_TYPE(answer->get())->tp_name + " came");
    out = textOf(answer->get(), gil);
    return {};
  };
  if (auto done = text("name", texts.name); !done) return done;
  if (auto done = text("version", texts.version); !done) return done;
  if (auto done = text("description", texts.description); !done) return done;
  if (auto done = text("author", texts.author); !done) return done;
  auto dependencies = ask("dependencies");
  if (!dependencies) return dependencies.error();
  if (!*dependencies || dependencies->get() == Py_None) return {};
  const Ref list = Ref::steal(PySequence_Fast(dependencies->get(), "a list of str expected"));
  if (!list) return takePythonError("dependencies()", gil, Errc::HookFailed);
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(list.get(), i);
    if (!PyUnicode_Check(item))
      return Error(Errc::HookFailed, "dependencies()[" + std::to_string(i) + "]: str expected, " +
                                         Py_TYPE(item)->tp_name + " came");
    texts.dependencies.push_back(textOf(item, gil));
  }
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
