#pragma once
// qtforge/communication/detail/turn.hpp: one turn of a subscription on its executor: some batches of its mailbox.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/mailbox.hpp>
#include <qtforge/communication/detail/message_record.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What the consumer of a mailbox keeps from one turn to the next.
struct Consumer {
  std::vector<Message> batch;  // taken, and handled as far as the turn came
  std::size_t batchSize = 1;   // grows while the handler is quick
  bool returned = false;       // messages were left to their makers
};

/// Handles messages until there are none, or until others on the executor should have their turn: then it is `cut`.
///
/// @tparam Handle  `bool(const Message&)`: handles one; false if the subscription has ended, and nothing is handled
template <class Handle>
class Turn : public Batch {
 public:
  Turn(Mailbox& mailbox, Consumer& consumer, const ThreadRecord& thread, Handle handle)
      : Batch{this, [](Batch* self) { return static_cast<Turn*>(self->context)->handleNext(); }},
        mailbox_(mailbox),
        consumer_(consumer),
        thread_(thread),
        handle_(std::move(handle)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool cut() const noexcept { return cut_; }

  /// False when there is nothing more to handle in this turn.
  bool handleNext() {
    auto& messages = consumer_.batch;
    if (at_ == messages.size() && !takeBatch()) return false;
    prefetchAhead(messages, at_);
    if (handle_(std::as_const(messages[at_++]))) return true;
    messages.clear();
    return false;
  }

 private:
  static constexpr std::size_t largestBatch = 64;  // messages per lock of the mailbox
  static constexpr std::size_t batchesPerTurn = 16;
  static constexpr std::size_t worthReturning = 8;  // smaller batches: messages are rare, and freed at once
  // How long a turn may take, beyond the message in hand, before others on the executor have theirs.
  static constexpr std::chrono::milliseconds turnLimit{10};

  bool takeBatch() {
    if (batches_ > 0 && endsHere()) return false;
    ++batches_;
    at_ = 0;
    letGo(consumer_.batch);
    if (mailbox_.take(consumer_.batch, consumer_.batchSize)) return true;
    if (returned_) freeAllReturned();  // what is the consumer's may be another turn's already
    return false;
  }

  bool endsHere() {
    const bool slow = std::chrono::steady_clock::now() - begin_ > turnLimit;
    auto& size = consumer_.batchSize;
    size = slow ? std::max<std::size_t>(1, size / 2) : std::min(largestBatch, size * 2);
    cut_ = slow || batches_ == batchesPerTurn;
    if (!cut_) return false;
    consumer_.returned = returned_;
    mailbox_.wakePublishers();
    return true;
  }

  // Ends the consumer's hold on what it has handled.
  void letGo(std::vector<Message>& handled) {
    if (handled.size() >= worthReturning) {
      returned_ = true;
      ReturnMessages home(thread_);
      for (auto& message : handled) home.add(std::move(message));
    }
    handled.clear();
  }

  Mailbox& mailbox_;
  Consumer& consumer_;
  const ThreadRecord& thread_;
  Handle handle_;
  std::size_t at_ = consumer_.batch.size();
  std::size_t batches_ = 0;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool returned_ = std::exchange(consumer_.returned, false);
  bool cut_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
