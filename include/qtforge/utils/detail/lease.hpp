#pragma once
// qtforge/utils/detail/lease.hpp: keeps a plugin's library mapped while something that its code made is alive elsewhere.

#include <qtforge/utils/config.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

struct Lease {
  std::atomic<std::uint32_t> count{1};
  void (*released)(Lease* self) = nullptr;

  void retain() noexcept { count.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (count.fetch_sub(1, std::memory_order_acq_rel) == 1 && released) released(this);
  }
};

// Set by a plugin's entry to the lease on its own library; null elsewhere. Atomic, since code of a plugin that is gone may
// still run in a library that is loaded again.
inline std::atomic<Lease*>& ownLease() noexcept {
  static std::atomic<Lease*> lease{nullptr};
  return lease;
}

/// Another share of the lease on the calling binary; null where there is none.
inline Lease* retainOwnLease() noexcept {
  auto* lease = ownLease().load(std::memory_order_acquire);
  if (lease) lease->retain();
  return lease;
}

/// Holds a share of the lease on the calling binary.
class OwnLease {
 public:
  OwnLease() noexcept : lease_(retainOwnLease()) {}
  OwnLease(OwnLease&& other) noexcept : lease_(std::exchange(other.lease_, nullptr)) {}
  OwnLease& operator=(OwnLease&&) = delete;
  ~OwnLease() {
    if (lease_) lease_->release();
  }

 private:
  Lease* lease_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
