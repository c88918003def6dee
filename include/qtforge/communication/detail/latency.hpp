#pragma once
// qtforge/communication/detail/latency.hpp: a histogram of the time between publish and handling.

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include <qtforge/utils/config.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Buckets grow by a quarter of a power of two, so a quantile is at most 25 % above the true value.
/// @par Thread safety  one thread adds at a time, any reads.
class LatencyHistogram {
 public:
  void add(std::uint64_t nanoseconds) noexcept {
    auto& bucket = buckets_[indexOf(nanoseconds)];
    bucket.store(bucket.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  void addTo(LatencyHistogram& sum) const noexcept {
    for (std::size_t i = 0; i < buckets_.size(); ++i)
      sum.buckets_[i].fetch_add(buckets_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t samples() const noexcept {
    std::uint64_t total = 0;
    for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
    return total;
  }

  /// Upper bound in nanoseconds of the bucket in which the quantile `q` (0 to 1) lies; 0 without samples.
  [[nodiscard]] std::uint64_t quantile(double q) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(samples()));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen > wanted) return upperBound(i);
    }
    return 0;
  }

 private:
  static std::size_t indexOf(std::uint64_t value) noexcept {
    if (value < 4) return static_cast<std::size_t>(value);
    const auto log = static_cast<std::size_t>(std::bit_width(value)) - 1;
    return (log - 1) * 4 + static_cast<std::size_t>((value >> (log - 2)) & 3);
  }
  static std::uint64_t upperBound(std::size_t index) noexcept {
    if (index < 4) return index;
    const auto log = index / 4 + 1, quarter = index % 4;
    return ((4 + quarter + 1) << (log - 2)) - 1;
  }

  std::array<std::atomic<std::uint64_t>, 252> buckets_{};
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
