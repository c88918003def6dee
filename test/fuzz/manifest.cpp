// What plugin.json, versions, ranges, dependencies, patterns and files of settings are read from is anybody's text: any
// input is taken or refused, in a moment, and what is taken prints as what gives the same again.

#include <qtforge/communication/detail/json_reader.hpp>
#include <qtforge/core/manifest.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace qtforge;

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "this does not hold: %s\n", what);
  std::abort();
}

void readVersion(std::string_view text) {
  const auto version = parseVersion(text);
  if (!version) return require(version.error() == Errc::InvalidArgument, "what is no version is InvalidArgument");
  require(version->toString() == text, "a version prints as it was read");
  require(*version == *version && !(*version < *version), "a version is equal to itself");
  const auto own = parseVersionRange(text);
  require(own && own->contains(*version), "a version is in the range of it alone");
}

void readRange(std::string_view text) {
  const auto range = parseVersionRange(text);
  if (!range) return require(range.error() == Errc::InvalidArgument, "what is no range is InvalidArgument");
  const auto again = parseVersionRange(range->toString());
  require(again.has_value(), "a range prints as a range");
  for (const auto* version : {"0.0.0", "1.0.0-alpha.1", "1.0.0", "1.2.3", "18446744073709551614.0.0"}) {
    const auto one = parseVersion(version).value();
    require(range->contains(one) == again->contains(one), "a range prints as the same range");
  }
}

void readDependency(std::string_view text) {
  const auto read = parseDependency(text);
  if (!read) return require(read.error() == Errc::InvalidArgument, "what is no dependency is InvalidArgument");
  require(checkPluginName(read->name).has_value(), "the name of a dependency is one");
  const auto again = parseDependency(read->toString());
  require(again && again->name == read->name, "a dependency prints as the same dependency");
}

void readPattern(std::string_view text) {
  const auto end = text.find('\n');
  const auto pattern = ConfigurationPattern::parse(text.substr(0, end));
  if (!pattern) return require(pattern.error() == Errc::InvalidArgument, "what is no pattern is InvalidArgument");
  (void)pattern->matches(end == std::string_view::npos ? text : text.substr(end).substr(0, maxPatternedText));
}

void readManifestText(std::string_view text) {
  const auto manifest = parseManifest(text, "/p");
  if (!manifest) {
    require(manifest.error() == Errc::ManifestInvalid, "what is no manifest is ManifestInvalid");
    return require(manifest.error().message().find("/p/plugin.json: ") == 0, "an error names the file");
  }
  require(checkPluginName(manifest->name).has_value(), "the name in a manifest is one");
  for (const auto& [key, entry] : manifest->configuration)
    if (entry.defaultValue)
      require(checkConfigurationValue(entry, *entry.defaultValue, "/" + key).has_value(), "a default fits its setting");
}

void readSettings(std::string_view text) {
  const auto read = detail::JsonReader::read(text, detail::JsonReader::Marks::Keep);
  if (read.problem) require(read.offset <= text.size(), "an offset lies in the text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  readVersion(text);
  readRange(text);
  readDependency(text);
  readPattern(text);
  readManifestText(text);
  readSettings(text);
  return 0;
}
