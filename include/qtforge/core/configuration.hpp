#pragma once
// qtforge/core/configuration.hpp: what a manifest declares about a plugin's settings, and whether a value fits it.

#include <qtforge/utils/error.hpp>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <cmath>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Type of a setting, named as in JSON Schema. An Integer is also a Number.
enum class ConfigurationType { Boolean, Integer, Number, String, Array, Object };

[[nodiscard]] inline std::string_view toString(ConfigurationType type) noexcept {
  constexpr std::string_view names[] = {"boolean", "integer", "number", "string", "array", "object"};
  return names[static_cast<std::size_t>(type)];
}

[[nodiscard]] inline std::optional<ConfigurationType> parseConfigurationType(std::string_view name) noexcept {
  for (int i = 0; i <= static_cast<int>(ConfigurationType::Object); ++i)
    if (toString(static_cast<ConfigurationType>(i)) == name) return static_cast<ConfigurationType>(i);
  return std::nullopt;
}

/// One setting that a plugin declares.
struct ConfigurationEntry {
  ConfigurationType type = ConfigurationType::String;
  std::optional<boost::json::value> defaultValue;
  std::string description;
  std::optional<boost::json::value> minimum;  ///< of Integer and Number: a number
  std::optional<boost::json::value> maximum;
  std::vector<boost::json::value> allowed;  ///< the manifest's "enum"; empty: anything
};

namespace detail {

/// "a string", "an array": for messages.
inline std::string_view jsonKind(const boost::json::value& value) noexcept {
  switch (value.kind()) {
    case boost::json::kind::null: return "null";
    case boost::json::kind::bool_: return "a boolean";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_: return "a number";
    case boost::json::kind::string: return "a string";
    case boost::json::kind::array: return "an array";
    case boost::json::kind::object: return "an object";
  }
  return "?";
}

/// Both are numbers. Integers are compared exactly, whatever their sign.
inline std::partial_ordering compareNumbers(const boost::json::value& a, const boost::json::value& b) {
  if (a.is_double() || b.is_double()) return a.to_number<double>() <=> b.to_number<double>();
  const bool aNegative = a.is_int64() && a.get_int64() < 0, bNegative = b.is_int64() && b.get_int64() < 0;
  if (aNegative != bNegative) return aNegative ? std::partial_ordering::less : std::partial_ordering::greater;
  if (aNegative) return a.get_int64() <=> b.get_int64();
  return a.to_number<std::uint64_t>() <=> b.to_number<std::uint64_t>();
}

inline bool hasType(const boost::json::value& value, ConfigurationType type) noexcept {
  switch (type) {
    case ConfigurationType::Boolean: return value.is_bool();
    case ConfigurationType::Integer:
      return value.is_int64() || value.is_uint64() ||
             (value.is_double() && std::nearbyint(value.get_double()) == value.get_double());
    case ConfigurationType::Number: return value.is_number();
    case ConfigurationType::String: return value.is_string();
    case ConfigurationType::Array: return value.is_array();
    case ConfigurationType::Object: return value.is_object();
  }
  return false;
}

}  // namespace detail

/// Checks a value against its declaration.
///
/// @return nothing, or
///   - Errc::InvalidArgument  saying what was expected and what came
inline expected<void> checkConfigurationValue(const ConfigurationEntry& entry, const boost::json::value& value) {
  const auto wrong = [](std::string text) { return Error(Errc::InvalidArgument, std::move(text)); };
  const auto shown = [](const boost::json::value& v) { return boost::json::serialize(v); };
  if (!detail::hasType(value, entry.type)) {
    const bool fraction = entry.type == ConfigurationType::Integer && value.is_double();
    return wrong("expected a value of type " + std::string(toString(entry.type)) + ", got " +
                 (fraction ? shown(value) : std::string(detail::jsonKind(value))));
  }
  if (value.is_number()) {
    if (entry.minimum && !(detail::compareNumbers(value, *entry.minimum) >= 0))
      return wrong("expected at least " + shown(*entry.minimum) + ", got " + shown(value));
    if (entry.maximum && !(detail::compareNumbers(value, *entry.maximum) <= 0))
      return wrong("expected at most " + shown(*entry.maximum) + ", got " + shown(value));
  }
  if (entry.allowed.empty()) return {};
  std::string choices;
  for (const auto& choice : entry.allowed) {
    if (choice == value) return {};
    choices += (choices.empty() ? "" : ", ") + shown(choice);
  }
  return wrong("expected one of " + choices + ", got " + shown(value));
}

}  // namespace qtforge::inline QTFORGE_ABI
