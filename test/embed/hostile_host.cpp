// A host with a plugin that misbehaves and a neighbour that does not: `hosts hostile FOLDER`, which has both. Tells what
// became of each step, asks the neighbour before and after, and ends by returning from main. Run by test_hostile.py.

#include "hosts.hpp"

#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

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
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  qtforge::python::PythonIntegration::initialize().value();
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
    tell("drain", qtforge::MessageBus::instance().drain(std::chrono::seconds(2)));
    tell("deactivate", (*hostile)->deactivate());
  } else {
    std::cout << "load: " << hostile.error().message() << std::endl;
  }
  askNeighbour();
  if (hostile) tell("unload", manager.unloadPlugin("hostile"));
  askNeighbour();
  std::cout << "end" << std::endl;
  return 0;
}
