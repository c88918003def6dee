#pragma once
// qtforge/communication/detail/answer_wait.hpp: a thread that waits for the answer to its request, as others that wait see
// it.

#include <qtforge/communication/detail/subscription_core.hpp>

#include <optional>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The thread waits for the one responder that was asked. Of several any may answer: then it waits for none of them.
///
/// @par Thread safety  the thread's own, but for answered().
class AnswerWait {
 public:
  explicit AnswerWait(ThreadRecord& record) : record_(record) {}
  AnswerWait(const AnswerWait&) = delete;
  AnswerWait& operator=(const AnswerWait&) = delete;
  ~AnswerWait() {
    wait_.reset();
    if (asked_) asked_->release();
  }

  /// Before `responder`, which is not Direct, gets the request. False: it could answer only when this thread goes on.
  bool ask(SubscriptionCore& responder) {
    if (responder.waitsFor(record_)) return false;
    if (!awaited()) return true;
    if (responder.calls().wouldWaitInCycle(record_)) return false;
    several_ = asked_ != nullptr;
    if (several_) return true;
    responder.retain();
    asked_ = &responder;
    return true;
  }

  /// From now on others see it wait. False: what was asked could answer only when this thread goes on.
  bool begin() {
    return !asked_ || several_ || wait_.emplace(record_, asked_->calls());
  }

  /// It waits no longer; on any thread, not at the same time as begin().
  void answered() noexcept {
    if (wait_) wait_->end();
  }

  static Error deadlock(const SubscriptionCore& responder) {
    return Error(Errc::WouldDeadlock, "request: " + responder.describe() +
                                          " could answer only when this thread, which waits for the answer, goes on");
  }
  [[nodiscard]] Error deadlock() const { return deadlock(*asked_); }

 private:
  // Whether anybody may wait for this thread.
  [[nodiscard]] bool awaited() const noexcept {
    return record_.callDepth > 0 || record_.serves.load(std::memory_order_relaxed);
  }

  ThreadRecord& record_;
  SubscriptionCore* asked_ = nullptr;  // the first
  bool several_ = false;
  std::optional<HandlerCalls::Wait> wait_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
