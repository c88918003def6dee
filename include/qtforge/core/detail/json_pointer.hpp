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

/// Whether text can say all numbers in `value`, which is not nested too deeply for it.
///
/// @param place  else the pointer of the first that is NaN or infinite is put in front of it
inline bool isFinite(const boost::json::value& value, std::string& place) {
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object)
      if (!isFinite(member.value(), place)) return place = pointer({}, member.key()) + place, false;
  } else if (const auto* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      if (!isFinite((*array)[i], place)) return place = pointer({}, std::to_string(i)) + place, false;
  }
  return !value.is_double() || std::isfinite(value.get_double());
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
