#pragma once
// box_mean.hpp: the mean of the square around each pixel, in a time that does not depend on the size of the square.

#include "image_filter.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace image_filter {

/// How far, in pixels, a filter that goes as far as `part` of the shorter side goes at `amount`: at least 1 above 0.
///
/// @return the radius, or
///   - Errc::InvalidArgument  the amount is not from 0 to 1
inline qtforge::expected<std::size_t> radiusOf(double amount, const Size& size, double part) {
  if (!(amount >= 0 && amount <= 1))
    return qtforge::Error(qtforge::Errc::InvalidArgument, "amount: 0 to 1 expected, not " + std::to_string(amount));
  return static_cast<std::size_t>(std::ceil(amount * part * static_cast<double>(std::min(size.height, size.width))));
}

/// Makes of each line of `length` values the mean of the lines that are at most `radius` away from it. The first and
/// the last line stand for those beyond them.
inline void meanOfLines(std::span<const float> from, std::span<float> to, std::size_t length, std::size_t radius) {
  const auto reach = static_cast<std::ptrdiff_t>(radius), count = static_cast<std::ptrdiff_t>(from.size() / length);
  const auto line = [&](std::ptrdiff_t index) {
    return from.data() + static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(index, 0, count - 1)) * length;
  };
  std::vector<float> sum(length);
  for (auto i = -reach; i <= reach; ++i)
    for (std::size_t k = 0; k < length; ++k) sum[k] += line(i)[k];
  const float share = 1 / static_cast<float>(2 * radius + 1);
  float* mean = to.data();
  for (std::ptrdiff_t i = 0; i < count; ++i, mean += length) {
    const float *next = line(i + reach + 1), *last = line(i - reach);
    for (std::size_t k = 0; k < length; ++k) {
      mean[k] = sum[k] * share;
      sum[k] += next[k] - last[k];
    }
  }
}

/// Makes of each pixel the mean of the square of 2 * radius + 1 pixels around it, each channel by itself: along the
/// rows, whose lines are pixels, then along the columns, whose lines are rows.
inline void boxMean(std::vector<float>& values, const Size& size, std::size_t radius) {
  std::vector<float> along(values.size());
  const auto row = size.width * size.channels;
  for (std::size_t at = 0; at < values.size(); at += row)
    meanOfLines(std::span(values).subspan(at, row), std::span(along).subspan(at, row), size.channels, radius);
  meanOfLines(along, values, row, radius);
}

/// The nearest numbers of 8 bits.
inline std::vector<std::uint8_t> toBytes(const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes(values.size());
  std::transform(values.begin(), values.end(), bytes.begin(),
                 [](float value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); });
  return bytes;
}

}  // namespace image_filter
