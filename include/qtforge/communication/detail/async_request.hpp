#pragma once
// qtforge/communication/detail/async_request.hpp: requests that wait for their answers without a thread.

#include <qtforge/communication/detail/async_publish.hpp>

#include <chrono>
#include <string>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A request that waits for its answer, and for places where its responders' mailboxes are full.
class RequestOperation final : public PublishOperation {
 public:
  /// @param args  has extras
  /// @return what to wait for, or the errors of BusCore::request
  static expected<OperationPtr<RequestOperation>> start(std::shared_ptr<BusCore> bus, Client& client, PublishArgs& args,
                                                        std::chrono::nanoseconds timeout) {
    OperationPtr<RequestOperation> operation(new RequestOperation(bus, client, args, timeout));
    args.extras->later = operation.get();
    args.extras->deadline = operation->deadline_;
    operation->retain();  // for the reply
    const auto number = bus->request(client, args, {operation.get(), &RequestOperation::reply});
    if (!number) operation->release();
    operation->begun({}, Error());
    if (!number) return number.error();
    operation->asked(*number);
    return operation;
  }

  void giveUp(const Error& why) override {
    if (forget(why)) withdrawAll(why);
  }
  /// Ends it with Errc::TimedOut.
  void late() { forget(noAnswerError(topic_, timeout_)); }

 private:
  RequestOperation(std::shared_ptr<BusCore> bus, const Client& client, const PublishArgs& args,
                   std::chrono::nanoseconds timeout)
      : PublishOperation("request", std::move(bus), client),
        topic_(std::string_view(args.topic)),
        timeout_(timeout),
        deadline_(deadlineAfter(timeout)) {}

  static void reply(void* self, MessageRecord* answer, std::int32_t code, Text message, Text type, Text traceback) {
    const OperationPtr<RequestOperation> operation(static_cast<RequestOperation*>(self));
    if (answer) return operation->end({Message::adopt(answer), {}, Error()});
    operation->end({Message::adopt(nullptr), {}, Error(static_cast<Errc>(code), std::string(std::string_view(message)),
                                                       std::string(std::string_view(type)),
                                                       std::string(std::string_view(traceback)))});
  }

  void asked(std::uint64_t number) {
    std::lock_guard lock(stateMutex_);
    number_ = number;
    if (ended_ || deadline_ == Deadlines::Time::max()) return;
    timed_ = true;
    retain();
    bus().deadlines().add(limit_, deadline_);
  }

  void lost(SubscriptionCore& target, const Message& request, const Error& error) override {
    if (target.responds)
      bus().lostRequest(request.correlation(), error.code() != Errc::Ok
                                                   ? error
                                                   : Error(Errc::NoResponder, "request: " + target.describe() + " has ended"));
  }

  void allSettled(Outcome) override {}  // what counts is the answer

  // False: it has its answer, or is getting it.
  bool forget(const Error& why) {
    std::uint64_t number;
    {
      std::lock_guard lock(stateMutex_);
      number = number_;
    }
    if (!bus().forgetRequest(number)) return false;
    end({Message::adopt(nullptr), {}, why});
    release();  // the reply's
    return true;
  }

  void end(Outcome outcome) {
    bool timed;
    {
      std::lock_guard lock(stateMutex_);
      ended_ = true;
      timed = std::exchange(timed_, false);
    }
    if (timed && bus().deadlines().remove(limit_)) release();
    finish(std::move(outcome));
  }

  const std::string topic_;
  const std::chrono::nanoseconds timeout_;
  const Deadlines::Time deadline_;
  OperationLimit<RequestOperation> limit_{*this};
  std::mutex stateMutex_;  // guards all below; taken before that of the deadlines
  std::uint64_t number_ = 0;
  bool timed_ = false;
  bool ended_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
