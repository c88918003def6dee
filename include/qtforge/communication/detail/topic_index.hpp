#pragma once
// qtforge/communication/detail/topic_index.hpp: from a topic to its subscriptions: a table of topics that have exact
// ones, a tree of tokens for the patterns with wildcards.

#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/string_table.hpp>
#include <qtforge/communication/detail/subscriber_list.hpp>
#include <qtforge/communication/topic.hpp>

#include <string>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A topic that somebody subscribed by its own name or holds a publisher of.
struct TopicEntry {
  explicit TopicEntry(std::string_view topic)
      : name(topic), hash(StringTable<TopicEntry>::hashOf(topic)), reserved(isReservedTopic(topic)) {}
  ~TopicEntry() { delete wildcards.load(std::memory_order_relaxed); }

  // The wildcard subscriptions that match, as of `version`.
  struct Wildcards {
    std::uint64_t version;
    bool plain = true;  // all of them
    std::vector<SubscriptionCore*> subscriptions;
  };

  [[nodiscard]] std::string_view key() const noexcept { return name; }

  const std::string name;
  const std::size_t hash;
  const bool reserved;
  SubscriberList exact;
  mutable ShardedCount published;
  std::atomic<Wildcards*> wildcards{nullptr};
  std::size_t users = 0;  // exact subscriptions and publishers; guarded by the index's writer
};

/// @par Thread safety  find and forEachMatch inside a ReadSection on any thread; the rest by one thread at a time.
class TopicIndex {
 public:
  TopicIndex() = default;
  TopicIndex(const TopicIndex&) = delete;
  TopicIndex& operator=(const TopicIndex&) = delete;
  ~TopicIndex() {
    topics_.forEach([](TopicEntry& entry) { delete &entry; });
  }

  [[nodiscard]] TopicEntry* find(std::string_view topic) const noexcept { return topics_.find(topic); }

  /// Calls `f` for each subscription that matches `topic`; `entry` is what find(topic) gave.
  template <class F>
  void forEachMatch(std::string_view topic, const TopicEntry* entry, F&& f) const {
    if (entry) entry->exact.forEach(f);
    const auto version = version_.load(std::memory_order_acquire);
    if (version == 0) return;  // never a wildcard
    if (entry) {
      const auto* cached = entry->wildcards.load(std::memory_order_acquire);
      if (cached && cached->version == version) {
        for (auto* subscription : cached->subscriptions) f(*subscription);
        return;
      }
    }
    walk(root_, topic, !isReservedTopic(topic), f);
  }

  /// As forEachMatch, after `known()`, if all it would call `f` for are plain, so far as can be seen at once; else false.
  /// What is added meanwhile is left out if it is not plain.
  template <class Known, class F>
  [[gnu::always_inline]] bool forEachPlain(const TopicEntry& entry, Known&& known, F&& f) const {
    const TopicEntry::Wildcards* cached = nullptr;
    if (const auto version = version_.load(std::memory_order_acquire); version != 0) {
      cached = entry.wildcards.load(std::memory_order_acquire);
      if (!cached || cached->version != version || !cached->plain) return false;
    }
    if (!entry.exact.plain()) return false;
    known();
    entry.exact.forEach([&](SubscriptionCore& subscription) __attribute__((always_inline)) {
      if (subscription.plain) f(subscription);
    });
    if (cached)
      for (auto* subscription : cached->subscriptions) f(*subscription);
    return true;
  }

  /// Calls `f` for each topic that somebody subscribed by its own name or holds a publisher of; for one thread at a time.
  template <class F>
  void forEachTopic(F&& f) const {
    topics_.forEach(f);
  }

  /// Whether `entry` no longer knows its wildcard subscriptions; then refresh it when convenient.
  [[nodiscard]] bool stale(const TopicEntry& entry) const noexcept {
    const auto* cached = entry.wildcards.load(std::memory_order_acquire);
    const auto version = version_.load(std::memory_order_acquire);
    return version != 0 && (!cached || cached->version != version);
  }

  void refresh(TopicEntry& entry) {
    auto next = std::make_unique<TopicEntry::Wildcards>();
    next->version = version_.load(std::memory_order_relaxed);
    walk(root_, entry.name, !isReservedTopic(entry.name),
         [&](SubscriptionCore& subscription) {
           next->subscriptions.push_back(&subscription);
           next->plain = next->plain && subscription.plain;
         });
    if (auto* old = entry.wildcards.exchange(next.release(), std::memory_order_acq_rel))
      ThreadRecords::instance().retire(old, [](void* w) { delete static_cast<TopicEntry::Wildcards*>(w); });
  }

  /// The entry of `topic`, with one more user.
  TopicEntry& use(std::string_view topic) {
    TopicEntry* entry = topics_.find(topic);
    if (!entry) {
      auto made = std::make_unique<TopicEntry>(topic);
      topics_.insert(made.get());
      entry = made.release();
    }
    ++entry->users;
    return *entry;
  }

  void unuse(TopicEntry& entry) {
    if (--entry.users != 0) return;
    topics_.erase(&entry);
    ThreadRecords::instance().retire(&entry, [](void* e) { delete static_cast<TopicEntry*>(e); });
  }

  void add(std::string_view pattern, SubscriptionCore* subscription) {
    if (!isWildcard(pattern)) {
      use(pattern).exact.add(subscription);
      return;
    }
    PatternNode* node = &root_;
    for (;;) {
      const auto end = pattern.find('.');
      const auto token = pattern.substr(0, end);
      if (token == ">") {
        node->rest.add(subscription);
        break;
      }
      node = &node->child(token);
      if (end == std::string_view::npos) {
        node->here.add(subscription);
        break;
      }
      pattern.remove_prefix(end + 1);
    }
    version_.fetch_add(1, std::memory_order_acq_rel);
  }

  void remove(std::string_view pattern, SubscriptionCore* subscription) {
    if (!isWildcard(pattern)) {
      TopicEntry* entry = topics_.find(pattern);
      entry->exact.remove(subscription);
      unuse(*entry);
      return;
    }
    removeFrom(root_, pattern, subscription);
    version_.fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  // One token of patterns; `*` is a child like any other.
  struct PatternNode {
    explicit PatternNode(std::string_view token) : name(token), hash(StringTable<PatternNode>::hashOf(token)) {}
    PatternNode() : PatternNode(std::string_view()) {}
    ~PatternNode() {
      children.forEach([](PatternNode& node) { delete &node; });
    }

    [[nodiscard]] std::string_view key() const noexcept { return name; }
    [[nodiscard]] bool empty() const noexcept { return here.size() == 0 && rest.size() == 0 && children.size() == 0; }

    PatternNode& child(std::string_view token) {
      if (PatternNode* known = children.find(token)) return *known;
      auto made = std::make_unique<PatternNode>(token);
      children.insert(made.get());
      return *made.release();
    }

    const std::string name;
    const std::size_t hash;
    StringTable<PatternNode> children;
    SubscriberList here;  // patterns that end with this token
    SubscriberList rest;  // patterns that go on with '>'
  };

  // `wild`: whether `*` and `>` count at this token; at the first they do not match the library's own topics.
  template <class F>
  static void walk(const PatternNode& node, std::string_view topic, bool wild, F&& f) {
    if (wild) node.rest.forEach(f);
    const auto end = topic.find('.');
    const auto token = topic.substr(0, end);
    const auto into = [&](const PatternNode* next) {
      if (!next) return;
      if (end == std::string_view::npos) next->here.forEach(f);
      else walk(*next, topic.substr(end + 1), true, f);
    };
    into(node.children.find(token));
    if (wild) into(node.children.find("*"));
  }

  static void removeFrom(PatternNode& node, std::string_view pattern, SubscriptionCore* subscription) {
    const auto end = pattern.find('.');
    const auto token = pattern.substr(0, end);
    if (token == ">") {
      node.rest.remove(subscription);
      return;
    }
    PatternNode* next = node.children.find(token);
    if (end == std::string_view::npos) next->here.remove(subscription);
    else removeFrom(*next, pattern.substr(end + 1), subscription);
    if (!next->empty()) return;
    node.children.erase(next);
    ThreadRecords::instance().retire(next, [](void* n) { delete static_cast<PatternNode*>(n); });
  }

  StringTable<TopicEntry> topics_;
  PatternNode root_;
  std::atomic<std::uint64_t> version_{0};  // of the wildcard subscriptions
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
