#pragma once
// qtforge/core/detail/text_pattern_parser.hpp: reads the text of a pattern into a tree.

#include <qtforge/utils/error.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The code point at `at`, which moves on; U+FFFD for a byte that is no UTF-8.
inline char32_t takeCodePoint(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto first = byte(at++);
  if (first < 0x80) return first;
  const std::size_t more = first >= 0xF0 && first < 0xF5 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first >= 0xF5 || text.size() - at < more) return 0xFFFD;
  char32_t letter = first & (0x3F >> more);
  for (std::size_t i = 0; i < more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0xFFFD;
    letter = letter << 6 | (byte(at + i) & 0x3Fu);
  }
  at += more;
  return letter;
}

/// Some code points, as ranges, or all but them.
struct LetterSet {
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;

  [[nodiscard]] bool contains(char32_t letter) const noexcept {
    return negated != std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
             return range.first <= letter && letter <= range.second;
           });
  }
  void add(const LetterSet& other) {
    if (!other.negated) {
      ranges.insert(ranges.end(), other.ranges.begin(), other.ranges.end());
      return;
    }
    char32_t next = 0;  // the ranges of \D, \W and \S are in order
    for (const auto& [first, last] : other.ranges) {
      if (first > next) ranges.emplace_back(next, first - 1);
      next = last + 1;
    }
    ranges.emplace_back(next, 0x10FFFF);
  }
};

struct PatternNode {
  enum class Kind : std::uint8_t { Set, Begin, End, Sequence, Choice, Repeat };
  static constexpr unsigned unlimited = static_cast<unsigned>(-1);

  Kind kind;
  std::uint32_t set = 0;
  unsigned least = 0, most = 0;
  std::vector<std::size_t> parts = {};  // numbers of nodes
};

struct PatternTree {
  std::vector<PatternNode> nodes;
  std::vector<LetterSet> sets;
  std::size_t root = 0;
};

/// Longest pattern, in bytes, and largest number in `{m,n}`.
inline constexpr std::size_t longestPattern = 256;
inline constexpr unsigned largestRepetition = 1000;

class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  /// @return the tree, or Errc::InvalidArgument
  expected<PatternTree> parse() {
    if (text_.size() > longestPattern)
      return Error(Errc::InvalidArgument, "pattern: longer than " + std::to_string(longestPattern) + " bytes");
    tree_.root = choice();
    if (!problem_ && !atEnd()) wrong("no ')' without '('");
    if (problem_)
      return Error(Errc::InvalidArgument, "pattern \"" + std::string(text_) + "\": expected " + problem_ +
                                              " at offset " + std::to_string(at_));
    return std::move(tree_);
  }

 private:
  using Kind = PatternNode::Kind;

  [[nodiscard]] bool atEnd() const noexcept { return at_ == text_.size(); }
  [[nodiscard]] char peek() const noexcept { return atEnd() ? '\0' : text_[at_]; }
  bool take(std::string_view token) noexcept {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  std::size_t wrong(const char* wanted) noexcept {
    if (!problem_) problem_ = wanted;
    return 0;
  }
  std::size_t add(PatternNode node) {
    tree_.nodes.push_back(std::move(node));
    return tree_.nodes.size() - 1;
  }
  std::size_t add(LetterSet set) {
    tree_.sets.push_back(std::move(set));
    return add(PatternNode{Kind::Set, static_cast<std::uint32_t>(tree_.sets.size() - 1)});
  }

  std::size_t choice() {
    PatternNode node{Kind::Choice};
    do node.parts.push_back(sequence());
    while (!problem_ && take("|"));
    return node.parts.size() == 1 ? node.parts[0] : add(std::move(node));
  }

  std::size_t sequence() {
    PatternNode node{Kind::Sequence};
    while (!problem_ && !atEnd() && peek() != '|' && peek() != ')') node.parts.push_back(repeated());
    return add(std::move(node));
  }

  std::size_t repeated() {
    const bool anchor = peek() == '^' || peek() == '$';
    const auto part = atom();
    unsigned least = 0, most = PatternNode::unlimited;
    if (problem_) return part;
    if (take("*")) {
    } else if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (take("{")) {
      if (!counts(least, most)) return 0;
    } else {
      return part;
    }
    if (anchor) return wrong("something to repeat");
    take("?");  // "as few as possible" is the same for the question whether it matches
    return add(PatternNode{Kind::Repeat, 0, least, most, {part}});
  }

  bool counts(unsigned& least, unsigned& most) {
    if (!number(least)) return false;
    most = least;
    if (take(",") && peek() == '}') most = PatternNode::unlimited;
    else if (text_[at_ - 1] == ',' && !number(most)) return false;
    if (!take("}")) return wrong("'}'"), false;
    if (most < least) return wrong("the larger number last"), false;
    return true;
  }

  bool number(unsigned& value) {
    const auto start = at_;
    for (value = 0; peek() >= '0' && peek() <= '9'; ++at_)
      if (value = value * 10 + static_cast<unsigned>(peek() - '0'); value > largestRepetition)
        return wrong("a number up to 1000"), false;
    if (at_ == start) return wrong("a number"), false;
    return true;
  }

  std::size_t atom() {
    if (take("^")) return add(PatternNode{Kind::Begin});
    if (take("$")) return add(PatternNode{Kind::End});
    if (take(".")) return add(LetterSet{{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}, true});
    if (take("[")) return letters();
    if (take("(")) {
      if (peek() == '?' && !take("?:")) return wrong("'(' or '(?:': look-around and names are not supported");
      const auto inner = choice();
      if (!problem_ && !take(")")) return wrong("')'");
      return inner;
    }
    if (peek() != '\0' && std::string_view("*+?{}]").find(peek()) != std::string_view::npos)
      return wrong("a backslash before this character, which means something");
    if (take("\\")) {
      auto set = escape();
      return set ? add(std::move(*set)) : 0;
    }
    const auto letter = takeCodePoint(text_, at_);
    return add(LetterSet{{{letter, letter}}});
  }

  // Behind the '['.
  std::size_t letters() {
    LetterSet set;
    set.negated = take("^");
    if (peek() == ']') return wrong("a character");
    while (!take("]")) {
      const auto first = letter();
      if (!first) return 0;
      const bool single = !first->negated && first->ranges.size() == 1 && first->ranges[0].first == first->ranges[0].second;
      if (peek() != '-' || text_.substr(at_).starts_with("-]")) {
        set.add(*first);
        continue;
      }
      ++at_;
      const auto last = letter();
      if (!last) return 0;
      if (!single || last->negated || last->ranges.size() != 1 || last->ranges[0].first != last->ranges[0].second ||
          last->ranges[0].first < first->ranges[0].first)
        return wrong("a range of two characters, the lower first");
      set.ranges.emplace_back(first->ranges[0].first, last->ranges[0].first);
    }
    return add(std::move(set));
  }

  // One member of a class, maybe the end of a range.
  std::optional<LetterSet> letter() {
    if (atEnd()) return wrong("']'"), std::nullopt;
    if (take("\\")) return escape();
    const auto one = takeCodePoint(text_, at_);
    return LetterSet{{{one, one}}};
  }

  // Behind the backslash.
  std::optional<LetterSet> escape() {
    static const LetterSet digits{{{'0', '9'}}};
    static const LetterSet word{{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}};
    static const LetterSet blank{{{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
                                  {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}}};
    const auto one = [](char32_t letter) { return LetterSet{{{letter, letter}}}; };
    const auto negated = [](LetterSet set) {
      set.negated = true;
      return set;
    };
    const char kind = peek();
    if (static_cast<unsigned char>(kind) < 0x21 || static_cast<unsigned char>(kind) > 0x7E)
      return wrong("one of d, D, w, W, s, S, t, n, r, f, v, u or punctuation behind the backslash"), std::nullopt;
    ++at_;
    switch (kind) {
      case 'd': return digits;
      case 'D': return negated(digits);
      case 'w': return word;
      case 'W': return negated(word);
      case 's': return blank;
      case 'S': return negated(blank);
      case 't': return one('\t');
      case 'n': return one('\n');
      case 'r': return one('\r');
      case 'f': return one('\f');
      case 'v': return one('\v');
      case 'u': return hex();
      default: break;
    }
    if ((kind >= '0' && kind <= '9') || (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z')) {
      --at_;
      return wrong("one of d, D, w, W, s, S, t, n, r, f, v, u or punctuation behind the backslash"), std::nullopt;
    }
    return one(static_cast<unsigned char>(kind));
  }

  // Behind `\u`: four hexadecimal digits.
  std::optional<LetterSet> hex() {
    char32_t letter = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      if (c >= '0' && c <= '9') letter = letter * 16 + static_cast<char32_t>(c - '0');
      else if (c >= 'a' && c <= 'f') letter = letter * 16 + static_cast<char32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') letter = letter * 16 + static_cast<char32_t>(c - 'A' + 10);
      else return wrong("four hexadecimal digits"), std::nullopt;
    }
    return LetterSet{{{letter, letter}}};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  const char* problem_ = nullptr;
  PatternTree tree_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
