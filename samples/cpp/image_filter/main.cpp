// The image filter: applies a plugin to a picture, by an interface that does not say which language it is written in.
//
// Everything that is done to pictures is in plugins/, in C++ and in Python; see README.md.

#include "image_filter.hpp"
#include "options.hpp"

#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

namespace {

using image_filter::Files;
using image_filter::Filter;
using qtforge::PluginManager;

int fail(int code, const std::string& text) {
  std::cerr << "image_filter: " << text << '\n';
  return code;
}

/// Loads and initializes the plugins in `folder`. One that cannot be is named; the others will do.
int load(PluginManager& manager, const std::filesystem::path& folder) {
  const auto loaded = manager.loadPlugins(folder);
  if (!loaded) return fail(1, loaded.error().message());
  for (const auto& failed : loaded->failed) fail(1, failed.error.message());
  for (const auto& failed : manager.initializeAll().failed) fail(1, failed.error.message());
  return 0;
}

const char* languageOf(const qtforge::InterfaceHandle<Filter>& filter) {
  return filter.plugin()->manifest().language == "cpp" ? "C++" : "Python";
}

int list(const PluginManager& manager) {
  for (const auto& filter : manager.findAll<Filter>()) {
    const auto title = filter.call<"title">();
    if (!title) return fail(1, title.error().message());
    std::cout << std::left << std::setw(16) << filter.plugin()->name() << std::setw(8) << languageOf(filter) << *title
              << '\n';
  }
  return 0;
}

int apply(const PluginManager& manager, const image_filter::Options& options, const std::filesystem::path& photograph) {
  const auto filter = manager.find<Filter>(options.filter);
  if (!filter) return fail(2, "--filter: " + filter.error().message() + " (--list shows the filters there are)");
  const auto files = manager.findAll<Files>();
  if (files.empty()) return fail(1, "no plugin reads pictures: image_files is missing, or what it needs, Pillow");

  const auto input = options.input.value_or(photograph).string();
  auto image = files.front().call<"load">(input);
  if (!image)
    return fail(1, "cannot read \"" + input + "\": " + image.error().message() +
                       "; give a picture, such as a JPEG or PNG file");

  const auto began = std::chrono::steady_clock::now();
  auto filtered = filter->call<"apply">(std::move(*image), options.amount);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
  if (!filtered) return fail(1, filtered.error().message());
  const auto size = image_filter::sizeOf(*filtered);
  if (!size) return fail(1, "what " + options.filter + " returned is " + size.error().message());

  const auto output = options.output.value_or(options.filter + ".png").string();
  if (auto saved = files.front().call<"save">(std::move(*filtered), output); !saved)
    return fail(1, "cannot write \"" + output + "\": " + saved.error().message() +
                       "; give another name for the output");
  std::cout << options.filter << " (" << languageOf(*filter) << "): " << size->width << " x " << size->height
            << " pixels in " << std::fixed << std::setprecision(1) << took.count() << " ms, now in \"" << output
            << "\"\n";
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = image_filter::parseOptions(count, arguments);
  if (!options) return fail(2, options.error().message() + "; --help shows what there is");
  if (options->help) {
    std::cout << image_filter::usage;
    return 0;
  }

  qtforge::setLogLevel(qtforge::LogLevel::Warning);
  if (auto python = qtforge::python::PythonIntegration::initialize(); !python) return fail(1, python.error().message());
  PluginManager manager;
  manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>());
  manager.addInterface<Filter>();
  manager.addInterface<Files>();
  const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  if (const int failed = load(manager, here / "plugins")) return failed;
  if (options->plugins)
    if (const int failed = load(manager, *options->plugins)) return failed;
  return options->list ? list(manager) : apply(manager, *options, here / "astronaut.jpg");
}
