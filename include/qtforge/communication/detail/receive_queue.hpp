#pragma once
// qtforge/communication/detail/receive_queue.hpp: receives that wait for a message, as the handler of a subscription.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/utils/detail/root.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

using ReceivedMessages = expected<std::vector<Message>>;

/// One receive that waits. `complete` is called once and never calls the user's handler itself.
struct PendingReceive {
  explicit PendingReceive(std::size_t limit) : most(limit) {}
  PendingReceive(const PendingReceive&) = delete;
  PendingReceive& operator=(const PendingReceive&) = delete;
  virtual ~PendingReceive() = default;
  virtual void complete(ReceivedMessages result) = 0;

  const std::size_t most;  // messages
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

  /// Messages that are there, at most `most`.
  std::vector<Message> take(std::size_t most) {
    std::lock_guard lock(mutex_);
    if (!waiting_.empty()) return {};  // they asked first
    return takeLocked(most);
  }

  /// Completes it when a message is there.
  void wait(const std::shared_ptr<PendingReceive>& receive) {
    std::lock_guard lock(mutex_);
    if (closed_) return receive->complete(endedError());
    if (waiting_.empty())
      if (auto messages = takeLocked(receive->most); !messages.empty()) return receive->complete(std::move(messages));
    waiting_.push_back(receive);
  }

  /// Completes it with Errc::Cancelled, unless it has its messages.
  void cancel(const PendingReceive* receive) {
    std::lock_guard lock(mutex_);
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
      if (at->get() != receive) continue;
      const auto cancelled = std::move(*at);
      waiting_.erase(at);
      return cancelled->complete(Error(Errc::Cancelled, "receive: cancelled"));
    }
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
    std::lock_guard lock(queue.mutex_);
    queue.closed_ = true;
    for (const auto& receive : queue.waiting_) receive->complete(endedError());
    queue.waiting_.clear();
  }

  // The mailbox has messages, and tells so again when it was empty.
  static void readable(void* self) {
    auto& queue = **static_cast<Share*>(self);
    std::lock_guard lock(queue.mutex_);
    while (!queue.waiting_.empty()) {
      auto messages = queue.takeLocked(queue.waiting_.front()->most);
      if (messages.empty()) return;
      queue.waiting_.front()->complete(std::move(messages));
      queue.waiting_.pop_front();
    }
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

  static Error endedError() { return Error(Errc::ShuttingDown, "receive: the subscription has ended"); }

  const BusTable* const bus_;
  std::mutex mutex_;  // guards all below
  void* subscription_ = nullptr;
  std::list<std::shared_ptr<PendingReceive>> waiting_;
  bool closed_ = false;
};

inline constexpr HandlerTable makeReceiveTable(std::int32_t (*unused)(void*, Arrival*, ErrorSink), void (*destroy)(void*),
                                               void (*readable)(void*)) {
  HandlerTable table{unused, nullptr, destroy};
  table.readable = readable;
  return table;
}

inline constexpr HandlerTable ReceiveQueue::table = makeReceiveTable(&unused, &destroy, &readable);

/// A receive and the completion handler of the one who asked.
///
/// @tparam Handler  takes what `Convert` makes of the messages
template <class Handler, class Convert>
class ReceiveOperation final : public PendingReceive {
 public:
  ReceiveOperation(std::size_t limit, Handler&& handler) : PendingReceive(limit), handler_(std::move(handler)) {
    if constexpr (hasExecutor) work_.emplace(Associated::get(handler_, NoExecutor()));
  }

  /// Asks `queue` for messages, and takes the question back when the handler's cancellation slot says so.
  static void start(const std::shared_ptr<ReceiveQueue>& queue, const std::shared_ptr<ReceiveOperation>& self) {
    auto slot = boost::asio::get_associated_cancellation_slot(self->handler_);
    if (slot.is_connected())
      slot.assign([queue = std::weak_ptr(queue), receive = std::weak_ptr(self)](boost::asio::cancellation_type type) {
        if (type == boost::asio::cancellation_type::none) return;
        const auto there = queue.lock();
        const auto waiting = receive.lock();
        if (there && waiting) there->cancel(waiting.get());
      });
    queue->wait(self);
  }

  // On the handler's associated executor, without one on the runtime's.
  void complete(ReceivedMessages result) override {
    auto allocator = boost::asio::get_associated_allocator(handler_);
    auto call = [lease = OwnLease(), handler = std::move(handler_), result = std::move(result)]() mutable {
      auto slot = boost::asio::get_associated_cancellation_slot(handler);
      if (slot.is_connected()) slot.clear();
      std::move(handler)(Convert()(std::move(result)));
    };
    if constexpr (hasExecutor) {
      boost::asio::post(work_->get_executor(), boost::asio::bind_allocator(allocator, std::move(call)));
      work_.reset();
    } else if (const auto* root = findRoot()) {
      root->runtime->post(Task::of(std::move(call)));
    }
  }

 private:
  struct NoExecutor {};
  using Associated = boost::asio::associated_executor<Handler, NoExecutor>;
  using Executor = typename Associated::type;
  static constexpr bool hasExecutor = !std::is_same_v<Executor, NoExecutor>;
  struct NoWork {};

  Handler handler_;
  std::conditional_t<hasExecutor, std::optional<boost::asio::executor_work_guard<
                                      std::conditional_t<hasExecutor, Executor, boost::asio::system_executor>>>,
                     NoWork> work_;  // keeps the executor's context running
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
