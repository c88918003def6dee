#pragma once
// qtforge/core/version.hpp: semantic versions, ranges of them, and dependencies such as "CorePlugin >= 1.0.0".

#include <qtforge/core/detail/version_text.hpp>
#include <qtforge/utils/error.hpp>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// A version as semver.org 2.0.0 defines it. Comparison is its precedence (clause 11): build metadata does not count.
struct Version {
  std::uint64_t major = 0, minor = 0, patch = 0;
  std::string prerelease;  ///< "alpha.1"; empty for a release
  std::string build;       ///< "20240101"; says nothing about order

  [[nodiscard]] std::string toString() const {
    auto text = std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
    if (!prerelease.empty()) text += '-' + prerelease;
    if (!build.empty()) text += '+' + build;
    return text;
  }

  friend std::weak_ordering operator<=>(const Version& a, const Version& b) noexcept {
    if (const auto order = a.major <=> b.major; order != 0) return order;
    if (const auto order = a.minor <=> b.minor; order != 0) return order;
    if (const auto order = a.patch <=> b.patch; order != 0) return order;
    return detail::comparePrerelease(a.prerelease, b.prerelease);
  }
  friend bool operator==(const Version& a, const Version& b) noexcept { return (a <=> b) == 0; }
};

/// Reads "1.2.3", "1.2.3-rc.1", "1.2.3+build.5": all three numbers, no leading zeros, nothing around.
///
/// @return the version, or
///   - Errc::InvalidArgument  with the text, the offset and what was expected there
[[nodiscard]] inline expected<Version> parseVersion(std::string_view text) {
  detail::VersionReader reader(text, "version");
  Version version;
  auto parts = reader.read();
  if (!parts) return parts.error();
  if (!reader.atEnd()) return reader.error("the end");
  if (parts->numbers < 3) return reader.error("MAJOR.MINOR.PATCH");
  return Version{parts->number[0], parts->number[1], parts->number[2], std::move(parts->prerelease),
                 std::move(parts->build)};
}

/// Which versions will do: comparators that must all hold.
///
/// A pre-release is accepted only where a comparator names a pre-release of the same MAJOR.MINOR.PATCH, so that `^1.0`
/// never brings in somebody's 1.5.0-beta; no range and `*` accept everything.
class VersionRange {
 public:
  /// Any version.
  VersionRange() = default;

  [[nodiscard]] bool contains(const Version& version) const noexcept {
    bool named = version.prerelease.empty() || bounds_.empty();
    for (const auto& bound : bounds_) {
      if (!holds(bound, version)) return false;
      const auto& b = bound.version;
      named = named || (!b.prerelease.empty() && b.major == version.major && b.minor == version.minor &&
                        b.patch == version.patch);
    }
    return named;
  }

  /// As it was written; "*" for any.
  [[nodiscard]] std::string toString() const { return text_.empty() ? "*" : text_; }

  friend bool operator==(const VersionRange& one, const VersionRange& other) noexcept { return one.text_ == other.text_; }

 private:
  friend expected<VersionRange> parseVersionRange(std::string_view text);

  enum class Compare { Less, LessOrEqual, Equal, GreaterOrEqual, Greater };
  struct Bound {
    Compare compare;
    Version version;
  };

  static bool holds(const Bound& bound, const Version& version) noexcept {
    const auto order = version <=> bound.version;
    switch (bound.compare) {
      case Compare::Less: return order < 0;
      case Compare::LessOrEqual: return order <= 0;
      case Compare::Equal: return order == 0;
      case Compare::GreaterOrEqual: return order >= 0;
      case Compare::Greater: return order > 0;
    }
    return false;
  }

  expected<void> add(std::string_view op, detail::VersionParts&& parts);

  std::string text_;
  std::vector<Bound> bounds_;
};

/// Reads a range: comparators separated by commas, each a version behind one of
///   - nothing, `=`, `==`   exactly that version; with numbers left out, any that begins so: `1.2` is `>=1.2.0, <1.3.0`
///   - `>=` `>` `<=` `<`    with numbers left out, of the whole series: `>1.2` is `>=1.3.0`
///   - `^`                  compatible: up to the next change of the leftmost number that is not 0
///   - `~`                  up to the next minor version, or the next major one if only that is given
/// or `*` (or nothing at all) for any version. Blanks around comparators and operators do not matter.
///
/// @return the range, or
///   - Errc::InvalidArgument  with the text, the offset and what was expected there
[[nodiscard]] inline expected<VersionRange> parseVersionRange(std::string_view text) {
  detail::VersionReader reader(text, "version range");
  VersionRange range;
  range.text_ = std::string(detail::trimmed(text));
  if (range.text_.empty()) return range;
  for (;;) {
    reader.skipBlanks();
    if (reader.take("*")) {
      reader.skipBlanks();
    } else {
      const auto op = reader.readOperator();
      reader.skipBlanks();
      auto parts = reader.read();
      if (!parts) return parts.error();
      if (parts->numbers < 3 && !(parts->prerelease.empty() && parts->build.empty()))
        return reader.error("all of MAJOR.MINOR.PATCH before a pre-release");
      if (auto added = range.add(op, std::move(*parts)); !added) return added.error();
      reader.skipBlanks();
    }
    if (reader.atEnd()) return range;
    if (!reader.take(",")) return reader.error("',' or the end");
  }
}

inline expected<void> VersionRange::add(std::string_view op, detail::VersionParts&& parts) {
  const auto [major, minor, patch] = parts.number;
  const int given = parts.numbers;
  const Version base{major, minor, patch, std::move(parts.prerelease), {}};
  // The first version behind the series that `numbers` numbers name: 1 -> 2.0.0, 1.2 -> 1.3.0.
  const auto behind = [&](int numbers) {
    if (numbers == 1) return Version{major + 1, 0, 0, {}, {}};
    if (numbers == 2) return Version{major, minor + 1, 0, {}, {}};
    return Version{major, minor, patch + 1, {}, {}};
  };
  const auto series = [&](int numbers) {
    bounds_.push_back({Compare::GreaterOrEqual, base});
    bounds_.push_back({Compare::Less, behind(numbers)});
  };
  if (op == ">=") bounds_.push_back({Compare::GreaterOrEqual, base});
  else if (op == "<") bounds_.push_back({Compare::Less, base});
  else if (op == ">" && given < 3) bounds_.push_back({Compare::GreaterOrEqual, behind(given)});
  else if (op == ">") bounds_.push_back({Compare::Greater, base});
  else if (op == "<=" && given < 3) bounds_.push_back({Compare::Less, behind(given)});
  else if (op == "<=") bounds_.push_back({Compare::LessOrEqual, base});
  else if (op == "^") series(major != 0 || given == 1 ? 1 : minor != 0 || given == 2 ? 2 : 3);
  else if (op == "~") series(given == 1 ? 1 : 2);
  else if (given < 3) series(given);
  else bounds_.push_back({Compare::Equal, base});
  return {};
}

/// Another plugin that is needed.
struct Dependency {
  std::string name;
  VersionRange range;
  bool optional = false;  ///< may be missing; if it is there, the range holds

  [[nodiscard]] std::string toString() const {
    const auto versions = range.toString();
    if (versions == "*") return name;
    const bool op = std::string_view("<>=^~*").find(versions.front()) != std::string_view::npos;
    return name + (op ? " " : " = ") + versions;
  }

  friend bool operator==(const Dependency&, const Dependency&) = default;
};

/// Checks a plugin's name: 1 to 128 bytes of text without control characters, `/`, `\`, `..`, the characters of version
/// ranges (`<>=^~*,`), a dot in front, or blanks at either end.
///
/// @return nothing, or
///   - Errc::InvalidArgument  with the name and the reason
inline expected<void> checkPluginName(std::string_view name) {
  const auto wrong = [&](const char* reason) {
    return Error(Errc::InvalidArgument, "plugin name \"" + std::string(name.substr(0, 128)) + "\": " + reason);
  };
  if (name.empty()) return wrong("it is empty");
  if (name.size() > 128) return wrong("longer than 128 bytes");
  if (detail::trimmed(name).size() != name.size()) return wrong("blank at an end");
  if (name.front() == '.') return wrong("it begins with a dot");
  if (name.find("..") != std::string_view::npos) return wrong("it contains \"..\"");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return wrong("it contains a control character");
    if (c == '/' || c == '\\') return wrong("it contains a path separator");
    if (std::string_view("<>=^~*,").find(c) != std::string_view::npos)
      return wrong("it contains a character of version ranges (<>=^~*,)");
  }
  return {};
}

/// Splits "CorePlugin >= 1.0.0" into name and range; the name alone means any version. A blank with a digit behind it
/// also begins the range ("Core 1.2"); a name of that form, or one with `!` before a `=`, needs the object form of the
/// manifest.
///
/// @return the dependency, or
///   - Errc::InvalidArgument  with the text and what is wrong with its name or range
[[nodiscard]] inline expected<Dependency> parseDependency(std::string_view text) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if (std::string_view("<>=^~*").find(text[end]) != std::string_view::npos) break;
    if (detail::isBlank(text[end]) && end + 1 < text.size() && detail::isDigit(text[end + 1])) break;
  }
  Dependency dependency;
  dependency.name = std::string(detail::trimmed(text.substr(0, end)));
  const auto where = [&] { return "dependency \"" + std::string(text.substr(0, 256)) + '"'; };
  if (end > 0 && text[end - 1] == '!' && text.substr(end).starts_with('='))  // and no name that ends in '!'
    return Error(Errc::InvalidArgument, where() + ": there is no \"!=\": say which versions will do");
  if (auto fine = checkPluginName(dependency.name); !fine) return fine.error().within(where());
  auto range = parseVersionRange(text.substr(end));
  if (!range) return range.error().within(where());
  dependency.range = std::move(*range);
  return dependency;
}

}  // namespace qtforge::inline QTFORGE_ABI
