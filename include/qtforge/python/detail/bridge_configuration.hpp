#pragma once
// qtforge/python/detail/bridge_configuration.hpp: settings for Python: those of a plugin's own, and those it sets as a host.

#include <qtforge/core/detail/configuration_store.hpp>
#include <qtforge/python/detail/bridge_plugins.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline PyObject* bridgePluginConfig(PyObject* plugin) {
  const Gil gil{GilHeld()};
  const auto context = contextOf(plugin);
  if (!context || !context->configuration) Py_RETURN_NONE;
  return objectToPython(context->configuration->values().values(), gil).release();
}

inline PyObject* bridgePluginConfiguration(std::uint64_t plugin) {
  const Gil gil{GilHeld()};
  const auto handle = PythonManager::instance().get(plugin);
  if (!handle) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  return objectToPython(handle->configuration().values(), gil).release();
}

inline PyObject* bridgePluginConfigure(std::uint64_t plugin, PyObject* values) {
  const Gil gil{GilHeld()};
  const auto handle = PythonManager::instance().get(plugin);
  if (!handle) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  auto converted = fromPython(values, "values", gil);
  if (!converted) return raise(converted.error(), gil);
  if (!converted->attachments.empty())
    return raise(Error(Errc::ConversionFailed, "values: a setting has no bytes; use text"), gil);
  auto done = [&] {
    const GilRelease released;
    return handle->configure(converted->json);
  }();
  if (!done) return raise(done.error(), gil);
  Py_RETURN_NONE;
}

inline PyObject* bridgePluginKeepConfiguration(std::uint64_t plugin, PyObject* path) {
  const Gil gil{GilHeld()};
  const auto handle = PythonManager::instance().get(plugin);
  if (!handle) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  const auto text = textArgument(path, "path");
  if (!text) return nullptr;
  const std::filesystem::path file(*text);
  auto done = [&] {
    const GilRelease released;
    return handle->keepConfiguration(file);
  }();
  if (!done) return raise(done.error(), gil);
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
