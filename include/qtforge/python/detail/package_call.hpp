#pragma once
// qtforge/python/detail/package_call.hpp: calls of qtforge.packages, with progress and cancellation.

#include <qtforge/python/convert.hpp>
#include <qtforge/python/detail/package.hpp>
#include <qtforge/python/package_source.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <stop_token>
#include <unistd.h>

namespace qtforge::inline QTFORGE_ABI::python::detail {

using PackageLine = std::function<void(std::string step, std::string line)>;

/// The arguments of a PackageManager in Python.
inline boost::json::object sourceToJson(const PackageSource& source) {
  boost::json::object options{{"wheel_folders", boost::json::array(source.wheelFolders.begin(), source.wheelFolders.end())},
                              {"offline", source.offline}};
  if (!source.indexUrl.empty()) options["index_url"] = source.indexUrl;
  return options;
}

/// The Python exception that is set, as an Error: a qtforge.Error with its own code and message, what is said of arguments
/// as Errc::InvalidArgument, of files as Errc::FileFailed, all else as takePythonError.
inline Error takeOwnError(const std::string& what, const Gil& gil) {
  const Ref exception = takeException(gil);
  static PyObject* type = nullptr;
  if (exception && imported(type, "qtforge.errors", "Error", gil) && PyObject_IsInstance(exception.get(), type) == 1) {
    const Ref code = Ref::steal(PyObject_GetAttrString(exception.get(), "code"));
    const long number = code ? PyLong_AsLong(code.get()) : 0;
    PyErr_Clear();
    if (number > 0) return Error(static_cast<Errc>(number), textOf(exception.get(), gil));
  }
  PyErr_Clear();
  if (exception && PyObject_IsInstance(exception.get(), PyExc_ValueError) == 1)
    return Error(Errc::InvalidArgument, what + ": " + textOf(exception.get(), gil));
  if (exception && PyObject_IsInstance(exception.get(), PyExc_OSError) == 1)
    return Error(Errc::FileFailed, what + ": " + textOf(exception.get(), gil));
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return takePythonError(what, gil);
}

/// A file that becomes readable when a stop is requested: neither waits for the GIL.
class StopFile {
 public:
  explicit StopFile(const std::stop_token& stop) {
    if (!stop.stop_possible()) return;
    if (pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      failure_ = Error(Errc::Failed, std::string("pipe: ") + std::strerror(errno));
      return;
    }
    told_.emplace(stop, Tell{ends_[1]});
  }
  StopFile(const StopFile&) = delete;
  StopFile& operator=(const StopFile&) = delete;
  ~StopFile() {
    told_.reset();  // waits for a call that runs
    for (const int end : ends_)
      if (end >= 0) close(end);
  }

  [[nodiscard]] const Error& failure() const noexcept { return failure_; }
  /// -1: nobody will stop it.
  [[nodiscard]] int number() const noexcept { return ends_[0]; }

 private:
  struct Tell {
    int end;
    void operator()() const noexcept { (void)!write(end, "", 1); }
  };

  std::array<int, 2> ends_{-1, -1};
  std::optional<std::stop_callback<Tell>> told_;
  Error failure_;
};

/// `tell` as a Python function, which must not be called after this has gone.
class LineFunction {
 public:
  explicit LineFunction(const PackageLine& tell, const Gil&) : tell_(tell) {
    const Ref self = Ref::steal(PyCapsule_New(this, nullptr, nullptr));
    function_ = Ref::steal(self ? PyCFunction_New(&method, self.get()) : nullptr);
  }
  LineFunction(const LineFunction&) = delete;
  LineFunction& operator=(const LineFunction&) = delete;

  [[nodiscard]] PyObject* get() const noexcept { return function_.get(); }
  /// What `tell` threw; Errc::Ok if it did not.
  [[nodiscard]] const Error& thrown() const noexcept { return thrown_; }

 private:
  static PyObject* call(PyObject* self, PyObject* arguments) {
    auto& line = *static_cast<LineFunction*>(PyCapsule_GetPointer(self, nullptr));
    const char *step = nullptr, *text = nullptr;
    if (!PyArg_ParseTuple(arguments, "ss", &step, &text)) return nullptr;
    const auto failed = [&] {
      const GilRelease released;
      return qtforge::detail::guarded(qtforge::detail::sinkInto(line.thrown_), [&]() -> expected<void> {
        line.tell_(step, text);
        return {};
      });
    }();
    if (failed == 0) Py_RETURN_NONE;
    line.thrown_ = Error(Errc::HandlerFailed, "onProgress threw: " + line.thrown_.message());
    PyErr_SetString(PyExc_RuntimeError, "onProgress threw");
    return nullptr;
  }
  static inline PyMethodDef method{"on_progress", &LineFunction::call, METH_VARARGS, nullptr};

  const PackageLine& tell_;
  Ref function_;
  Error thrown_;
};

/// Calls a method of a PackageManager of qtforge.packages.
///
/// @param options    keyword arguments of its constructor
/// @param arguments  of the method, by place
/// @return its result as JSON, or the errors of PackageManager in package_manager.hpp
inline expected<boost::json::value> callPackages(const char* method, boost::json::object options,
                                                 boost::json::array arguments, const PackageLine& tell,
                                                 const std::stop_token& stop) {
  if (!Interpreter::find())
    return Error(Errc::PythonNotInitialized,
                 "PackageManager: there is no Python yet; call PythonIntegration::initialize() before");
  const StopFile stopFile(stop);
  if (stopFile.failure().code() != Errc::Ok) return stopFile.failure();
  const Gil gil;
  if (auto there = ensurePackage(gil); !there) return there.error();
  LineFunction line(tell, gil);
  const Ref keywords = toPython(options, {}, gil), places = toPython(arguments, {}, gil);
  const Ref module = Ref::steal(PyImport_ImportModule("qtforge._packages_for_cpp"));
  const Ref answer = Ref::steal(
      module && keywords && places && line.get()
          ? orStay([&] {
              return PyObject_CallMethod(module.get(), "call", "sOOOi", method, keywords.get(), places.get(),
                                         tell ? line.get() : Py_None, stopFile.number());
            })
          : nullptr);
  if (!answer) {
    const Error error = takeOwnError(std::string("PackageManager::") + method, gil);
    return line.thrown().code() == Errc::Ok ? error : line.thrown();
  }
  auto converted = fromPython(answer.get(), method, gil);
  if (!converted) return converted.error();
  return std::move(converted->json);
}

/// Checks a manifest's python_requirements against what the plugin would import, and installs what is missing where `source`
/// says from where.
///
/// @return nothing, or
///   - Errc::ManifestInvalid                             one is no requirement
///   - Errc::DependencyMissing, Errc::DependencyVersion  naming all that are not met, with both versions
///   - Errc::PackageMissing                              as ensurePackage
///   - the errors of PackageManager::installNamed
inline expected<void> ensureRequirements(const Manifest& manifest, const std::filesystem::path& entry,
                                         const std::optional<PackageSource>& source) {
  if (manifest.pythonRequirements.empty()) return {};
  const Gil gil;
  if (auto there = ensurePackage(gil); !there) return there;
  boost::json::array folders{boost::json::string(entry.parent_path().string()), boost::json::string(manifest.folder.string())};
  for (const auto& addition : manifest.pythonConfig.sysPathAdditions)
    folders.emplace_back(boost::json::string((manifest.folder / addition).lexically_normal().string()));
  const Ref needs = toPython(boost::json::array(manifest.pythonRequirements.begin(), manifest.pythonRequirements.end()), {}, gil);
  const Ref own = toPython(folders, {}, gil);
  const Ref install = source ? toPython(sourceToJson(*source), {}, gil) : Ref::borrow(Py_None);
  const Ref module = Ref::steal(PyImport_ImportModule("qtforge._needed"));
  const Ref done = Ref::steal(
      module && needs && own && install
          ? orStay([&] { return PyObject_CallMethod(module.get(), "ensure", "OOO", needs.get(), own.get(), install.get()); })
          : nullptr);
  if (!done) return takeOwnError("plugin.json: /python_requirements", gil);
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
