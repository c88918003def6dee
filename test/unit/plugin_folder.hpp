#pragma once
// What the tests of core share: a temporary folder that is filled with plugins.

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

namespace test {

namespace fs = std::filesystem;

/// Where the fixture `native_NAME` was built, with its plugin.json beside it.
inline fs::path fixture(const std::string& name) {
  const char* root = std::getenv("QTFORGE_BUILD_ROOT");
  if (!root) throw std::runtime_error("QTFORGE_BUILD_ROOT is not set: run the tests with ./tools/dev test");
  return fs::path(root) / "test/plugins" / ("native_" + name);
}

inline fs::path library(const std::string& name) { return fixture(name) / ("lib" + name + ".so"); }

/// A new folder that goes with the object.
class Folder {
 public:
  Folder() {
    static std::atomic<int> count{0};
    path_ = fs::temp_directory_path() / ("qtforge-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    fs::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] fs::path operator/(std::string_view name) const { return path_ / name; }

  fs::path write(const std::string& name, std::string_view text) const {
    const auto path = path_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  /// A plugin in a folder of its name whose code is a copy of the fixture's. `more`: fields of its manifest.
  fs::path plugin(const std::string& name, const std::string& more = {}, const std::string& from = "minimal",
                  const std::string& version = "1.0.0") const {
    write(name + "/plugin.json", R"({"name": ")" + name + R"(", "version": ")" + version +
                                     R"(", "language": "cpp", "entry_point": "plugin.so")" +
                                     (more.empty() ? "" : ", " + more) + "}");
    fs::copy_file(library(from), path_ / name / "plugin.so", fs::copy_options::overwrite_existing);
    return path_ / name;
  }

 private:
  fs::path path_;
};

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace test
