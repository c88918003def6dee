#pragma once
// qtforge/python/detail/memory_reserve.hpp: memory beyond a limit, for those who tell of an error.

#include <qtforge/utils/config.hpp>

#include <atomic>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// While one lives, a MemoryLimit admits more, so that an error can be put into words. Every thread has of it.
class MemoryReserve {
 public:
  MemoryReserve() noexcept { users_.fetch_add(1, std::memory_order_relaxed); }
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;
  ~MemoryReserve() { users_.fetch_sub(1, std::memory_order_relaxed); }

  [[nodiscard]] static bool isOpen() noexcept { return users_.load(std::memory_order_relaxed) > 0; }

 private:
  static inline std::atomic<int> users_{0};  // of a binary: the one that starts Python takes its errors too
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
