#pragma once
// qtforge/python/detail/venv.hpp: a virtual environment as its pyvenv.cfg describes it, without running its Python.

#include <qtforge/python/detail/cpython.hpp>

#include <qtforge/utils/error.hpp>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// The version of the libpython in this process, as "3.11.7".
inline std::string linkedVersion() {
  std::string version = Py_GetVersion();
  version.resize(version.find(' '));
  return version;
}

/// What pyvenv.cfg says (https://docs.python.org/3/library/site.html); empty where it says nothing.
struct VenvDescription {
  std::string home;     // the folder of the interpreter that it was made with
  std::string version;  // of that one
};

inline VenvDescription readVenvDescription(const std::filesystem::path& file) {
  VenvDescription described;
  std::string virtualenvs, line;
  const auto trimmed = [](std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
    return std::string(text);
  };
  for (std::ifstream in(file); std::getline(in, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const auto key = trimmed(std::string_view(line).substr(0, equals)), value = trimmed(std::string_view(line).substr(equals + 1));
    if (key == "home") described.home = value;
    if (key == "version") described.version = value;
    if (key == "version_info") virtualenvs = value;  // virtualenv and uv, whose `version` may be their own
  }
  if (!virtualenvs.empty()) described.version = virtualenvs;
  return described;
}

/// Checks that `venv` is a virtual environment of the Python that this program was linked with, major and minor version.
///
/// @return nothing, or
///   - Errc::PythonNotFound  no folder, no pyvenv.cfg, or one that names no Python that is there
///   - Errc::PythonMismatch  made with another Python: both are named
inline expected<void> checkVenv(const std::filesystem::path& venv, const char* named) {
  std::error_code failure;
  const auto wrong = [&](const std::string& what) {
    return Error(Errc::PythonNotFound, std::string(named) + ": '" + venv.string() + "' " + what +
                                           "; make one with: python -m venv " + venv.string());
  };
  if (!std::filesystem::is_directory(venv, failure)) return wrong("is no folder");
  if (!std::filesystem::exists(venv / "pyvenv.cfg", failure)) return wrong("is no virtual environment: no pyvenv.cfg");
  const auto described = readVenvDescription(venv / "pyvenv.cfg");
  if (described.home.empty()) return wrong("is broken: its pyvenv.cfg has no line 'home = FOLDER'");
  if (!std::filesystem::is_directory(described.home, failure))
    return wrong("is broken: the Python of its pyvenv.cfg is gone, home = '" + described.home + "'");
  const auto minor = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
  if (!described.version.empty() && described.version != minor && !described.version.starts_with(minor + "."))
    return Error(Errc::PythonMismatch, std::string(named) + ": '" + venv.string() + "' was made with Python " +
                                           described.version + ", this program was linked with libpython " +
                                           linkedVersion() + "; make it anew with that one");
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
