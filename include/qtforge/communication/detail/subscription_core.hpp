#pragma once
// qtforge/communication/detail/subscription_core.hpp: one subscription: its handler, its calls and their end.

#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/latency.hpp>
#include <qtforge/communication/detail/mailbox.hpp>
#include <qtforge/communication/detail/message_record.hpp>

#include <functional>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Reports of the bus about its handlers and mailboxes: to the log and as messages below `qtforge.`.
struct BusReports {
  virtual ~BusReports() = default;
  virtual void handlerFailed(const SubscriptionCore& subscription, std::string_view topic, const Error& error) = 0;
  virtual void mismatch(const SubscriptionCore& subscription, const Error& error) = 0;
  virtual void overflow(const SubscriptionCore& subscription) = 0;
};

/// Subscriptions of one name that share their messages.
struct Group {
  std::atomic<std::uint64_t> next{0};  // whose turn it is
};

/// Whether time stamps are taken when messages are handled; for the process.
inline std::atomic<bool>& latencyEnabled() noexcept {
  static std::atomic<bool> enabled{false};
  return enabled;
}

/// Shared by the index, the user's handle and its scheduled batch; the last one frees it. `handler` is destroyed
/// earlier: when it is unsubscribed and no call of it runs any more.
class SubscriptionCore {
 public:
  SubscriptionCore(const SubscribeArgs& args, Client& client, ExecutorRef executor, std::shared_ptr<BusReports> reports)
      : pattern(std::string_view(args.pattern)),
        delivery(static_cast<DeliveryMode>(args.delivery)),
        responds(args.responds),
        client_(client),
        handler_(args.handler),
        self_(args.self),
        executor_(executor),
        blockTimeout_(args.blockNanoseconds),
        reports_(std::move(reports)),
        mailbox_(args.capacity, static_cast<OverflowPolicy>(args.policy)) {}

  SubscriptionCore(const SubscriptionCore&) = delete;
  SubscriptionCore& operator=(const SubscriptionCore&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  [[nodiscard]] Client& client() const noexcept { return client_; }
  [[nodiscard]] Mailbox& mailbox() noexcept { return mailbox_; }
  [[nodiscard]] const Mailbox& mailbox() const noexcept { return mailbox_; }
  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  [[nodiscard]] bool underGil() const noexcept { return handler_->underGil; }

  /// Calls the handler on this thread, which calls fewer than maxNestedCalls. False if the subscription has ended.
  bool callDirect(ThreadRecord& record, Arrival& arrival) {
    Call call(record, *this);
    if (!call) return false;
    handle(arrival, record.number);
    return true;
  }

  /// Gives it what was retained before, `first`, and lets its consumer begin. Once, when publishers can see it.
  void start(std::vector<Message> first) {
    std::erase_if(first, [&](const Message& message) {
      Arrival arrival = arrivalOf(message);
      return !wants(ThreadRecords::mine(), arrival);
    });
    if (delivery == DeliveryMode::Queued) {
      if (mailbox_.open(first)) schedule();
      return;
    }
    for (const auto& message : first) {
      Arrival arrival = arrivalOf(message);
      if (ThreadRecords::mine().callDepth < maxNestedCalls) callDirect(ThreadRecords::mine(), arrival);
    }
  }

  /// Whether its filter lets the message through. What the filter throws is counted and told.
  bool wants(ThreadRecord& record, Arrival& arrival) {
    if (!handler_->accepts) [[likely]]
      return true;
    if (record.callDepth == maxNestedCalls) return true;  // it will be refused for that
    Call call(record, *this);
    if (!call) return false;
    bool wanted = false;
    Error error;
    const auto code = static_cast<Errc>(handler_->accepts(self_, &arrival, &wanted, sinkInto(error)));
    if (code != Errc::Ok) failedWith(code, arrival, error);
    return wanted;
  }

  /// Whether this thread would have to go on for the handler to be called.
  [[nodiscard]] bool waitsFor(const ThreadRecord& record) { return calledBy(record) || executorWaitsForCaller(); }

  /// Queues `message`, waiting if the policy is Block. @return nothing, or Overflow, WouldDeadlock, ShuttingDown
  expected<void> enqueue(ThreadRecord& record, const Message& message, const Yield* yield, Delivery& counts) {
    auto put = mailbox_.put(message);
    if (put == Mailbox::Put::Full) {
      if (mailbox_.policy() == OverflowPolicy::Fail) return overflowed(counts, "its policy is Fail");
      if (waitsFor(record)) {
        mailbox_.countDropped();
        ++counts.dropped;
        return Error(Errc::WouldDeadlock, describe() + ": its mailbox of " + std::to_string(mailbox_.capacity()) +
                                              " messages is full, and only this thread could empty it");
      }
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(blockTimeout_);
      if (yield) yield->release(yield->self);
      put = mailbox_.putWithin(message, deadline);
      if (yield) yield->acquire(yield->self);
      if (put == Mailbox::Put::Full) return overflowed(counts, "it had no place within the block timeout");
    }
    switch (put) {
      case Mailbox::Put::DroppedOldest:
      case Mailbox::Put::DroppedNewest:
        ++counts.dropped;
        if (put == Mailbox::Put::DroppedOldest) ++counts.queued;
        if (mailbox_.firstOverflow()) reports_->overflow(*this);
        return {};
      case Mailbox::Put::QueuedFirst: schedule(); break;
      case Mailbox::Put::Closed:
        if (detached_.load(std::memory_order_acquire))
          return Error(Errc::ShuttingDown, describe() + ": the executor of its handler has ended");
        return {};  // unsubscribed meanwhile
      default: break;
    }
    ++counts.queued;
    return {};
  }

  /// No new call begins; waits for one on another thread, except in a cycle of such waits. See Subscription.
  void close(ThreadRecord& record, const Yield* yield) {
    closed_.store(true, std::memory_order_seq_cst);
    auto& records = ThreadRecords::instance();
    records.heavyBarrier();
    mailbox_.close();
    while (executorUses_.load(std::memory_order_seq_cst) > 0) std::this_thread::yield();  // each as short as a post
    if (tryDestroyHandler()) return;
    if (yield) yield->release(yield->self);
    {
      std::unique_lock lock(records.waitMutex());
      record.waitingFor = this;
      const auto busy = [&] {
        if (handlerGone_) return false;
        if (destroying_) return record.destroying == 0;  // destructors that end each other's subscriptions do not wait
        return calledElsewhere(record) && !waitsInCycle(record);
      };
      while (busy()) ended().wait(lock);
      record.waitingFor = nullptr;
    }
    ended().notify_all();  // a wait for this thread may no longer be part of a cycle
    tryDestroyHandler();
    if (yield) yield->acquire(yield->self);
  }

  void counters(SubscriptionCounters& out) const {
    out = {delivered.sum(), dropped(), mismatched.load(std::memory_order_relaxed),
           failed.load(std::memory_order_relaxed), mailbox_.pending(), mailbox_.replaced()};
  }

  [[nodiscard]] std::uint64_t dropped() const { return mailbox_.dropped() + refused.load(std::memory_order_relaxed); }

  [[nodiscard]] const LatencyHistogram* latency() const noexcept { return latency_.load(std::memory_order_acquire); }

  [[nodiscard]] std::string describe() const {
    return "subscription \"" + pattern + "\" of " + std::string(client_.name());
  }

  const std::string pattern;
  const DeliveryMode delivery;
  const bool responds;
  std::shared_ptr<Group> group;     // set before it is in the index, as the next; may be null
  std::uint64_t retainedUpTo = 0;  // retained messages up to this number are given by start(), not by publishers
  ShardedCount delivered;
  std::atomic<std::uint64_t> mismatched{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> refused{0};  // direct calls not made: nested too deeply

 private:
  static constexpr std::size_t largestBatch = 64;  // messages per lock of the mailbox
  static constexpr std::size_t batchesPerTurn = 16;
  static constexpr std::size_t worthReturning = 8;  // smaller batches: messages are rare, and freed at once
  // How long a turn may take, beyond the message in hand, before others on the executor have theirs.
  static constexpr std::chrono::milliseconds turnLimit{10};

  // Marks that this thread calls `subscription`, if it has not ended.
  class Call {
   public:
    Call(ThreadRecord& record, SubscriptionCore& subscription) : record_(record), subscription_(subscription) {
      record_.calls[record_.callDepth++].store(&subscription, std::memory_order_release);
      ThreadRecords::instance().lightBarrier();
      open_ = !subscription.closed();
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      record_.calls[--record_.callDepth].store(nullptr, std::memory_order_release);
      ThreadRecords::instance().lightBarrier();
      if (record_.deferred) [[unlikely]]
        scheduleDeferred(record_);
      if (subscription_.closed()) {
        subscription_.tryDestroyHandler();
        // Under the mutex, so that a waiter is either before its look at the calls or asleep.
        { std::lock_guard lock(ThreadRecords::instance().waitMutex()); }
        ended().notify_all();
      }
    }
    explicit operator bool() const noexcept { return open_; }

   private:
    ThreadRecord& record_;
    SubscriptionCore& subscription_;
    bool open_;
  };

  ~SubscriptionCore() {
    if (!handlerGone_) handler_->destroy(self_);
    executor_.destroy();
    delete latency_.load(std::memory_order_relaxed);
  }

  static Arrival arrivalOf(const Message& message) {
    return {message.topic(),        message.json(),   message.binary(),
            &message.attachments(), message.record(), [](Arrival* a) { return static_cast<MessageRecord*>(a->context); }};
  }

  static std::condition_variable& ended() {
    static auto* condition = new std::condition_variable();
    return *condition;
  }

  [[nodiscard]] bool calledBy(const ThreadRecord& record) const noexcept {
    for (std::size_t i = 0; i < maxNestedCalls; ++i)
      if (record.calls[i].load(std::memory_order_acquire) == this) return true;
    return false;
  }

  [[nodiscard]] bool calledElsewhere(const ThreadRecord& mine) const noexcept {
    bool found = false;
    ThreadRecords::instance().forEach([&](ThreadRecord& other) { found = found || (&other != &mine && calledBy(other)); });
    return found;
  }

  // Whether a thread that calls this waits, directly or through others, for a handler that `mine` runs.
  [[nodiscard]] static bool waitsInCycle(const ThreadRecord& mine) {
    std::vector<const SubscriptionCore*> seen;
    std::function<bool(const SubscriptionCore*)> leadsBack = [&](const SubscriptionCore* target) {
      if (!target) return false;
      for (const auto* known : seen)
        if (known == target) return false;
      seen.push_back(target);
      if (target->calledBy(mine)) return true;
      bool back = false;
      ThreadRecords::instance().forEach([&](ThreadRecord& other) {
        if (!back && &other != &mine && target->calledBy(other)) back = leadsBack(other.waitingFor);
      });
      return back;
    };
    bool cycle = false;
    ThreadRecords::instance().forEach([&](ThreadRecord& other) {
      if (!cycle && &other != &mine && mine.waitingFor->calledBy(other)) cycle = leadsBack(other.waitingFor);
    });
    return cycle;
  }

  // Destroys the handler if nobody calls it any more; true if it is gone.
  bool tryDestroyHandler() {
    auto& records = ThreadRecords::instance();
    auto& mine = ThreadRecords::mine();
    {
      std::lock_guard lock(records.waitMutex());
      if (handlerGone_) return true;
      if (destroying_) return false;
      bool called = false;
      records.forEach([&](ThreadRecord& other) { called = called || calledBy(other); });
      if (called) return false;
      destroying_ = true;
    }
    ++mine.destroying;
    handler_->destroy(self_);
    --mine.destroying;
    {
      std::lock_guard lock(records.waitMutex());
      handlerGone_ = true;
    }
    ended().notify_all();
    return true;
  }

  expected<void> overflowed(Delivery& counts, const char* why) {
    mailbox_.countDropped();
    ++counts.dropped;
    if (mailbox_.firstOverflow()) reports_->overflow(*this);
    return Error(Errc::Overflow, describe() + ": its mailbox of " + std::to_string(mailbox_.capacity()) +
                                     " messages is full and " + why);
  }

  void handle(Arrival& arrival, std::uint64_t thread) {
    Error error;
    const auto code = static_cast<Errc>(handler_->call(self_, &arrival, sinkInto(error)));
    if (code != Errc::PayloadMismatch) delivered.add(1, thread);
    if (code != Errc::Ok) [[unlikely]]
      failedWith(code, arrival, error);
  }

  void failedWith(Errc code, const Arrival& arrival, const Error& error) {
    const bool mismatch = code == Errc::PayloadMismatch;
    if (mismatch && mismatched.fetch_add(1, std::memory_order_relaxed) > 0) return;
    // Log sinks and receivers of reports are anybody's code.
    void* held = handler_->letGo ? handler_->letGo() : nullptr;
    if (mismatch) {
      reports_->mismatch(*this, error);
    } else {
      failed.fetch_add(1, std::memory_order_relaxed);
      reports_->handlerFailed(*this, arrival.topic, error);
    }
    if (held) handler_->takeBack(held);
  }

  // While one lives, close() does not return: after it the executor's context may be gone.
  class ExecutorUse {
   public:
    explicit ExecutorUse(SubscriptionCore& subscription) noexcept : subscription_(subscription) {
      subscription_.executorUses_.fetch_add(1, std::memory_order_seq_cst);
    }
    ExecutorUse(const ExecutorUse&) = delete;
    ExecutorUse& operator=(const ExecutorUse&) = delete;
    ~ExecutorUse() { subscription_.executorUses_.fetch_sub(1, std::memory_order_seq_cst); }
    explicit operator bool() const noexcept { return !subscription_.closed_.load(std::memory_order_seq_cst); }

   private:
    SubscriptionCore& subscription_;
  };

  void schedule() {
    const ExecutorUse use(*this);
    if (!use) return;
    retain();
    executor_.table->post(executor_.self, {this, [](void* self) { static_cast<SubscriptionCore*>(self)->turn(); },
                                           [](void* self) { static_cast<SubscriptionCore*>(self)->detach(); }});
  }

  [[nodiscard]] bool executorWaitsForCaller() {
    const ExecutorUse use(*this);
    return use && executor_.table->waitsForCaller && executor_.table->waitsForCaller(executor_.self);
  }

  // The executor has ended with the batch unrun.
  void detach() {
    detached_.store(true, std::memory_order_release);
    mailbox_.close();
    release();
  }

  // One turn on the executor: some batches, then again or until the next message.
  void turn() {
    ThreadRecord& record = ThreadRecords::mine();
    if (record.callDepth == maxNestedCalls) {  // handlers that run their executor themselves, one inside the other
      nextDeferred_ = std::exchange(record.deferred, this);
      return;
    }
    bool more = false;
    {
      Call call(record, *this);
      if (call) {
        Turn turn(*this, record);
        if (handler_->batch) handler_->batch(self_, &turn);
        else while (turn.next(&turn)) {}
        more = turn.cut;
      }
    }
    if (more) schedule();
    release();
  }

  struct Turn : Batch {
    Turn(SubscriptionCore& core, const ThreadRecord& record) : Batch{this, &step}, subscription(core), thread(record) {}

    static bool step(Batch* self) {
      auto& turn = *static_cast<Turn*>(self->context);
      return turn.handleNext();
    }

    bool handleNext() {
      auto& messages = subscription.batch_;
      if (at == messages.size()) {
        if (batches > 0) {
          const bool slow = std::chrono::steady_clock::now() - begin > turnLimit;
          auto& size = subscription.batchSize_;
          size = slow ? std::max<std::size_t>(1, size / 2) : std::min(largestBatch, size * 2);
          cut = slow || batches == batchesPerTurn;
          if (cut) {
            subscription.returned_ = returned;
            subscription.mailbox_.wakePublishers();
            return false;
          }
        }
        ++batches;
        at = 0;
        letGo(messages);
        if (!subscription.mailbox_.take(messages, subscription.batchSize_)) {
          if (returned) freeAllReturned();  // what is the consumer's may be another turn's already
          return false;
        }
      }
      if (subscription.closed()) {
        messages.clear();
        return false;
      }
      prefetchAhead(messages, at);
      const Message& message = messages[at++];
      if (latencyEnabled().load(std::memory_order_relaxed)) subscription.measure(message);
      Arrival arrival = arrivalOf(message);
      subscription.handle(arrival, thread.number);
      return true;
    }

    // Ends the consumer's hold on what it has handled.
    void letGo(std::vector<Message>& handled) {
      if (handled.size() >= worthReturning) {
        returned = true;
        ReturnMessages home(thread);
        for (auto& message : handled) home.add(std::move(message));
      }
      handled.clear();
    }

    SubscriptionCore& subscription;
    const ThreadRecord& thread;
    std::size_t at = subscription.batch_.size();
    std::size_t batches = 0;
    const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    bool returned = std::exchange(subscription.returned_, false);  // messages were left to their makers
    bool cut = false;
  };

  static void scheduleDeferred(ThreadRecord& record) {
    for (auto* next = std::exchange(record.deferred, nullptr); next;) {
      auto* deferred = std::exchange(next, next->nextDeferred_);
      deferred->schedule();
      deferred->release();
    }
  }

  void measure(const Message& message) {
    auto* histogram = latency_.load(std::memory_order_relaxed);
    if (!histogram) latency_.store(histogram = new LatencyHistogram(), std::memory_order_release);
    const auto passed = std::chrono::system_clock::now() - message.time();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count();
    histogram->add(ns > 0 ? static_cast<std::uint64_t>(ns) : 0);
  }

  Client& client_;
  const HandlerTable* handler_;
  void* self_;
  ExecutorRef executor_;
  const std::int64_t blockTimeout_;
  std::shared_ptr<BusReports> reports_;
  Mailbox mailbox_;
  std::vector<Message> batch_;   // the consumer's
  std::size_t batchSize_ = 1;    // likewise: grows while the handler is quick
  bool returned_ = false;        // likewise: see Turn, from one to the next
  SubscriptionCore* nextDeferred_ = nullptr;  // of the thread that could not take its turn
  std::atomic<std::uint32_t> executorUses_{0};
  std::atomic<std::uint32_t> references_{1};
  std::atomic<bool> closed_{false};
  std::atomic<bool> detached_{false};
  bool destroying_ = false;   // guarded by ThreadRecords::waitMutex()
  bool handlerGone_ = false;  // likewise
  std::atomic<LatencyHistogram*> latency_{nullptr};
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
