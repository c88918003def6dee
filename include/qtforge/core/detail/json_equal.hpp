#pragma once
// qtforge/core/detail/json_equal.hpp: JSON numbers and values compared by what they are worth, as JSON Schema does.

#include <qtforge/utils/config.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstdint>
#include <optional>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The integer that a number is, 30.0 included, as int64 if it fits and else as uint64.
inline std::optional<boost::json::value> asInteger(const boost::json::value& value) {
  if (value.is_int64()) return value;
  if (value.is_uint64()) {
    const auto number = value.get_uint64();
    return number <= INT64_MAX ? boost::json::value(static_cast<std::int64_t>(number)) : value;
  }
  if (!value.is_double()) return std::nullopt;
  const double number = value.get_double();
  if (!(number >= -0x1p63 && number < 0x1p64) || std::trunc(number) != number) return std::nullopt;
  if (number < 0x1p63) return boost::json::value(static_cast<std::int64_t>(number));
  return boost::json::value(static_cast<std::uint64_t>(number));
}

/// Both are numbers. Exact, also between integers and doubles; unordered for NaN.
inline std::partial_ordering compareNumbers(const boost::json::value& a, const boost::json::value& b) {
  const auto left = asInteger(a), right = asInteger(b);
  if (left && right) {
    if (left->is_uint64() || right->is_uint64()) {  // above all of int64
      if (left->is_uint64() && right->is_uint64()) return left->get_uint64() <=> right->get_uint64();
      return left->is_uint64() ? std::partial_ordering::greater : std::partial_ordering::less;
    }
    return left->get_int64() <=> right->get_int64();
  }
  // One is a fraction, which is below 2^53, or beyond all integers: rounding the other moves it past neither, but may
  // bring it up to 2^64.
  if (left && b.get_double() >= 0x1p64) return std::partial_ordering::less;
  if (right && a.get_double() >= 0x1p64) return std::partial_ordering::greater;
  return a.to_number<double>() <=> b.to_number<double>();
}

/// Whether two values are the same to JSON: 1 and 1.0 are.
inline bool sameJson(const boost::json::value& a, const boost::json::value& b) {
  if (a.is_number() && b.is_number()) return compareNumbers(a, b) == 0;
  if (a.is_array() && b.is_array()) {
    const auto &left = a.get_array(), &right = b.get_array();
    return std::equal(left.begin(), left.end(), right.begin(), right.end(), &sameJson);
  }
  if (a.is_object() && b.is_object()) {
    const auto &left = a.get_object(), &right = b.get_object();
    return left.size() == right.size() && std::all_of(left.begin(), left.end(), [&](const auto& member) {
             const auto* other = right.if_contains(member.key());
             return other && sameJson(member.value(), *other);
           });
  }
  return a == b;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
