#pragma once
// qtforge/communication/detail/intrusive_list.hpp: a list whose items bring their own places, so that it never allocates.

#include <qtforge/utils/config.hpp>

#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What an item derives from. In one list at a time.
template <class Item>
struct ListItem {
  ListItem() = default;
  ListItem(const ListItem&) = delete;
  ListItem& operator=(const ListItem&) = delete;

  Item* previous = nullptr;
  Item* next = nullptr;

 protected:
  ~ListItem() = default;
};

/// First in, first out. Does not own its items.
template <class Item>
class IntrusiveList {
 public:
  [[nodiscard]] Item* first() const noexcept { return first_; }

  void add(Item& item) noexcept {
    item.previous = last_;
    item.next = nullptr;
    (last_ ? last_->next : first_) = &item;
    last_ = &item;
  }
  void remove(Item& item) noexcept {
    (item.previous ? item.previous->next : first_) = item.next;
    (item.next ? item.next->previous : last_) = item.previous;
    item.previous = item.next = nullptr;
  }
  /// The first, no longer in it; null: there is none.
  Item* takeFirst() noexcept {
    Item* item = first_;
    if (item) remove(*item);
    return item;
  }
  void swap(IntrusiveList& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
  }

 private:
  Item* first_ = nullptr;
  Item* last_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
