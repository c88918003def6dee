#pragma once
// qtforge/core/detail/version_text.hpp: reads the text of versions and compares their pre-release parts.

#include <qtforge/utils/error.hpp>

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

inline bool isDigit(char c) noexcept { return c >= '0' && c <= '9'; }
inline bool isBlank(char c) noexcept { return c == ' ' || c == '\t'; }
inline bool isIdentifier(char c) noexcept {
  return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}
inline bool isNumeric(std::string_view text) noexcept { return std::all_of(text.begin(), text.end(), isDigit); }

inline std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && isBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && isBlank(text.back())) text.remove_suffix(1);
  return text;
}

// semver.org 2.0.0, clause 11: numeric identifiers by value and below others, fewer identifiers below more, and any
// pre-release below the release.
inline std::weak_ordering comparePrerelease(std::string_view a, std::string_view b) noexcept {
  if (a.empty() || b.empty()) return a.empty() && b.empty() ? std::weak_ordering::equivalent
                                     : a.empty()            ? std::weak_ordering::greater
                                                            : std::weak_ordering::less;
  for (;;) {
    const auto left = a.substr(0, a.find('.')), right = b.substr(0, b.find('.'));
    const bool leftNumber = isNumeric(left), rightNumber = isNumeric(right);
    if (leftNumber != rightNumber) return leftNumber ? std::weak_ordering::less : std::weak_ordering::greater;
    if (leftNumber && left.size() != right.size()) return left.size() <=> right.size();  // no leading zeros
    if (const int order = left.compare(right); order != 0) return order <=> 0;
    a.remove_prefix(std::min(a.size(), left.size() + 1));
    b.remove_prefix(std::min(b.size(), right.size() + 1));
    if (a.empty() || b.empty()) return !a.empty() <=> !b.empty();
  }
}

struct VersionParts {
  std::array<std::uint64_t, 3> number{};
  int numbers = 0;  // how many of them were given
  std::string prerelease;
  std::string build;
};

/// Walks over a text; errors name what it is, where, and what was expected there.
class VersionReader {
 public:
  VersionReader(std::string_view text, const char* what) : text_(text), what_(what) {}

  [[nodiscard]] bool atEnd() const noexcept { return at_ == text_.size(); }
  void skipBlanks() noexcept {
    while (!atEnd() && isBlank(text_[at_])) ++at_;
  }
  bool take(std::string_view token) noexcept {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  [[nodiscard]] std::string_view readOperator() noexcept {
    for (const std::string_view op : {">=", "<=", "==", ">", "<", "=", "^", "~"})
      if (take(op)) return op;
    return {};
  }

  [[nodiscard]] Error error(const char* wanted) const {
    return Error(Errc::InvalidArgument, std::string(what_) + " \"" + std::string(text_.substr(0, 256)) +
                                            "\": expected " + wanted + " at offset " + std::to_string(at_));
  }

  /// One to three numbers, then the pre-release and the build metadata if they are there.
  [[nodiscard]] expected<VersionParts> read() {
    VersionParts parts;
    do {
      if (auto number = readNumber(); number) parts.number[static_cast<std::size_t>(parts.numbers++)] = *number;
      else return number.error();
    } while (parts.numbers < 3 && take("."));
    for (const bool build : {false, true}) {
      if (!take(build ? "+" : "-")) continue;
      if (auto text = readIdentifiers(build); text) (build ? parts.build : parts.prerelease) = std::move(*text);
      else return text.error();
    }
    return parts;
  }

 private:
  [[nodiscard]] expected<std::uint64_t> readNumber() {
    constexpr auto most = std::numeric_limits<std::uint64_t>::max() - 1;  // a range may need one more
    std::uint64_t value = 0;
    const auto start = at_;
    for (; !atEnd() && isDigit(text_[at_]); ++at_) {
      const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (most - digit) / 10) return error("a number below 2^64 - 1");
      value = value * 10 + digit;
    }
    if (at_ == start) return error("a number");
    if (text_[start] == '0' && at_ - start > 1) {
      at_ = start;
      return error("a number without leading zero");
    }
    return value;
  }

  [[nodiscard]] expected<std::string> readIdentifiers(bool zerosMayLead) {
    const auto start = at_;
    do {
      const auto first = at_;
      while (!atEnd() && isIdentifier(text_[at_])) ++at_;
      const auto identifier = text_.substr(first, at_ - first);
      if (identifier.empty()) return error("an identifier of letters, digits and hyphens");
      if (!zerosMayLead && identifier.size() > 1 && identifier[0] == '0' && isNumeric(identifier)) {
        at_ = first;
        return error("a number without leading zero");
      }
    } while (take("."));
    return std::string(text_.substr(start, at_ - start));
  }

  std::string_view text_;
  const char* what_;
  std::size_t at_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
