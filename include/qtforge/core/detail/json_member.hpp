#pragma once
// qtforge/core/detail/json_member.hpp: a member of a JSON object as the type that somebody asks for.

#include <qtforge/core/detail/nearest_word.hpp>
#include <qtforge/utils/error.hpp>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// @param what  such a member, in messages: "setting"
/// @return the value, or
///   - Errc::NameNotFound      there is none; with the nearest name that there is
///   - Errc::ConversionFailed  the value is no T
template <class T>
expected<T> jsonMember(const boost::json::object& object, std::string_view name, const char* what) {
  const auto named = std::string(what) + " \"" + std::string(name) + "\"";
  const auto* value = object.if_contains(name);
  if (!value) {
    std::vector<std::string_view> known;
    for (const auto& member : object) known.push_back(member.key());
    auto text = "no " + named + " has a value";
    if (const auto nearest = nearestWord(name, known)) text += "; did you mean \"" + std::string(*nearest) + "\"?";
    return Error(Errc::NameNotFound, text);
  }
  if constexpr (std::is_same_v<T, boost::json::value>) {
    return *value;
  } else {
    static_assert(boost::json::has_value_to<T>::value, "boost::json::value_to makes no T: see its documentation");
    auto made = boost::json::try_value_to<T>(*value);
    if (made) return std::move(*made);
    return Error(Errc::ConversionFailed, named + ": " + boost::json::serialize(*value) +
                                             " does not fit the type it was asked for as: " + made.error().message());
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
