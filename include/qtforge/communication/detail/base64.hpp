#pragma once
// qtforge/communication/detail/base64.hpp: bytes as text: RFC 4648, section 4, with padding.

#include <qtforge/utils/config.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::string_view base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline void appendBase64(std::string& out, std::span<const std::uint8_t> bytes) {
  auto at = out.size();
  out.resize(at + (bytes.size() + 2) / 3 * 4, '=');
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto left = bytes.size() - i;
    const std::uint32_t three = static_cast<std::uint32_t>(bytes[i] << 16) |
                                (left > 1 ? static_cast<std::uint32_t>(bytes[i + 1] << 8) : 0u) |
                                (left > 2 ? bytes[i + 2] : 0u);
    out[at++] = base64Digits[three >> 18];
    out[at++] = base64Digits[three >> 12 & 63];
    if (left > 1) out[at] = base64Digits[three >> 6 & 63];
    if (left > 2) out[at + 1] = base64Digits[three & 63];
    at += 2;
  }
}

/// The bytes, or nothing where `text` is not what appendBase64 writes.
inline std::optional<std::vector<std::uint8_t>> decodeBase64(std::string_view text) {
  static constexpr auto values = [] {
    std::array<std::uint8_t, 256> made{};
    made.fill(64);  // no digit
    for (std::size_t i = 0; i < base64Digits.size(); ++i)
      made[static_cast<unsigned char>(base64Digits[i])] = static_cast<std::uint8_t>(i);
    return made;
  }();
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int count = 0;  // of bits that are no byte yet
  for (const char c : text) {
    const auto value = values[static_cast<unsigned char>(c)];
    if (value > 63) return std::nullopt;
    bits = bits << 6 | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::uint8_t>(bits >> count));
  }
  if (static_cast<std::size_t>(count) != padding * 2 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
