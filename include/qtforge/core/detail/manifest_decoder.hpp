#pragma once
// qtforge/core/detail/manifest_decoder.hpp: JSON to Manifest; collects all that is wrong, each with its JSON pointer.

#include <qtforge/communication/topic.hpp>
#include <qtforge/core/detail/configuration_decoder.hpp>
#include <qtforge/core/detail/environment_variable.hpp>
#include <qtforge/core/manifest.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parser.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

class ManifestDecoder : public ConfigurationDecoder {
 public:
  ManifestDecoder(std::filesystem::path file, Manifest& out) : ConfigurationDecoder(std::move(file)), out_(out) {}

  void decode(const boost::json::value& root) {
    const auto* fields = object(root, "");
    if (!fields) return;
    checkNumbers(root, "");
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
    readActivation(*fields);
    readLane(*fields);
    readDependencies(*fields);
    readConfiguration(*fields, out_.configuration);
    readPythonConfig(*fields);
    warnUnknown(*fields, "", std::array<std::string_view, 17>{
        "$schema", "name", "version", "description", "author", "license", "language", "entry_point", "main_class",
        "dependencies", "python_requirements", "capabilities", "interfaces", "configuration", "python_config", "lane",
        "activation"});
    out_.warnings = std::move(warnings_);
  }

 private:
  void readActivation(const Object& fields) {
    constexpr std::string_view onTopic = "onTopic:", onInterface = "onInterface:";
    std::vector<std::string> conditions;
    readStrings(fields, "", "activation", conditions);
    for (std::size_t i = 0; i < conditions.size(); ++i) {
      const auto place = "/activation/" + std::to_string(i);
      const std::string_view text = conditions[i];
      if (text.starts_with(onTopic)) {
        const auto pattern = text.substr(onTopic.size());
        if (auto fine = checkPattern(pattern); fine) out_.activation.topics.emplace_back(pattern);
        else wrong(place, fine.error().message());
      } else if (text.starts_with(onInterface) && text.size() > onInterface.size()) {
        out_.activation.interfaces.emplace_back(text.substr(onInterface.size()));
      } else {
        wrong(place, "expected \"onTopic:PATTERN\" or \"onInterface:NAME\", got \"" + std::string(text) + '"');
      }
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
    std::set<std::string> named;
    for (std::size_t i = 0; i < items->size(); ++i) {
      const auto place = "/dependencies/" + std::to_string(i);
      if (auto dependency = readDependency((*items)[i], place)) {
        if (!named.insert(dependency->name).second) wrong(place, "\"" + dependency->name + "\" is named twice");
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

  void readPythonConfig(const Object& fields) {
    const auto* value = fields.if_contains("python_config");
    const auto* config = value ? object(*value, "/python_config") : nullptr;
    if (!config) return;
    auto& to = out_.pythonConfig;
    read(*config, "/python_config", "interpreter", to.interpreter);
    read(*config, "/python_config", "virtual_env", to.virtualEnv);
    for (const auto& [field, text] : {std::pair("interpreter", &to.interpreter), std::pair("virtual_env", &to.virtualEnv)})
      if (text->find('\0') != std::string::npos) wrong(pointer("/python_config", field), "expected text without NUL bytes");
    if (const auto* pth = config->if_contains("pth_files")) {
      if (pth->is_bool()) to.pthFiles = pth->get_bool();
      else mismatch("/python_config/pth_files", "a boolean", *pth);
    }
    readStrings(*config, "/python_config", "sys_path_additions", to.sysPathAdditions);
    if (const auto* variables = config->if_contains("environment_variables")) {
      constexpr auto base = "/python_config/environment_variables";
      if (const auto* pairs = object(*variables, base)) {
        for (const auto& [key, text] : *pairs) {
          const std::string_view name = key;
          if (const auto why = whyPluginsVariableIsRefused(name); !why.empty()) wrong(pointer(base, name), why);
          if (text.is_string() && text.get_string().find('\0') != boost::json::string::npos)
            wrong(pointer(base, name), "expected text without NUL bytes");
          if (std::string content; read(*pairs, base, name, content))
            to.environmentVariables.emplace_back(name, std::move(content));
        }
      }
    }
    warnUnknown(*config, "/python_config", std::array<std::string_view, 5>{
        "interpreter", "virtual_env", "sys_path_additions", "environment_variables", "pth_files"});
  }

  Manifest& out_;
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
