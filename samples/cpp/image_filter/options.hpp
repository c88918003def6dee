#pragma once
// options.hpp: the image filter's command line.

#include <qtforge/utils/error.hpp>

#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace image_filter {

inline constexpr const char* usage =
    "usage: image_filter [options] [INPUT] [OUTPUT.png]\n"
    "\n"
    "Applies a filter, a plugin in C++ or Python, to a picture and writes the result as PNG.\n"
    "\n"
    "  INPUT           a picture: JPEG, PNG and others (default: the photograph beside this program)\n"
    "  OUTPUT.png      the file to write (default: NAME.png in the current folder)\n"
    "\n"
    "  --filter NAME   the filter (default blur)\n"
    "  --amount X      how much of it, from 0 to 1 (default 0.5)\n"
    "  --list          show the filters there are\n"
    "  --plugins DIR   load the plugins in DIR, too\n"
    "  --help          show this\n";

struct Options {
  std::string filter = "blur";
  double amount = 0.5;
  std::optional<std::filesystem::path> input;
  std::optional<std::filesystem::path> output;
  std::optional<std::filesystem::path> plugins;
  bool list = false;
  bool help = false;
};

/// Reads the command line.
///
/// @return the options, or
///   - Errc::InvalidArgument  saying which argument is wrong, and why
inline qtforge::expected<Options> parseOptions(int count, const char* const* arguments) {
  const auto wrong = [](const std::string& text) { return qtforge::Error(qtforge::Errc::InvalidArgument, text); };
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    const bool takesValue = name == "--filter" || name == "--amount" || name == "--plugins";
    if (takesValue && (i + 1 == count || std::string_view(arguments[i + 1]).empty()))
      return wrong(std::string(name) + " needs a value");
    const std::string_view value = takesValue ? arguments[++i] : "";

    if (name == "--filter") {
      options.filter = value;
    } else if (name == "--amount") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.amount);
      if (error != std::errc() || end != value.data() + value.size() || !(options.amount >= 0 && options.amount <= 1))
        return wrong("--amount needs a number from 0 to 1, not \"" + std::string(value) + "\"");
    } else if (name == "--plugins") {
      options.plugins = value;
      if (std::error_code ignored; !std::filesystem::is_directory(*options.plugins, ignored))
        return wrong("--plugins: there is no folder \"" + std::string(value) + "\"");
    } else if (name == "--list") {
      options.list = true;
    } else if (name == "--help" || name == "-h") {
      options.help = true;
    } else if (name.empty() || name.front() == '-' || options.output) {
      return wrong("unknown argument \"" + std::string(name) + "\"");
    } else if (!options.input) {
      options.input = name;
    } else {
      options.output = name;
      if (options.output->extension() != ".png")
        return wrong("the name of the output must end in .png, not \"" + std::string(name) + "\"");
    }
  }
  return options;
}

}  // namespace image_filter
