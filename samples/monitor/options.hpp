#pragma once
// options.hpp: the monitor's command line.

#include <qtforge/utils/error.hpp>

#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace monitor {

inline constexpr const char* usage =
    "usage: monitor [options]\n"
    "\n"
    "Watches this machine with plugins in C++ and Python that talk over one message bus.\n"
    "\n"
    "  --seconds N     run for N seconds (default 10)\n"
    "  --forever       run until Ctrl-C or SIGTERM\n"
    "  --plain         write lines, also in a terminal\n"
    "  --plugins DIR   load the plugins in DIR (default: the folder plugins beside this program)\n"
    "  --with-faulty   load one more plugin, which raises on purpose\n"
    "  --json FILE     write the summary to FILE, too\n"
    "  --help          show this\n";

struct Options {
  std::optional<double> seconds = 10;  ///< none: forever
  std::optional<std::filesystem::path> plugins;
  std::optional<std::filesystem::path> json;
  bool plain = false;
  bool withFaulty = false;
  bool help = false;
};

/// Reads the command line.
///
/// @return the options, or
///   - Errc::InvalidArgument  saying which argument is wrong, and why
inline qtforge::expected<Options> parseOptions(int count, const char* const* arguments) {
  const auto wrong = [](const std::string& text) { return qtforge::Error(qtforge::Errc::InvalidArgument, text); };
  Options options;
  std::string_view duration;  // the option that said how long, to find contradictions
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    const bool takesValue = name == "--seconds" || name == "--plugins" || name == "--json";
    if (takesValue && (i + 1 == count || std::string_view(arguments[i + 1]).empty()))
      return wrong(std::string(name) + " needs a value");
    const std::string_view value = takesValue ? arguments[++i] : "";

    if (name == "--seconds" || name == "--forever") {
      if (!duration.empty() && duration != name) return wrong("--seconds and --forever contradict each other");
      duration = name;
      options.seconds.reset();
    }
    if (name == "--seconds") {
      constexpr double most = 1e9;
      double seconds = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
      if (error != std::errc() || end != value.data() + value.size() || !(seconds > 0 && seconds <= most))
        return wrong("--seconds needs a number above 0, not \"" + std::string(value) + "\"");
      options.seconds = seconds;
    } else if (name == "--plugins") {
      options.plugins = value;
      if (std::error_code ignored; !std::filesystem::is_directory(*options.plugins, ignored))
        return wrong("--plugins: there is no folder \"" + std::string(value) + "\"");
    } else if (name == "--json") {
      options.json = value;
    } else if (name == "--plain") {
      options.plain = true;
    } else if (name == "--with-faulty") {
      options.withFaulty = true;
    } else if (name == "--help" || name == "-h") {
      options.help = true;
    } else if (name != "--forever") {
      return wrong("unknown argument \"" + std::string(name) + "\"");
    }
  }
  return options;
}

}  // namespace monitor
