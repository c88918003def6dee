#pragma once
// qtforge/communication/detail/recording_stores.hpp: where recorded messages go: a file, or a ring in memory.

#include <qtforge/communication/detail/recorder_core.hpp>
#include <qtforge/communication/detail/recording_file.hpp>
#include <qtforge/communication/detail/recording_format.hpp>

#include <deque>

namespace qtforge::inline QTFORGE_ABI {

/// What became of the messages that matched.
struct RecorderStats {
  std::uint64_t recorded = 0;  ///< in the file, or in the ring at some time
  std::uint64_t lost = 0;      ///< not recorded: the mailbox was full, or they could not be written
  std::uint64_t bytes = 0;     ///< of the file
};

namespace detail {

inline constexpr std::string_view lostToMailbox = "the recorder's mailbox did not take them";

/// Collects lines, and hands them to the file many at a time.
class FileStore final : public MessageStore {
 public:
  /// @return the store, its header written, or Errc::FileFailed
  static expected<std::unique_ptr<FileStore>> create(const std::filesystem::path& path) {
    auto file = RecordingFile::open(path, RecordingFile::For::Writing);
    if (!file) return file.error();
    std::unique_ptr<FileStore> made(new FileStore(std::move(*file)));
    made->lines_ = recordingHeader();
    if (auto done = made->flush(); !done) return done.error();
    return made;
  }

  void add(Message message, std::vector<Message>& released) override {
    add(message);
    released.push_back(std::move(message));
  }

  void add(const Message& message) {
    const auto refused = [&](std::string_view why) {
      lost(1, "a message on \"" + std::string(message.topic()) + "\": " + std::string(why));
    };
    try {
      if (const char* why = appendFrame(lines_, MessageFrame(message))) refused(why);
      else ++collected_;
    } catch (const Exception& e) {  // a C++ type's conversion to JSON
      refused(e.error().message());
    }
    if (lines_.size() >= enough) write();
  }

  void lost(std::uint64_t count) override { lost(count, lostToMailbox); }

  void lost(std::uint64_t count, std::string_view reason) {
    stats_.lost += count;
    appendLost(lines_, count, reason);
  }

  expected<void> flush() override {
    if (!lines_.empty()) write();
    if (error_.code() != Errc::Ok) return error_;
    return {};
  }

  expected<void> close() override {
    if (!lines_.empty()) write();
    auto closed = file_.close();
    if (error_.code() != Errc::Ok) return error_;
    return closed;
  }

  [[nodiscard]] const RecorderStats& stats() const noexcept { return stats_; }

 private:
  explicit FileStore(RecordingFile file) : file_(std::move(file)) {}

  static constexpr std::size_t enough = 256 * 1024;  // bytes per write

  void write() {
    if (error_.code() == Errc::Ok)
      if (auto done = file_.write(lines_); !done) error_ = done.error();
    const bool written = error_.code() == Errc::Ok;
    (written ? stats_.recorded : stats_.lost) += std::exchange(collected_, 0);
    if (written) stats_.bytes += lines_.size();
    lines_.clear();
  }

  RecordingFile file_;
  std::string lines_;
  std::uint64_t collected_ = 0;  // messages in lines_
  RecorderStats stats_;
  Error error_;
};

class RingStore final : public MessageStore {
 public:
  explicit RingStore(std::size_t most) : most_(most) {}

  void add(Message message, std::vector<Message>& released) override {
    if (messages_.size() == most_) {
      released.push_back(std::move(messages_.front()));
      messages_.pop_front();
    }
    messages_.push_back(std::move(message));
    ++stats_.recorded;
  }
  void lost(std::uint64_t count) override { stats_.lost += count; }

  [[nodiscard]] std::vector<Message> messages() const { return {messages_.begin(), messages_.end()}; }
  [[nodiscard]] const RecorderStats& stats() const noexcept { return stats_; }

 private:
  const std::size_t most_;
  std::deque<Message> messages_;
  RecorderStats stats_;
};

/// Writes a whole recording. @return what it is, or Errc::FileFailed
inline expected<RecorderStats> saveRecording(const std::filesystem::path& path, const std::vector<Message>& messages,
                                             std::uint64_t lost) {
  auto store = FileStore::create(path);
  if (!store) return store.error();
  if (lost > 0) (*store)->lost(lost);
  for (const auto& message : messages) (*store)->add(message);
  if (auto done = (*store)->close(); !done) return done.error();
  return (*store)->stats();
}

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI
