#pragma once
// qtforge/communication/detail/string_table.hpp: a hash table by text that is read without locks.

#include <qtforge/communication/detail/text_key.hpp>
#include <qtforge/communication/detail/thread_record.hpp>

#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Finds a `Node`, which has `std::string_view key() const` and `std::size_t hash`, by its key. Does not own the nodes.
///
/// @par Thread safety  find inside a ReadSection on any thread; insert and erase by one thread at a time.
template <class Node>
class StringTable {
 public:
  StringTable() = default;
  StringTable(const StringTable&) = delete;
  StringTable& operator=(const StringTable&) = delete;
  ~StringTable() { delete slots_.load(std::memory_order_relaxed); }

  static std::size_t hashOf(std::string_view key) noexcept { return hashText(key); }

  [[nodiscard]] Node* find(std::string_view key, std::size_t hash) const noexcept {
    const Slots* slots = slots_.load(std::memory_order_acquire);
    if (!slots) return nullptr;
    for (std::size_t i = hash & slots->mask;; i = (i + 1) & slots->mask) {
      Node* node = slots->nodes[i].load(std::memory_order_acquire);
      if (!node) return nullptr;
      if (node != erased() && node->hash == hash && sameText(node->key(), key)) return node;
    }
  }

  [[nodiscard]] Node* find(std::string_view key) const noexcept { return find(key, hashOf(key)); }

  void insert(Node* node) {
    Slots* slots = slots_.load(std::memory_order_relaxed);
    if (!slots || (filled_ + 1) * 2 > slots->mask + 1) slots = rebuild();
    place(*slots, node);
    ++filled_;
    ++size_;
  }

  void erase(Node* node) {
    Slots* slots = slots_.load(std::memory_order_relaxed);
    for (std::size_t i = node->hash & slots->mask;; i = (i + 1) & slots->mask) {
      if (slots->nodes[i].load(std::memory_order_relaxed) != node) continue;
      slots->nodes[i].store(erased(), std::memory_order_release);
      --size_;
      return;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// For one thread at a time, like insert.
  template <class F>
  void forEach(F&& f) const {
    const Slots* slots = slots_.load(std::memory_order_relaxed);
    if (!slots) return;
    for (std::size_t i = 0; i <= slots->mask; ++i) {
      Node* node = slots->nodes[i].load(std::memory_order_relaxed);
      if (node && node != erased()) f(*node);
    }
  }

 private:
  struct Slots {
    explicit Slots(std::size_t count) : mask(count - 1), nodes(new std::atomic<Node*>[count]()) {}
    std::size_t mask;
    std::unique_ptr<std::atomic<Node*>[]> nodes;
  };

  static Node* erased() noexcept { return reinterpret_cast<Node*>(alignof(Node)); }

  static void place(Slots& slots, Node* node) {
    std::size_t i = node->hash & slots.mask;
    while (slots.nodes[i].load(std::memory_order_relaxed)) i = (i + 1) & slots.mask;
    slots.nodes[i].store(node, std::memory_order_release);
  }

  Slots* rebuild() {
    std::size_t count = 8;
    while (count < (size_ + 1) * 4) count *= 2;
    Slots* old = slots_.load(std::memory_order_relaxed);
    auto next = std::make_unique<Slots>(count);
    forEach([&](Node& node) { place(*next, &node); });
    slots_.store(next.get(), std::memory_order_release);
    filled_ = size_;
    if (old) ThreadRecords::instance().retire(old, [](void* slots) { delete static_cast<Slots*>(slots); });
    return next.release();
  }

  std::atomic<Slots*> slots_{nullptr};
  std::size_t filled_ = 0;  // with the erased
  std::size_t size_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
