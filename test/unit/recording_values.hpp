#pragma once
// What the tests of recordings share: values of all kinds, and whether two are equal bit for bit.

#include <qtforge/communication/recorded_message.hpp>

#include <boost/json/value.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace test {

namespace json = boost::json;

/// Unlike ==: kinds, the bits of numbers and the order of keys count.
inline bool identical(const json::value& a, const json::value& b);

inline bool identical(const json::object& a, const json::object& b) {
  if (a.size() != b.size()) return false;
  for (auto x = a.begin(), y = b.begin(); x != a.end(); ++x, ++y)
    if (x->key() != y->key() || !identical(x->value(), y->value())) return false;
  return true;
}

inline bool identical(const json::value& a, const json::value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_double()) return std::bit_cast<std::uint64_t>(a.get_double()) == std::bit_cast<std::uint64_t>(b.get_double());
  if (a.is_object()) return identical(a.get_object(), b.get_object());
  if (!a.is_array()) return a == b;
  if (a.get_array().size() != b.get_array().size()) return false;
  for (std::size_t i = 0; i < a.get_array().size(); ++i)
    if (!identical(a.get_array()[i], b.get_array()[i])) return false;
  return true;
}

inline bool identical(const qtforge::BinaryMessage& a, const qtforge::BinaryMessage& b) {
  return a.data == b.data && a.contentType == b.contentType && a.dtype == b.dtype && a.shape == b.shape;
}

inline bool identical(const qtforge::Attachments& a, const qtforge::Attachments& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].place != b[i].place || a[i].data != b[i].data) return false;
  return true;
}

/// Values that are hard to keep, drawn by a seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_); }

  double real() {
    constexpr double special[] = {0.0, -0.0, 1.0, -1.0, 1e22, 1e23, 123456789012345680.0, 5e-324, 2.2250738585072014e-308,
                                  1.7976931348623157e308, 0.1, 1e-7, 1700000000.123456, 9007199254740993.0,
                                  std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                                  std::numeric_limits<double>::quiet_NaN()};
    switch (below(4)) {
      case 0: return special[below(std::size(special))];
      case 1: return static_cast<double>(static_cast<std::int64_t>(engine_() >> below(64)));  // integral
      case 2: return 1.7e9 + static_cast<double>(engine_() % 1'000'000'000) * 1e-6;           // time stamps
      default: return std::bit_cast<double>(engine_());  // NaNs of all kinds included
    }
  }

  std::string text() {
    static const std::vector<std::string> parts{
        "a", "key", "$", "$$", "$double", "$object", "\"", "\\", "/", "\n", "\r\n", "\t", "\b", "\f", std::string(1, '\0'),
        "\x01", "\x1f", "\x7f", "é", "ß", "日本", "\U0001F600", "\u2028", "\u2029", "\uFEFF", "{", "}", ":", ",", "NaN"};
    static const std::vector<std::string> invalid{"\x80", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5", "\xe2\x82"};
    std::string made;
    for (auto n = below(5); n > 0; --n) made += parts[below(parts.size())];
    if (below(20) == 0) made += invalid[below(invalid.size())];
    if (below(50) == 0) made += std::string(5000, 'x');
    return made;
  }

  std::vector<std::uint8_t> bytes() {
    std::vector<std::uint8_t> made(below(40));
    for (auto& byte : made) byte = static_cast<std::uint8_t>(engine_());
    return made;
  }

  json::value value(int depth = 5) {
    switch (below(depth > 0 ? 9 : 7)) {
      case 0: return nullptr;
      case 1: return below(2) == 0;
      case 2: return static_cast<std::int64_t>(engine_() >> below(64)) * (below(2) == 0 ? 1 : -1);
      case 3: return static_cast<std::uint64_t>(engine_() >> below(64));
      case 4: return std::numeric_limits<std::int64_t>::min() + static_cast<std::int64_t>(below(2));
      case 5: return real();
      case 6: return json::value(json::string(text()));
      case 7: {
        json::array made;
        for (auto n = below(6); n > 0; --n) made.push_back(value(depth - 1));
        return made;
      }
      default: return object(depth - 1);
    }
  }

  json::object object(int depth = 4) {
    json::object made;
    for (auto n = below(6); n > 0; --n) made[text()] = value(depth);
    return made;
  }

 private:
  std::mt19937_64 engine_;
};

/// An array in arrays, so many levels deep.
inline json::value nested(std::size_t levels) {
  json::value made = json::array();
  for (std::size_t i = 1; i < levels; ++i) {
    json::array outer;
    outer.push_back(std::move(made));
    made = std::move(outer);
  }
  return made;
}

}  // namespace test
