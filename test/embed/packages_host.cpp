// A host with an environment of its own that loads a plugin: `hosts packages VENV WHEELS keep|install PLUGIN`. Prints the
// plugin's version, or the code and message of the error. Run by test_packages_host.py.

#include "hosts.hpp"

#include <qtforge/python/python_integration.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <iostream>
#include <string_view>

int hosts::packages(int argc, char** argv) {
  if (argc != 5) return 2;
  qtforge::python::PythonConfig config;
  config.virtualEnvPath = argv[1];
  config.packageSource.wheelFolders = {argv[2]};
  config.packageSource.offline = true;
  config.installMissing = std::string_view(argv[3]) == "install";
  qtforge::python::PythonIntegration::initialize(config).value();
  qtforge::PluginManager manager;
  manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>());
  const auto plugin = manager.loadPlugin(argv[4]);
  if (plugin) std::cout << (*plugin)->version() << '\n';
  else std::cout << static_cast<int>(plugin.error().code()) << ' ' << plugin.error().message() << '\n';
  return plugin ? 0 : 1;
}
