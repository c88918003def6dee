#pragma once
// qtforge/communication/detail/receive_queue.hpp: receives that wait for a message, as the handler of a subscription.

#include <qtforge/communication/detail/async_operation.hpp>
#include <qtforge/communication/detail/bus_table.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

using ReceivedMessages = expected<std::vector<Message>>;

class ReceiveQueue;

/// One receive that waits.
class PendingReceive final : public AsyncOperation<ReceivedMessages> {
 public:
  PendingReceive(const std::shared_ptr<ReceiveQueue>& queue, std::size_t limit) : most(limit), queue_(queue) {}

  void cancel() override;

  const std::size_t most;  // messages

 private:
  const std::weak_ptr<ReceiveQueue> queue_;
};

/// The messages of one subscription, for those who ask for them.
///
/// @par Thread safety  any thread. Its lock is taken before the mailbox's; completions are posted under it.
class ReceiveQueue : public std::enable_shared_from_this<ReceiveQueue> {
 public:
  explicit ReceiveQueue(const BusTable* bus) : bus_(bus) {}

  /// The subscription that feeds it, once.
  void open(void* subscription) {
    std::lock_guard lock(mutex_);
    subscription_ = subscription;
  }

  /// Messages that are there, at most `most`; none while others wait for them.
  std::vector<Message> take(std::size_t most) {
    std::lock_guard lock(mutex_);
    if (!waiting_.empty()) return {};  // they asked first
    return takeLocked(most);
  }

  /// Completes it when a message is there.
  void wait(const std::shared_ptr<PendingReceive>& receive) {
    std::lock_guard lock(mutex_);
    if (closed_) return end(*receive);
    waiting_.push_back(receive);
    serve();
  }

  /// Completes it with Errc::Cancelled, unless it has its messages.
  void cancel(const PendingReceive* receive) {
    std::lock_guard lock(mutex_);
    const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& r) { return r.get() == receive; });
    if (at == waiting_.end()) return;
    const auto cancelled = std::move(*at);
    waiting_.erase(at);
    cancelled->completeWith([] { return ReceivedMessages(Error(Errc::Cancelled, "receive: cancelled")); });
  }

  /// As BusTable::drainSubscription, for what is to be received.
  std::int32_t beginDrain(std::int64_t nanoseconds, void*& operation, ErrorSink sink) {
    std::lock_guard lock(mutex_);
    if (closed_) return fail(sink, Error(Errc::ShuttingDown, "drain: the subscription has ended"));
    return bus_->drainSubscription(subscription_, nanoseconds, &operation, sink);
  }

  [[nodiscard]] const BusTable* bus() const noexcept { return bus_; }

  /// As a handler: owns a share of the queue.
  static const HandlerTable table;
  using Share = std::shared_ptr<ReceiveQueue>;

 private:
  static std::int32_t unused(void*, Arrival*, ErrorSink) { return 0; }

  // The subscription has ended.
  static void destroy(void* self) {
    const std::unique_ptr<Share> share(static_cast<Share*>(self));
    auto& queue = **share;
    std::lock_guard lock(queue.mutex_);
    queue.closed_ = true;
    for (const auto& receive : queue.waiting_) end(*receive);
    queue.waiting_.clear();
  }

  // The mailbox has messages, and tells so again when it was empty.
  static void readable(void* self) {
    auto& queue = **static_cast<Share*>(self);
    std::lock_guard lock(queue.mutex_);
    queue.serve();
  }

  // Those that wait, as far as there are messages. One whose context has ended meanwhile takes none.
  void serve() {
    while (!waiting_.empty() && subscription_ && bus_->receivable(subscription_)) {
      const auto receive = std::move(waiting_.front());
      waiting_.pop_front();
      receive->completeWith([&]() -> ReceivedMessages {
        auto messages = takeLocked(receive->most);
        if (messages.empty()) return endedError();  // since it was asked
        return messages;
      });
    }
  }

  static Error endedError() { return Error(Errc::ShuttingDown, "receive: the subscription has ended"); }

  static void end(PendingReceive& receive) {
    receive.completeWith([] { return ReceivedMessages(endedError()); });
  }

  std::vector<Message> takeLocked(std::size_t most) {
    std::vector<Message> messages;
    if (!subscription_ || closed_) return messages;
    constexpr std::size_t batch = 16;
    MessageRecord* records[batch];
    while (messages.size() < most) {
      const auto count = bus_->receive(subscription_, records, std::min(batch, most - messages.size()));
      for (std::size_t i = 0; i < count; ++i) messages.push_back(Message::adopt(records[i]));
      if (count == 0) break;
    }
    return messages;
  }

  const BusTable* const bus_;
  std::mutex mutex_;  // guards all below
  void* subscription_ = nullptr;
  std::deque<std::shared_ptr<PendingReceive>> waiting_;
  bool closed_ = false;
};

inline constexpr HandlerTable makeReceiveTable(std::int32_t (*unused)(void*, Arrival*, ErrorSink), void (*destroy)(void*),
                                               void (*readable)(void*)) {
  HandlerTable table{unused, nullptr, destroy};
  table.readable = readable;
  return table;
}

inline constexpr HandlerTable ReceiveQueue::table = makeReceiveTable(&unused, &destroy, &readable);

inline void PendingReceive::cancel() {
  if (const auto queue = queue_.lock()) queue->cancel(this);
}

/// Completes `handler` with what `Convert` makes of at least one and at most `most` messages.
template <class Convert, class Handler>
void receiveInto(const std::shared_ptr<ReceiveQueue>& queue, std::size_t most, Handler handler) {
  if (auto there = queue->take(most); !there.empty())
    return completeNow<Convert>(std::move(handler), ReceivedMessages(std::move(there)));
  const auto receive = std::make_shared<PendingReceive>(queue, most);
  if (PendingReceive::keep<Convert>(receive, std::move(handler))) queue->wait(receive);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
