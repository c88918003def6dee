#pragma once
// qtforge/core/detail/folder_events.hpp: what changes in folders, told by the kernel: inotify(7).

#include <qtforge/utils/error.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/inotify.h>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One change. Without a folder: what has changed is not known, since there was too much of it. Without a name: the folder itself
/// is elsewhere.
struct FolderEvent {
  int folder = -1;  // as watch() returned it
  std::string_view name;
  bool isFolder = false;
  bool gone = false;  // the folder is no longer watched: it is not there any more
};

/// Folders are watched, and not files, since editors replace those.
///
/// @par Thread safety  one thread at a time.
class FolderEvents {
 public:
  explicit FolderEvents(boost::asio::io_context::executor_type executor) : descriptor_(executor) {}

  /// @return nothing, or
  ///   - Errc::LimitExceeded  the user has too many of them
  expected<void> open() {
    const int file = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (file < 0)
      return Error(Errc::LimitExceeded, std::string("inotify: ") + std::strerror(errno) +
                                            ": raise fs.inotify.max_user_instances, or the limit of open files");
    descriptor_.assign(file);
    return {};
  }

  /// Watches what lies in a folder, also again.
  ///
  /// @return its number, the same for the same folder; -1: it is not there; or
  ///   - Errc::LimitExceeded  the user has too many of them
  expected<int> watch(const std::filesystem::path& folder) {
    constexpr std::uint32_t changes = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_MOVE_SELF | IN_ONLYDIR;
    const int number = inotify_add_watch(descriptor_.native_handle(), folder.c_str(), changes);
    if (number >= 0 || (errno != ENOSPC && errno != ENOMEM)) return number;
    return Error(Errc::LimitExceeded, "inotify: '" + folder.string() + "' cannot be watched: " + std::strerror(errno) +
                                          ": raise fs.inotify.max_user_watches");
  }
  void unwatch(int folder) noexcept { inotify_rm_watch(descriptor_.native_handle(), folder); }

  /// Waits for events. @param handler  `void(boost::system::error_code, std::size_t bytes)`, with `bytes` for take()
  template <class Handler>
  void asyncRead(Handler handler) {
    descriptor_.async_read_some(boost::asio::buffer(buffer_), std::move(handler));
  }

  /// Calls `take(const FolderEvent&)` for each that was read.
  template <class Take>
  void take(std::size_t bytes, Take&& take) const {
    for (std::size_t at = 0; at + sizeof(inotify_event) <= bytes;) {
      inotify_event event{};
      std::memcpy(&event, buffer_.data() + at, sizeof event);
      const char* name = buffer_.data() + at + sizeof event;
      take(FolderEvent{event.mask & IN_Q_OVERFLOW ? -1 : event.wd,
                       event.len > 0 ? std::string_view(name) : std::string_view(), (event.mask & IN_ISDIR) != 0,
                       (event.mask & IN_IGNORED) != 0});
      at += sizeof event + event.len;
    }
  }

  /// Ends asyncRead().
  void close() noexcept {
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }

 private:
  boost::asio::posix::stream_descriptor descriptor_;
  std::vector<char> buffer_ = std::vector<char>(16 * 1024);
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
