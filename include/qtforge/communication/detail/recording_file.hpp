#pragma once
// qtforge/communication/detail/recording_file.hpp: a file that is written with every error told, and one read by lines.

#include <qtforge/utils/error.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Owns an open file or device; never a FIFO or socket, which could block for ever.
class RecordingFile {
 public:
  enum class For { Reading, Writing };

  /// @return the file, for writing emptied or made, or Errc::FileFailed
  static expected<RecordingFile> open(const std::filesystem::path& path, For use) {
    const int flags = use == For::Reading ? O_RDONLY : O_WRONLY | O_CREAT;
    RecordingFile file(path, ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
    if (file.fd_ < 0) return file.failed("open", errno);
    struct stat status {};
    if (::fstat(file.fd_, &status) != 0) return file.failed("open", errno);
    if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode)) return file.failed("open", EINVAL);
    if (use == For::Writing && S_ISREG(status.st_mode) && ::ftruncate(file.fd_, 0) != 0) return file.failed("empty", errno);
    return file;
  }

  RecordingFile(RecordingFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  RecordingFile& operator=(RecordingFile&&) = delete;
  ~RecordingFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  /// Writes all of `text`, or Errc::FileFailed; then some of it may be there.
  expected<void> write(std::string_view text) {
    while (!text.empty()) {
      const auto done = ::write(fd_, text.data(), text.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return failed("write", errno);
      text.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
  }

  /// Hands what is written to the disk and closes. Once. Nothing, or Errc::FileFailed
  expected<void> close() {
    // What is no disk cannot be synchronised.
    const bool synchronised = ::fsync(fd_) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    const int reason = errno;
    if (::close(std::exchange(fd_, -1)) != 0 && synchronised && errno != EINTR) return failed("close", errno);
    if (!synchronised) return failed("write", reason);
    return {};
  }

  /// @return how many bytes were read, 0 at the end, or Errc::FileFailed
  expected<std::size_t> read(char* to, std::size_t most) {
    for (;;) {
      const auto got = ::read(fd_, to, most);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return failed("read", errno);
    }
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  RecordingFile(std::filesystem::path path, int fd) noexcept : path_(std::move(path)), fd_(fd) {}

  [[nodiscard]] Error failed(const char* what, int reason) const {
    return Error(Errc::FileFailed, "recording '" + path_.string() + "': cannot " + what + " it: " +
                                       std::generic_category().message(reason));
  }

  std::filesystem::path path_;
  int fd_;
};

/// The lines of a file.
class LineReader {
 public:
  explicit LineReader(RecordingFile file) : file_(std::move(file)) {}

  enum class Line { Whole, Unended, TooLong, None };  // Unended: the file ends without a line break

  /// Reads the next line, without its break, into `out`.
  expected<Line> next(std::string& out, std::size_t longest = static_cast<std::size_t>(-1)) {
    out.clear();
    for (;;) {
      const std::string_view there(buffer_.data() + at_, end_ - at_);
      const auto length = there.find('\n');
      out += there.substr(0, length);
      if (out.size() > longest) return Line::TooLong;
      if (length != std::string_view::npos) {
        at_ += length + 1;
        return Line::Whole;
      }
      buffer_.resize(64 * 1024);
      const auto got = file_.read(buffer_.data(), buffer_.size());
      if (!got) return got.error();
      at_ = 0;
      end_ = *got;
      if (*got == 0) return out.empty() ? Line::None : Line::Unended;
    }
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return file_.path(); }

 private:
  RecordingFile file_;
  std::string buffer_;
  std::size_t at_ = 0, end_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
