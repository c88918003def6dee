#pragma once
// qtforge/communication/detail/topic_places.hpp: where in a mailbox the message of each topic is.

#include <qtforge/utils/config.hpp>

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Which place the queued message of a topic has, for OverflowPolicy::Latest. Allocates until it has held as many topics
/// at once as it ever will.
class TopicPlaces {
 public:
  /// The place of that topic's message, or null.
  [[nodiscard]] std::uint64_t* find(std::string_view topic) {
    const auto found = places_.find(topic);
    return found == places_.end() ? nullptr : &found->second;
  }
  void add(std::string_view topic, std::uint64_t place) {
    if (spare_.empty()) {
      places_.emplace(topic, place);
      return;
    }
    auto node = std::move(spare_.back());
    spare_.pop_back();
    node.key() = topic;
    node.mapped() = place;
    places_.insert(std::move(node));
  }
  /// The same topic, as another message spells it: the first one's text goes with its message.
  void rename(std::string_view topic) {
    auto node = places_.extract(topic);
    node.key() = topic;
    places_.insert(std::move(node));
  }
  void remove(std::string_view topic) { spare_.push_back(places_.extract(topic)); }

 private:
  using Places = std::unordered_map<std::string_view, std::uint64_t>;
  Places places_;
  std::vector<Places::node_type> spare_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
