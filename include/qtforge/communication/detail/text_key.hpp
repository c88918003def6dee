#pragma once
// qtforge/communication/detail/text_key.hpp: hashing and comparing short texts in line: a call into the standard library
// takes longer than a topic needs.

#include <qtforge/utils/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

inline std::uint64_t eightBytes(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

inline std::uint64_t fourBytes(const char* at) noexcept {
  std::uint32_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

/// Both halves of the product, folded (as in wyhash): every bit of it depends on all of both.
inline std::uint64_t foldedProduct(std::uint64_t a, std::uint64_t b) noexcept {
#if defined(__SIZEOF_INT128__)
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
#else
  const std::uint64_t mixed = (a ^ (a >> 32)) * (b | 1);
  return mixed ^ (mixed >> 29);
#endif
}

/// Of one process: not to be stored.
inline std::size_t hashText(std::string_view text) noexcept {
  constexpr std::uint64_t first = 0x9e3779b97f4a7c15, second = 0xd1b54a32d192ed03, third = 0x8cb92ba72f3d8dd7;
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t hash = third ^ left;
  for (; left > 16; at += 16, left -= 16)
    hash = foldedProduct(eightBytes(at) ^ first, eightBytes(at + 8) ^ hash);
  std::uint64_t low = 0, high = 0;  // of what is left, overlapping
  if (left >= 8) {
    low = eightBytes(at);
    high = eightBytes(at + left - 8);
  } else if (left >= 4) {
    low = fourBytes(at);
    high = fourBytes(at + left - 4);
  } else if (left > 0) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])); };
    low = byte(0) << 16 | byte(left / 2) << 8 | byte(left - 1);
  }
  return static_cast<std::size_t>(foldedProduct(second, foldedProduct(low ^ first, high ^ hash)));
}

inline bool sameText(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  const char *x = a.data(), *y = b.data();
  std::size_t left = a.size();
  if (left < 8) {
    if (left >= 4) return fourBytes(x) == fourBytes(y) && fourBytes(x + left - 4) == fourBytes(y + left - 4);
    for (; left > 0; --left)
      if (x[left - 1] != y[left - 1]) return false;
    return true;
  }
  for (; left > 8; x += 8, y += 8, left -= 8)
    if (eightBytes(x) != eightBytes(y)) return false;
  return eightBytes(x + left - 8) == eightBytes(y + left - 8);  // overlapping
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
