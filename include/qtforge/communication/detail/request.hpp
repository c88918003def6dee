#pragma once
// qtforge/communication/detail/request.hpp: a request whose caller waits for the answer.

#include <qtforge/communication/detail/bus_publish.hpp>

#include <condition_variable>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI::detail {

class AwaitedReply {
 public:
  /// @param args  with extras
  /// @return the answer, or
  ///   - Errc::TimedOut
  ///   - the errors of BusCore::request
  ///   - the responder's own error
  static expected<Message> request(BusCore& bus, Client& client, PublishArgs& args, std::chrono::nanoseconds timeout) {
    AwaitedReply awaited;
    const auto deadline = deadlineAfter(timeout);
    args.extras->deadline = deadline;
    args.extras->wait = &awaited.wait_;
    const auto number = bus.request(client, args, {&awaited, &AwaitedReply::done});
    if (!number) return number.error();
    if (!awaited.begin() && bus.forgetRequest(*number)) return awaited.wait_.deadlock();
    const Yielding yielding(args.extras->yield);
    return awaited.wait(bus, *number, args, deadline, timeout);
  }

 private:
  static void done(void* self, MessageRecord* answer, std::int32_t code, Text message, Text type, Text traceback) {
    auto& awaited = *static_cast<AwaitedReply*>(self);
    std::lock_guard lock(awaited.mutex_);  // held while notifying: the waiter owns the object
    awaited.wait_.answered();
    if (answer) awaited.answer_ = Message::adopt(answer);
    else
      awaited.error_ = Error(static_cast<Errc>(code), std::string(std::string_view(message)),
                             std::string(std::string_view(type)), std::string(std::string_view(traceback)));
    awaited.done_ = true;
    awaited.changed_.notify_one();
  }

  // False: the answer cannot come before this thread goes on.
  bool begin() {
    std::lock_guard lock(mutex_);
    return done_ || wait_.begin();
  }

  expected<Message> wait(BusCore& bus, std::uint64_t number, const PublishArgs& args,
                         std::chrono::steady_clock::time_point deadline, std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    if (!waitUntil(lock, deadline, args.extras->yield)) {
      lock.unlock();
      if (bus.forgetRequest(number)) return noAnswerError(args.topic, timeout);
      lock.lock();
      changed_.wait(lock, [&] { return done_; });  // it is being told
    }
    if (!answer_.record()) return error_;
    return std::move(answer_);
  }

  // False at the deadline, or when interrupted.
  bool waitUntil(std::unique_lock<std::mutex>& lock, std::chrono::steady_clock::time_point deadline, const Yield* yield) {
    const auto isDone = [&] { return done_; };
    if (!yield || !yield->interrupted) return changed_.wait_until(lock, deadline, isDone);
    constexpr auto slice = std::chrono::milliseconds(50);
    while (!changed_.wait_until(lock, std::min(deadline, std::chrono::steady_clock::now() + slice), isDone)) {
      lock.unlock();
      const bool stop = std::chrono::steady_clock::now() >= deadline || yield->interrupted(yield->self);
      lock.lock();
      if (stop) return done_;
    }
    return true;
  }

  std::mutex mutex_;  // guards all below; taken before the wait mutex
  AnswerWait wait_{ThreadRecords::mine()};
  std::condition_variable changed_;
  bool done_ = false;
  Message answer_ = Message::adopt(nullptr);
  Error error_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
