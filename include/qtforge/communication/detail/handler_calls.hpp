#pragma once
// qtforge/communication/detail/handler_calls.hpp: a handler, the calls of it on any thread, and its end after the last.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/thread_record.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Owns the handler. It is destroyed when it has been closed and no call of it runs any more.
///
/// @par Thread safety  any thread.
class HandlerCalls {
 public:
  /// @param servedBy  as SubscribeArgs::servedBy
  HandlerCalls(const HandlerTable& table, void* self, const void* servedBy = nullptr)
      : table_(table), self_(self), servedBy_(servedBy) {}
  HandlerCalls(const HandlerCalls&) = delete;
  HandlerCalls& operator=(const HandlerCalls&) = delete;
  ~HandlerCalls() {
    if (!gone_) table_.destroy(self_);
  }

  [[nodiscard]] const HandlerTable& table() const noexcept { return table_; }
  [[nodiscard]] void* self() const noexcept { return self_; }
  [[nodiscard]] bool closed(std::memory_order order = std::memory_order_acquire) const noexcept {
    return closed_.load(order);
  }

  /// Marks which handlers this thread calls, one after the other. The thread calls fewer than maxNestedCalls when it
  /// enters the first.
  class Round {
   public:
    [[gnu::always_inline]] explicit Round(ThreadRecord& record) : record_(record) {}
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;
    [[gnu::always_inline]] ~Round() { leave(); }

    /// The next handler; the one before is left. False if it has been closed and is not to be called.
    [[gnu::always_inline]] bool enter(HandlerCalls& calls) {
      auto* before = std::exchange(current_, &calls);
      if (!before) slot_ = &record_.calls[record_.callDepth++];
      slot_->store(&calls, std::memory_order_release);
      record_.lightBarrier();
      if (before && before->closed()) [[unlikely]]
        endBetween(*before);
      return !calls.closed();
    }

    /// No handler is called any more.
    [[gnu::always_inline]] void leave() {
      auto* before = std::exchange(current_, nullptr);
      if (!before) return;
      --record_.callDepth;
      slot_->store(nullptr, std::memory_order_release);
      record_.lightBarrier();
      if (record_.deferred) [[unlikely]]
        resumeDeferred(record_);
      if (before->closed()) [[unlikely]]
        before->left();
    }

   private:
    // The end of a handler is nobody's call.
    [[gnu::cold, gnu::noinline]] void endBetween(HandlerCalls& before) {
      slot_->store(nullptr, std::memory_order_release);
      --record_.callDepth;
      before.left();
      ++record_.callDepth;
      slot_->store(current_, std::memory_order_release);
      record_.lightBarrier();
    }

    ThreadRecord& record_;
    HandlerCalls* current_ = nullptr;
    std::atomic<HandlerCalls*>* slot_ = nullptr;
  };

  /// Marks that this thread calls the handler, if it has not been closed.
  class Call {
   public:
    [[gnu::always_inline]] Call(ThreadRecord& record, HandlerCalls& calls) : round_(record), open_(round_.enter(calls)) {}
    explicit operator bool() const noexcept { return open_; }

   private:
    Round round_;
    bool open_;
  };

  /// While it lives, the thread waits for a call of the handler to end. False, and it must not wait, where that call in
  /// turn waits for a handler that this thread runs.
  class Wait {
   public:
    Wait(ThreadRecord& record, HandlerCalls& calls) : record_(record), calls_(calls) {
      std::lock_guard lock(ThreadRecords::instance().waitMutex());
      outer_ = std::exchange(record_.waitingFor, &calls);
      cycle_ = waitsInCycle(record_);
      if (cycle_) record_.waitingFor = outer_;
    }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait() { end(); }
    explicit operator bool() const noexcept { return !cycle_; }

    /// On any thread; what the thread waits for inside this wait goes on.
    void end() noexcept {
      std::lock_guard lock(ThreadRecords::instance().waitMutex());
      if (record_.waitingFor == &calls_) record_.waitingFor = outer_;
    }

   private:
    ThreadRecord& record_;
    HandlerCalls& calls_;
    HandlerCalls* outer_;
    bool cycle_;
  };

  [[nodiscard]] bool calledBy(const ThreadRecord& record) const noexcept {
    for (std::size_t i = 0; i < maxNestedCalls; ++i)
      if (record.calls[i].load(std::memory_order_acquire) == this) return true;
    return false;
  }

  /// Whether a Wait of that thread, which has none of it now, would be refused.
  [[nodiscard]] bool wouldWaitInCycle(ThreadRecord& record) {
    std::lock_guard lock(ThreadRecords::instance().waitMutex());
    HandlerCalls* const outer = std::exchange(record.waitingFor, this);
    const bool cycle = waitsInCycle(record);
    record.waitingFor = outer;
    return cycle;
  }

  /// Whether the handler is destroyed.
  [[nodiscard]] bool gone() const {
    std::lock_guard lock(ThreadRecords::instance().waitMutex());
    return gone_;
  }

  /// No new call begins.
  void close() {
    closed_.store(true, std::memory_order_seq_cst);
    ThreadRecords::instance().heavyBarrier();
  }

  /// After close(): destroys the handler, or leaves that to the last call. Waits for one on another thread, except in a
  /// cycle of such waits. @return whether none that it waits for runs any more; if not, it may be called again
  bool end(ThreadRecord& record, const Yield* yield, std::chrono::steady_clock::time_point deadline) {
    if (tryDestroy()) return true;
    const Yielding yielding(yield);
    bool late = false;
    {
      std::unique_lock lock(ThreadRecords::instance().waitMutex());
      HandlerCalls* const outer = std::exchange(record.waitingFor, this);
      const auto busy = [&] {
        if (gone_) return false;
        if (destroying_) return record.destroying == 0;  // destructors that end each other's subscriptions do not wait
        return calledElsewhere(record) && !waitsInCycle(record);
      };
      while (busy() && !late) late = ended().wait_until(lock, deadline) == std::cv_status::timeout && busy();
      record.waitingFor = outer;
    }
    ended().notify_all();  // a wait for this thread may no longer be part of a cycle
    tryDestroy();
    return !late;
  }

 private:
  static std::condition_variable& ended() {
    static auto* condition = new std::condition_variable();
    return *condition;
  }

  // A call of a handler that was closed meanwhile has ended.
  [[gnu::cold, gnu::noinline]] void left() {
    tryDestroy();
    // Under the mutex, so that a waiter is either before its look at the calls or asleep.
    { std::lock_guard lock(ThreadRecords::instance().waitMutex()); }
    ended().notify_all();
  }

  [[gnu::cold, gnu::noinline]] static void resumeDeferred(ThreadRecord& record) {
    for (auto* next = std::exchange(record.deferred, nullptr); next;) {
      auto* deferred = std::exchange(next, next->next);
      deferred->resume(deferred);
    }
  }

  [[nodiscard]] bool calledElsewhere(const ThreadRecord& mine) const noexcept {
    bool found = false;
    ThreadRecords::instance().forEach([&](ThreadRecord& other) { found = found || (&other != &mine && calledBy(other)); });
    return found;
  }

  // Whether no call of it can begin, or the one that runs end, before that thread goes on.
  [[nodiscard]] bool heldBy(const ThreadRecord& record) const noexcept {
    return calledBy(record) || (servedBy_ && record.serves.load(std::memory_order_relaxed) == servedBy_);
  }

  // Whether a thread that holds what `mine` waits for waits, directly or through others, for what `mine` holds.
  [[nodiscard]] static bool waitsInCycle(const ThreadRecord& mine) {
    std::vector<const HandlerCalls*> seen;
    std::function<bool(const HandlerCalls*)> leadsBack = [&](const HandlerCalls* target) {
      if (!target) return false;
      for (const auto* known : seen)
        if (known == target) return false;
      seen.push_back(target);
      if (target->heldBy(mine)) return true;
      bool back = false;
      ThreadRecords::instance().forEach([&](ThreadRecord& other) {
        if (!back && &other != &mine && target->heldBy(other)) back = leadsBack(other.waitingFor);
      });
      return back;
    };
    bool cycle = false;
    ThreadRecords::instance().forEach([&](ThreadRecord& other) {
      if (!cycle && &other != &mine && mine.waitingFor->heldBy(other)) cycle = leadsBack(other.waitingFor);
    });
    return cycle;
  }

  // Destroys the handler if nobody calls it any more; true if it is gone.
  bool tryDestroy() {
    auto& records = ThreadRecords::instance();
    auto& mine = ThreadRecords::mine();
    {
      std::lock_guard lock(records.waitMutex());
      if (gone_) return true;
      if (destroying_) return false;
      bool called = false;
      records.forEach([&](ThreadRecord& other) { called = called || calledBy(other); });
      if (called) return false;
      destroying_ = true;
    }
    ++mine.destroying;
    table_.destroy(self_);
    --mine.destroying;
    {
      std::lock_guard lock(records.waitMutex());
      gone_ = true;
    }
    ended().notify_all();
    return true;
  }

  const HandlerTable table_;  // a copy: publishers look at it when the library it came from may be gone
  void* const self_;
  const void* const servedBy_;
  std::atomic<bool> closed_{false};
  bool destroying_ = false;  // guarded by ThreadRecords::waitMutex()
  bool gone_ = false;        // likewise
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
