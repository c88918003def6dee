#pragma once
// qtforge/communication/detail/payload_depth.hpp: how deep JSON in a message may be nested.

#include <qtforge/communication/payload.hpp>
#include <qtforge/utils/error.hpp>

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Whether arrays and objects are nested more than `most` deep. Goes no deeper than that itself.
inline bool nestedDeeperThan(const boost::json::value& value, int most) noexcept {
  if (const auto* object = value.if_object()) {
    if (most == 0) return true;
    for (const auto& member : *object)
      if (member.value().is_structured() && nestedDeeperThan(member.value(), most - 1)) return true;
  } else if (const auto* array = value.if_array()) {
    if (most == 0) return true;
    for (const auto& item : *array)
      if (item.is_structured() && nestedDeeperThan(item, most - 1)) return true;
  }
  return false;
}

inline Error tooDeep(std::string_view topic) {
  return Error(Errc::LimitExceeded, "a message on \"" + std::string(topic) + "\": its payload is nested deeper than " +
                                        std::to_string(maxPayloadDepth) + " arrays and objects");
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
