#pragma once
// qtforge/core/detail/nearest_word.hpp: what somebody may have meant by a word that is unknown.

#include <qtforge/utils/config.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The known word nearest to a mistyped one, if it is near: at most two edits apart.
inline std::optional<std::string_view> nearestWord(std::string_view word, std::span<const std::string_view> known) {
  const auto plain = [](std::string_view text) {
    std::string out;
    for (const char c : text)
      if (c != '_' && c != '-' && c != ' ') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
  };
  const auto distance = [](std::string_view a, std::string_view b) {  // Levenshtein, one row
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      auto diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const auto best = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
        diagonal = std::exchange(row[j], best);
      }
    }
    return row.back();
  };
  if (word.size() > 64) return std::nullopt;
  const auto wanted = plain(word);
  std::optional<std::string_view> nearest;
  std::size_t least = 3;
  for (const auto candidate : known) {
    const auto apart = distance(wanted, plain(candidate));
    if (apart < least && apart * 2 < candidate.size()) {
      least = apart;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
