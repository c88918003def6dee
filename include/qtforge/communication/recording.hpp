#pragma once
// qtforge/communication/recording.hpp: keeps what is published, in a file or in memory, and reads such files again.
//
// The format is described in docs/guides/recording.md.

#include <qtforge/communication/detail/recording_stores.hpp>
#include <qtforge/communication/recorded_message.hpp>

#include <optional>

namespace qtforge::inline QTFORGE_ABI {

struct RecorderOptions {
  /// What to record, each message once. As with taps, `>` and a first `*` match the library's own topics too.
  std::vector<std::string> patterns = {">"};
  /// Messages that may wait to be recorded, at least 1; when there are more the oldest is lost, and counted.
  std::size_t capacity = 65'536;
  /// Where the recorder works, in short turns that write to the file; none: the runtime's threads. It must outlive the
  /// recorder.
  boost::asio::any_io_executor executor = {};
};

/// Streams messages into a file until it is closed or destroyed. It looks on as a tap does (MessageBus::tap): publishers
/// never wait for it. What it loses is counted and noted in the file where it is missing. Payloads of C++ types are
/// recorded in their JSON form.
///
/// After a write error (a full disk) it stops: that is logged, counted, and the result of close(); what is in the file
/// by then can be read.
/// @par Thread safety  one object from one thread at a time.
class Recorder {
 public:
  /// Begins to record what is published on `bus` into `path`, which is emptied if it exists.
  ///
  /// @return the recorder, or
  ///   - Errc::FileFailed       the file cannot be made or written: the message says why
  ///   - Errc::InvalidPattern   with the offset of what is wrong
  ///   - Errc::InvalidArgument  no pattern, or a capacity of 0
  ///   - Errc::ShuttingDown, Errc::NoRuntime
  [[nodiscard]] static expected<Recorder> start(const MessageBus& bus, const std::filesystem::path& path,
                                                RecorderOptions options = {}) {
    if (auto valid = detail::RecorderCore::check(bus, options.patterns, options.capacity); !valid) return valid.error();
    auto store = detail::FileStore::create(path);
    if (!store) return store.error();
    auto core = std::make_shared<detail::RecorderCore>(std::move(options.patterns), std::move(options.executor),
                                                       std::move(*store));
    if (auto started = core->start(bus, options.capacity); !started) return started.error();
    return Recorder(std::move(core));
  }

  Recorder(Recorder&&) noexcept = default;
  Recorder& operator=(Recorder&& other) noexcept {
    if (core_ && core_ != other.core_) core_->close();
    core_ = std::move(other.core_);
    return *this;
  }
  /// As close(); an error is logged.
  ~Recorder() {
    if (core_) core_->close();
  }

  /// Ends the recording: all that was published before is in the file, and the file on the disk. A second call returns
  /// what the first did.
  ///
  /// @return what was recorded, or
  ///   - Errc::FileFailed    something could not be written; the file ends before it
  ///   - Errc::ShuttingDown  the bus ended before the recorder, and what waited is missing
  /// @par Blocking  until the file is on the disk.
  expected<RecorderStats> close() {
    if (auto closed = core_->close(); !closed) return closed.error();
    return stats();
  }

  /// As of now: messages that wait are not in it.
  [[nodiscard]] RecorderStats stats() const {
    return core_->withStored([](detail::MessageStore& store) { return static_cast<detail::FileStore&>(store).stats(); });
  }

 private:
  explicit Recorder(std::shared_ptr<detail::RecorderCore> core) noexcept : core_(std::move(core)) {}
  std::shared_ptr<detail::RecorderCore> core_;
};

/// Keeps the newest messages in memory, for when something has gone wrong. It looks on as Recorder does. Messages that
/// have bytes or C++ types of a plugin keep its library mapped as long as they are in the ring.
///
/// @par Thread safety  one object from one thread at a time.
class RingRecorder {
 public:
  /// Begins to keep the newest messages of `bus`, at most `most`.
  ///
  /// @return the recorder, or
  ///   - Errc::InvalidPattern   with the offset of what is wrong
  ///   - Errc::InvalidArgument  `most` is 0, no pattern, or a capacity of 0
  ///   - Errc::ShuttingDown, Errc::NoRuntime
  [[nodiscard]] static expected<RingRecorder> start(const MessageBus& bus, std::size_t most,
                                                    RecorderOptions options = {}) {
    if (most == 0) return Error(Errc::InvalidArgument, "ring recorder: at most 0 messages; give at least 1");
    auto core = std::make_shared<detail::RecorderCore>(std::move(options.patterns), std::move(options.executor),
                                                       std::make_unique<detail::RingStore>(most));
    if (auto started = core->start(bus, options.capacity); !started) return started.error();
    return RingRecorder(std::move(core));
  }

  RingRecorder(RingRecorder&&) noexcept = default;
  RingRecorder& operator=(RingRecorder&& other) noexcept {
    if (core_ && core_ != other.core_) core_->close();
    core_ = std::move(other.core_);
    return *this;
  }
  ~RingRecorder() {
    if (core_) core_->close();
  }

  /// The newest messages, the oldest of them first, with all that was published before the call.
  [[nodiscard]] std::vector<Message> messages() const {
    return core_->withStore([](detail::MessageStore& store) { return static_cast<detail::RingStore&>(store).messages(); });
  }

  /// Writes messages() into a file that is emptied if it exists, and goes on.
  ///
  /// @return what was written; `lost` also counts what the ring lost; or
  ///   - Errc::FileFailed
  /// @par Blocking  until the file is on the disk.
  expected<RecorderStats> save(const std::filesystem::path& path) const {
    const auto kept = messages();
    return detail::saveRecording(path, kept, stats().lost);
  }

  /// Ends it; what it has stays. A second call does nothing.
  void close() { core_->close(); }

  /// As of now: messages that wait are not in it. `bytes` is 0.
  [[nodiscard]] RecorderStats stats() const {
    return core_->withStored([](detail::MessageStore& store) { return static_cast<detail::RingStore&>(store).stats(); });
  }

 private:
  explicit RingRecorder(std::shared_ptr<detail::RecorderCore> core) noexcept : core_(std::move(core)) {}
  std::shared_ptr<detail::RecorderCore> core_;
};

/// Reads the messages of a recording, one after the other.
///
/// @par Thread safety  one thread at a time.
class RecordingReader {
 public:
  /// @return a reader before the first message, or
  ///   - Errc::FileFailed        the file is missing or cannot be read: the message says why
  ///   - Errc::RecordingInvalid  it is no recording, or one of a version that is not known
  [[nodiscard]] static expected<RecordingReader> open(const std::filesystem::path& path) {
    auto file = detail::RecordingFile::open(path, detail::RecordingFile::For::Reading);
    if (!file) return file.error();
    RecordingReader reader(std::move(*file));
    if (auto valid = reader.readHeader(); !valid) return valid.error();
    return reader;
  }

  /// The next message; none at the end.
  ///
  /// @return it, or
  ///   - Errc::RecordingInvalid  a line is broken: the message has its number and column; the next call goes on behind it
  ///   - Errc::FileFailed
  /// @par Blocking  while the file is read.
  expected<std::optional<RecordedMessage>> next();

  /// How many messages the recorder had lost up to here.
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
  /// Whether the end was reached inside a line, as a recorder that crashed leaves it.
  [[nodiscard]] bool truncated() const noexcept { return truncated_; }
  /// The number of the last line that was read, from 1.
  [[nodiscard]] std::uint64_t line() const noexcept { return line_; }

 private:
  explicit RecordingReader(detail::RecordingFile file) : lines_(std::move(file)) {}

  expected<void> readHeader();

  [[nodiscard]] Error invalid(const std::string& reason) const {
    return Error(Errc::RecordingInvalid, "recording '" + lines_.path().string() + "': " + reason);
  }
  [[nodiscard]] Error broken(std::size_t column, const std::string& reason) const {
    return invalid("line " + std::to_string(line_) + ", column " + std::to_string(column) + ": " + reason);
  }

  detail::LineReader lines_;
  std::string text_;
  std::uint64_t line_ = 0;
  std::uint64_t lost_ = 0;
  bool truncated_ = false;
};

inline expected<void> RecordingReader::readHeader() {
  constexpr std::size_t longestHeader = 4096;
  using Line = detail::LineReader::Line;
  const auto line = lines_.next(text_, longestHeader);
  if (!line) return line.error();
  ++line_;
  auto header = *line == Line::Whole ? detail::JsonReader::read(text_) : detail::JsonReader::Result{{}, "cut off"};
  const auto* object = header.problem ? nullptr : header.value.if_object();
  const auto* format = object ? object->if_contains("format") : nullptr;
  const auto* version = object ? object->if_contains("version") : nullptr;
  if (!format || *format != boost::json::value(detail::recordingFormat) || !version)
    return invalid("not a recording: its first line is not " + detail::recordingHeader());
  if (*version != boost::json::value(detail::recordingVersion)) {
    std::string found;
    detail::JsonWriter(found).value(*version);
    return invalid("version " + found + "; this library reads version " + std::to_string(detail::recordingVersion));
  }
  return {};
}

inline expected<std::optional<RecordedMessage>> RecordingReader::next() {
  using Line = detail::LineReader::Line;
  for (;;) {
    const auto line = lines_.next(text_);
    if (!line) return line.error();
    if (*line == Line::None) return std::optional<RecordedMessage>();
    ++line_;
    auto read = detail::JsonReader::read(text_);
    if (read.problem && *line == Line::Unended) {
      truncated_ = true;
      return std::optional<RecordedMessage>();
    }
    if (read.problem)
      return broken(read.offset + 1, std::string(read.problem) + (read.reason.empty() ? "" : ": " + read.reason));
    detail::FrameReader frame(std::move(read.value));
    if (frame.isLost()) {
      lost_ += frame.lost();
      if (!frame.problem.empty()) return broken(1, frame.problem);
      continue;
    }
    auto message = frame.message();
    if (!frame.problem.empty()) return broken(1, frame.problem);
    return std::optional<RecordedMessage>(std::move(message));
  }
}

}  // namespace qtforge::inline QTFORGE_ABI
