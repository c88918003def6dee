#pragma once
// qtforge/python/detail/plugin_environment.hpp: what a manifest's python_config asks of the process's Python.

#include <qtforge/python/detail/environment.hpp>
#include <qtforge/python/detail/package_call.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Whether "python3.11", "python3" or "python3.13t" is the Python that runs, which is `version` with `flags`.
inline bool isNameOf(std::string_view name, std::string_view version, std::string_view flags) {
  constexpr std::string_view python = "python";
  if (!name.starts_with(python)) return false;
  name.remove_prefix(python.size());
  const auto digits = std::min(name.find_first_not_of("0123456789."), name.size());
  if (digits < name.size() && name.substr(digits) != flags) return false;
  name = name.substr(0, digits);
  return name.empty() || version == name || (version.starts_with(name) && version[name.size()] == '.');
}

/// Checks a manifest's `interpreter`.
///
/// @return nothing, or
///   - Errc::PythonNotFound  a path that is none of an interpreter
///   - Errc::PythonMismatch  another than the one that runs: both are named
/// @par Blocking  for the interpreter, where it is a path.
inline expected<void> checkInterpreter(const Manifest& manifest) {
  constexpr const char* field = "plugin.json: /python_config/interpreter";
  const auto& wanted = manifest.pythonConfig.interpreter;
  if (wanted.empty()) return {};
  if (wanted.find('/') != std::string::npos) return checkPython((manifest.folder / wanted).lexically_normal(), field);
  const auto running = linkedBuild();
  if (isNameOf(wanted, running.version, running.flags)) return {};
  return Error(Errc::PythonMismatch, std::string(field) + ": the plugin is for '" + wanted + "', Python " + running.text() +
                                         " runs in this process");
}

/// What a plugin has of the process: its variables, and its packages on the path.
class HeldEnvironment {
 public:
  explicit HeldEnvironment(unsigned long long number) : number_(number) {}
  HeldEnvironment(const HeldEnvironment&) = delete;
  HeldEnvironment& operator=(const HeldEnvironment&) = delete;
  ~HeldEnvironment() {
    const Gil gil;
    const Ref module = Ref::steal(PyImport_ImportModule("qtforge._plugin_environment"));
    const Ref left = Ref::steal(module ? orStay([&] { return PyObject_CallMethod(module.get(), "leave", "K", number_); }) : nullptr);
    if (!left) Logger("qtforge.python").warning(takePythonError("python_config", gil).message());
  }

 private:
  const unsigned long long number_;
};

/// Gives a plugin the environment of its `python_config`, for as long as what is returned lives.
///
/// @return that, null where it asks for nothing; or
///   - Errc::ManifestInvalid     a `virtual_env` outside the plugin's folder
///   - Errc::PythonNotFound      one that is broken or not there
///   - Errc::PythonMismatch      one of another Python: both versions are named
///   - Errc::DependencyVersion   packages of it that would be imported in another version: both are named
///   - Errc::PluginIncompatible  a variable that another plugin has set to another value: both are named
///   - Errc::PackageMissing      as ensurePackage
inline expected<std::shared_ptr<void>> enterEnvironment(const Manifest& manifest) {
  constexpr const char* field = "plugin.json: /python_config/virtual_env";
  const auto& config = manifest.pythonConfig;
  if (config.virtualEnv.empty() && config.environmentVariables.empty()) return std::shared_ptr<void>();
  std::filesystem::path venv;
  if (!config.virtualEnv.empty()) {
    std::error_code failure;
    venv = (manifest.folder / config.virtualEnv).lexically_normal();
    if (std::filesystem::exists(venv, failure)) {
      auto inside = qtforge::detail::resolveInside(manifest.folder, config.virtualEnv, Errc::ManifestInvalid);
      if (!inside) return inside.error().within(field);
      venv = std::move(*inside);
    }
    if (auto fine = checkVenv(venv, field); !fine) return fine.error();
  }
  const Gil gil;
  if (auto there = ensurePackage(gil); !there) return there.error();
  boost::json::array variables;
  for (const auto& [name, value] : config.environmentVariables) variables.push_back(boost::json::array{name, value});
  const Ref pairs = toPython(variables, {}, gil);
  const Ref folder = Ref::steal(PyUnicode_DecodeFSDefault(manifest.folder.c_str()));
  const Ref packages = Ref::steal(PyUnicode_DecodeFSDefault(venv.c_str()));
  const Ref module = Ref::steal(PyImport_ImportModule("qtforge._plugin_environment"));
  const Ref entered = Ref::steal(module && pairs && folder && packages ? orStay([&] {
    return PyObject_CallMethod(module.get(), "enter", "sOOOO", manifest.name.c_str(), folder.get(), pairs.get(), packages.get(),
                               config.pthFiles ? Py_True : Py_False);
  }) : nullptr);
  if (!entered) return takeOwnError("plugin.json: /python_config", gil);
  return std::shared_ptr<void>(std::make_shared<HeldEnvironment>(PyLong_AsUnsignedLongLong(entered.get())));
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
