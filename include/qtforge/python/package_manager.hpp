#pragma once
// qtforge/python/package_manager.hpp: installs, checks and removes packages of Python environments.

#include <qtforge/python/detail/package_call.hpp>
#include <qtforge/python/package_source.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// A distribution that is installed.
struct Package {
  std::string name, version;
  std::filesystem::path location;  ///< the folder that it is in
};

/// What happened to a distribution: its versions, empty where it was not, or is not, there.
struct PackageChange {
  std::string name, before, after;
};

/// A requirement that is not met.
struct PackageProblem {
  std::string requirement;  ///< as `numpy>=2`
  std::string installed;    ///< the version that would be imported instead; empty: none
  std::string neededBy;     ///< the distribution that needs it; empty: the caller
  std::string text;         ///< all of it, for people
};

/// What a call is doing.
struct PackageProgress {
  std::string step;  ///< "plan", "install", "uninstall", "create"
  std::string line;  ///< that the tool wrote; empty when the step begins
};

enum class PackageTool {
  Any,  ///< uv where it is on PATH or in the environment, else pip
  Uv,
  Pip,
};

struct PackageOptions {
  /// A virtual environment's folder, or an interpreter; empty: the environment of this process.
  std::filesystem::path environment;
  PackageSource source;
  /// Runs no code of a package to build it.
  bool wheelsOnly = false;
  PackageTool tool = PackageTool::Any;
  /// For one call.
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  /// Called on the thread of the call, without the GIL. What it throws ends the call.
  std::function<void(const PackageProgress&)> onProgress;
  /// Ends calls with Errc::Cancelled; request_stop() does not wait for them.
  std::stop_token stop;
};

/// The packages of one environment, by way of `uv` or pip, which run as programs without a shell.
///
/// Changes are all or nothing: a call that fails leaves the environment as it was, or its message says what has changed.
/// What is installed into the environment of this process can be imported at once. Needs a started Python.
///
/// Every function may fail with
///   - Errc::InvalidArgument       a requirement or name could be taken for an option, or is none; an option is wrong
///   - Errc::PythonNotInitialized  PythonIntegration::initialize() comes before
///   - Errc::PackageMissing        as PythonPluginLoader::load
///   - Errc::PythonNotFound        PackageOptions::environment is none
///   - Errc::TimedOut, Errc::Cancelled
/// and those that change something also with
///   - Errc::InstallFailed      no tool, or it failed: the message has its last lines
///   - Errc::DependencyVersion  this process has imported what would be replaced: both versions are named
///   - Errc::FileFailed         the environment cannot be written
///   - Errc::HandlerFailed      onProgress threw
/// @par Thread safety  any thread; changes of one environment are made one after the other, also by several processes.
/// @par Blocking  until it is done; the GIL is free while a program runs.
class PackageManager {
 public:
  explicit PackageManager(PackageOptions options = {}) : options_(std::move(options)) {}

  /// Installs what the host names: as pip and uv take it, also paths and URLs, but no options.
  /// @return what has changed: nothing where all is met already
  expected<std::vector<PackageChange>> installPackages(const std::vector<std::string>& requirements) const {
    return change("install", {textsToJson(requirements)});
  }

  /// Installs what somebody else may have written, such as a manifest: by name only, from wheels, from `source` or PyPI,
  /// whatever pip and uv are configured for. Replaces nothing: that is Errc::DependencyVersion.
  expected<std::vector<PackageChange>> installNamed(const std::vector<std::string>& requirements) const {
    return change("install_named", {textsToJson(requirements)});
  }

  /// Takes distributions away, whoever needs them. @return also Errc::NameNotFound: one is not there
  expected<std::vector<PackageChange>> uninstall(const std::vector<std::string>& names) const {
    return change("uninstall", {textsToJson(names)});
  }

  /// What is installed, by name.
  [[nodiscard]] expected<std::vector<Package>> list() const {
    return read<Package>("list", {}, [](const boost::json::value& one) {
      return Package{textIn(one, "name"), textIn(one, "version"), textIn(one, "location")};
    });
  }

  /// Those of `requirements` that are not met by what would be imported.
  [[nodiscard]] expected<std::vector<PackageProblem>> check(const std::vector<std::string>& requirements) const {
    return problems({textsToJson(requirements)});
  }

  /// What the installed distributions need of each other and do not find.
  [[nodiscard]] expected<std::vector<PackageProblem>> check() const { return problems({}); }

  /// Makes a virtual environment with this environment's Python, to be a PackageOptions::environment. A call that fails
  /// leaves none. @return also Errc::FileFailed: there is something already
  expected<void> createEnvironment(const std::filesystem::path& folder) const {
    return done("create_environment", {boost::json::string(folder.string())});
  }

  /// Writes what `requirements` need into `file`: exact versions with sha256. Installs nothing.
  /// @return also Errc::FileFailed: the file cannot be written, and is as it was
  expected<void> lock(const std::vector<std::string>& requirements, const std::filesystem::path& file) const {
    return done("lock", {textsToJson(requirements), boost::json::string(file.string())});
  }

  /// Whether sync takes away what the file does not name (but for pip, uv, setuptools, wheel, packaging, qtforge).
  enum class Others { Keep, Remove };

  /// Installs exactly what a file of lock() names; a file of another sha256 is refused.
  /// @return also Errc::InvalidArgument: it is no such file; Errc::FileFailed: it cannot be read
  expected<std::vector<PackageChange>> sync(const std::filesystem::path& file, Others others = Others::Keep) const {
    return change("sync", {boost::json::string(file.string()), others == Others::Remove});
  }

 private:
  static boost::json::value textsToJson(const std::vector<std::string>& texts) {
    return boost::json::array(texts.begin(), texts.end());
  }
  static std::string textIn(const boost::json::value& object, std::string_view key) {
    return std::string(object.as_object().at(key).as_string());
  }

  expected<boost::json::value> call(const char* method, boost::json::array arguments) const {
    constexpr const char* tools[] = {"auto", "uv", "pip"};
    boost::json::object options{
        {"wheels_only", options_.wheelsOnly},
        {"tool", tools[static_cast<int>(options_.tool)]},
        {"timeout", std::chrono::duration<double>(options_.timeout).count()},
    };
    if (!options_.environment.empty()) options["target"] = options_.environment.string();
    for (auto& [key, value] : detail::sourceToJson(options_.source)) options[key] = value;
    detail::PackageLine tell;
    if (options_.onProgress)
      tell = [this](std::string step, std::string line) { options_.onProgress({std::move(step), std::move(line)}); };
    return detail::callPackages(method, std::move(options), std::move(arguments), tell, options_.stop);
  }

  template <class T, class Make>
  expected<std::vector<T>> read(const char* method, boost::json::array arguments, Make make) const {
    const auto answer = call(method, std::move(arguments));
    if (!answer) return answer.error();
    std::vector<T> result;
    for (const auto& one : answer->as_array()) result.push_back(make(one));
    return result;
  }
  expected<std::vector<PackageChange>> change(const char* method, boost::json::array arguments) const {
    return read<PackageChange>(method, std::move(arguments), [](const boost::json::value& one) {
      return PackageChange{textIn(one, "name"), textIn(one, "before"), textIn(one, "after")};
    });
  }
  expected<std::vector<PackageProblem>> problems(boost::json::array arguments) const {
    return read<PackageProblem>("check", std::move(arguments), [](const boost::json::value& one) {
      return PackageProblem{textIn(one, "requirement"), textIn(one, "installed"), textIn(one, "needed_by"),
                            textIn(one, "text")};
    });
  }
  expected<void> done(const char* method, boost::json::array arguments) const {
    const auto answer = call(method, std::move(arguments));
    return answer ? expected<void>() : expected<void>(answer.error());
  }

  PackageOptions options_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
