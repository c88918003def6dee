#pragma once
// qtforge/communication/detail/backlog.hpp: what was published for a client that is only on its way.

#include <qtforge/communication/message.hpp>
#include <qtforge/communication/topic.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// While a client has one, each subscription that it makes is given what matches of it, before all else.
///
/// @par Thread safety  any thread.
class Backlog {
 public:
  static constexpr std::size_t capacity = 65'536;

  /// False: it is full.
  bool add(const Message& message) {
    std::lock_guard lock(mutex_);
    if (messages_.size() == capacity) {
      ++refused_;
      return false;
    }
    messages_.push_back(message);
    return true;
  }

  /// Those for a subscription, the oldest first.
  [[nodiscard]] std::vector<Message> matching(std::string_view pattern) {
    std::vector<Message> found;
    std::lock_guard lock(mutex_);
    patterns_.emplace_back(pattern);
    for (const auto& message : messages_)
      if (matches(pattern, message.topic())) found.push_back(message);
    return found;
  }

  /// How many no subscription has matched.
  [[nodiscard]] std::size_t unmatched() const {
    std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(messages_.begin(), messages_.end(), [&](const Message& message) {
      return std::none_of(patterns_.begin(), patterns_.end(), [&](const auto& pattern) { return matches(pattern, message.topic()); });
    }));
  }

  /// How many found no place.
  [[nodiscard]] std::size_t refused() const {
    std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  mutable std::mutex mutex_;  // guards all below; a leaf
  std::vector<Message> messages_;
  std::vector<std::string> patterns_;
  std::size_t refused_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
