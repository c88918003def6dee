#pragma once
// qtforge/communication/detail/mailbox.hpp: the bounded queue of one subscription: a state machine without threads.

#include <qtforge/communication/detail/mailbox_waits.hpp>
#include <qtforge/communication/detail/topic_places.hpp>
#include <qtforge/communication/subscription.hpp>
#include <qtforge/utils/detail/brief_lock.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// First in, first out, at most `capacity` messages; who puts the first one in must schedule the emptying. It begins
/// closed to its consumer: see open().
///
/// Puts that wait for a place stand in one line, whether a thread waits for them or an operation. As long as the line is
/// not empty the mailbox is full, so that nothing overtakes it.
///
/// @par Thread safety  any number of producers, one consumer at a time. Its lock is a leaf: nothing is called under it.
class Mailbox {
 public:
  using Put = PutResult;

  Mailbox(std::size_t capacity, OverflowPolicy policy) : capacity_(capacity), policy_(policy) {
    if (policy == OverflowPolicy::Latest) places_ = std::make_unique<TopicPlaces>();
  }

  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() {
    while (count_ > 0) Message::adopt(pop());
  }

  /// Puts `first` before all that came meanwhile, but for what is among that too, the newest of them if there is no place for
  /// all, and lets the consumer begin. Once. @return whether the caller must schedule take()
  bool open(std::span<const Message> first) {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (const auto needed = std::min(capacity_, count_ + first.size()); needed > ring_.size()) grow(needed);
    std::set<const MessageRecord*> there;
    if (!first.empty())
      for (std::size_t i = 0; i < count_; ++i) there.insert(at(i));
    for (auto message = first.rbegin(); message != first.rend(); ++message)
      if (!there.contains(message->record())) prepend(*message);
    return scheduled_ = count_ > 0;
  }

  /// Queues `message`. QueuedFirst: the caller must schedule take(). Full: the policy is Fail or Block, and `message` is
  /// left as it was.
  ///
  /// @param evicted  empty; out: what went for it
  Put put(Message&& message, Message& evicted) {
    auto lock = lockSoon(mutex_);
    const auto result = putLocked(std::move(message), evicted);
    if (evicted.record() && handledWaits_.first()) [[unlikely]] {
      SettledWaits settled;
      endHandledWaits(settled);
      lock.unlock();
      settled.tell();
    }
    return result;
  }

  /// For Block: waits for a place until `deadline`, in line with all who wait, then as put().
  Put putWithin(const Message& message, std::chrono::steady_clock::time_point deadline) {
    WaitingPut mine(message);
    const auto put = putOrWait(mine);
    if (put != Put::Waiting) return put;
    std::unique_lock lock(mutex_);
    if (space_.wait_until(lock, deadline, [&] { return !mine.waits; })) return mine.result;
    SettledWaits settled;
    leaveLine(mine, settled);
    lock.unlock();
    settled.tell();
    return Put::Full;
  }

  /// As put(), but where the policy is Block and there is no place `put` gets in line: Waiting.
  Put putOrWait(WaitingPut& put) {
    Message evicted = Message::adopt(nullptr);  // freed after the lock
    std::lock_guard lock(mutex_);
    if (policy_ != OverflowPolicy::Block || closed_ || count_ < capacity_) return putLocked(Message(put.message), evicted);
    put.waits = true;
    put.ticket = ++tickets_;
    ++enqueued_;
    line_.add(put);
    return Put::Waiting;
  }

  /// Takes it out of the line. False: it is no longer there, and is or will be told.
  bool withdraw(WaitingPut& put) {
    SettledWaits settled;
    {
      std::lock_guard lock(mutex_);
      if (!put.waits) return false;
      leaveLine(put, settled);
    }
    settled.tell();
    return true;
  }

  /// Moves up to `most` messages to `out`, which is emptied first. False when there are none: then the mailbox is no
  /// longer scheduled, and the next put() is a QueuedFirst.
  bool take(std::vector<Message>& out, std::size_t most) {
    out.clear();
    SettledWaits settled;
    auto lock = lockSoon(mutex_);
    handled_ += taken_;
    taken_ = 0;
    const std::size_t n = count_ < most ? count_ : most;
    for (std::size_t i = 0; i < n; ++i) out.push_back(Message::adopt(pop()));
    if (count_ == 0) overflowing_ = false;
    taken_ = n;
    if (n == 0) scheduled_ = false;
    const bool emptied = count_ == 0;
    if (line_.first()) [[unlikely]]
      givePlaces(settled);
    if (handledWaits_.first()) [[unlikely]]
      endHandledWaits(settled);
    // Else at the end of the consumer's turn: a wake-up is dear.
    const bool wake = emptied && std::exchange(untold_, 0) > 0;
    lock.unlock();
    if (wake) space_.notify_all();
    settled.tell();
    return n > 0;
  }

  /// Whether take() would find a message or that it is closed, as far as this thread can see without the lock.
  [[nodiscard]] bool readable() const noexcept { return readable_.load(std::memory_order_relaxed); }

  /// As take(), for a consumer without turns: what it gets counts as handled. @return how many
  std::size_t receive(MessageRecord** out, std::size_t most) {
    SettledWaits settled;
    std::unique_lock lock(mutex_);
    const std::size_t n = std::min(count_, most);
    for (std::size_t i = 0; i < n; ++i) out[i] = pop();
    if (count_ == 0) overflowing_ = false;
    handled_ += n;
    if (n == 0) scheduled_ = false;
    givePlaces(settled);
    endHandledWaits(settled);
    const bool wake = std::exchange(untold_, 0) > 0;
    lock.unlock();
    if (wake) space_.notify_all();
    settled.tell();
    return n;
  }

  /// Whether receive() would find a message. False: the next put() is a QueuedFirst.
  [[nodiscard]] bool receivable() {
    std::lock_guard lock(mutex_);
    if (count_ == 0) scheduled_ = false;
    return count_ > 0;
  }

  /// Tells publishers that have their places: at the end of the consumer's turn.
  void wakePublishers() {
    bool wake;
    {
      std::lock_guard lock(mutex_);
      wake = std::exchange(untold_, 0) > 0;
    }
    if (wake) space_.notify_all();
  }

  /// Ends it: drops what is queued and tells who waits. @return what was dropped
  std::vector<Message> close() {
    std::vector<Message> dropped;
    SettledWaits settled;
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
      dropped.reserve(count_);
      while (count_ > 0) dropped.push_back(Message::adopt(pop()));
      while (auto* put = line_.takeFirst()) settle(*put, Put::Closed, settled);
      while (auto* wait = handledWaits_.takeFirst()) settle(*wait, settled);
      readable_.store(true, std::memory_order_relaxed);  // who looks for more looks no longer
      handled_ = enqueued_;
    }
    space_.notify_all();
    settled.tell();
    return dropped;
  }

  /// Tells `wait` when all that was ever put, what is in line included, is handled or dropped, or the mailbox is closed.
  /// False: it is so already.
  bool waitHandled(HandledWait& wait) {
    std::lock_guard lock(mutex_);
    if (closed_ || handled_ >= enqueued_) return false;
    wait.target = enqueued_;
    wait.ticket = tickets_;
    wait.waits = true;
    handledWaits_.add(wait);
    return true;
  }

  /// False: it is or will be told.
  bool forget(HandledWait& wait) {
    std::lock_guard lock(mutex_);
    if (!wait.waits) return false;
    wait.waits = false;
    handledWaits_.remove(wait);
    return true;
  }

  [[nodiscard]] bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  [[nodiscard]] bool busy() const {
    std::lock_guard lock(mutex_);
    return !closed_ && handled_ < enqueued_;
  }
  [[nodiscard]] std::size_t pending() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  [[nodiscard]] std::uint64_t dropped() const {
    std::lock_guard lock(mutex_);
    return dropped_;
  }
  [[nodiscard]] bool full() const {
    std::lock_guard lock(mutex_);
    return count_ >= capacity_;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] OverflowPolicy policy() const noexcept { return policy_; }

  /// True for the first overflow since the mailbox was last empty: once per burst.
  bool firstOverflow() {
    std::lock_guard lock(mutex_);
    return !std::exchange(overflowing_, true);
  }

  [[nodiscard]] std::uint64_t replaced() const {
    std::lock_guard lock(mutex_);
    return replaced_;
  }

  void countDropped() {
    std::lock_guard lock(mutex_);
    ++dropped_;
  }

 private:
  void settle(WaitingPut& put, Put result, SettledWaits& settled) {
    put.waits = false;
    put.result = result;
    if (put.settled) settled.puts.add(put);
    else ++untold_;
  }
  static void settle(HandledWait& wait, SettledWaits& settled) {
    wait.waits = false;
    settled.waits.add(wait);
  }

  // The consumer is at it: there was a message, so that it is scheduled.
  void givePlaces(SettledWaits& settled) {
    while (count_ < capacity_) {
      auto* put = line_.takeFirst();
      if (!put) return;
      push(std::move(put->message));
      settle(*put, Put::Queued, settled);
    }
  }

  void leaveLine(WaitingPut& put, SettledWaits& settled) {
    put.waits = false;
    line_.remove(put);
    --enqueued_;
    for (auto* wait = handledWaits_.first(); wait; wait = wait->next)
      if (put.ticket <= wait->ticket) --wait->target;
    endHandledWaits(settled);
  }

  // Their targets never fall from one to the next.
  void endHandledWaits(SettledWaits& settled) {
    while (auto* wait = handledWaits_.first()) {
      if (wait->target > handled_) return;
      handledWaits_.remove(*wait);
      settle(*wait, settled);
    }
  }

  Put putLocked(Message&& message, Message& evicted) {
    if (closed_) return Put::Closed;
    Put result = Put::Queued;
    if (places_) {
      if (const auto* place = places_->find(message.topic())) {
        MessageRecord*& slot = at(*place - popped_);
        places_->rename(message.topic());
        evicted = Message::adopt(std::exchange(slot, message.release()));
        ++replaced_;
        return Put::Replaced;
      }
    }
    if (count_ == capacity_) {
      if (policy_ == OverflowPolicy::DropNewest) {
        ++dropped_;
        return Put::DroppedNewest;
      }
      if (policy_ != OverflowPolicy::DropOldest && !places_) return Put::Full;
      evicted = Message::adopt(pop());
      ++dropped_;
      ++(taken_ > 0 ? taken_ : handled_);  // after those in the handler: who waits counts from the oldest
      result = Put::DroppedOldest;
    }
    push(std::move(message));
    ++enqueued_;
    if (!std::exchange(scheduled_, true)) return Put::QueuedFirst;
    return result;
  }

  void push(Message&& message) {
    if (count_ == ring_.size()) grow(count_ + 1);
    if (places_) places_->add(message.topic(), popped_ + count_);
    at(count_) = message.release();
    if (count_++ == 0) readable_.store(true, std::memory_order_relaxed);
  }

  MessageRecord* pop() {
    MessageRecord* record = at(0);
    if (places_) places_->remove(record->topic());
    ++first_;
    ++popped_;
    if (--count_ == 0) readable_.store(false, std::memory_order_relaxed);
    return record;
  }

  // Places count from popped_, so that those of what is there stay as they are.
  void prepend(const Message& message) {
    if (places_ && places_->find(message.topic())) {  // what came meanwhile is newer
      ++replaced_;
      return;
    }
    if (count_ == capacity_) {
      ++dropped_;
      return;
    }
    if (places_) places_->add(message.topic(), popped_ - 1);
    --first_;
    message.record()->references.fetch_add(1, std::memory_order_relaxed);
    at(0) = message.record();
    --popped_;
    if (count_++ == 0) readable_.store(true, std::memory_order_relaxed);
    ++enqueued_;
    for (auto* wait = handledWaits_.first(); wait; wait = wait->next) ++wait->target;
  }

  // The i-th of what is there. The ring's size is a power of two.
  MessageRecord*& at(std::size_t i) noexcept { return ring_[(first_ + i) & (ring_.size() - 1)]; }

  void grow(std::size_t least) {
    std::vector<MessageRecord*> next(std::bit_ceil(std::max(std::size_t(8), least)));
    for (std::size_t i = 0; i < count_; ++i) next[i] = at(i);
    ring_.swap(next);
    first_ = 0;
  }

  const std::size_t capacity_;
  const OverflowPolicy policy_;
  std::atomic<bool> readable_{false};  // count_ > 0
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable space_;
  IntrusiveList<WaitingPut> line_;
  IntrusiveList<HandledWait> handledWaits_;
  std::unique_ptr<TopicPlaces> places_;  // for Latest
  std::vector<MessageRecord*> ring_;
  std::size_t first_ = 0;  // modulo the ring's size
  std::size_t count_ = 0;
  std::size_t taken_ = 0;     // given to the consumer, not yet known as handled
  std::size_t untold_ = 0;    // threads whose puts have their places and who do not know it yet
  std::uint64_t tickets_ = 0;
  std::uint64_t enqueued_ = 0;  // what is in line included
  std::uint64_t handled_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t replaced_ = 0;
  std::uint64_t popped_ = 0;  // modulo 2^64
  bool scheduled_ = true;  // until open()
  bool closed_ = false;
  bool overflowing_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
