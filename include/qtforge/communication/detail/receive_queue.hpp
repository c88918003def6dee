#pragma once
// qtforge/communication/detail/receive_queue.hpp: receives that wait for a message, as the handler of a subscription.

#include <qtforge/communication/detail/async_operation.hpp>
#include <qtforge/communication/detail/bus_table.hpp>

#include <algorithm>
#include <deque>
#include <iterator>
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
    ReceivedMessages none = Error(Errc::Cancelled, "receive: cancelled");
    cancelled->complete(none);
  }

  /// As a handler: owns a share of the queue.
  static const HandlerTable table;
  using Share = std::shared_ptr<ReceiveQueue>;

 private:
  static std::int32_t unused(void*, Arrival*, ErrorSink) { return 0; }

  // The subscription has ended.
  static void destroy(void* self) {
    const std::unique_ptr<Share> share(static_cast<Share*>(self));
    auto& queue = **share;
    std::deque<Message> dropped;  // freed after the lock
    std::lock_guard lock(queue.mutex_);
    queue.closed_ = true;
    for (const auto& receive : queue.waiting_) end(*receive);
    queue.waiting_.clear();
    dropped.swap(queue.returned_);
  }

  // The mailbox has messages, and tells so again when it was empty.
  static void readable(void* self) {
    auto& queue = **static_cast<Share*>(self);
    std::lock_guard lock(queue.mutex_);
    queue.serve();
  }

  // Those that wait, as far as there are messages.
  void serve() {
    while (!waiting_.empty()) {
      auto messages = takeLocked(waiting_.front()->most);
      if (messages.empty()) return;
      ReceivedMessages received = std::move(messages);
      const auto receive = std::move(waiting_.front());
      waiting_.pop_front();
      if (!receive->complete(received))  // its context has ended meanwhile: the next one gets them
        returned_.insert(returned_.begin(), std::make_move_iterator(received->begin()),
                         std::make_move_iterator(received->end()));
    }
  }

  static void end(PendingReceive& receive) {
    ReceivedMessages none = Error(Errc::ShuttingDown, "receive: the subscription has ended");
    receive.complete(none);
  }

  std::vector<Message> takeLocked(std::size_t most) {
    std::vector<Message> messages;
    if (!subscription_ || closed_) return messages;
    for (; !returned_.empty() && messages.size() < most; returned_.pop_front())
      messages.push_back(std::move(returned_.front()));
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
  std::deque<Message> returned_;  // taken for a receive that was gone
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
