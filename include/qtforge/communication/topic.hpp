#pragma once
// qtforge/communication/topic.hpp: dot-separated names and the patterns that match them.

#include <qtforge/utils/error.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI {

/// Longest topic and pattern, in bytes.
inline constexpr std::size_t maxTopicLength = 255;
/// How many topics of one bus may have a retained message, see PublishOptions::retain.
inline constexpr std::size_t maxRetainedTopics = 65'536;

namespace detail {

inline Error topicError(Errc code, std::string_view text, std::size_t offset, const char* reason) {
  const char* what = code == Errc::InvalidPattern ? "topic pattern \"" : "topic \"";
  return Error(code, what + std::string(text.substr(0, maxTopicLength)) + "\": " + reason + " at offset " +
                         std::to_string(offset));
}

// Length of the UTF-8 sequence at `text[i]` (RFC 3629), 0 if it is none.
inline std::size_t utf8Length(std::string_view text, std::size_t i) noexcept {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  const auto more = [&](std::size_t at) { return (byte(at) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(i), next = byte(i + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return more(i + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && next < 0xA0) || (lead == 0xED && next > 0x9F)) return 0;
    return more(i + 1) && more(i + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && next < 0x90) || (lead == 0xF4 && next > 0x8F)) return 0;
    return more(i + 1) && more(i + 2) && more(i + 3) ? 4 : 0;
  }
  return 0;
}

inline std::optional<Error> findTopicError(std::string_view text, Errc code) {
  if (text.empty()) return topicError(code, text, 0, "it is empty");
  if (text.size() > maxTopicLength) return topicError(code, text, maxTopicLength, "longer than 255 bytes");
  const bool pattern = code == Errc::InvalidPattern;
  std::size_t start = 0;  // of the token
  for (std::size_t i = 0; i <= text.size();) {
    if (i == text.size() || text[i] == '.') {
      if (i == start) return topicError(code, text, i, "empty token");
      start = ++i;
      continue;
    }
    const char c = text[i];
    if (c == '\0') return topicError(code, text, i, "NUL byte");
    if (c == '*' || c == '>') {
      if (!pattern) return topicError(code, text, i, "wildcard in a topic to publish to");
      const bool alone = i == start && (i + 1 == text.size() || text[i + 1] == '.');
      if (!alone) return topicError(code, text, i, "a wildcard must be a token of its own");
      if (c == '>' && i + 1 != text.size()) return topicError(code, text, i, "'>' must be the last token");
    }
    const std::size_t length = utf8Length(text, i);
    if (length == 0) return topicError(code, text, i, "invalid UTF-8");
    i += length;
  }
  return std::nullopt;
}

}  // namespace detail

/// Checks that `topic` can be published to: 1 to 255 bytes of UTF-8, non-empty tokens separated by dots, no wildcard.
///
/// @return nothing, or
///   - Errc::InvalidTopic  with the offset of the first byte that is wrong
inline expected<void> checkTopic(std::string_view topic) {
  if (auto error = detail::findTopicError(topic, Errc::InvalidTopic)) return *error;
  return {};
}

/// Checks that `pattern` can be subscribed to: a topic in which `*` stands for one token and a last `>` for one or more.
///
/// @return nothing, or
///   - Errc::InvalidPattern  with the offset of the first byte that is wrong
inline expected<void> checkPattern(std::string_view pattern) {
  if (auto error = detail::findTopicError(pattern, Errc::InvalidPattern)) return *error;
  return {};
}

/// Whether `topic` is the library's own: `qtforge` or below it.
[[nodiscard]] inline bool isReservedTopic(std::string_view topic) noexcept {
  return topic.starts_with("qtforge") && (topic.size() == 7 || topic[7] == '.');
}

/// Whether `pattern` has a wildcard.
[[nodiscard]] inline bool isWildcard(std::string_view pattern) noexcept {
  return pattern.find_first_of("*>") != std::string_view::npos;
}

namespace detail {

/// As matches(), the library's own topics being like any others.
[[nodiscard]] inline bool matchesTokens(std::string_view pattern, std::string_view topic) noexcept {
  for (;;) {
    const auto patternEnd = pattern.find('.'), topicEnd = topic.find('.');
    const auto token = pattern.substr(0, patternEnd);
    if (token == ">") return true;
    if (token != "*" && token != topic.substr(0, topicEnd)) return false;
    const bool patternDone = patternEnd == std::string_view::npos, topicDone = topicEnd == std::string_view::npos;
    if (patternDone || topicDone) return patternDone && topicDone;
    pattern.remove_prefix(patternEnd + 1);
    topic.remove_prefix(topicEnd + 1);
  }
}

}  // namespace detail

/// Whether `pattern` matches `topic`, both valid. A first token `*` or `>` does not match the library's own topics.
///
/// @par Complexity  linear in the topic; no allocation.
[[nodiscard]] inline bool matches(std::string_view pattern, std::string_view topic) noexcept {
  if ((pattern.starts_with('*') || pattern.starts_with('>')) && isReservedTopic(topic)) return false;
  return detail::matchesTokens(pattern, topic);
}

}  // namespace qtforge::inline QTFORGE_ABI
