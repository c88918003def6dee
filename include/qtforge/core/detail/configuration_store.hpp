#pragma once
// qtforge/core/detail/configuration_store.hpp: where the values of a plugin's settings come from, and how they change.

#include <qtforge/core/configuration.hpp>
#include <qtforge/core/detail/field_reader.hpp>
#include <qtforge/core/detail/json_file.hpp>
#include <qtforge/core/manifest.hpp>

#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr JsonFileKind configurationFile{"configuration", maxManifestSize, Errc::ConfigurationInvalid};

/// The values of one plugin. What the host sets goes before the environment, that before the file, that before defaults.
///
/// @par Thread safety  `values` any thread; the rest one at a time: the winner of a lifecycle step.
class ConfigurationStore {
 public:
  ConfigurationStore(std::string_view plugin, std::map<std::string, ConfigurationEntry> entries)
      : entries_(std::move(entries)), prefix_("QTFORGE_" + folded(plugin) + "_"), values_(inForce(sources_)) {}

  [[nodiscard]] Configuration values() const {
    std::lock_guard lock(mutex_);
    return values_;
  }

  /// For plugins; lives as long as this.
  [[nodiscard]] ConfigurationSource source() const noexcept { return {const_cast<ConfigurationStore*>(this), &read}; }

  /// Takes over QTFORGE_<PLUGIN>_<KEY> for every setting.
  ///
  /// @return nothing, or
  ///   - Errc::ConfigurationInvalid  naming variable, setting and reason
  expected<void> readEnvironment() {
    boost::json::object found;
    for (const auto& [key, entry] : entries_) {
      const auto variable = prefix_ + folded(key);
      const char* text = std::getenv(variable.c_str());
      if (!text) continue;
      auto value = fromText(entry, text, pointer("", key));
      if (value) value = checked(entry, std::move(*value), pointer("", key));
      if (!value) return value.error().within("environment variable " + variable);
      found[key] = std::move(*value);
    }
    sources_.environment = std::move(found);
    setValues(inForce(sources_));
    return {};
  }

  [[nodiscard]] const std::map<std::string, ConfigurationEntry>& entries() const noexcept { return entries_; }

  /// Takes over what the host has set and what was in the file, as far as these settings still have it.
  ///
  /// @return the settings that they have no longer, or
  ///   - Errc::ConfigurationInvalid  a value does not fit: all of them, each with its JSON pointer
  expected<std::vector<std::string>> inherit(const ConfigurationStore& before) {
    auto sources = sources_;
    std::vector<std::string> gone;
    const auto take = [&](const boost::json::object& from, boost::json::object& to) {
      boost::json::object known;
      for (const auto& [key, value] : from) {
        if (entries_.contains(std::string(key))) known[key] = value;
        else gone.emplace_back(key);
      }
      return merge(known, to, nullptr);
    };
    if (auto taken = take(before.sources_.file, sources.file); !taken) return taken.error();
    if (auto taken = take(before.sources_.host, sources.host); !taken) return taken.error();
    sources_ = std::move(sources);
    setValues(inForce(sources_));
    return gone;
  }
  /// After inherit(): keeps the values where `before` did, which does no longer.
  void takeFile(ConfigurationStore& before) { file_.swap(before.file_); }

  struct Sources {
    boost::json::object file, environment, host;
  };
  /// What would be if it was committed.
  struct Change {
    Sources sources;
    Configuration before, after;
    std::optional<JsonFile> file;  // the new one
    std::optional<JsonFile::Staged> staged;

    [[nodiscard]] bool differs() const { return before.values() != after.values(); }
  };

  /// What the host wants: values by name, null for "as if the host had never said anything".
  ///
  /// @return the change, or
  ///   - Errc::ConfigurationInvalid  all that is wrong, each with its JSON pointer
  ///   - Errc::FileFailed            the file that keeps the values cannot be written
  expected<Change> prepare(const boost::json::value& wanted) const {
    const auto* object = wanted.if_object();
    if (!object)
      return Error(Errc::ConfigurationInvalid, "/: expected an object, got " + std::string(jsonKind(wanted)));
    auto sources = sources_;
    if (auto set = merge(*object, sources.host, &sources.file); !set) return set.error();
    auto change = changeTo(std::move(sources));
    if (file_) {
      auto staged = file_->stage(kept(change.sources));
      if (!staged) return staged.error();
      change.staged.emplace(std::move(*staged));
    }
    return change;
  }

  /// What is in `path`, which keeps the values from then on.
  ///
  /// @return the change, or
  ///   - Errc::ConfigurationInvalid  what is in it is no JSON object, or no values of this plugin's settings
  ///   - Errc::FileFailed            it cannot be read or written
  expected<Change> prepareFile(const std::filesystem::path& path) const {
    auto opened = JsonFile::open(path, configurationFile);
    if (!opened) return opened.error();
    auto sources = sources_;
    sources.file.clear();
    if (auto set = merge(opened->second, sources.file, nullptr); !set) return set.error().within(opened->first.name());
    auto change = changeTo(std::move(sources));
    change.file.emplace(std::move(opened->first));
    if (!change.sources.host.empty()) {
      auto staged = change.file->stage(kept(change.sources));
      if (!staged) return staged.error();
      change.staged.emplace(std::move(*staged));
    }
    return change;
  }

  /// Makes it so.
  ///
  /// @return nothing, or
  ///   - Errc::FileFailed  the values are in force, but the file could not be replaced
  expected<void> commit(Change change) {
    sources_ = std::move(change.sources);
    setValues(change.after);
    if (change.file) file_.emplace(std::move(*change.file));
    if (!change.staged) return {};
    auto replaced = file_->commit(std::move(*change.staged));
    if (!replaced) return replaced.error().within("the values are in force, but not kept");
    return {};
  }

 private:
  // As the names of environment variables are written.
  static std::string folded(std::string_view name) {
    std::string out;
    for (const char c : name) {
      if (c >= 'a' && c <= 'z') out += static_cast<char>(c - 'a' + 'A');
      else out += isDigit(c) || (c >= 'A' && c <= 'Z') ? c : '_';
    }
    return out;
  }

  static std::int32_t read(void* self, boost::json::value* out, ErrorSink sink) {
    return guarded(sink, [&]() -> expected<void> {
      *out = static_cast<const ConfigurationStore*>(self)->values().values();
      return {};
    });
  }

  void setValues(Configuration values) {
    std::lock_guard lock(mutex_);
    std::swap(values_, values);
  }

  [[nodiscard]] Configuration inForce(const Sources& sources) const {
    boost::json::object values;
    for (const auto& [key, entry] : entries_) {
      const boost::json::value* value = nullptr;
      for (const auto* source : {&sources.host, &sources.environment, &sources.file})
        if (!value) value = source->if_contains(key);
      if (value) values[key] = *value;
      else if (entry.defaultValue) values[key] = *entry.defaultValue;
    }
    return Configuration(std::move(values));
  }

  [[nodiscard]] Change changeTo(Sources sources) const {
    Change change;
    change.before = values();
    change.after = inForce(sources);
    change.sources = std::move(sources);
    return change;
  }

  // What the file has: what the host ever set.
  static boost::json::object kept(const Sources& sources) {
    auto all = sources.file;
    for (const auto& [key, value] : sources.host) all[key] = value;
    return all;
  }

  // Null takes a value out of `to` and `below`.
  expected<void> merge(const boost::json::object& values, boost::json::object& to, boost::json::object* below) const {
    std::string problems;
    for (const auto& [key, value] : values) {
      const auto place = pointer("", key);
      const auto entry = entries_.find(std::string(key));
      if (entry == entries_.end()) {
        problems += (problems.empty() ? "" : "; ") + place + ": " + unknown(key);
      } else if (value.is_null() && below) {
        to.erase(key);
        below->erase(key);
      } else if (auto fine = checked(entry->second, value, place); fine) {
        to[key] = std::move(*fine);
      } else {
        problems += (problems.empty() ? "" : "; ") + fine.error().message();
      }
    }
    if (!problems.empty()) return Error(Errc::ConfigurationInvalid, problems);
    return {};
  }

  [[nodiscard]] std::string unknown(std::string_view key) const {
    std::vector<std::string_view> known;
    for (const auto& entry : entries_) known.push_back(entry.first);
    if (known.empty()) return "the plugin declares no settings";
    const auto nearest = nearestWord(key, known);
    return "the plugin declares no such setting" + (nearest ? "; did you mean \"" + std::string(*nearest) + "\"?" : "");
  }

  static expected<boost::json::value> checked(const ConfigurationEntry& entry, const boost::json::value& value,
                                              const std::string& place) {
    if (auto fine = checkStorable(value, place, 0); !fine) return fine.error();
    if (auto fine = checkConfigurationValue(entry, value, place); !fine) return fine.error();
    return settled(entry, value);
  }

  // What JSON text can say, so that a file that was written can be read.
  static expected<void> checkStorable(const boost::json::value& value, const std::string& place, std::size_t depth) {
    const auto wrong = [&](const std::string& reason) { return Error(Errc::ConfigurationInvalid, place + ": " + reason); };
    if (depth > maxManifestDepth) return wrong("nested deeper than " + std::to_string(maxManifestDepth));
    if (value.is_double() && !std::isfinite(value.get_double())) return wrong("expected a finite number");
    if (value.is_string() && !isUtf8(value.get_string())) return wrong("text that is not UTF-8");
    if (const auto* items = value.if_array())
      for (std::size_t i = 0; i < items->size(); ++i)
        if (auto fine = checkStorable((*items)[i], place + '/' + std::to_string(i), depth + 1); !fine) return fine;
    if (const auto* members = value.if_object())
      for (const auto& [key, member] : *members) {
        if (!isUtf8(key)) return wrong("a name that is not UTF-8");
        if (auto fine = checkStorable(member, pointer(place, key), depth + 1); !fine) return fine;
      }
    return {};
  }

  // The text of an environment variable: as it is for text, else JSON, and the usual words for a boolean.
  static expected<boost::json::value> fromText(const ConfigurationEntry& entry, std::string_view text,
                                               const std::string& place) {
    if (entry.type == ConfigurationType::String) return boost::json::value(text);
    if (entry.type == ConfigurationType::Boolean) {
      for (const std::string_view yes : {"true", "1", "yes", "on"})
        if (folded(text) == folded(yes)) return boost::json::value(true);
      for (const std::string_view no : {"false", "0", "no", "off"})
        if (folded(text) == folded(no)) return boost::json::value(false);
      return Error(Errc::ConfigurationInvalid, place + ": expected true or false, 1 or 0, yes or no, on or off");
    }
    auto read = JsonReader::read(text, JsonReader::Marks::Keep);
    if (!read.problem) return std::move(read.value);
    return Error(Errc::ConfigurationInvalid, place + ": expected a value of type " + std::string(toString(entry.type)) +
                                                 " in JSON: " + read.problem + " at offset " + std::to_string(read.offset));
  }

  const std::map<std::string, ConfigurationEntry> entries_;
  const std::string prefix_;
  Sources sources_;
  std::optional<JsonFile> file_;
  mutable std::mutex mutex_;  // guards values_; a leaf
  Configuration values_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
