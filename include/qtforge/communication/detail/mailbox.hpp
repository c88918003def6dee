#pragma once
// qtforge/communication/detail/mailbox.hpp: the bounded queue of one subscription: a state machine without threads.

#include <qtforge/communication/subscription.hpp>
#include <qtforge/utils/detail/brief_lock.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Which place the queued message of a topic has, for OverflowPolicy::Latest. Allocates until it has held as many topics
/// at once as it ever will.
class TopicPlaces {
 public:
  /// The place of that topic's message, or null.
  [[nodiscard]] std::uint64_t* find(std::string_view topic) {
    const auto found = places_.find(topic);
    return found == places_.end() ? nullptr : &found->second;
  }
  void add(std::string_view topic, std::uint64_t place) {
    if (spare_.empty()) {
      places_.emplace(topic, place);
      return;
    }
    auto node = std::move(spare_.back());
    spare_.pop_back();
    node.key() = topic;
    node.mapped() = place;
    places_.insert(std::move(node));
  }
  /// The same topic, as another message spells it: the first one's text goes with its message.
  void rename(std::string_view topic) {
    auto node = places_.extract(topic);
    node.key() = topic;
    places_.insert(std::move(node));
  }
  void remove(std::string_view topic) { spare_.push_back(places_.extract(topic)); }

 private:
  using Places = std::unordered_map<std::string_view, std::uint64_t>;
  Places places_;
  std::vector<Places::node_type> spare_;
};

/// First in, first out, at most `capacity` messages; who puts the first one in must schedule the emptying. It begins
/// closed to its consumer: see open().
///
/// @par Thread safety  any number of producers, one consumer at a time. Its lock is a leaf: nothing is called under it.
class Mailbox {
 public:
  enum class Put { Queued, QueuedFirst, Replaced, DroppedOldest, DroppedNewest, Full, Closed };

  Mailbox(std::size_t capacity, OverflowPolicy policy) : capacity_(capacity), policy_(policy) {
    if (policy == OverflowPolicy::Latest) places_ = std::make_unique<TopicPlaces>();
  }

  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() {
    while (count_ > 0) Message::adopt(pop());
  }

  /// Puts `first` before all that came meanwhile, the newest of them if there is no place for all, and lets the consumer
  /// begin. Once. @return whether the caller must schedule take()
  bool open(std::span<const Message> first) {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (!first.empty()) grow(count_ + first.size());
    for (auto message = first.rbegin(); message != first.rend(); ++message) prepend(*message);
    return scheduled_ = count_ > 0;
  }

  /// Queues `message`. QueuedFirst: the caller must schedule take(). Full: the policy is Fail or Block, nothing queued.
  Put put(const Message& message) {
    Evicted evicted;
    const auto lock = lockSoon(mutex_);
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
    auto lock = lockSoon(mutex_);
    handled_ += taken_;
    taken_ = 0;
    const std::size_t n = count_ < most ? count_ : most;
    for (std::size_t i = 0; i < n; ++i) out.push_back(Message::adopt(pop()));
    if (count_ == 0) overflowing_ = false;
    taken_ = n;
    if (n == 0) scheduled_ = false;
    const bool wake = waiting_ > 0 && count_ == 0;  // else at the end of the consumer's turn: a wake-up is dear
    const bool idle = idleWaiting_ > 0;
    lock.unlock();
    if (wake) space_.notify_all();
    if (idle) idle_.notify_all();
    return n > 0;
  }

  /// Whether take() would find a message, as far as this thread can see without the lock.
  [[nodiscard]] bool readable() const noexcept { return readable_.load(std::memory_order_relaxed); }

  /// As take(), for a consumer without turns: what it gets counts as handled. @return how many
  std::size_t receive(MessageRecord** out, std::size_t most) {
    std::unique_lock lock(mutex_);
    const std::size_t n = std::min(count_, most);
    for (std::size_t i = 0; i < n; ++i) out[i] = pop();
    if (count_ == 0) overflowing_ = false;
    handled_ += n;
    if (n == 0) scheduled_ = false;
    const bool wake = waiting_ > 0 && n > 0;
    const bool idle = idleWaiting_ > 0 && n > 0;
    lock.unlock();
    if (wake) space_.notify_all();
    if (idle) idle_.notify_all();
    return n;
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
    if (places_) {
      if (const auto* place = places_->find(message.topic())) {
        MessageRecord*& slot = ring_[(first_ + (*place - popped_)) % ring_.size()];
        places_->rename(message.topic());
        message.record()->references.fetch_add(1, std::memory_order_relaxed);
        evicted.record = std::exchange(slot, message.record());
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
    if (count_ == ring_.size()) grow(count_ + 1);
    if (places_) places_->add(message.topic(), popped_ + count_);
    message.record()->references.fetch_add(1, std::memory_order_relaxed);
    ring_[(first_ + count_) % ring_.size()] = message.record();
    if (count_++ == 0) readable_.store(true, std::memory_order_relaxed);
  }

  MessageRecord* pop() {
    MessageRecord* record = ring_[first_];
    if (places_) places_->remove(record->topic());
    first_ = (first_ + 1) % ring_.size();
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
    first_ = (first_ + ring_.size() - 1) % ring_.size();
    message.record()->references.fetch_add(1, std::memory_order_relaxed);
    ring_[first_] = message.record();
    --popped_;
    if (count_++ == 0) readable_.store(true, std::memory_order_relaxed);
    ++enqueued_;
  }

  void grow(std::size_t least) {
    const auto size = std::min(capacity_, std::max({std::size_t(8), ring_.size() * 2, least}));
    std::vector<MessageRecord*> next(std::max(size, ring_.size()));
    for (std::size_t i = 0; i < count_; ++i) next[i] = ring_[(first_ + i) % ring_.size()];
    ring_.swap(next);
    first_ = 0;
  }

  const std::size_t capacity_;
  const OverflowPolicy policy_;
  std::atomic<bool> readable_{false};  // count_ > 0
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable space_;
  std::condition_variable idle_;
  std::unique_ptr<TopicPlaces> places_;  // for Latest
  std::vector<MessageRecord*> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t taken_ = 0;     // given to the consumer, not yet known as handled
  std::size_t waiting_ = 0;
  std::size_t idleWaiting_ = 0;
  std::uint64_t enqueued_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t replaced_ = 0;
  std::uint64_t popped_ = 0;  // modulo 2^64
  bool scheduled_ = true;  // until open()
  bool closed_ = false;
  bool overflowing_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
