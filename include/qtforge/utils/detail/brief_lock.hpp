#pragma once
// qtforge/utils/detail/brief_lock.hpp: waiting for what another thread is about to do, before sleeping for it.

#include <qtforge/utils/config.hpp>

#include <mutex>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace qtforge::inline QTFORGE_ABI::detail {

/// Lets the processor's other thread go on while this one looks again and again.
inline void pauseBriefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

/// Looks up to 40 times, about a microsecond, whether `ready()`.
template <class Ready>
bool soon(Ready&& ready) noexcept {
  for (int i = 0; i < 40; ++i) {
    if (ready()) return true;
    pauseBriefly();
  }
  return false;
}

/// Locks a mutex that others hold for some instructions only: sleeping for it would take longer.
inline std::unique_lock<std::mutex> lockSoon(std::mutex& mutex) {
  if (soon([&] { return mutex.try_lock(); })) return std::unique_lock(mutex, std::adopt_lock);
  return std::unique_lock(mutex);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
