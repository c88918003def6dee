#pragma once
// qtforge/communication/detail/message_clock.hpp: the time of messages, read less often than they come.

#include <qtforge/utils/config.hpp>

#include <chrono>
#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#endif

namespace qtforge::inline QTFORGE_ABI::detail {

/// UTC for one thread. A reading of the system's clock counts for about a microsecond: it takes longer than all else that
/// publishing to a queue does.
class MessageClock {
 public:
  std::chrono::system_clock::time_point now() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    // Of whatever rate, 0.8 to 2 us at 4 to 1.6 GHz. On another processor they may be others, even earlier ones.
    const std::uint64_t ticks = __rdtsc();
    if (ticks - ticks_ < 3200) return last_;
    ticks_ = ticks;
    return last_ = std::chrono::system_clock::now();
#else
    return std::chrono::system_clock::now();
#endif
  }

 private:
#if defined(__x86_64__) || defined(__i386__)
  std::uint64_t ticks_ = 0;
  std::chrono::system_clock::time_point last_;
#endif
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
