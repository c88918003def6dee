#pragma once
// qtforge/communication/detail/retained.hpp: the last message of each topic that was published to be retained.

#include <qtforge/communication/message.hpp>
#include <qtforge/communication/topic.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// All but mutex() with the mutex held. What they return is to be freed without it: payloads may run code of plugins.
class RetainedMessages {
 public:
  /// Also orders subscribing against retaining.
  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }

  /// @return what it replaces, which may be empty; none: it is not kept, there being maxRetainedTopics others
  [[nodiscard]] std::optional<Message> keep(const Message& message) {
    message.record()->extras->retainedAs = ++count_;
    const auto known = last_.find(message.topic());
    if (known != last_.end()) return std::exchange(known->second, message);
    if (last_.size() == maxRetainedTopics) return std::nullopt;
    last_.emplace(message.topic(), message);
    return Message::adopt(nullptr);
  }

  /// How many there ever were: the newest one's number.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  /// Those whose topics match, the oldest first.
  [[nodiscard]] std::vector<Message> matching(std::string_view pattern) const {
    std::vector<Message> found;
    forEachMatch(*this, pattern, [&](auto at) {
      found.push_back(at->second);
      return std::next(at);
    });
    std::sort(found.begin(), found.end(), [](const Message& a, const Message& b) {
      return a.record()->extras->retainedAs < b.record()->extras->retainedAs;
    });
    return found;
  }

  [[nodiscard]] std::vector<Message> clear(std::string_view pattern) {
    std::vector<Message> cleared;
    forEachMatch(*this, pattern, [&](auto at) {
      cleared.push_back(std::move(at->second));
      return last_.erase(at);
    });
    return cleared;
  }

 private:
  // `f` returns where to go on.
  template <class Self, class F>
  static void forEachMatch(Self& self, std::string_view pattern, F&& f) {
    if (!isWildcard(pattern)) {
      if (const auto at = self.last_.find(pattern); at != self.last_.end()) f(at);
      return;
    }
    for (auto at = self.last_.begin(); at != self.last_.end();) {
      if (matches(pattern, at->first)) at = f(at);
      else ++at;
    }
  }

  std::mutex mutex_;  // guards all below
  std::map<std::string, Message, std::less<>> last_;
  std::uint64_t count_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
