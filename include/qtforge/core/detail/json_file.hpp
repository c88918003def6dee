#pragma once
// qtforge/core/detail/json_file.hpp: a JSON object in a file that is replaced as a whole or not at all.

#include <qtforge/communication/detail/json_reader.hpp>
#include <qtforge/core/detail/file.hpp>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What a file of JSON is for.
struct JsonFileKind {
  const char* name;       // in messages
  std::uint64_t largest;  // bytes, some MiB
  Errc invalid;           // the error where it holds no object
};

/// A file that has a JSON object.
class JsonFile {
 public:
  /// Reads the file; none is as good as an empty object. A link is followed, and what it leads to replaced later.
  ///
  /// @return the file and what is in it, or
  ///   - Errc::FileFailed  it cannot be read, is no regular file, or larger than its kind allows
  ///   - `kind.invalid`    what is in it is no JSON object
  static expected<std::pair<JsonFile, boost::json::object>> open(const std::filesystem::path& path,
                                                                 const JsonFileKind& kind) {
    std::error_code failure;
    auto real = std::filesystem::weakly_canonical(std::filesystem::absolute(path, failure), failure);
    if (failure) return Error(Errc::FileFailed, std::string(kind.name) + " '" + path.string() + "': " + failure.message());
    JsonFile file(std::move(real), kind);
    auto text = file.readText();
    if (!text) return text.error();
    file.text_ = std::move(*text);
    boost::json::object values;
    if (file.text_) {
      auto read = JsonReader::read(*file.text_, JsonReader::Marks::Keep);
      if (read.problem)
        return file.broken(std::string(read.problem) + (read.reason.empty() ? "" : ": " + read.reason) + " at offset " +
                           std::to_string(read.offset));
      if (!read.value.is_object()) return file.broken("expected an object");
      values = std::move(read.value.get_object());
    }
    return std::pair(std::move(file), std::move(values));
  }

  [[nodiscard]] std::string name() const { return std::string(kind_.name) + " '" + path_.string() + "'"; }

  /// New content beside the file, on the disk; goes with the object unless it is committed.
  class Staged {
   public:
    Staged(Staged&& other) noexcept : temporary_(std::exchange(other.temporary_, {})), text_(std::move(other.text_)) {}
    Staged& operator=(Staged&&) = delete;
    ~Staged() {
      if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }

   private:
    friend class JsonFile;
    Staged(std::string temporary, std::string text) : temporary_(std::move(temporary)), text_(std::move(text)) {}
    std::string temporary_, text_;
  };

  /// Writes what shall be in the file beside it. All that is likely to fail fails here.
  ///
  /// @return it, or
  ///   - Errc::FileFailed  it cannot be written, or the file is not what was read or written last
  expected<Staged> stage(const boost::json::object& values) const {
    const auto now = readText();
    if (!now) return now.error();
    if (*now != text_)
      return Error(Errc::FileFailed, name() + ": somebody else has changed it since it was read; nothing is written");
    struct stat status {};
    const bool there = ::stat(path_.c_str(), &status) == 0;
    auto temporary = path_.string() + ".XXXXXX";
    const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return failed("cannot write '" + temporary + "'", errno);
    Staged staged(std::move(temporary), boost::json::serialize(values) + '\n');
    int reason = there && ::fchmod(fd, status.st_mode & 07777) != 0 ? errno : 0;
    for (std::string_view left = staged.text_; reason == 0 && !left.empty();) {
      const auto done = ::write(fd, left.data(), left.size());
      if (done >= 0) left.remove_prefix(static_cast<std::size_t>(done));
      else if (errno != EINTR) reason = errno;
    }
    if (reason == 0 && ::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) reason = errno;
    if (::close(fd) != 0 && reason == 0 && errno != EINTR) reason = errno;
    if (reason != 0) return failed("cannot write it", reason);
    return staged;
  }

  /// Puts it in the file's place.
  ///
  /// @return nothing, or Errc::FileFailed
  expected<void> commit(Staged staged) {
    if (::rename(staged.temporary_.c_str(), path_.c_str()) != 0) return failed("cannot replace it", errno);
    staged.temporary_.clear();
    text_ = std::move(staged.text_);
    const int folder = ::open(path_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
      (void)::fsync(folder);  // the new name lasts; where folders cannot be synchronised, that is all there is
      ::close(folder);
    }
    return {};
  }

 private:
  JsonFile(std::filesystem::path path, const JsonFileKind& kind) : path_(std::move(path)), kind_(kind) {}

  [[nodiscard]] Error failed(const std::string& what, int reason) const {
    return Error(Errc::FileFailed, name() + ": " + what + ": " + std::generic_category().message(reason));
  }
  [[nodiscard]] Error broken(const std::string& reason) const {
    return Error(kind_.invalid, name() + ": " + reason + "; mend it or take it away");
  }

  // None where there is no file.
  [[nodiscard]] expected<std::optional<std::string>> readText() const {
    std::error_code failure;
    if (std::filesystem::status(path_, failure).type() == std::filesystem::file_type::not_found)
      return std::optional<std::string>();
    const auto file = File::open(path_, Errc::FileFailed);
    if (!file) return file.error().within(kind_.name);
    if (file->size() > kind_.largest)
      return Error(Errc::FileFailed, name() + ": larger than " + std::to_string(kind_.largest / (1024 * 1024)) + " MiB");
    std::string text(static_cast<std::size_t>(file->size()), '\0');
    if (!file->readAt(0, text.data(), text.size()))
      return Error(Errc::FileFailed, name() + ": it changed or failed while it was read");
    return std::optional(std::move(text));
  }

  std::filesystem::path path_;
  JsonFileKind kind_;
  std::optional<std::string> text_;  // as it was read or written last
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
