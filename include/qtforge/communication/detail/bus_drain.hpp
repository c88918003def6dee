#pragma once
// qtforge/communication/detail/bus_drain.hpp: waiting until what was published is handled.

#include <qtforge/communication/detail/bus_core.hpp>
#include <qtforge/communication/detail/bus_operation.hpp>

#include <condition_variable>
#include <list>

namespace qtforge::inline QTFORGE_ABI::detail {

inline std::uint64_t nestedPublishes() {
  std::uint64_t sum = 0;
  ThreadRecords::instance().forEach(
      [&](const ThreadRecord& record) { sum += record.nested.load(std::memory_order_acquire); });
  return sum;
}

inline Error notDrained(const SubscriptionCore& subscription) {
  return Error(Errc::TimedOut, "drain: " + subscription.describe() + " still has " +
                                   std::to_string(subscription.mailbox().pending()) + " messages queued");
}

/// Pass by pass: what is queued, or waits for a place, when a pass begins is handled when it ends. The passes end with one
/// in which no handler published: nothing that was published before can then have left anything.
class DrainOperation final : public BusOperation {
 public:
  /// @param limit  when it gives up by itself
  /// @return null if there is nothing to wait for, or Errc::ShuttingDown
  static expected<OperationPtr<DrainOperation>> start(std::shared_ptr<BusCore> bus, const Client& client,
                                                      Deadlines::Time limit) {
    OperationPtr<DrainOperation> operation(new DrainOperation(std::move(bus), client));
    operation->begin(limit);
    if (Outcome outcome; operation->take(outcome)) {
      if (outcome.error.code() != Errc::Ok) return outcome.error;
      operation.reset();
    }
    return operation;
  }

  void giveUp(const Error& why) override { stop(&why); }
  /// Ends it with Errc::TimedOut, which names who is not done.
  void late() { stop(nullptr); }

 private:
  DrainOperation(std::shared_ptr<BusCore> bus, const Client& client)
      : BusOperation("drain", client), bus_(std::move(bus)) {}

  struct Handled : HandledWait {
    Handled(DrainOperation& o, SubscriptionCore& s)
        : HandledWait([](HandledWait* self) {
            const OperationPtr<DrainOperation> share(&static_cast<Handled&>(*self).operation);
            share->settle();
          }),
          operation(o),
          subscription(s) {}
    DrainOperation& operation;
    SubscriptionCore& subscription;  // retained for the pass
  };

  void begin(Deadlines::Time limit) {
    bool ended;
    {
      std::lock_guard lock(passMutex_);
      over_ = ended = bus_->ended() || passes();
      if (!ended && limit != Deadlines::Time::max()) {
        timed_ = true;
        retain();  // until it is removed, or has expired
        bus_->deadlines().add(limit_, limit);
      }
    }
    if (ended) end(bus_->ended() ? BusCore::endedError() : Error());
  }

  // One wait of the pass is over.
  void settle() {
    {
      std::lock_guard lock(passMutex_);
      if (--waiting_ > 0 || over_) return;
      if (!bus_->ended() && nestedPublishes() != nestedBefore_ && !passes()) return;
      over_ = true;
    }
    end(bus_->ended() ? BusCore::endedError() : Error());
  }

  // Until one has to wait; true when there is nothing left. With the mutex held.
  bool passes() {
    do {
      endPass();
      nestedBefore_ = nestedPublishes();
      for (auto* subscription : bus_->list([](const SubscriptionCore& s) { return s.mailbox().busy(); })) {
        auto& wait = handled_.emplace_back(*this, *subscription);
        retain();
        ++waiting_;
        if (subscription->mailbox().waitHandled(wait)) continue;
        --waiting_;
        release();
      }
      if (waiting_ > 0) return false;
    } while (!bus_->ended() && nestedPublishes() != nestedBefore_);
    return true;
  }

  // None of its waits is with its mailbox any more.
  void endPass() {
    for (auto& wait : handled_) wait.subscription.release();
    handled_.clear();
  }

  // Null: it is late.
  void stop(const Error* why) {
    Error error;
    {
      std::lock_guard lock(passMutex_);
      if (over_) return;
      error = why ? *why : lateError();
      for (auto& wait : handled_) {
        if (!wait.subscription.mailbox().forget(wait)) continue;  // over, or about to be told
        --waiting_;
        release();  // the caller has a share
      }
      over_ = true;
    }
    end(std::move(error));
  }

  [[nodiscard]] Error lateError() const {
    const auto* late = &handled_.front();
    for (const auto& wait : handled_)
      if (wait.subscription.mailbox().busy()) late = &wait;
    return notDrained(late->subscription);
  }

  void end(Error error) {
    bool timed;
    {
      std::lock_guard lock(passMutex_);
      timed = std::exchange(timed_, false);
    }
    if (timed && bus_->deadlines().remove(limit_)) release();
    finish(std::move(error));
  }

  ~DrainOperation() override { endPass(); }

  const std::shared_ptr<BusCore> bus_;
  OperationLimit<DrainOperation> limit_{*this};
  std::mutex passMutex_;  // guards all below; taken before those of the bus, the mailboxes and the deadlines
  std::list<Handled> handled_;
  std::size_t waiting_ = 0;
  std::uint64_t nestedBefore_ = 0;
  bool timed_ = false;
  bool over_ = false;
};

/// One subscription's: what was put into its mailbox when this began, and waited for a place there, is handled, or received
/// where it has no handler, or dropped.
class SubscriptionDrain final : public BusOperation {
 public:
  /// @param limit  when it gives up by itself
  /// @return null if there is nothing to wait for, or Errc::ShuttingDown: the subscription has ended
  static expected<OperationPtr<SubscriptionDrain>> start(std::shared_ptr<BusCore> bus, SubscriptionCore& subscription,
                                                         Deadlines::Time limit) {
    OperationPtr<SubscriptionDrain> operation(new SubscriptionDrain(std::move(bus), subscription));
    if (operation->begin(limit)) return operation;
    if (subscription.mailbox().closed()) return operation->endedError();
    return OperationPtr<SubscriptionDrain>();
  }

  void giveUp(const Error& why) override { stop(why); }
  /// Ends it with Errc::TimedOut, which names the subscription.
  void late() { stop(notDrained(subscription_)); }

 private:
  SubscriptionDrain(std::shared_ptr<BusCore> bus, SubscriptionCore& subscription)
      : BusOperation("drain", subscription.client()), bus_(std::move(bus)), subscription_(subscription) {
    subscription_.retain();
  }
  ~SubscriptionDrain() override { subscription_.release(); }

  struct Handled : HandledWait {
    explicit Handled(SubscriptionDrain& o)
        : HandledWait([](HandledWait* self) {
            const OperationPtr<SubscriptionDrain> share(&static_cast<Handled&>(*self).operation);
            share->end(share->subscription_.mailbox().closed() ? share->endedError() : Error());
          }),
          operation(o) {}
    SubscriptionDrain& operation;
  };

  // False: there is nothing to wait for.
  bool begin(Deadlines::Time limit) {
    std::lock_guard lock(limitMutex_);
    retain();  // for the mailbox
    if (!subscription_.mailbox().waitHandled(handled_)) {
      release();
      return false;
    }
    if (limit == Deadlines::Time::max()) return true;
    timed_ = true;
    retain();  // until it is removed, or has expired
    bus_->deadlines().add(limit_, limit);
    return true;
  }

  void stop(const Error& why) {
    if (!subscription_.mailbox().forget(handled_)) return;  // over, or about to be told
    release();                                              // the caller has a share
    end(why);
  }

  void end(Error error) {
    bool timed;
    {
      std::lock_guard lock(limitMutex_);
      timed = std::exchange(timed_, false);
    }
    if (timed && bus_->deadlines().remove(limit_)) release();
    finish(std::move(error));
  }

  [[nodiscard]] Error endedError() const {
    return Error(Errc::ShuttingDown, "drain: " + subscription_.describe() + " has ended");
  }

  const std::shared_ptr<BusCore> bus_;
  SubscriptionCore& subscription_;
  Handled handled_{*this};
  OperationLimit<SubscriptionDrain> limit_{*this};
  std::mutex limitMutex_;  // guards all below; taken before those of the mailbox and the deadlines
  bool timed_ = false;
};

inline expected<void> BusCore::drain(std::chrono::nanoseconds timeout, const Yield* yield) {
  if (ThreadRecords::mine().callDepth > 0)
    return Error(Errc::WouldDeadlock, "drain: called from inside a handler, which it would wait for");
  const auto deadline = deadlineAfter(timeout);
  const Yielding yielding(yield);
  return drainUntil(deadline);
}

inline expected<void> BusCore::drainUntil(std::chrono::steady_clock::time_point deadline) {
  auto draining = DrainOperation::start(shared_from_this(), host_, Deadlines::Time::max());
  if (!draining) return draining.error();
  if (!*draining) return {};
  struct Waiter {
    std::mutex mutex;  // guards all below
    std::condition_variable changed;
    bool done = false;
    Error error;
  } waiter;
  (*draining)->await({&waiter, [](void* self, const AsyncOutcome* outcome) {
                        auto& told = *static_cast<Waiter*>(self);
                        std::lock_guard lock(told.mutex);  // held while notifying: the waiter owns the object
                        if (outcome->code != 0)
                          told.error = Error(static_cast<Errc>(outcome->code), std::string(std::string_view(outcome->message)));
                        told.done = true;
                        told.changed.notify_one();
                      }});
  const auto isDone = [&] { return waiter.done; };
  std::unique_lock lock(waiter.mutex);
  if (!waiter.changed.wait_until(lock, deadline, isDone)) {
    lock.unlock();
    (*draining)->late();
    lock.lock();
    waiter.changed.wait(lock, isDone);  // it is being told
  }
  if (waiter.error.code() != Errc::Ok) return waiter.error;
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
