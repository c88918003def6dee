#pragma once
// qtforge/python/detail/lean_start.hpp: the packages of an environment for a Python that has not run its module site.

#include <qtforge/python/python_error.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What site makes of sys.path and sys.prefix for one environment, without the code that .pth files have.
class LeanStart {
 public:
  /// @param python  the executable that Python runs as; may be empty
  /// @return nothing, or Errc::PythonError
  static expected<void> apply(const std::filesystem::path& python, const Gil& gil) {
    namespace fs = std::filesystem;
    std::error_code failure;
    const auto venv = python.parent_path().parent_path();
    fs::path prefix = textOf(PySys_GetObject("prefix"), gil);
    if (!python.empty() && fs::exists(venv / "pyvenv.cfg", failure)) {
      prefix = venv;
      const Ref text = Ref::steal(PyUnicode_DecodeFSDefault(venv.c_str()));
      if (!text || PySys_SetObject("prefix", text.get()) != 0 || PySys_SetObject("exec_prefix", text.get()) != 0)
        return takePythonError("PythonConfig::lean", gil);
    }
    std::vector<fs::path> folders;
    for (const auto& folder : packageFolders(prefix, gil))
      if (fs::is_directory(folder, failure)) addWithPth(folders, folder);
    PyObject* path = PySys_GetObject("path");
    for (const auto& folder : folders) {
      const Ref text = Ref::steal(PyUnicode_DecodeFSDefault(folder.c_str()));
      const int known = path && text ? PySequence_Contains(path, text.get()) : -1;
      if (known < 0 || (known == 0 && PyList_Append(path, text.get()) != 0)) return takePythonError("PythonConfig::lean", gil);
    }
    return {};
  }

 private:
  // Where packages are (https://docs.python.org/3/library/site.html), Debian's folders included.
  static std::vector<std::filesystem::path> packageFolders(const std::filesystem::path& prefix, const Gil& gil) {
    const auto version = "python" + std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
    const auto platform = textOf(PySys_GetObject("platlibdir"), gil);
    std::vector<std::filesystem::path> folders{prefix / "lib" / version / "site-packages"};
    if (platform != "lib") folders.push_back(prefix / platform / version / "site-packages");
    folders.push_back(prefix / "local/lib" / version / "dist-packages");
    folders.push_back(prefix / "lib/python3/dist-packages");
    return folders;
  }

  static void addWithPth(std::vector<std::filesystem::path>& all, const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code failure;
    all.push_back(folder);
    std::vector<fs::path> files;
    for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure))
      if (entry->path().extension() == ".pth" && !entry->path().filename().string().starts_with('.'))
        files.push_back(entry->path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
      std::ifstream in(file);
      for (std::string line; std::getline(in, line);) {
        if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
        line.erase(line.find_last_not_of(" \t\r\n") + 1);
        const bool code = line.starts_with("import ") || line.starts_with("import\t");
        if (line.empty() || line.starts_with('#') || code || line.find('\0') != std::string::npos) continue;
        if (const auto named = (folder / line).lexically_normal(); fs::exists(named, failure)) all.push_back(named);
      }
    }
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
