#pragma once
// qtforge/python/detail/micros.hpp: durations and times of std::chrono as whole microseconds, which Python's have.

#include <qtforge/utils/config.hpp>

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <ratio>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python::detail {

template <class T>
struct Micros {
  static constexpr bool known = false;
};

template <class Rep, class Period>
  requires std::is_arithmetic_v<Rep>
struct Micros<std::chrono::duration<Rep, Period>> {
  static constexpr bool known = true, isTime = false, floating = std::floating_point<Rep>;
  using Duration = std::chrono::duration<Rep, Period>;
  using Scale = std::ratio_divide<Period, std::micro>;  // microseconds in one

  /// Rounded down; a floating-point representation to the nearest. @return false: it does not fit
  static bool get(const void* value, std::int64_t* out) {
    const Rep count = static_cast<const Duration*>(value)->count();
    if constexpr (floating) {
      const double micros = std::round(static_cast<double>(count) * Scale::num / Scale::den);
      if (!(micros >= -0x1p63 && micros < 0x1p63)) return false;
      *out = static_cast<std::int64_t>(micros);
    } else {
      std::int64_t scaled = 0;
      if (__builtin_mul_overflow(count, std::int64_t{Scale::num}, &scaled)) return false;
      *out = scaled / Scale::den - (scaled % Scale::den < 0 ? 1 : 0);
    }
    return true;
  }

  /// @return false: it cannot have exactly that value
  static bool set(void* value, std::int64_t micros) {
    if constexpr (floating) {
      *static_cast<Duration*>(value) = Duration(static_cast<Rep>(static_cast<double>(micros) * Scale::den / Scale::num));
    } else {
      std::int64_t scaled = 0;
      if (__builtin_mul_overflow(micros, std::int64_t{Scale::den}, &scaled) || scaled % Scale::num != 0) return false;
      const std::int64_t count = scaled / Scale::num;
      if (!std::in_range<Rep>(count)) return false;
      *static_cast<Duration*>(value) = Duration(static_cast<Rep>(count));
    }
    return true;
  }
};

template <class Duration>
struct Micros<std::chrono::time_point<std::chrono::system_clock, Duration>> {
  static constexpr bool known = true, isTime = true, floating = Micros<Duration>::floating;
  using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;

  static bool get(const void* value, std::int64_t* out) {
    const auto since = static_cast<const Time*>(value)->time_since_epoch();
    return Micros<Duration>::get(&since, out);
  }
  static bool set(void* value, std::int64_t micros) {
    Duration since{};
    if (!Micros<Duration>::set(&since, micros)) return false;
    *static_cast<Time*>(value) = Time(since);
    return true;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
