#pragma once
// qtforge/communication/subscription.hpp: what a subscriber asks for, and the subscription it owns.

#include <qtforge/communication/detail/bus_table.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

/// Where a handler is called.
enum class DeliveryMode : std::int32_t {
  Queued = 0,  ///< in order of arrival on the handler's associated executor, else the runtime's; never two at a time
  Direct = 1,  ///< on the publisher's thread, before `publish` returns; calls of several publishers may overlap
};

/// What happens when a message meets a full mailbox.
enum class OverflowPolicy : std::int32_t {
  Block = 0,       ///< the publisher waits, at most `blockTimeout`, then gets Errc::Overflow
  DropOldest = 1,  ///< the oldest queued message goes
  DropNewest = 2,  ///< the new message goes
  Fail = 3,        ///< the new message goes and the publisher gets Errc::Overflow
  Latest = 4,      ///< a message takes the place of the one of its topic that is queued still; when that many topics are
                   ///< queued, as DropOldest
};

struct SubscribeOptions {
  DeliveryMode delivery = DeliveryMode::Queued;
  std::size_t capacity = 65'536;  ///< messages, at least 1; for Queued
  OverflowPolicy policy = OverflowPolicy::Block;
  std::chrono::nanoseconds blockTimeout = std::chrono::seconds(5);
  std::string_view group = {};  ///< each message goes to one of the matching subscriptions of that name; empty: to each
  /// How long the handler's thread looks for the next message before it sleeps, for Queued: spares the wake-up, about 20
  /// microseconds, and costs a processor that long after each burst. Others on the executor wait meanwhile. At most a second.
  std::chrono::microseconds spin = std::chrono::microseconds(0);
  bool retained = true;    ///< whether to get what is retained already, see PublishOptions::retain
};

/// What a tap is shown; see MessageBus::tap.
struct TapOptions {
  std::string_view pattern = ">";  ///< `>` and a first `*` match the library's own topics too, unlike elsewhere
  std::uint64_t every = 1;         ///< of what matches, the first message and then each that many-th; at least 1
  std::size_t capacity = 65'536;   ///< messages, at least 1
  OverflowPolicy policy = OverflowPolicy::DropOldest;  ///< or DropNewest, or Latest
};

struct SubscriptionStats {
  std::uint64_t delivered = 0;   ///< handled, whether well or with an error
  std::uint64_t dropped = 0;     ///< lost to a full mailbox
  std::uint64_t mismatched = 0;  ///< not handled: the payload was of another kind
  std::uint64_t failed = 0;      ///< the handler threw
  std::uint64_t pending = 0;     ///< queued now
  std::uint64_t replaced = 0;    ///< not handled: a newer one of its topic took its place (OverflowPolicy::Latest)
};

/// Owns a subscription: its end, like `unsubscribe()`, ends the calls.
///
/// The end waits for a call of the handler that runs on another thread, and then the handler is destroyed. From inside
/// a handler it does not wait for the handler's own call, for one on its own executor thread, where two handlers end
/// each other, or where that call waits for a place in the mailbox of this thread's handler or for its answer: then no new
/// call begins and the handler is destroyed when the running call returns.
/// @par Thread safety  one object from one thread at a time; different objects from any thread.
class Subscription {
 public:
  Subscription() noexcept = default;
  Subscription(Subscription&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), table_(other.table_) {}
  Subscription& operator=(Subscription&& other) noexcept {
    if (this != &other) {
      unsubscribe();
      handle_ = std::exchange(other.handle_, nullptr);
      table_ = other.table_;
    }
    return *this;
  }
  ~Subscription() { unsubscribe(); }

  void unsubscribe() noexcept {
    if (!handle_) return;
    void* handle = std::exchange(handle_, nullptr);
    table_->unsubscribe(handle, nullptr, INT64_MAX);
    table_->releaseSubscription(handle);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  [[nodiscard]] SubscriptionStats stats() const noexcept {
    detail::SubscriptionCounters c{};
    if (handle_) table_->counters(handle_, &c);
    return {c.delivered, c.dropped, c.mismatched, c.failed, c.pending, c.replaced};
  }

  /// Waits, without blocking, until what was put into this subscription's mailbox before, and what waited for a place in
  /// it, is handled or gone by the policy; not what the handler published, unlike MessageBus::drain. Inside the handler
  /// too: the message that it handles counts as handled when it returns. Needs communication/async.hpp, which says how
  /// completion handlers are called. Where the token begins it later (deferred, an awaitable that is kept) this object
  /// stays where it is until then.
  ///
  /// @param timeout  without it, as long as it takes
  /// @param token    for the signature `void(expected<void>)`; errors:
  ///   - Errc::TimedOut      naming the subscription
  ///   - Errc::ShuttingDown  the subscription or its bus has ended
  ///   - Errc::Cancelled, Errc::NoRuntime
  template <class Token>
  auto asyncDrain(std::chrono::nanoseconds timeout, Token&& token) const;
  template <class Token>
  auto asyncDrain(Token&& token) const {
    return asyncDrain(std::chrono::nanoseconds::max(), std::forward<Token>(token));
  }

  /// For the library's own use.
  static Subscription adopt(void* handle, const detail::BusTable* table) noexcept { return {handle, table}; }
  /// For the library's own use.
  [[nodiscard]] void* handle() const noexcept { return handle_; }
  /// For the library's own use.
  [[nodiscard]] void* release() noexcept { return std::exchange(handle_, nullptr); }

 private:
  Subscription(void* handle, const detail::BusTable* table) noexcept : handle_(handle), table_(table) {}
  void* handle_ = nullptr;
  const detail::BusTable* table_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI
