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
  ~StringTable() { delete cells_.load(std::memory_order_relaxed); }

  static std::size_t hashOf(std::string_view key) noexcept { return hashText(key); }

  [[nodiscard]] Node* find(std::string_view key, std::size_t hash) const noexcept {
    const Cells* cells = cells_.load(std::memory_order_acquire);
    if (!cells) return nullptr;
    for (std::size_t i = hash & cells->mask;; i = (i + 1) & cells->mask) {
      Node* node = cells->nodes[i].load(std::memory_order_acquire);
      if (!node) return nullptr;
      if (node != erased() && node->hash == hash && sameText(node->key(), key)) return node;
    }
  }

  [[nodiscard]] Node* find(std::string_view key) const noexcept { return find(key, hashOf(key)); }

  void insert(Node* node) {
    Cells* cells = cells_.load(std::memory_order_relaxed);
    if (!cells || (filled_ + 1) * 2 > cells->mask + 1) cells = rebuild();
    place(*cells, node);
    ++filled_;
    ++size_;
  }

  void erase(Node* node) {
    Cells* cells = cells_.load(std::memory_order_relaxed);
    for (std::size_t i = node->hash & cells->mask;; i = (i + 1) & cells->mask) {
      if (cells->nodes[i].load(std::memory_order_relaxed) != node) continue;
      cells->nodes[i].store(erased(), std::memory_order_release);
      --size_;
      return;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// For one thread at a time, like insert.
  template <class F>
  void forEach(F&& f) const {
    const Cells* cells = cells_.load(std::memory_order_relaxed);
    if (!cells) return;
    for (std::size_t i = 0; i <= cells->mask; ++i) {
      Node* node = cells->nodes[i].load(std::memory_order_relaxed);
      if (node && node != erased()) f(*node);
    }
  }

 private:
  struct Cells {
    explicit Cells(std::size_t count) : mask(count - 1), nodes(new std::atomic<Node*>[count]()) {}
    std::size_t mask;
    std::unique_ptr<std::atomic<Node*>[]> nodes;
  };

  static Node* erased() noexcept { return reinterpret_cast<Node*>(alignof(Node)); }

  static void place(Cells& cells, Node* node) {
    std::size_t i = node->hash & cells.mask;
    while (cells.nodes[i].load(std::memory_order_relaxed)) i = (i + 1) & cells.mask;
    cells.nodes[i].store(node, std::memory_order_release);
  }

  Cells* rebuild() {
    std::size_t count = 8;
    while (count < (size_ + 1) * 4) count *= 2;
    Cells* old = cells_.load(std::memory_order_relaxed);
    auto next = std::make_unique<Cells>(count);
    forEach([&](Node& node) { place(*next, &node); });
    cells_.store(next.get(), std::memory_order_release);
    filled_ = size_;
    if (old) ThreadRecords::instance().retire(old, [](void* cells) { delete static_cast<Cells*>(cells); });
    return next.release();
  }

  std::atomic<Cells*> cells_{nullptr};
  std::size_t filled_ = 0;  // with the erased
  std::size_t size_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
