#pragma once
// qtforge/communication/replay.hpp: publishes again what was recorded.

#include <qtforge/communication/recording.hpp>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <span>
#include <stop_token>

namespace qtforge::inline QTFORGE_ABI {

/// Puts topics below another name.
struct ReplayPrefix {
  std::string from;  ///< first tokens of a topic; empty: of every topic
  std::string to;    ///< what stands there instead; empty: nothing
};

struct ReplayOptions {
  double speed = 1.0;  ///< 2 is twice as fast as it was; 0 or infinity: without waiting
  std::vector<std::string> patterns = {">"};  ///< what to publish, by the recorded topic
  std::vector<ReplayPrefix> prefixes = {};    ///< the first that fits a topic counts
  std::stop_token stop = {};                  ///< ends it before the next message, also while it waits
};

struct ReplaySummary {
  std::uint64_t published = 0;
  std::uint64_t reserved = 0;   ///< left out: below `qtforge`, where only the library publishes
  std::uint64_t unmatched = 0;  ///< left out: no pattern matches
  std::uint64_t failed = 0;     ///< publish() gave an error
  Error firstError = {};        ///< of those
  std::uint64_t lost = 0;       ///< not in the recording: the recorder lost them
  bool truncated = false;       ///< the recording ends inside a line
  bool stopped = false;         ///< by ReplayOptions::stop
};

namespace detail {

/// When messages are due.
class ReplaySchedule {
 public:
  explicit ReplaySchedule(double speed) : speed_(speed) {}

  /// After the first message's. Clocks that were set back make no gap; at most ten years.
  std::chrono::nanoseconds dueAt(RecordedMessage::Time time) {
    const auto now = time.time_since_epoch().count();
    if (!std::exchange(begun_, true)) first_ = now;
    if (speed_ == 0 || std::isinf(speed_) || now <= first_) return {};
    // Subtracted as unsigned numbers: the difference of any two times fits.
    const auto passed = static_cast<double>(static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(first_));
    return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(passed / speed_, tenYears)));
  }

 private:
  static constexpr double tenYears = 3.2e17;
  const double speed_;
  bool begun_ = false;
  std::int64_t first_ = 0;
};

class Replay {
 public:
  Replay(const MessageBus& bus, const ReplayOptions& options) : bus_(bus), options_(options), schedule_(options.speed) {}

  [[nodiscard]] expected<void> check() const {
    if (!(options_.speed >= 0))
      return Error(Errc::InvalidArgument, "replay: a speed of " + std::to_string(options_.speed) + "; give at least 0");
    for (const auto& pattern : options_.patterns)
      if (auto valid = checkPattern(pattern); !valid) return valid.error();
    return {};
  }

  /// Publishes at its time. False when it is to stop. @return or Errc::ShuttingDown, Errc::NoRuntime
  template <class Publish>
  expected<bool> message(std::string_view topic, RecordedMessage::Time time, Publish&& publish) {
    if (isReservedTopic(topic)) return ++summary.reserved, true;
    if (!std::any_of(options_.patterns.begin(), options_.patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, topic); }))
      return ++summary.unmatched, true;
    if (!wait(schedule_.dueAt(time))) {
      summary.stopped = true;
      return false;
    }
    const auto done = publish(std::string_view(renamed(topic)));
    if (!done && (done.error() == Errc::ShuttingDown || done.error() == Errc::NoRuntime)) return done.error();
    if (done) ++summary.published;
    else if (summary.failed++ == 0) summary.firstError = done.error();
    return true;
  }

  expected<Delivery> publish(std::string_view topic, RecordedMessage& recorded) const {
    const auto where = bus_.at();
    if (!where.core) return noRuntime();
    PublishArgs args;
    args.topic = topic;
    if (recorded.json()) args.payload = {PayloadKind::Json, recorded.json(), nullptr};
    else args.payload = {PayloadKind::Binary, recorded.binary(), nullptr};
    PublishExtras extras;
    extras.attachments = &recorded.attachments;
    extras.headers = &recorded.headers;
    args.extras = &extras;
    args.adopt = true;
    Delivery delivery;
    Error error;
    if (where.table->publish(where.core, where.client, &args, &delivery, sinkInto(error)) != 0) return error;
    return delivery;
  }

  [[nodiscard]] bool stopRequested() {
    summary.stopped = options_.stop.stop_requested();
    return summary.stopped;
  }

  ReplaySummary summary;

 private:
  // False if it was stopped.
  bool wait(std::chrono::nanoseconds afterFirst) {
    std::unique_lock lock(mutex_);
    if (!begin_) begin_ = std::chrono::steady_clock::now();
    changed_.wait_until(lock, options_.stop, *begin_ + afterFirst, [] { return false; });
    return !options_.stop.stop_requested();
  }

  [[nodiscard]] std::string renamed(std::string_view topic) const {
    for (const auto& [from, to] : options_.prefixes) {
      if (!topic.starts_with(from)) continue;
      auto rest = topic.substr(from.size());
      if (!from.empty() && !rest.empty() && rest.front() != '.') continue;  // another token
      if (rest.starts_with('.')) rest.remove_prefix(1);
      const char* dot = to.empty() || rest.empty() ? "" : ".";
      return to + dot + std::string(rest);
    }
    return std::string(topic);
  }

  const MessageBus& bus_;
  const ReplayOptions& options_;
  ReplaySchedule schedule_;
  std::optional<std::chrono::steady_clock::time_point> begin_;
  std::mutex mutex_;  // guards nothing: to wait with
  std::condition_variable_any changed_;
};

}  // namespace detail

/// Publishes payloads and headers of `messages` to their topics on `bus`, with the time between them that was between
/// them when they were published. Who they are from, where answers were expected, and what was retained is not repeated.
///
/// @return what became of them, or
///   - Errc::InvalidArgument  a speed below 0
///   - Errc::InvalidPattern   with the offset of what is wrong
///   - Errc::ShuttingDown, Errc::NoRuntime
///   Other errors of publish are counted, and it goes on.
/// @par Thread safety  any thread.
/// @par Blocking       until the last one is published, or it is stopped; and where publish() blocks.
inline expected<ReplaySummary> replay(std::span<const Message> messages, const MessageBus& bus,
                                      const ReplayOptions& options = {}) {
  detail::Replay replay(bus, options);
  if (auto valid = replay.check(); !valid) return valid.error();
  for (const auto& message : messages) {
    if (replay.stopRequested()) break;
    const auto time = std::chrono::time_point_cast<std::chrono::nanoseconds>(message.time());
    auto more = replay.message(message.topic(), time, [&](std::string_view topic) {
      return bus.publish(topic, message, {.headers = &message.headers()});
    });
    if (!more) return more.error();
    if (!*more) break;
  }
  return replay.summary;
}

/// As replay() of its messages, and counts what it lost.
inline expected<ReplaySummary> replay(const RingRecorder& recorder, const MessageBus& bus,
                                      const ReplayOptions& options = {}) {
  auto summary = replay(recorder.messages(), bus, options);
  if (summary) summary->lost = recorder.stats().lost;
  return summary;
}

/// As replay() of the messages in a file that a Recorder wrote, or RingRecorder::save. The file may end inside a line.
///
/// @return or also
///   - Errc::FileFailed        the file is missing or cannot be read
///   - Errc::RecordingInvalid  it is no recording, one of a version that is not known, or a line is broken: the message
///                             has its number and column, and what is before it has been published
inline expected<ReplaySummary> replay(const std::filesystem::path& path, const MessageBus& bus,
                                      const ReplayOptions& options = {}) {
  detail::Replay replay(bus, options);
  if (auto valid = replay.check(); !valid) return valid.error();
  auto reader = RecordingReader::open(path);
  if (!reader) return reader.error();
  while (!replay.stopRequested()) {
    auto next = reader->next();
    if (!next) return next.error();
    if (!*next) break;
    auto& recorded = **next;
    auto more = replay.message(recorded.topic, recorded.time,
                               [&](std::string_view topic) { return replay.publish(topic, recorded); });
    if (!more) return more.error();
    if (!*more) break;
  }
  replay.summary.lost = reader->lost();
  replay.summary.truncated = reader->truncated();
  return replay.summary;
}

}  // namespace qtforge::inline QTFORGE_ABI
