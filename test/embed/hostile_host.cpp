// A host with a plugin that misbehaves and a neighbour that does not: `hosts hostile FOLDER OPTIONS`, where the first has
// both and the second is JSON:
//
//   "limit"    executionTimeout, in ms
//   "drain"    for how many seconds it waits for handlers
//   "capture"  whether it takes the output; then it tells at the end how much came, and how long the longest line was
//
// Tells what became of each step, asks the neighbour before and after, and ends by returning from main. Run by test_hostile.py.

#include "hosts.hpp"

#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <string>

namespace {

void tell(const std::string& step, const qtforge::expected<void>& done) {
  std::cout << step << ": " << (done ? "fine" : done.error().message()) << std::endl;
}

void askNeighbour() {
  const auto answer = qtforge::MessageBus::instance().request("neighbour.question", 20, std::chrono::seconds(10));
  std::cout << "neighbour: " << (answer ? boost::json::serialize(*answer->json()) : answer.error().message()) << std::endl;
}

}  // namespace

int hosts::hostile(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string folder = argv[1];
  const auto options = boost::json::parse(argv[2]).as_object();
  const auto option = [&](const char* name, int otherwise) {
    return options.contains(name) ? boost::json::value_to<int>(options.at(name)) : otherwise;
  };
  qtforge::python::PythonConfig config;
  config.executionTimeout = std::chrono::milliseconds(option("limit", 0));
  config.maxMemoryUsage = static_cast<std::size_t>(option("memory", 0));
  qtforge::python::PythonIntegration::initialize(config).value();
  static std::atomic<std::size_t> taken{0}, longest{0};
  if (options.contains("capture"))
    qtforge::python::PythonIntegration::captureOutput([](const qtforge::python::OutputLine& line) {
      taken += line.text.size();
      longest = std::max(longest.load(), line.text.size());
    }).value();
  qtforge::PluginManager manager;
  manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>());
  const auto neighbour = manager.loadPlugin(folder + "/neighbour").value();  // takes the package's import too
  neighbour->initialize().value();
  manager.setHookLimit(std::chrono::seconds(2));
  askNeighbour();
  const auto hostile = manager.loadPlugin(folder + "/hostile");
  if (hostile) {
    std::cout << "load: fine" << std::endl;
    tell("initialize", (*hostile)->initialize());
    tell("activate", (*hostile)->activate());
    qtforge::MessageBus::instance().publish("hostile.ping", 1);
    tell("drain", qtforge::MessageBus::instance().drain(std::chrono::seconds(option("drain", 2))));
    tell("deactivate", (*hostile)->deactivate());
  } else {
    std::cout << "load: " << hostile.error().message() << std::endl;
  }
  askNeighbour();
  if (hostile) tell("unload", manager.unloadPlugin("hostile"));
  askNeighbour();
  if (options.contains("capture")) std::cout << "captured: " << taken << ' ' << longest << std::endl;
  std::cout << "end" << std::endl;
  return 0;
}
