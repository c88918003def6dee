#pragma once
// qtforge/communication/detail/turn.hpp: one turn of a subscription on its executor: some batches of its mailbox.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/mailbox.hpp>
#include <qtforge/communication/detail/message_record.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What the consumer of a mailbox keeps from one turn to the next.
struct Consumer {
  std::vector<Message> batch;  // taken, and handled as far as the turn came
  std::size_t batchSize = 1;   // grows while the handler is quick
  bool returned = false;       // messages were left to their makers
  std::chrono::steady_clock::time_point began;  // the last turn
};

/// Handles messages until there are none, or until others on the executor should have their turn: then it is `cut`.
///
/// @tparam Handle  `bool(const Message&)`: handles one; false if the subscription has ended, and nothing is handled
template <class Handle>
class Turn : public Batch {
 public:
  /// @param spin  how long to look for more once there are none
  /// @param lingers  whether it may wait some microseconds for more while messages come thick
  Turn(Mailbox& mailbox, Consumer& consumer, std::chrono::nanoseconds spin, bool lingers, ThreadRecord& thread,
       Handle handle)
      : Batch{this, [](Batch* self) { return static_cast<Turn*>(self->context)->handleNext(); }},
        mailbox_(mailbox),
        consumer_(consumer),
        spin_(spin),
        handle_(std::move(handle)),
        home_(thread),
        busy_(begin_ - std::exchange(consumer.began, begin_) < soonAfter && lingers),
        lingers_(lingers ? 0 : mostLingers) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool cut() const noexcept { return cut_; }

  /// What was taken and will not be handled, since the subscription has ended.
  [[nodiscard]] std::span<const Message> left() const noexcept { return left_; }

  /// False when there is nothing more to handle in this turn.
  bool handleNext() {
    auto& messages = consumer_.batch;
    if (at_ == messages.size() && !takeBatch()) return false;
    prefetchAhead(messages, at_);
    if (handle_(std::as_const(messages[at_]))) {
      ++at_;
      return true;
    }
    left_ = std::span<const Message>(messages).subspan(at_);
    return false;
  }

 private:
  static constexpr std::size_t largestBatch = 64;  // messages per lock of the mailbox
  static constexpr std::size_t mostMessages = 1024;
  static constexpr std::size_t thick = 16;  // messages of a turn; or one begins so soon after the other:
  static constexpr std::chrono::microseconds soonAfter{25};
  static constexpr std::chrono::microseconds lingerTime{5};
  static constexpr int mostLingers = 16;  // of a turn
  // How long a turn may take, beyond the message in hand, before others on the executor have theirs.
  static constexpr std::chrono::milliseconds turnLimit{10};

  bool takeBatch() {
    if (unchecked_ >= consumer_.batchSize && endsHere()) return false;
    at_ = 0;
    for (auto& message : consumer_.batch) home_.add(std::move(message));
    if (busy_ && handled_ > 0 && consumer_.batch.size() < consumer_.batchSize) linger();
    if (spin_.count() > 0 && !mailbox_.readable()) lookForMore();
    if (mailbox_.take(consumer_.batch, consumer_.batchSize)) {
      handled_ += consumer_.batch.size();
      busy_ = lingers_ < mostLingers && (busy_ || handled_ >= thick);
      unchecked_ += consumer_.batch.size();
      return true;
    }
    // From here on what is the consumer's may be another turn's.
    if (returned_ || home_.left()) freeAllReturned();
    return false;
  }

  // While messages come thick, lets some come together: taking each by itself, publisher and consumer would meet at the
  // mailbox for every one, and to sleep and be woken takes longer still.
  void linger() noexcept {
    const int last = std::min(lingers_ + 3, mostLingers);
    do {
      const auto end = std::chrono::steady_clock::now() + lingerTime;
      while (std::chrono::steady_clock::now() < end) pauseBriefly();
    } while (++lingers_ < last && !mailbox_.readable());
  }

  void lookForMore() noexcept {
    const auto more = [&] { return mailbox_.readable(); };
    const auto end = std::chrono::steady_clock::now() + spin_;
    while (!soon(more) && std::chrono::steady_clock::now() < end) {}
  }

  bool endsHere() {
    unchecked_ = 0;
    const bool slow = std::chrono::steady_clock::now() - begin_ > turnLimit;
    auto& size = consumer_.batchSize;
    size = slow ? std::max<std::size_t>(1, size / 2) : std::min(largestBatch, size * 2);
    cut_ = slow || handled_ >= mostMessages;
    if (!cut_) return false;
    consumer_.returned = returned_ || home_.left();
    mailbox_.wakePublishers();
    return true;
  }

  Mailbox& mailbox_;
  Consumer& consumer_;
  const std::chrono::nanoseconds spin_;
  Handle handle_;
  ReturnMessages home_;  // ends the consumer's hold on what it has handled
  std::size_t at_ = consumer_.batch.size();
  std::span<const Message> left_;
  std::size_t handled_ = 0;    // messages of this turn
  std::size_t unchecked_ = 0;  // since the clock was read
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool returned_ = std::exchange(consumer_.returned, false);
  bool cut_ = false;
  bool busy_;  // messages come thick
  int lingers_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
