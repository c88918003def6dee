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

/// A count that several threads raise without meeting: the one that began in a line of its own, with plain stores, and
/// likewise the next ones; from the ninth on together.
class alignas(64) ShardedCount {
 public:
  ShardedCount() = default;
  ShardedCount(const ShardedCount&) = delete;
  ShardedCount& operator=(const ShardedCount&) = delete;
  ~ShardedCount() { delete shards_.load(std::memory_order_relaxed); }

  /// @param thread  the number of the calling thread's record, not 0
  [[gnu::always_inline]] void add(std::uint64_t n, std::uint64_t thread) {
    if (owner_.load(std::memory_order_relaxed) == thread) [[likely]]
      own_.store(own_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    else addElsewhere(n, thread);
  }

  [[nodiscard]] std::uint64_t sum() const noexcept {
    std::uint64_t total = own_.load(std::memory_order_relaxed);
    if (const auto* shards = shards_.load(std::memory_order_acquire))
      for (const auto& shard : *shards) total += shard.value.load(std::memory_order_relaxed);
    return total;
  }

 private:
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> value{0};
  };
  using Shards = std::array<Shard, 8>;

  [[gnu::noinline]] void addElsewhere(std::uint64_t n, std::uint64_t thread) {
    std::uint64_t none = 0;
    if (owner_.compare_exchange_strong(none, thread, std::memory_order_relaxed)) return add(n, thread);
    auto& shards = made();
    if (thread < shards.size()) {
      auto& value = shards[thread].value;
      value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    } else {
      shards[0].value.fetch_add(n, std::memory_order_relaxed);
    }
  }

  Shards& made() {
    if (auto* shards = shards_.load(std::memory_order_acquire)) return *shards;
    auto fresh = std::make_unique<Shards>();
    Shards* none = nullptr;
    if (shards_.compare_exchange_strong(none, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
    return *none;
  }

  std::atomic<std::uint64_t> owner_{0};  // the number of the thread that began
  std::atomic<std::uint64_t> own_{0};
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

  ShardedCount sent;

 private:
  const std::string& name_;
  mutable std::mutex mutex_;  // guards all below
  Received ended_;
  LatencyHistogram latency_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
