#pragma once
// qtforge/communication/detail/async_publish.hpp: publishes that wait for places without a thread.

#include <qtforge/communication/detail/bus_publish.hpp>
#include <qtforge/communication/detail/bus_operation.hpp>

#include <list>
#include <tuple>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A publish of which some mailboxes have yet to take the message.
class PublishOperation : public BusOperation, public PutLater {
 public:
  /// Publishes. @return null when all is done; else what is still to wait for, and `delivery` is not yet good
  static expected<OperationPtr<PublishOperation>> start(std::shared_ptr<BusCore> bus, Client& client, PublishArgs& args,
                                                        Delivery& delivery) {
    OnDemand later(bus, client);
    PublishExtras extras;
    if (!args.extras) args.extras = &extras;
    args.extras->later = &later;
    Error error;
    const bool sent = bus->publish(client, args, delivery, BusCore::Authority::User, error);
    if (later.operation && later.operation->begun(delivery, error)) return std::move(later.operation);
    if (later.operation) {  // all have their places by now
      Outcome outcome;
      std::ignore = later.operation->take(outcome);
      delivery = outcome.delivery;
      if (outcome.error.code() != Errc::Ok) return outcome.error;
    } else if (!sent) {
      return error;
    }
    return OperationPtr<PublishOperation>();
  }

  PutResult put(SubscriptionCore& target, const Message& message, Deadlines::Time deadline) override {
    Place& place = places_.emplace_back(*this, target, message, deadline);
    target.retain();
    retain();
    {
      std::lock_guard lock(placesMutex_);
      ++waiting_;
    }
    const auto result = target.mailbox().putOrWait(place);
    if (result == PutResult::Waiting) return result;
    {
      std::lock_guard lock(placesMutex_);
      --waiting_;
    }
    places_.pop_back();
    target.release();
    release();
    return result;
  }

  /// What has its place keeps it.
  void giveUp(const Error& why) override { withdrawAll(why); }

 protected:
  PublishOperation(const char* name, std::shared_ptr<BusCore> bus, const Client& client)
      : BusOperation(name, client), bus_(std::move(bus)) {}

  /// Of the last place, when all is known.
  virtual void allSettled(Outcome outcome) { finish(std::move(outcome)); }
  /// `target` will not get `message`.
  virtual void lost(SubscriptionCore&, const Message&, const Error&) {}

  /// No more puts come. False: none waits, and allSettled() has been called.
  bool begun(const Delivery& delivery, const Error& error) {
    Outcome outcome;
    {
      std::lock_guard lock(placesMutex_);
      begun_ = true;
      delivery_ = delivery;
      if (error.code() != Errc::Ok) error_ = error;
      for (auto& place : places_) {
        if (place.over || place.deadline == Deadlines::Time::max()) continue;
        place.timed = true;
        retain();  // until it is removed, or has expired
        bus_->deadlines().add(place, place.deadline);
      }
      if (waiting_ > 0) return true;
      outcome = outcomeLocked();
    }
    allSettled(std::move(outcome));
    return false;
  }

  /// Takes the message back from where it waits.
  void withdrawAll(const Error& why) {
    for (auto& place : places_) withdraw(place, Ends::GivenUp, why);
  }

  [[nodiscard]] BusCore& bus() const noexcept { return *bus_; }

 private:
  enum class Ends { Told, Late, GivenUp };

  struct Place : WaitingPut, Deadlines::Entry {
    Place(PublishOperation& o, SubscriptionCore& t, const Message& m, Deadlines::Time d)
        : WaitingPut(m, [](WaitingPut* self) {
            auto& place = static_cast<Place&>(*self);
            place.operation.settle(place, Ends::Told, Error());
          }),
          Entry([](Entry* self) {
            auto& place = static_cast<Place&>(*self);
            const OperationPtr<PublishOperation> share(&place.operation);
            place.operation.withdraw(place, Ends::Late, Error());
          }),
          operation(o),
          target(&t),
          deadline(d) {}

    PublishOperation& operation;
    SubscriptionCore* const target;  // retained until it is over
    const Deadlines::Time deadline;
    bool timed = false;  // guarded by placesMutex_, as the next
    bool over = false;
  };

  struct OnDemand : PutLater {
    OnDemand(std::shared_ptr<BusCore>& b, const Client& c) : bus(b), client(c) {}
    ~OnDemand() {
      if (operation && !operation->begun_) operation->withdrawAll(Error(Errc::Failed, "publish: it has thrown"));
    }
    PutResult put(SubscriptionCore& target, const Message& message, Deadlines::Time deadline) override {
      if (!operation) operation.reset(new PublishOperation("publish", bus, client));
      return operation->put(target, message, deadline);
    }
    std::shared_ptr<BusCore>& bus;
    const Client& client;
    OperationPtr<PublishOperation> operation;
  };

  void withdraw(Place& place, Ends ends, const Error& why) {
    auto* target = place.target;
    {
      std::lock_guard lock(placesMutex_);
      if (place.over) return;
      target->retain();
    }
    if (target->mailbox().withdraw(place)) settle(place, ends, why);  // else it is being told
    target->release();
  }

  // Once for each place that has waited; without locks.
  void settle(Place& place, Ends ends, const Error& why) {
    auto* target = place.target;
    const Message gone = std::move(place.message);
    Delivery counts;
    Error error;
    if (ends == Ends::GivenUp) {
      target->mailbox().countDropped();
      ++counts.dropped;
      error = why;
    } else if (target->settle(ends == Ends::Late ? PutResult::Full : place.result, counts, error) && counts.queued == 0 &&
               bus_->ended()) {
      error = BusCore::endedError();
    }
    if (counts.queued == 0) lost(*target, gone, error);
    bool last, timed;
    Outcome outcome;
    {
      std::lock_guard lock(placesMutex_);
      place.over = true;
      timed = std::exchange(place.timed, false);
      if (counts.queued == 0) ++lost_;
      dropped_ += counts.dropped;
      if (error_.code() == Errc::Ok) error_ = error;
      last = --waiting_ == 0 && begun_;
      if (last) outcome = outcomeLocked();
    }
    if (timed && bus_->deadlines().remove(place)) release();
    if (last) allSettled(std::move(outcome));
    target->release();
    release();
  }

  [[nodiscard]] Outcome outcomeLocked() const {
    Outcome outcome{Message::adopt(nullptr), delivery_, error_};
    outcome.delivery.queued -= lost_;  // they were counted as queued
    outcome.delivery.dropped += dropped_;
    return outcome;
  }

  const std::shared_ptr<BusCore> bus_;
  std::list<Place> places_;  // complete when it has begun
  std::mutex placesMutex_;   // guards all below; taken before that of the deadlines
  std::size_t waiting_ = 0;
  std::uint32_t lost_ = 0;
  std::uint32_t dropped_ = 0;
  Delivery delivery_;
  Error error_;
  bool begun_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
