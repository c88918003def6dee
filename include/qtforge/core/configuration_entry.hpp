#pragma once
// qtforge/core/configuration_entry.hpp: what a manifest declares about a plugin's settings, and whether a value fits it.

#include <qtforge/core/detail/json_equal.hpp>
#include <qtforge/core/detail/text_pattern.hpp>
#include <qtforge/utils/error.hpp>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Type of a setting, named as in JSON Schema. An Integer has 64 bits, with or without sign, and is also a Number.
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

/// Longest text, in bytes, that a setting with a pattern may have, and the most values in an "enum".
inline constexpr std::size_t maxPatternedText = 4096;
inline constexpr std::size_t maxConfigurationChoices = 256;

/// What text must match somewhere: a subset of ECMA-262's regular expressions, in which nothing can take long. It has
/// characters, `.`, classes, `\d \D \w \W \s \S \t \n \r \f \v \uXXXX`, `^`, `$`, `|`, groups, and `* + ? {m} {m,}
/// {m,n}`; no look-around, no references back. At most 256 bytes, 1000 steps with its repetitions written out.
class ConfigurationPattern {
 public:
  /// @return the pattern, or
  ///   - Errc::InvalidArgument  with the offset and what was expected there, or that it is too large
  static expected<ConfigurationPattern> parse(std::string_view text) {
    auto pattern = detail::TextPattern::parse(text);
    if (!pattern) return pattern.error();
    ConfigurationPattern made;
    made.text_ = text;
    made.pattern_ = std::make_shared<const detail::TextPattern>(std::move(*pattern));
    return made;
  }

  /// Whether it matches somewhere in `text`, which is UTF-8. @par Complexity  linear in the text.
  [[nodiscard]] bool matches(std::string_view text) const { return pattern_->matches(text); }

  /// As it was written.
  [[nodiscard]] const std::string& toString() const noexcept { return text_; }

  friend bool operator==(const ConfigurationPattern& one, const ConfigurationPattern& other) noexcept {
    return one.text_ == other.text_;
  }

 private:
  ConfigurationPattern() = default;
  std::string text_;
  std::shared_ptr<const detail::TextPattern> pattern_;
};

/// One setting that a plugin declares.
struct ConfigurationEntry {
  ConfigurationType type = ConfigurationType::String;
  std::optional<boost::json::value> defaultValue;
  std::string description;
  std::optional<boost::json::value> minimum;  ///< of Integer and Number: a number
  std::optional<boost::json::value> maximum;
  std::vector<boost::json::value> allowed;      ///< the manifest's "enum"; empty: anything
  std::optional<ConfigurationPattern> pattern;  ///< of String
  std::shared_ptr<const ConfigurationEntry> items;  ///< of Array: what each item must be; null: anything

  friend bool operator==(const ConfigurationEntry& one, const ConfigurationEntry& other) {
    const auto rest = [](const ConfigurationEntry& e) {
      return std::tie(e.type, e.defaultValue, e.description, e.minimum, e.maximum, e.allowed, e.pattern);
    };
    const bool alike = one.items && other.items ? *one.items == *other.items : one.items == other.items;
    return alike && rest(one) == rest(other);
  }
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

inline bool hasType(const boost::json::value& value, ConfigurationType type) {
  switch (type) {
    case ConfigurationType::Boolean: return value.is_bool();
    case ConfigurationType::Integer: return asInteger(value).has_value();
    case ConfigurationType::Number: return value.is_number() && (!value.is_double() || std::isfinite(value.get_double()));
    case ConfigurationType::String: return value.is_string();
    case ConfigurationType::Array: return value.is_array();
    case ConfigurationType::Object: return value.is_object();
  }
  return false;
}

/// A value for messages, cut where it is long.
inline std::string shown(const boost::json::value& value) {
  auto text = boost::json::serialize(value);
  if (text.size() > 200) text = text.substr(0, 200) + "...";
  return text;
}

/// The value, in the form that is kept: an Integer's is an integer, also if 30.0 was written.
inline boost::json::value settled(const ConfigurationEntry& entry, const boost::json::value& value) {
  if (entry.type == ConfigurationType::Integer)
    if (auto integer = asInteger(value)) return std::move(*integer);
  if (entry.type != ConfigurationType::Array || !entry.items || !value.is_array()) return value;
  boost::json::array items;
  for (const auto& item : value.get_array()) items.push_back(settled(*entry.items, item));
  return items;
}

}  // namespace detail

/// Checks a value against its declaration.
///
/// @param place  JSON pointer of the value, for the message
/// @return nothing, or
///   - Errc::ConfigurationInvalid  with the JSON pointer (of an item, where that is wrong), what was expected and what
///                                 came
inline expected<void> checkConfigurationValue(const ConfigurationEntry& entry, const boost::json::value& value,
                                              const std::string& place) {
  using detail::shown;
  const auto wrong = [&](const std::string& text) { return Error(Errc::ConfigurationInvalid, place + ": expected " + text); };
  if (!detail::hasType(value, entry.type)) {
    const bool number = value.is_number() && (entry.type == ConfigurationType::Integer || entry.type == ConfigurationType::Number);
    return wrong("a value of type " + std::string(toString(entry.type)) + ", got " +
                 (number ? shown(value) : std::string(detail::jsonKind(value))));
  }
  if (value.is_number()) {
    if (entry.minimum && !(detail::compareNumbers(value, *entry.minimum) >= 0))
      return wrong("at least " + shown(*entry.minimum) + ", got " + shown(value));
    if (entry.maximum && !(detail::compareNumbers(value, *entry.maximum) <= 0))
      return wrong("at most " + shown(*entry.maximum) + ", got " + shown(value));
  }
  if (entry.pattern && value.is_string()) {
    const std::string_view text(value.get_string().data(), value.get_string().size());
    if (text.size() > maxPatternedText)
      return wrong("at most " + std::to_string(maxPatternedText) + " bytes, got " + std::to_string(text.size()));
    if (!entry.pattern->matches(text)) return wrong("text that matches " + entry.pattern->toString() + ", got " + shown(value));
  }
  if (entry.items && value.is_array())
    for (std::size_t i = 0; i < value.get_array().size(); ++i)
      if (auto fine = checkConfigurationValue(*entry.items, value.get_array()[i], place + '/' + std::to_string(i)); !fine)
        return fine;
  const auto same = [&](const auto& choice) { return detail::sameJson(choice, value); };
  if (entry.allowed.empty() || std::any_of(entry.allowed.begin(), entry.allowed.end(), same)) return {};
  std::string choices;
  for (const auto& choice : entry.allowed) choices += (choices.empty() ? "" : ", ") + shown(choice);
  return wrong("one of " + choices + ", got " + shown(value));
}

}  // namespace qtforge::inline QTFORGE_ABI
