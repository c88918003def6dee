#pragma once
// qtforge/core/detail/configuration_decoder.hpp: the declarations of settings in a manifest.

#include <qtforge/core/detail/field_reader.hpp>

#include <array>
#include <map>
#include <memory>

namespace qtforge::inline QTFORGE_ABI::detail {

class ConfigurationDecoder : public FieldReader {
 public:
  using FieldReader::FieldReader;

 protected:
  void readConfiguration(const Object& fields, std::map<std::string, ConfigurationEntry>& out) {
    const auto* value = fields.if_contains("configuration");
    const auto* entries = value ? object(*value, "/configuration") : nullptr;
    if (!entries) return;
    for (const auto& [key, declared] : *entries) {
      const auto place = pointer("/configuration", key);
      if (key.empty()) wrong(place, "the name of a setting is empty");
      const auto* entry = object(declared, place);
      if (!entry) continue;
      out[std::string(key)] = readEntry(*entry, place, true);
      warnUnknown(*entry, place, std::array<std::string_view, 8>{"type", "default", "description", "minimum", "maximum",
                                                                 "enum", "pattern", "items"});
    }
  }

 private:
  // A setting, or what the items of one must be, which have no default.
  ConfigurationEntry readEntry(const Object& fields, const std::string& place, bool hasDefault) {
    ConfigurationEntry entry;
    constexpr auto types = "\"boolean\", \"integer\", \"number\", \"string\", \"array\" or \"object\"";
    bool typed = false;
    if (!fields.contains("type")) wrong(place + "/type", std::string("required, but missing: ") + types);
    if (std::string name; read(fields, place, "type", name)) {
      const auto type = parseConfigurationType(name);
      typed = type.has_value();
      if (type) entry.type = *type;
      else wrong(place + "/type", std::string("expected ") + types + ", got \"" + name + '"');
    }
    read(fields, place, "description", entry.description);
    const auto problems = problems_.size();
    readBounds(fields, place, typed, entry);
    readPattern(fields, place, typed, entry);
    readItems(fields, place, typed, entry);
    if (const auto* choices = fields.if_contains("enum")) {
      if (!choices->is_array() || choices->get_array().empty() || choices->get_array().size() > maxConfigurationChoices)
        wrong(place + "/enum", "expected an array of 1 to " + std::to_string(maxConfigurationChoices) + " values");
      else entry.allowed.assign(choices->get_array().begin(), choices->get_array().end());
      for (std::size_t i = 0; typed && i < entry.allowed.size(); ++i)
        if (!hasType(entry.allowed[i], entry.type))
          wrong(place + "/enum/" + std::to_string(i), "expected a value of type " + std::string(toString(entry.type)) +
                                                          ", got " + shown(entry.allowed[i]));
        else entry.allowed[i] = settled(entry, entry.allowed[i]);
    }
    const auto* value = hasDefault ? fields.if_contains("default") : nullptr;
    if (!value || !typed || problems_.size() != problems) return entry;  // no second complaint about the same
    if (auto fine = checkConfigurationValue(entry, *value, place + "/default"); !fine) wrong(fine.error().message());
    else entry.defaultValue = settled(entry, *value);
    return entry;
  }

  void readBounds(const Object& fields, const std::string& place, bool typed, ConfigurationEntry& entry) {
    const bool numeric = entry.type == ConfigurationType::Integer || entry.type == ConfigurationType::Number;
    for (const bool upper : {false, true}) {
      const std::string_view key = upper ? "maximum" : "minimum";
      const auto* bound = fields.if_contains(key);
      if (!bound) continue;
      if (!hasType(*bound, ConfigurationType::Number)) mismatch(pointer(place, key), "a number", *bound);
      else if (typed && !numeric) wrong(pointer(place, key), "only numbers have one");
      else (upper ? entry.maximum : entry.minimum) = *bound;
    }
    if (entry.minimum && entry.maximum && !(compareNumbers(*entry.minimum, *entry.maximum) <= 0))
      wrong(place + "/minimum", "expected no more than the maximum");
  }

  void readPattern(const Object& fields, const std::string& place, bool typed, ConfigurationEntry& entry) {
    std::string text;
    if (!read(fields, place, "pattern", text)) return;
    auto pattern = ConfigurationPattern::parse(text);
    if (typed && entry.type != ConfigurationType::String) wrong(place + "/pattern", "only strings have one");
    else if (!pattern) wrong(place + "/pattern", pattern.error().message());
    else entry.pattern = std::move(*pattern);
  }

  void readItems(const Object& fields, const std::string& place, bool typed, ConfigurationEntry& entry) {
    const auto* value = fields.if_contains("items");
    const auto inner = place + "/items";
    const auto* items = value ? object(*value, inner) : nullptr;
    if (!items) return;
    if (typed && entry.type != ConfigurationType::Array) return wrong(inner, "only arrays have them");
    entry.items = std::make_shared<const ConfigurationEntry>(readEntry(*items, inner, false));
    warnUnknown(*items, inner, std::array<std::string_view, 7>{"type", "description", "minimum", "maximum", "enum",
                                                               "pattern", "items"});
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
