#pragma once
// qtforge/communication/detail/subscriber_list.hpp: the subscriptions of one topic or pattern, read without locks.

#include <qtforge/communication/detail/subscription_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Does not own the subscriptions.
///
/// @par Thread safety  forEach inside a ReadSection on any thread; add and remove by one thread at a time.
class SubscriberList {
 public:
  SubscriberList() = default;
  SubscriberList(const SubscriberList&) = delete;
  SubscriberList& operator=(const SubscriberList&) = delete;
  ~SubscriberList() { delete items_.load(std::memory_order_relaxed); }

  template <class F>
  [[gnu::always_inline]] void forEach(F&& f) const {
    const Items* items = items_.load(std::memory_order_acquire);
    if (!items) return;
    const auto count = items->count.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < count; ++i)
      if (auto* subscription = items->entries[i].load(std::memory_order_acquire)) f(*subscription);
  }

  /// Whether publishers have nothing to do but to call handlers and to queue; what is added meanwhile may be otherwise.
  [[nodiscard]] bool plain() const noexcept { return others_.load(std::memory_order_relaxed) == 0; }

  void add(SubscriptionCore* subscription) {
    if (!subscription->plain) others_.store(others_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    Items* items = items_.load(std::memory_order_relaxed);
    const auto count = items ? items->count.load(std::memory_order_relaxed) : 0;
    if (!items || count == items->capacity) items = rebuild(size_ < 2 ? 2 : size_ * 2);
    const auto at = items->count.load(std::memory_order_relaxed);
    items->entries[at].store(subscription, std::memory_order_release);
    items->count.store(at + 1, std::memory_order_release);
    ++size_;
  }

  void remove(SubscriptionCore* subscription) {
    Items* items = items_.load(std::memory_order_relaxed);
    const auto count = items ? items->count.load(std::memory_order_relaxed) : 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (items->entries[i].load(std::memory_order_relaxed) != subscription) continue;
      items->entries[i].store(nullptr, std::memory_order_release);
      --size_;
      if (!subscription->plain) others_.store(others_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
      if (size_ == 0 || size_ * 4 < count) rebuild(size_ * 2);
      return;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Items {
    explicit Items(std::size_t n) : capacity(n), entries(new std::atomic<SubscriptionCore*>[n]()) {}
    std::size_t capacity;
    std::atomic<std::size_t> count{0};
    std::unique_ptr<std::atomic<SubscriptionCore*>[]> entries;
  };

  Items* rebuild(std::size_t capacity) {
    Items* old = items_.load(std::memory_order_relaxed);
    auto next = capacity ? std::make_unique<Items>(capacity) : nullptr;
    if (next) {
      std::size_t count = 0;
      forEach([&](SubscriptionCore& s) { next->entries[count++].store(&s, std::memory_order_relaxed); });
      next->count.store(count, std::memory_order_relaxed);
    }
    items_.store(next.get(), std::memory_order_release);
    if (old) ThreadRecords::instance().retire(old, [](void* items) { delete static_cast<Items*>(items); });
    return next.release();
  }

  std::atomic<Items*> items_{nullptr};
  std::atomic<std::size_t> others_{0};  // that are not plain
  std::size_t size_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
