#pragma once
// qtforge/core/detail/file.hpp: regular files opened once and read within limits; paths that must stay in a folder.

#include <qtforge/utils/error.hpp>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Owns an open file.
class File {
 public:
  /// Opens a regular file for reading; never blocks on a FIFO. The error's code is `code`.
  static expected<File> open(const std::filesystem::path& path, Errc code) {
    const auto failed = [&](const std::string& reason) { return Error(code, "'" + path.string() + "': " + reason); };
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return failed(std::strerror(errno));
    File file(fd);
    struct stat status {};
    if (::fstat(fd, &status) != 0) return failed(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return failed("not a regular file");
    file.size_ = static_cast<std::uint64_t>(status.st_size);
    file.device_ = status.st_dev;
    file.inode_ = status.st_ino;
    return file;
  }

  /// A copy in memory, which can be opened by path() as long as this lives. `name` is what it is called in /proc.
  [[nodiscard]] expected<File> copyInMemory(const std::string& name, Errc code) const {
    const auto failed = [&](const char* what) {
      return Error(code, std::string(what) + " for a copy of '" + name + "' in memory: " + std::strerror(errno));
    };
    File copy(::memfd_create(name.c_str(), MFD_CLOEXEC));
    if (copy.fd_ < 0) return failed("memfd_create");
    for (off_t from = 0; from < static_cast<off_t>(size_);) {
      const auto sent = ::sendfile(copy.fd_, fd_, &from, static_cast<std::size_t>(static_cast<off_t>(size_) - from));
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return failed("sendfile");
    }
    struct stat status {};
    if (::fstat(copy.fd_, &status) != 0) return failed("fstat");
    copy.size_ = size_;
    copy.device_ = status.st_dev;
    copy.inode_ = status.st_ino;
    return copy;
  }

  /// A path by which this process can open it.
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

  File(File&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), size_(other.size_), device_(other.device_), inode_(other.inode_) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] dev_t device() const noexcept { return device_; }
  [[nodiscard]] ino_t inode() const noexcept { return inode_; }

  /// Fills `to` from `offset`; false where the file is shorter, or on an error.
  [[nodiscard]] bool readAt(std::uint64_t offset, void* to, std::size_t size) const noexcept {
    if (offset > size_ || size > size_ - offset) return false;
    auto* out = static_cast<char*>(to);
    while (size > 0) {
      const auto got = ::pread(fd_, out, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      out += got;
      offset += static_cast<std::uint64_t>(got);
      size -= static_cast<std::size_t>(got);
    }
    return true;
  }

 private:
  explicit File(int fd) noexcept : fd_(fd) {}
  int fd_;
  std::uint64_t size_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Whether `path` is `folder` or below it, both canonical.
inline bool isInside(const std::filesystem::path& folder, const std::filesystem::path& path) {
  const auto [end, unused] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

/// The real path of `relative` in `folder`, which may itself be a link; else the reason why it is refused.
///
/// @return the canonical path, or
///   - `code`  absolute, with `..`, missing, or a link that leaves the folder
inline expected<std::filesystem::path> resolveInside(const std::filesystem::path& folder,
                                                     const std::filesystem::path& relative, Errc code) {
  const auto refused = [&](const std::string& reason) {
    return Error(code, "'" + relative.string() + "' in '" + folder.string() + "': " + reason);
  };
  if (relative.empty()) return refused("the path is empty");
  if (relative.native().find('\0') != std::string::npos) return refused("the path contains a NUL byte");
  if (relative.is_absolute()) return refused("the path is absolute; it must be relative to the plugin's folder");
  for (const auto& part : relative)
    if (part == "..") return refused("the path contains '..'; it must stay in the plugin's folder");
  std::error_code failure;
  const auto base = std::filesystem::canonical(folder, failure);
  if (failure) return refused("the folder: " + failure.message());
  auto real = std::filesystem::canonical(base / relative, failure);
  if (failure) return refused(failure.message());
  if (!isInside(base, real)) return refused("a link leads out of the plugin's folder, to '" + real.string() + "'");
  return real;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
