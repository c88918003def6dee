#pragma once
// qtforge/communication/detail/client.hpp: who sends and subscribes: the host or one plugin; its name and its figures.

#include <qtforge/communication/detail/latency.hpp>
#include <qtforge/communication/detail/thread_record.hpp>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A count that several threads raise without meeting: each of up to eight in a line of its own, with plain stores. While
/// there is one thread only, it needs no other memory.
class alignas(64) ShardedCount {
 public:
  ShardedCount() = default;
  ShardedCount(const ShardedCount&) = delete;
  ShardedCount& operator=(const ShardedCount&) = delete;
  ~ShardedCount() { delete shards_.load(std::memory_order_relaxed); }

  /// @param thread  the number of the calling thread's record, not 0
  [[gnu::always_inline]] void add(std::uint64_t n, std::uint64_t thread) {
    if (first_.owner.load(std::memory_order_relaxed) == thread) [[likely]]
      first_.addAsOwner(n);
    else addElsewhere(n, thread);
  }

  [[nodiscard]] std::uint64_t sum() const noexcept {
    std::uint64_t total = first_.own.load(std::memory_order_relaxed);
    if (const auto* shards = shards_.load(std::memory_order_acquire))
      for (const auto& shard : *shards)
        total += shard.own.load(std::memory_order_relaxed) + shard.others.load(std::memory_order_relaxed);
    return total;
  }

 private:
  struct Owned {
    std::atomic<std::uint64_t> owner{0};  // the number of the thread that came first
    std::atomic<std::uint64_t> own{0};    // written by that one alone

    /// Whether the thread is the owner, from now on if there was none.
    [[nodiscard]] bool ownedBy(std::uint64_t thread) {
      std::uint64_t now = owner.load(std::memory_order_relaxed);
      return now == thread || (now == 0 && owner.compare_exchange_strong(now, thread, std::memory_order_relaxed));
    }
    void addAsOwner(std::uint64_t n) {
      own.store(own.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
  };
  struct alignas(64) Shard : Owned {
    std::atomic<std::uint64_t> others{0};  // written by threads whose numbers fall on the same shard
  };
  using Shards = std::array<Shard, 8>;
  static constexpr std::uint64_t several = UINT64_MAX;

  [[gnu::noinline]] void addElsewhere(std::uint64_t n, std::uint64_t thread) {
    if (first_.ownedBy(thread)) return first_.addAsOwner(n);
    // All leave the first line, its owner too: it is only read from now on.
    if (first_.owner.load(std::memory_order_relaxed) != several) first_.owner.store(several, std::memory_order_relaxed);
    auto* known = shards_.load(std::memory_order_acquire);
    auto& shard = (known ? *known : made())[thread % std::tuple_size_v<Shards>];
    if (shard.ownedBy(thread)) shard.addAsOwner(n);
    else shard.others.fetch_add(n, std::memory_order_relaxed);
  }

  [[gnu::cold, gnu::noinline]] Shards& made() {
    auto fresh = std::make_unique<Shards>();
    Shards* none = nullptr;
    if (shards_.compare_exchange_strong(none, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
    return *none;
  }

  Owned first_;
  std::atomic<Shards*> shards_{nullptr};
};

/// Text that stays where it is for the life of the process, each once: names of senders outlive their plugins in the
/// messages they sent.
inline const std::string& internName(std::string_view name) {
  static auto* mutex = new std::mutex();  // guards names
  static auto* names = new std::set<std::string, std::less<>>();
  std::lock_guard lock(*mutex);
  auto known = names->find(name);
  if (known == names->end()) known = names->emplace(name).first;
  return *known;
}

/// What subscriptions received, summed up.
struct Received {
  std::uint64_t delivered = 0, dropped = 0, mismatched = 0, failed = 0;
};

class Backlog;

class Client {
 public:
  explicit Client(std::string_view name) : name_(internName(name)) {}

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] const std::string& internedName() const noexcept { return name_; }

  /// Adds the figures of a subscription that has ended.
  void addEnded(const Received& received, const LatencyHistogram* latency) {
    std::lock_guard lock(mutex_);
    ended_.delivered += received.delivered;
    ended_.dropped += received.dropped;
    ended_.mismatched += received.mismatched;
    ended_.failed += received.failed;
    if (latency) latency->addTo(latency_);
  }
  /// Adds the figures of all that have ended to `received` and `latency`.
  void sumEnded(Received& received, LatencyHistogram& latency) const {
    std::lock_guard lock(mutex_);
    received = ended_;
    latency_.addTo(latency);
  }

  /// What its subscriptions are given first, until this is called with null.
  void setBacklog(std::shared_ptr<Backlog> backlog) {
    std::lock_guard lock(mutex_);
    backlog_ = std::move(backlog);
  }
  [[nodiscard]] std::shared_ptr<Backlog> backlog() const {
    std::lock_guard lock(mutex_);
    return backlog_;
  }

  ShardedCount sent;
  std::atomic<bool> initialized{false};  // from before a plugin's `initialize` until after its `cleanup`

 private:
  const std::string& name_;
  mutable std::mutex mutex_;  // guards all below
  Received ended_;
  LatencyHistogram latency_;
  std::shared_ptr<Backlog> backlog_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
