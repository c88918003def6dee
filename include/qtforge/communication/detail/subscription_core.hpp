#pragma once
// qtforge/communication/detail/subscription_core.hpp: one subscription: its handler, its calls and their end.

#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/deadlines.hpp>
#include <qtforge/communication/detail/handler_calls.hpp>
#include <qtforge/communication/detail/latency.hpp>
#include <qtforge/communication/detail/turn.hpp>
#include <qtforge/utils/detail/timing.hpp>

#include <optional>
#include <thread>

namespace qtforge::inline QTFORGE_ABI::detail {

class SubscriptionCore;

/// Reports of the bus about its handlers and mailboxes: to the log and as messages below `qtforge.`.
struct BusReports {
  virtual ~BusReports() = default;
  virtual void handlerFailed(const SubscriptionCore& subscription, std::string_view topic, const Error& error) = 0;
  virtual void handlerTook(const SubscriptionCore& subscription, std::string_view topic, std::chrono::nanoseconds time) = 0;
  virtual void mismatch(const SubscriptionCore& subscription, const Error& error) = 0;
  virtual void overflow(const SubscriptionCore& subscription) = 0;
  /// A responder had the request, and will not handle it.
  virtual void unanswered(const SubscriptionCore& subscription, const Message& request) = 0;
};

/// Takes a message for which a publisher would have to wait.
struct PutLater {
  /// @param deadline  how long the message may wait for its place
  /// @return Waiting, or what became of it at once
  virtual PutResult put(SubscriptionCore& target, const Message& message,
                        std::chrono::steady_clock::time_point deadline) = 0;

 protected:
  ~PutLater() = default;
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

inline bool severalProcessors() noexcept {
  static const bool several = std::thread::hardware_concurrency() > 1;
  return several;
}

/// Shared by the index, the user's handle and its scheduled batch; the last one frees it. Its handler is destroyed
/// earlier, see HandlerCalls.
class SubscriptionCore : private Deferred {
 public:
  SubscriptionCore(const SubscribeArgs& args, Client& client, ExecutorRef executor, std::shared_ptr<BusReports> reports)
      : pattern(std::string_view(args.pattern)),
        delivery(static_cast<DeliveryMode>(args.delivery)),
        responds(args.responds),
        tap(args.tap),
        ofInitialized(client.initialized.load(std::memory_order_relaxed)),
        plain(!args.handler->accepts && !args.responds && args.group.size == 0),
        tapEvery(args.every),
        client_(client),
        executor_(executor),
        calls_(*args.handler, args.self, args.servedBy),
        blockTimeout_(args.blockNanoseconds),
        spin_(args.spinNanoseconds),
        lingers_(spin_.count() == 0 && !args.handler->underGil && severalProcessors()),
        reports_(std::move(reports)),
        mailbox_(args.capacity, static_cast<OverflowPolicy>(args.policy)) {
    resume = &resumeTurn;
  }

  SubscriptionCore(const SubscriptionCore&) = delete;
  SubscriptionCore& operator=(const SubscriptionCore&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  [[nodiscard]] Client& client() const noexcept { return client_; }
  [[nodiscard]] Mailbox& mailbox() noexcept { return mailbox_; }
  [[nodiscard]] const Mailbox& mailbox() const noexcept { return mailbox_; }
  [[nodiscard]] bool closed() const noexcept { return calls_.closed(); }
  [[nodiscard]] bool underGil() const noexcept { return calls_.table().underGil; }

  /// Calls the handler on this thread, which calls fewer than maxNestedCalls. False if the subscription has ended.
  bool callDirect(ThreadRecord& record, Arrival& arrival) {
    HandlerCalls::Round round(record);
    return callNext(round, record.number, arrival);
  }

  /// As callDirect, with one after the other.
  [[gnu::always_inline]] bool callNext(HandlerCalls::Round& round, std::uint64_t thread, Arrival& arrival) {
    if (!round.enter(calls_)) return false;
    handle(arrival, thread);
    return true;
  }

  /// Gives it what was retained before, `first`, and lets its consumer begin. Once, when publishers can see it.
  void start(std::vector<Message> first) {
    std::erase_if(first, [&](const Message& message) {
      Arrival arrival = Arrival::of(message);
      return !wants(ThreadRecords::mine(), arrival);
    });
    if (delivery == DeliveryMode::Queued) {
      if (mailbox_.open(first)) schedule();
      return;
    }
    for (const auto& message : first) {
      Arrival arrival = Arrival::of(message);
      if (ThreadRecords::mine().callDepth < maxNestedCalls) callDirect(ThreadRecords::mine(), arrival);
    }
  }

  [[nodiscard]] bool filters() const noexcept { return calls_.table().accepts != nullptr; }
  /// Whether some of its code runs inside publish.
  [[nodiscard]] bool calledByPublishers() const noexcept { return delivery == DeliveryMode::Direct || filters(); }

  /// Whether its filter lets the message through. What the filter throws is counted and told.
  bool wants(ThreadRecord& record, Arrival& arrival) {
    if (!filters()) return true;
    if (record.callDepth == maxNestedCalls) {  // it cannot be asked
      refused.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    HandlerCalls::Call call(record, calls_);
    if (!call) return false;
    bool wanted = false;
    Error error;
    const auto code = static_cast<Errc>(calls_.table().accepts(calls_.self(), &arrival, &wanted, sinkInto(error)));
    if (code != Errc::Ok) failedWith(code, arrival, error);
    return wanted;
  }

  [[nodiscard]] HandlerCalls& calls() noexcept { return calls_; }
  [[nodiscard]] bool calledBy(const ThreadRecord& record) const noexcept { return calls_.calledBy(record); }

  /// Whether this thread would have to go on for the handler to be called.
  [[nodiscard]] bool waitsFor(const ThreadRecord& record) { return calls_.calledBy(record) || executorWaitsForCaller(); }

  /// Queues `message`, waiting if the policy is Block: here, or in PublishExtras::later, where it counts as queued.
  ///
  /// @param failure  set to Overflow, WouldDeadlock or ShuttingDown, if it is the first: then false
  bool enqueue(ThreadRecord& record, Message message, const PublishArgs& args, Delivery& counts, Error& failure) {
    Message evicted = Message::adopt(nullptr);
    auto put = mailbox_.put(std::move(message), evicted);
    if (evicted.record()) [[unlikely]]
      drop(evicted);
    if (put == Mailbox::Put::Full && mailbox_.policy() == OverflowPolicy::Block) [[unlikely]] {
      auto waited = putWaiting(record, message, args);
      if (!waited) {
        mailbox_.countDropped();
        ++counts.dropped;
        return keepFirst(failure, waited.error());
      }
      put = *waited;
    }
    return settle(put, counts, failure);
  }

  /// Does what follows from the end of a put, and counts it.
  ///
  /// @param failure  set to Overflow or ShuttingDown, if it is the first: then false
  bool settle(Mailbox::Put put, Delivery& counts, Error& failure) {
    switch (put) {
      case Mailbox::Put::Full:
        return overflowed(counts,
                          mailbox_.policy() == OverflowPolicy::Fail ? "its policy is Fail"
                                                                    : "it had no place within the block timeout",
                          failure);
      case Mailbox::Put::DroppedOldest:
      case Mailbox::Put::DroppedNewest:
        ++counts.dropped;
        if (put == Mailbox::Put::DroppedOldest) ++counts.queued;
        if (mailbox_.firstOverflow()) reports_->overflow(*this);
        return true;
      case Mailbox::Put::QueuedFirst: schedule(); break;
      case Mailbox::Put::Closed:
        if (detached_.load(std::memory_order_acquire))
          return keepFirst(failure, Error(Errc::ShuttingDown, describe() + ": the executor of its handler has ended"));
        return true;  // unsubscribed meanwhile
      default: break;
    }
    ++counts.queued;
    return true;
  }

  /// For a subscription whose messages are received: see BusTable::receive.
  std::size_t receive(MessageRecord** out, std::size_t most) {
    const auto count = mailbox_.receive(out, most);
    delivered.add(count, ThreadRecords::mine().number);
    return count;
  }

  /// No new call begins; waits for one on another thread, except in a cycle of such waits. See Subscription.
  /// @return false if that one still runs at the deadline: to be called again
  bool close(ThreadRecord& record, const Yield* yield, std::chrono::steady_clock::time_point deadline) {
    calls_.close();
    for (const auto& message : mailbox_.close()) drop(message);
    while (executorUses_.load(std::memory_order_seq_cst) > 0) std::this_thread::yield();  // each as short as a post
    return calls_.end(record, yield, deadline);
  }

  void counters(SubscriptionCounters& out) const {
    out = {delivered.sum(), dropped(), mismatched.load(std::memory_order_relaxed),
           failed.load(std::memory_order_relaxed), mailbox_.pending(), mailbox_.replaced()};
  }

  [[nodiscard]] std::uint64_t dropped() const { return mailbox_.dropped() + refused.load(std::memory_order_relaxed); }

  [[nodiscard]] const LatencyHistogram* latency() const noexcept { return latency_.load(std::memory_order_acquire); }

  [[nodiscard]] std::string describe() const {
    return (tap ? "tap \"" : "subscription \"") + pattern + "\" of " + std::string(client_.name());
  }

  const std::string pattern;
  const DeliveryMode delivery;
  const bool responds;
  const bool tap;
  const bool ofInitialized;  // made while its client was: ends with the client's `cleanup`
  const bool plain;  // publishers have nothing to do but to call its handler, or to queue for it
  const std::uint64_t tapEvery;            // of what matches, each that many-th is shown
  std::atomic<std::uint64_t> tapSeen{0};  // what matched
  std::shared_ptr<Group> group;     // set before it is in the index, as the next; may be null
  std::uint64_t retainedUpTo = 0;  // retained messages up to this number are given by start(), not by publishers
  ShardedCount delivered;
  std::atomic<std::uint64_t> mismatched{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> refused{0};  // nested too deeply for a direct call or a filter, or not to be shown to a tap

 private:
  ~SubscriptionCore() {
    delete latency_.load(std::memory_order_relaxed);
  }

  // For a place, or for what takes the message to wait for one.
  expected<Mailbox::Put> putWaiting(ThreadRecord& record, const Message& message, const PublishArgs& args) {
    static const PublishExtras none;
    const auto& extras = args.extras ? *args.extras : none;
    const auto deadline = std::min(deadlineAfter(std::chrono::nanoseconds(blockTimeout_)), extras.deadline);
    if (extras.later) return extras.later->put(*this, message, deadline);
    if (waitsFor(record))
      return Error(Errc::WouldDeadlock, describe() + ": its mailbox of " + std::to_string(mailbox_.capacity()) +
                                            " messages is full, and only this thread could empty it");
    std::optional<HandlerCalls::Wait> wait;
    if (record.callDepth > 0 && !wait.emplace(record, calls_))
      return Error(Errc::WouldDeadlock, describe() + ": its mailbox of " + std::to_string(mailbox_.capacity()) +
                                            " messages is full, and its handler waits for a handler of this thread");
    const Yielding yielding(extras.yield);
    const auto put = mailbox_.putWithin(message, deadline);
    wait.reset();
    return put;
  }

  bool overflowed(Delivery& counts, const char* why, Error& failure) {
    mailbox_.countDropped();
    ++counts.dropped;
    if (mailbox_.firstOverflow()) reports_->overflow(*this);
    return keepFirst(failure, Error(Errc::Overflow, describe() + ": its mailbox of " + std::to_string(mailbox_.capacity()) +
                                                     " messages is full and " + why));
  }

  [[gnu::always_inline]] void handle(Arrival& arrival, std::uint64_t thread) {
    Error error;
    const bool timed = timingEnabled().load(std::memory_order_relaxed);
    const auto code = static_cast<Errc>(timed ? callTimed(arrival, sinkInto(error))
                                              : calls_.table().call(calls_.self(), &arrival, sinkInto(error)));
    if (code != Errc::PayloadMismatch) delivered.add(1, thread);
    if (code != Errc::Ok) [[unlikely]]
      failedWith(code, arrival, error);
  }

  [[gnu::cold, gnu::noinline]] std::int32_t callTimed(Arrival& arrival, ErrorSink sink) {
    const auto begin = std::chrono::steady_clock::now();
    const auto code = calls_.table().call(calls_.self(), &arrival, sink);
    const auto took = std::chrono::steady_clock::now() - begin;
    tellUnlocked([&] { reports_->handlerTook(*this, arrival.topic, took); });
    return code;
  }

  [[gnu::cold, gnu::noinline]] void failedWith(Errc code, const Arrival& arrival, const Error& error) {
    const bool mismatch = code == Errc::PayloadMismatch;
    if (mismatch && mismatched.fetch_add(1, std::memory_order_relaxed) > 0) return;
    tellUnlocked([&] {
      if (mismatch) return reports_->mismatch(*this, error);
      failed.fetch_add(1, std::memory_order_relaxed);
      reports_->handlerFailed(*this, arrival.topic, error);
    });
  }

  // Log sinks and receivers of reports are anybody's code: they are called without what the handler holds.
  template <class Tell>
  void tellUnlocked(Tell&& tell) {
    void* held = calls_.table().letGo ? calls_.table().letGo() : nullptr;
    tell();
    if (held) calls_.table().takeBack(held);
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
    explicit operator bool() const noexcept { return !subscription_.calls_.closed(std::memory_order_seq_cst); }

   private:
    SubscriptionCore& subscription_;
  };

  void schedule() {
    if (calls_.table().readable) return tellReadable();
    const ExecutorUse use(*this);
    if (!use) return;
    retain();
    executor_.table->post(executor_.self, {this, [](void* self) { static_cast<SubscriptionCore*>(self)->turn(); },
                                           [](void* self) { static_cast<SubscriptionCore*>(self)->detach(); }});
  }

  void tellReadable() {
    ThreadRecord& record = ThreadRecords::mine();
    if (record.callDepth == maxNestedCalls) {
      if (toldLater_.exchange(true, std::memory_order_acq_rel)) return;
      retain();
      return defer(record);
    }
    HandlerCalls::Call call(record, calls_);
    if (call) calls_.table().readable(calls_.self());
  }

  void defer(ThreadRecord& record) noexcept { next = std::exchange(record.deferred, static_cast<Deferred*>(this)); }

  [[nodiscard]] bool executorWaitsForCaller() {
    const ExecutorUse use(*this);
    return use && executor_.table->waitsForCaller && executor_.table->waitsForCaller(executor_.self);
  }

  // The executor has ended with the batch unrun.
  void detach() {
    detached_.store(true, std::memory_order_release);
    for (const auto& message : mailbox_.close()) drop(message);
    release();
  }

  // On the executor: some batches, then again or until the next message.
  void turn() {
    ThreadRecord& record = ThreadRecords::mine();
    if (record.callDepth == maxNestedCalls)  // handlers that run their executor themselves, one inside the other
      return defer(record);
    bool more = false;
    {
      HandlerCalls::Call call(record, calls_);
      if (call) {
        Turn turn(mailbox_, consumer_, spin_, lingers_, record, [&](const Message& message) {
          if (closed()) return false;
          if (latencyEnabled().load(std::memory_order_relaxed)) measure(message);
          Arrival arrival = Arrival::of(message);
          handle(arrival, record.number);
          return true;
        });
        if (calls_.table().batch) calls_.table().batch(calls_.self(), &turn);
        else while (turn.handleNext()) {}
        if (!turn.left().empty()) [[unlikely]] {
          for (const auto& message : turn.left()) drop(message);
          consumer_.batch.clear();
        }
        more = turn.cut();
      }
    }
    if (more) schedule();
    release();
  }

  static void resumeTurn(Deferred* self) {
    auto* subscription = static_cast<SubscriptionCore*>(self);
    subscription->toldLater_.store(false, std::memory_order_release);
    subscription->schedule();
    subscription->release();
  }

  // It was queued, and will not be handled.
  void drop(const Message& message) {
    if (responds && message.correlation() != 0) reports_->unanswered(*this, message);
  }

  void measure(const Message& message) {
    auto* histogram = latency_.load(std::memory_order_relaxed);
    if (!histogram) latency_.store(histogram = new LatencyHistogram(), std::memory_order_release);
    const auto passed = std::chrono::system_clock::now() - message.time();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count();
    histogram->add(ns > 0 ? static_cast<std::uint64_t>(ns) : 0);
  }

  Client& client_;
  const OwnedExecutor executor_;
  HandlerCalls calls_;
  const std::int64_t blockTimeout_;
  const std::chrono::nanoseconds spin_;  // before the consumer sleeps
  const bool lingers_;                   // see Turn; not under the GIL
  std::shared_ptr<BusReports> reports_;
  Mailbox mailbox_;
  Consumer consumer_;  // one at a time
  std::atomic<std::uint32_t> executorUses_{0};
  std::atomic<std::uint32_t> references_{1};
  std::atomic<bool> detached_{false};
  std::atomic<bool> toldLater_{false};  // deferred with tellReadable()
  std::atomic<LatencyHistogram*> latency_{nullptr};
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
