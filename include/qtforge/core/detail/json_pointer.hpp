#pragma once
// qtforge/core/detail/json_pointer.hpp: places in JSON, as RFC 6901 writes them.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

inline std::string pointer(std::string_view base, std::string_view key) {
  std::string out(base);
  out += '/';
  for (const char c : key) c == '~' ? out += "~0" : c == '/' ? out += "~1" : out += c;
  return out;
}

/// Whether text can say all numbers in `value`.
///
/// @param place   else the pointer of the first that is NaN or infinite is put in front of it
/// @param levels  how deep it looks
inline bool isFinite(const boost::json::value& value, std::string& place, std::size_t levels = 1000) {
  if (levels == 0) return true;
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object)
      if (!isFinite(member.value(), place, levels - 1)) return place = pointer({}, member.key()) + place, false;
  } else if (const auto* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      if (!isFinite((*array)[i], place, levels - 1)) return place = pointer({}, std::to_string(i)) + place, false;
  }
  return !value.is_double() || std::isfinite(value.get_double());
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
