#pragma once
// qtforge/communication/detail/json_writer.hpp: JSON values as text, the same with any Boost, from which json_reader.hpp
// makes the same values, bit for bit.
//
// Boost's own text is not: how it writes doubles changed between versions, its parser's doubles are off by the last bit
// unless told otherwise, and NaN becomes no JSON. What JSON cannot say is an object with one key that begins with `$`:
//   {"$double": "NaN"}     also "Infinity", "-Infinity"; "NaN(8 bytes in hex)" for a NaN with other bits
//   {"$uint64": 5}         an unsigned number that would come back as a signed one
//   {"$string": "base64"}  text that is not UTF-8
//   {"$object": [[k, v]]}  an object with such text as a key
// Keys of users that begin with `$` are written with one `$` more.

#include <qtforge/communication/detail/base64.hpp>
#include <qtforge/communication/topic.hpp>

#include <boost/json/value.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Levels of arrays and objects in the text: writing and reading recurse.
inline constexpr std::size_t deepestJson = 1000;

inline constexpr std::uint64_t plainNaN = 0x7ff8'0000'0000'0000;

template <class Number>
void appendNumber(std::string& out, Number number) {
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof(text), number).ptr);
}

[[nodiscard]] inline bool isUtf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto length = utf8Length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  /// False, with some of it written, for a value that is nested more deeply than deepestJson.
  bool value(const boost::json::value& value, std::size_t depth = 0) {
    switch (value.kind()) {
      case boost::json::kind::null: out_ += "null"; return true;
      case boost::json::kind::bool_: out_ += value.get_bool() ? "true" : "false"; return true;
      case boost::json::kind::int64: appendNumber(out_, value.get_int64()); return true;
      case boost::json::kind::uint64: unsignedNumber(value.get_uint64()); return true;
      case boost::json::kind::double_: real(value.get_double()); return true;
      case boost::json::kind::string: text(value.get_string()); return true;
      case boost::json::kind::array: return array(value.get_array(), depth + 1);
      case boost::json::kind::object: return object(value.get_object(), depth + 1);
    }
    return false;
  }

  bool object(const boost::json::object& object, std::size_t depth = 1) {
    if (depth > deepestJson) return false;
    for (const auto& member : object)
      if (!isUtf8(member.key())) return pairs(object, depth);
    out_ += '{';
    bool first = true;
    for (const auto& member : object) {
      if (!std::exchange(first, false)) out_ += ',';
      const std::string_view key = member.key();
      quoted(key, key.starts_with('$') ? "\"$" : "\"");
      out_ += ':';
      if (!value(member.value(), depth)) return false;
    }
    out_ += '}';
    return true;
  }

  void text(std::string_view text) {
    if (isUtf8(text)) return quoted(text);
    out_ += R"({"$string":)";
    bytes({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    out_ += '}';
  }

  void bytes(std::span<const std::uint8_t> bytes) {
    out_ += '"';
    appendBase64(out_, bytes);
    out_ += '"';
  }

 private:
  bool array(const boost::json::array& array, std::size_t depth) {
    if (depth > deepestJson) return false;
    out_ += '[';
    bool first = true;
    for (const auto& element : array) {
      if (!std::exchange(first, false)) out_ += ',';
      if (!value(element, depth)) return false;
    }
    out_ += ']';
    return true;
  }

  bool pairs(const boost::json::object& object, std::size_t depth) {
    if (depth + 2 > deepestJson) return false;
    out_ += R"({"$object":[)";
    bool first = true;
    for (const auto& member : object) {
      if (!std::exchange(first, false)) out_ += ',';
      out_ += '[';
      text(member.key());
      out_ += ',';
      if (!value(member.value(), depth + 2)) return false;
      out_ += ']';
    }
    out_ += "]}";
    return true;
  }

  void unsignedNumber(std::uint64_t number) {
    constexpr auto largestSigned = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (number <= largestSigned) out_ += R"({"$uint64":)";
    appendNumber(out_, number);
    if (number <= largestSigned) out_ += '}';
  }

  void real(double number) {
    if (std::isfinite(number)) {
      const auto begin = out_.size();
      appendNumber(out_, number);  // the shortest text that gives this number again
      if (out_.find_first_of(".e", begin) == std::string::npos) out_ += ".0";
      return;
    }
    out_ += R"({"$double":")";
    const auto bits = std::bit_cast<std::uint64_t>(number);
    if (std::isinf(number)) {
      out_ += number > 0 ? "Infinity" : "-Infinity";
    } else {
      out_ += "NaN";
      if (bits != plainNaN) {
        char hex[16];
        out_ += '(';
        out_.append(hex, std::to_chars(hex, hex + sizeof(hex), bits, 16).ptr);  // its first digit is 7 or f
        out_ += ')';
      }
    }
    out_ += "\"}";
  }

  void quoted(std::string_view text, std::string_view begin = "\"") {
    out_ += begin;
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      out_ += text.substr(done, i - done);
      done = i + 1;
      escape(c);
    }
    out_ += text.substr(done);
    out_ += '"';
  }

  void escape(unsigned char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    switch (c) {
      case '"': out_ += "\\\""; break;
      case '\\': out_ += "\\\\"; break;
      case '\b': out_ += "\\b"; break;
      case '\f': out_ += "\\f"; break;
      case '\n': out_ += "\\n"; break;
      case '\r': out_ += "\\r"; break;
      case '\t': out_ += "\\t"; break;
      default: (((out_ += "\\u00") += digits[c >> 4]) += digits[c & 15]); break;
    }
  }

  std::string& out_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
