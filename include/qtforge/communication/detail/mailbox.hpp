#pragma once
// qtforge/communication/detail/mailbox.hpp: the bounded queue of one subscription: a state machine without threads.

#include <qtforge/communication/bus.hpp>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// First in, first out, at most `capacity` messages; who puts the first one in must schedule the emptying.
///
/// @par Thread safety  any number of producers, one consumer at a time. Its lock is a leaf: nothing is called under it.
class Mailbox {
 public:
  enum class Put { Queued, QueuedFirst, DroppedOldest, DroppedNewest, Full, Closed };

  Mailbox(std::size_t capacity, OverflowPolicy policy) : capacity_(capacity), policy_(policy) {}

  /// Queues `message`. QueuedFirst: the caller must schedule take(). Full: the policy is Fail or Block, nothing queued.
  Put put(const Message& message) {
    Evicted evicted;
    std::lock_guard lock(mutex_);
    return putLocked(message, evicted);
  }

  /// For Block: waits for a place until `deadline`, then as put().
  Put putWithin(const Message& message, std::chrono::steady_clock::time_point deadline) {
    Evicted evicted;
    std::unique_lock lock(mutex_);
    ++waiting_;
    space_.wait_until(lock, deadline, [&] { return closed_ || count_ < capacity_; });
    --waiting_;
    return putLocked(message, evicted);
  }

  /// Moves up to `most` messages to `out`, which is emptied first. False when there are none: then the mailbox is no
  /// longer scheduled, and the next put() is a QueuedFirst.
  bool take(std::vector<Message>& out, std::size_t most) {
    out.clear();
    std::unique_lock lock(mutex_);
    handled_ += taken_;
    taken_ = 0;
    const std::size_t n = count_ < most ? count_ : most;
    for (std::size_t i = 0; i < n; ++i) out.push_back(Message::adopt(pop()));
    taken_ = n;
    if (n == 0) scheduled_ = false;
    const bool wake = waiting_ > 0 && count_ == 0;  // else at the end of the consumer's turn: a wake-up is dear
    const bool idle = idleWaiting_ > 0;
    lock.unlock();
    if (wake) space_.notify_all();
    if (idle) idle_.notify_all();
    return n > 0;
  }

  /// Tells publishers that wait for a place: at the end of the consumer's turn.
  void wakePublishers() {
    bool wake;
    {
      std::lock_guard lock(mutex_);
      wake = waiting_ > 0 && count_ < capacity_;
    }
    if (wake) space_.notify_all();
  }

  /// Ends it: drops what is queued and wakes who waits.
  void close() {
    std::vector<Message> dropped;  // freed after the lock
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
      dropped.reserve(count_);
      while (count_ > 0) dropped.push_back(Message::adopt(pop()));
      handled_ += dropped.size();
    }
    space_.notify_all();
    idle_.notify_all();
  }

  /// Waits until as many messages as `target`, of all that were ever queued, are handled or dropped, or it is closed.
  /// False at the deadline.
  bool waitHandled(std::uint64_t target, std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    ++idleWaiting_;
    const bool done = idle_.wait_until(lock, deadline, [&] { return closed_ || handled_ >= target; });
    --idleWaiting_;
    return done;
  }

  [[nodiscard]] std::uint64_t enqueued() const {
    std::lock_guard lock(mutex_);
    return enqueued_;
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
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] OverflowPolicy policy() const noexcept { return policy_; }

  /// True for the first overflow since the mailbox was last empty: once per burst.
  bool firstOverflow() {
    std::lock_guard lock(mutex_);
    return !std::exchange(overflowing_, true);
  }

  void countDropped() {
    std::lock_guard lock(mutex_);
    ++dropped_;
  }

 private:
  // Frees a message after the lock is gone, since that may run a payload's deleter.
  struct Evicted {
    MessageRecord* record = nullptr;
    Evicted() = default;
    Evicted(const Evicted&) = delete;
    Evicted& operator=(const Evicted&) = delete;
    ~Evicted() {
      if (record) Message::adopt(record);
    }
  };

  Put putLocked(const Message& message, Evicted& evicted) {
    if (closed_) return Put::Closed;
    Put result = Put::Queued;
    if (count_ == capacity_) {
      if (policy_ == OverflowPolicy::DropNewest) {
        ++dropped_;
        return Put::DroppedNewest;
      }
      if (policy_ != OverflowPolicy::DropOldest) return Put::Full;
      evicted.record = pop();
      ++dropped_;
      ++handled_;
      result = Put::DroppedOldest;
    }
    push(message);
    ++enqueued_;
    if (!std::exchange(scheduled_, true)) return Put::QueuedFirst;
    return result;
  }

  void push(const Message& message) {
    if (count_ == ring_.size()) grow();
    message.record()->references.fetch_add(1, std::memory_order_relaxed);
    ring_[(first_ + count_) % ring_.size()] = message.record();
    ++count_;
  }

  MessageRecord* pop() {
    MessageRecord* record = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    if (--count_ == 0) overflowing_ = false;
    return record;
  }

  void grow() {
    std::vector<MessageRecord*> next(std::min(capacity_, std::max<std::size_t>(8, ring_.size() * 2)));
    for (std::size_t i = 0; i < count_; ++i) next[i] = ring_[(first_ + i) % ring_.size()];
    ring_.swap(next);
    first_ = 0;
  }

  const std::size_t capacity_;
  const OverflowPolicy policy_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable space_;
  std::condition_variable idle_;
  std::vector<MessageRecord*> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t taken_ = 0;     // given to the consumer, not yet known as handled
  std::size_t waiting_ = 0;
  std::size_t idleWaiting_ = 0;
  std::uint64_t enqueued_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t dropped_ = 0;
  bool scheduled_ = false;
  bool closed_ = false;
  bool overflowing_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
