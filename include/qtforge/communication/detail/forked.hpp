#pragma once
// qtforge/communication/detail/forked.hpp: what is left of a bus in a child process: nothing. Its threads are in the
// parent only, and what they had locked stays locked (fork(2)).

#include <qtforge/utils/error.hpp>

#include <atomic>
#include <pthread.h>

namespace qtforge::inline QTFORGE_ABI::detail {

inline std::atomic<bool>& forkedFlag() noexcept {
  static constinit std::atomic<bool> flag{false};
  return flag;
}

/// Whether this process was forked from one that has called watchForks().
inline bool forked() noexcept { return forkedFlag().load(std::memory_order_relaxed); }

inline void watchForks() noexcept {
  static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { forkedFlag().store(true, std::memory_order_relaxed); });
  (void)registered;  // without memory for it a child is not warned
}

inline Error forkedError() {
  return Error(Errc::NoRuntime,
               "this process was forked from one that uses qtforge: the bus and its threads live in the parent. Start "
               "processes with exec, or fork before the first use");
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
