#pragma once
// qtforge/python/detail/bridge_plugins.hpp: the plugin manager for Python.

#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/python/detail/bridge_log.hpp>
#include <qtforge/python/detail/bridge_timers.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Makes the loader for Python plugins; defined by python_plugin_loader.hpp, which includes this.
std::unique_ptr<IPluginLoader> makePythonLoader();

/// Plugins that Python code loads, by number; of one manager for the process.
class PythonManager {
 public:
  static PythonManager& instance() {
    static auto* manager = new PythonManager();  // ended by the process's shutdown
    return *manager;
  }

  PluginManager manager;

  std::uint64_t add(PluginHandle handle) {
    std::lock_guard lock(mutex_);
    for (const auto& [number, known] : handles_)
      if (known == handle) return number;
    handles_.emplace(++last_, std::move(handle));
    return last_;
  }
  [[nodiscard]] PluginHandle get(std::uint64_t number) const {
    std::lock_guard lock(mutex_);
    const auto found = handles_.find(number);
    return found == handles_.end() ? PluginHandle() : found->second;
  }

 private:
  PythonManager() { manager.addLoader(makePythonLoader()); }

  mutable std::mutex mutex_;  // guards all below; a leaf
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, PluginHandle> handles_;
};

inline PyObject* bridgePluginState(PyObject* plugin) {
  if (const auto context = Interpreter::find()->pluginOf(plugin)) return PyLong_FromLong(context->state.load());
  Py_RETURN_NONE;
}

inline PyObject* bridgePluginDescription(PyObject* plugin) {
  const auto context = contextOf(plugin);
  if (!context) Py_RETURN_NONE;
  const auto& texts = context->texts;
  const Ref dependencies = Ref::steal(PyList_New(0));
  for (const auto& dependency : texts.dependencies) {
    const Ref text = dependencies ? textToPython(dependency) : Ref();
    if (!text || PyList_Append(dependencies.get(), text.get()) != 0) return nullptr;
  }
  const Ref folder = Ref::steal(PyUnicode_DecodeFSDefault(context->folder.c_str()));
  const Ref data = Ref::steal(PyUnicode_DecodeFSDefault(context->dataFolder.c_str()));
  const Ref prefix = textToPython(context->services ? std::string_view(context->services->topicPrefix) : std::string_view());
  if (!folder || !data || !prefix) return nullptr;
  return Py_BuildValue("{s:s,s:s,s:s,s:s,s:O,s:K,s:O,s:O,s:O}", "name", texts.name.c_str(), "version", texts.version.c_str(),
                       "description", texts.description.c_str(), "author", texts.author.c_str(), "dependencies",
                       dependencies.get(), "key", static_cast<unsigned long long>(context->number), "folder", folder.get(), "data_dir", data.get(),
                       "topic_prefix", prefix.get());
}

inline PyObject* loadForPython(PyObject* path, const LoadOptions& options, const Gil& gil) {
  const auto text = textArgument(path, "path");
  if (!text) return nullptr;
  const std::filesystem::path folder(*text);
  auto loaded = [&] {
    const GilRelease released;
    return PythonManager::instance().manager.loadPlugin(folder, options);
  }();
  if (!loaded) return raise(loaded.error(), gil);
  return PyLong_FromUnsignedLongLong(PythonManager::instance().add(std::move(*loaded)));
}

inline PyObject* bridgePluginLoad(PyObject* path) {
  const Gil gil{GilHeld()};
  return loadForPython(path, {}, gil);
}

inline PyObject* bridgePluginLoadAs(PyObject* path, PyObject* name, PyObject* topicPrefix, PyObject* configuration) {
  const Gil gil{GilHeld()};
  const auto called = textArgument(name, "name"), prefix = textArgument(topicPrefix, "topic_prefix");
  if (!called || !prefix) return nullptr;
  auto values = fromPython(configuration, "configuration", gil);
  if (!values) return raise(values.error(), gil);
  if (!values->json.is_object() || !values->attachments.empty())
    return raise(Error(Errc::ConversionFailed, "configuration: a dict without bytes expected"), gil);
  return loadForPython(path, {std::string(*called), std::string(*prefix), std::move(values->json.get_object())}, gil);
}

inline expected<void> takeStep(const PluginHandle& plugin, std::string_view step) {
  if (step == "initialize") return plugin->initialize();
  if (step == "activate") return plugin->activate();
  if (step == "deactivate") return plugin->deactivate();
  if (step == "cleanup") return plugin->cleanup();
  if (step == "reload") {
    const auto done = PythonManager::instance().manager.reloadPlugin(plugin->name());
    return done ? expected<void>() : expected<void>(done.error());
  }
  if (step == "unload") return PythonManager::instance().manager.unloadPlugin(plugin->name());
  return Error(Errc::InvalidArgument, "a plugin has no step \"" + std::string(step) + "\"");
}

inline PyObject* bridgePluginStep(std::uint64_t plugin, const char* step) {
  const Gil gil{GilHeld()};
  const auto handle = PythonManager::instance().get(plugin);
  if (!handle) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  auto done = [&] {
    const GilRelease released;
    return takeStep(handle, step);
  }();
  if (!done) return raise(done.error(), gil);
  Py_RETURN_NONE;
}

inline PyObject* bridgePluginInfo(std::uint64_t plugin) {
  const Gil gil{GilHeld()};
  const auto handle = PythonManager::instance().get(plugin);
  if (!handle) return raise(Error(Errc::PluginNotFound, "no such plugin"), gil);
  const auto context = Interpreter::find()->pluginNamed(handle->manifest().name);
  PyObject* object = context && handle->state() != PluginState::Unloaded ? context->object.get() : nullptr;
  return Py_BuildValue("{s:s,s:s,s:s,s:s,s:i,s:O}", "name", handle->name().c_str(), "version",
                       handle->version().c_str(), "description", handle->description().c_str(), "author",
                       handle->author().c_str(), "state", static_cast<int>(handle->state()), "object",
                       object ? object : Py_None);
}

inline PyObject* bridgeShutdown() {
  {
    const GilRelease released;
    for (const auto& name : qtforge::detail::processRoot().shutdown().run())
      Logger("qtforge").warning("did not end in time: " + name);
  }
  Py_RETURN_NONE;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
