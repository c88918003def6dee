#pragma once
// qtforge/core/detail/manifest_decoder.hpp: JSON to Manifest; collects all that is wrong, each with its JSON pointer.

#include <qtforge/core/detail/nearest_word.hpp>
#include <qtforge/core/manifest.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parser.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

class ManifestDecoder {
 public:
  ManifestDecoder(std::filesystem::path file, Manifest& out) : file_(std::move(file)), out_(out) {}

  void decode(const boost::json::value& root) {
    const auto* fields = object(root, "");
    if (!fields) return;
    for (const auto required : {"name", "version", "language", "entry_point"})
      if (!fields->contains(required)) wrong(std::string("/") + required, "required, but missing");
    read(*fields, "", "name", out_.name);
    if (fields->contains("name") && fields->at("name").is_string())
      if (auto fine = checkPluginName(out_.name); !fine) wrong("/name", fine.error().message());
    if (std::string text; read(*fields, "", "version", text)) {
      if (auto version = parseVersion(text); version) out_.version = std::move(*version);
      else wrong("/version", version.error().message());
    }
    read(*fields, "", "description", out_.description);
    read(*fields, "", "author", out_.author);
    read(*fields, "", "license", out_.license);
    if (read(*fields, "", "language", out_.language)) {
      if (out_.language.empty()) wrong("/language", "expected \"python\" or \"cpp\", got an empty string");
      if (out_.language == "c++" || out_.language == "native") out_.language = "cpp";
    }
    if (read(*fields, "", "entry_point", out_.entryPoint) && out_.entryPoint.empty())
      wrong("/entry_point", "expected a file name, got an empty string");
    read(*fields, "", "main_class", out_.mainClass);
    readStrings(*fields, "", "python_requirements", out_.pythonRequirements);
    readStrings(*fields, "", "capabilities", out_.capabilities);
    readStrings(*fields, "", "interfaces", out_.interfaces);
    readLane(*fields);
    readDependencies(*fields);
    readConfiguration(*fields);
    readPythonConfig(*fields);
    warnUnknown(*fields, "", std::array<std::string_view, 16>{
        "$schema", "name", "version", "description", "author", "license", "language", "entry_point", "main_class",
        "dependencies", "python_requirements", "capabilities", "interfaces", "configuration", "python_config", "lane"});
  }

  [[nodiscard]] expected<void> result() const {
    if (problems_.empty()) return {};
    return Error(Errc::ManifestInvalid, problems_);
  }

 private:
  using Object = boost::json::object;

  static std::string pointer(std::string_view base, std::string_view key) {  // RFC 6901
    std::string out(base);
    out += '/';
    for (const char c : key) c == '~' ? out += "~0" : c == '/' ? out += "~1" : out += c;
    return out;
  }

  void wrong(const std::string& place, std::string_view reason) {
    problems_ += (problems_.empty() ? "" : "; ") + file_.string() + ": " + (place.empty() ? "/" : place) + ": ";
    problems_ += reason;
  }
  void mismatch(const std::string& place, std::string_view wanted, const boost::json::value& got) {
    wrong(place, "expected " + std::string(wanted) + ", got " + std::string(jsonKind(got)));
  }

  const Object* object(const boost::json::value& value, const std::string& place) {
    if (const auto* fields = value.if_object()) return fields;
    mismatch(place, "an object", value);
    return nullptr;
  }

  // Whether it is there and a string.
  bool read(const Object& fields, std::string_view base, std::string_view key, std::string& to) {
    const auto* value = fields.if_contains(key);
    if (!value) return false;
    const auto* text = value->if_string();
    if (!text) {
      mismatch(pointer(base, key), "a string", *value);
      return false;
    }
    to.assign(text->data(), text->size());
    return true;
  }

  void readStrings(const Object& fields, std::string_view base, std::string_view key, std::vector<std::string>& to) {
    const auto* value = fields.if_contains(key);
    if (!value) return;
    const auto place = pointer(base, key);
    const auto* items = value->if_array();
    if (!items) return mismatch(place, "an array of strings", *value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (const auto* text = (*items)[i].if_string()) to.emplace_back(text->data(), text->size());
      else mismatch(place + '/' + std::to_string(i), "a string", (*items)[i]);
    }
  }

  void readLane(const Object& fields) {
    std::string lane;
    if (!read(fields, "", "lane", lane)) return;
    if (lane == "own") out_.lane = PluginLane::Own;
    else if (lane != "shared") wrong("/lane", "expected \"shared\" or \"own\", got \"" + lane + '"');
  }

  void readDependencies(const Object& fields) {
    const auto* value = fields.if_contains("dependencies");
    if (!value) return;
    const auto* items = value->if_array();
    if (!items) return mismatch("/dependencies", "an array", *value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      const auto place = "/dependencies/" + std::to_string(i);
      if (auto dependency = readDependency((*items)[i], place)) {
        const auto same = [&](const Dependency& other) { return other.name == dependency->name; };
        if (std::any_of(out_.dependencies.begin(), out_.dependencies.end(), same))
          wrong(place, "\"" + dependency->name + "\" is named twice");
        out_.dependencies.push_back(std::move(*dependency));
      }
    }
  }

  std::optional<Dependency> readDependency(const boost::json::value& value, const std::string& place) {
    if (const auto* text = value.if_string()) {
      auto dependency = parseDependency({text->data(), text->size()});
      if (dependency) return std::move(*dependency);
      wrong(place, dependency.error().message());
      return std::nullopt;
    }
    const auto* fields = value.if_object();
    if (!fields) {
      mismatch(place, "a string such as \"Core >= 1.0.0\" or an object", value);
      return std::nullopt;
    }
    Dependency dependency;
    if (!fields->contains("name")) wrong(place + "/name", "required, but missing");
    if (read(*fields, place, "name", dependency.name))
      if (auto fine = checkPluginName(dependency.name); !fine) wrong(place + "/name", fine.error().message());
    if (std::string text; read(*fields, place, "version", text)) {
      if (auto range = parseVersionRange(text); range) dependency.range = std::move(*range);
      else wrong(place + "/version", range.error().message());
    }
    if (const auto* optional = fields->if_contains("optional")) {
      if (optional->is_bool()) dependency.optional = optional->get_bool();
      else mismatch(place + "/optional", "a boolean", *optional);
    }
    warnUnknown(*fields, place, std::array<std::string_view, 3>{"name", "version", "optional"});
    return dependency;
  }

  void readConfiguration(const Object& fields) {
    const auto* value = fields.if_contains("configuration");
    const auto* entries = value ? object(*value, "/configuration") : nullptr;
    if (!entries) return;
    for (const auto& [key, declared] : *entries) {
      const auto place = pointer("/configuration", key);
      if (const auto* entry = object(declared, place)) out_.configuration[std::string(key)] = readEntry(*entry, place);
    }
  }

  ConfigurationEntry readEntry(const Object& fields, const std::string& place) {
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
    const bool numeric = entry.type == ConfigurationType::Integer || entry.type == ConfigurationType::Number;
    for (const bool upper : {false, true}) {
      const std::string_view key = upper ? "maximum" : "minimum";
      const auto* bound = fields.if_contains(key);
      if (!bound) continue;
      if (!bound->is_number()) mismatch(pointer(place, key), "a number", *bound);
      else if (typed && !numeric) wrong(pointer(place, key), "only numbers have one");
      else (upper ? entry.maximum : entry.minimum) = *bound;
    }
    if (entry.minimum && entry.maximum && !(compareNumbers(*entry.minimum, *entry.maximum) <= 0))
      wrong(place + "/minimum", "expected no more than the maximum");
    if (const auto* choices = fields.if_contains("enum")) {
      if (!choices->is_array() || choices->get_array().empty())
        mismatch(place + "/enum", "an array with at least one value", *choices);
      else entry.allowed.assign(choices->get_array().begin(), choices->get_array().end());
      for (std::size_t i = 0; typed && i < entry.allowed.size(); ++i)
        if (!hasType(entry.allowed[i], entry.type))
          mismatch(place + "/enum/" + std::to_string(i), "a value of type " + std::string(toString(entry.type)),
                   entry.allowed[i]);
    }
    if (const auto* value = fields.if_contains("default")) {
      entry.defaultValue = *value;
      if (auto fine = checkConfigurationValue(entry, *value); typed && !fine)
        wrong(place + "/default", fine.error().message());
    }
    warnUnknown(fields, place, std::array<std::string_view, 8>{"type", "default", "description", "minimum", "maximum",
                                                               "enum", "pattern", "items"});
    return entry;
  }

  void readPythonConfig(const Object& fields) {
    const auto* value = fields.if_contains("python_config");
    const auto* config = value ? object(*value, "/python_config") : nullptr;
    if (!config) return;
    auto& to = out_.pythonConfig;
    read(*config, "/python_config", "interpreter", to.interpreter);
    read(*config, "/python_config", "virtual_env", to.virtualEnv);
    readStrings(*config, "/python_config", "sys_path_additions", to.sysPathAdditions);
    if (const auto* variables = config->if_contains("environment_variables")) {
      constexpr auto base = "/python_config/environment_variables";
      if (const auto* pairs = object(*variables, base)) {
        for (const auto& [key, text] : *pairs) {
          const std::string_view name = key;
          if (name.empty() || name.find('=') != std::string_view::npos || name.find('\0') != std::string_view::npos)
            wrong(pointer(base, name), "not a name for an environment variable");
          if (text.is_string() && text.get_string().find('\0') != boost::json::string::npos)
            wrong(pointer(base, name), "expected text without NUL bytes");
          if (std::string content; read(*pairs, base, name, content))
            to.environmentVariables.emplace_back(name, std::move(content));
        }
      }
    }
    warnUnknown(*config, "/python_config", std::array<std::string_view, 4>{
        "interpreter", "virtual_env", "sys_path_additions", "environment_variables"});
  }

  void warnUnknown(const Object& fields, std::string_view base, std::span<const std::string_view> known) {
    for (const auto& [key, value] : fields) {
      if (std::find(known.begin(), known.end(), std::string_view(key)) != known.end()) continue;
      auto text = file_.string() + ": " + pointer(base, key) + ": unknown field, ignored";
      if (const auto nearest = nearestWord(key, known)) text += "; did you mean \"" + std::string(*nearest) + "\"?";
      out_.warnings.push_back(std::move(text));
    }
  }

  std::filesystem::path file_;
  Manifest& out_;
  std::string problems_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail

namespace qtforge::inline QTFORGE_ABI {

inline expected<Manifest> parseManifest(std::string_view text, const std::filesystem::path& folder) {
  const auto file = folder / manifestFileName;
  const auto wrong = [&](const std::string& reason) {
    return Error(Errc::ManifestInvalid, file.string() + ": " + reason);
  };
  if (text.size() > maxManifestSize) return wrong("larger than 1 MiB");
  const std::size_t skipped = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;  // a byte order mark, as some editors write
  boost::json::parse_options options;
  options.max_depth = maxManifestDepth;
  boost::json::parser parser({}, options);
  boost::system::error_code failure;
  const auto used = parser.write(text.data() + skipped, text.size() - skipped, failure) + skipped;
  if (failure == boost::json::error::too_deep)
    return wrong("nested deeper than " + std::to_string(maxManifestDepth) + " at offset " + std::to_string(used));
  if (failure) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(used), '\n');
    return wrong("not valid JSON: " + failure.message() + " at offset " + std::to_string(used) + " (line " +
                 std::to_string(line) + ")");
  }
  Manifest manifest;
  std::error_code ignored;
  manifest.folder = std::filesystem::absolute(folder, ignored).lexically_normal();
  detail::ManifestDecoder decoder(file, manifest);
  decoder.decode(parser.release());
  if (auto fine = decoder.result(); !fine) return fine.error();
  return manifest;
}

}  // namespace qtforge::inline QTFORGE_ABI
