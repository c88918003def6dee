#pragma once
// qtforge/core/detail/code_folder.hpp: the files of a plugin's folder that are its code, as they are at the moment.

#include <qtforge/utils/config.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <tuple>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Whether what is called like that is none of the plugin's: what editors and Python put there.
inline bool isHidden(std::string_view name) { return name.starts_with('.') || name == "__pycache__"; }

/// What differs if a file is another.
using FileStamp = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;

struct CodeFolder {
  std::map<std::string, FileStamp> files;
  std::vector<std::filesystem::path> folders;  // with code or without; the first is the folder itself

  /// Looks into `root` and its folders, but not into those that are hidden, links or virtual environments. What cannot be
  /// read is not there.
  static CodeFolder read(const std::filesystem::path& root, const std::function<bool(const std::filesystem::path&)>& isCode) {
    namespace fs = std::filesystem;
    CodeFolder found;
    found.folders.push_back(root);
    for (std::size_t at = 0; at < found.folders.size() && at < mostFolders; ++at) {
      const auto folder = found.folders[at];
      std::error_code failure;
      for (fs::directory_iterator entry(folder, failure); !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
        const auto& path = entry->path();
        if (isHidden(path.filename().string())) continue;
        std::error_code gone;
        if (fs::is_directory(entry->symlink_status(gone))) {
          if (!fs::exists(path / "pyvenv.cfg", gone)) found.folders.push_back(path);
        } else if (isCode(path)) {
          found.files.emplace(path.string(), stampOf(path));
        }
      }
    }
    return found;
  }

 private:
  static constexpr std::size_t mostFolders = 4096;

  static FileStamp stampOf(const std::filesystem::path& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return {};
    const auto seconds = [](const timespec& time) { return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; };
    return {status.st_dev, status.st_ino, status.st_size, seconds(status.st_mtim), seconds(status.st_ctim)};
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
