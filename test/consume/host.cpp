// What a user of the library writes: a host that asks the plugins in the folders it is given, over the bus.
#include <qtforge/qtforge.hpp>
#ifdef CONSUME_PYTHON
#include <qtforge/python/python_plugin_loader.hpp>
#endif

#include <atomic>
#include <iostream>
#include <memory>

int main(int argc, char** argv) {
  qtforge::PluginManager manager;
#ifdef CONSUME_PYTHON
  if (auto started = qtforge::python::PythonIntegration::initialize(); !started) {
    std::cerr << started.error().message() << '\n';
    return 1;
  }
  manager.addLoader(std::make_unique<qtforge::python::PythonPluginLoader>());
#endif

  auto& bus = qtforge::MessageBus::instance();
  std::atomic<int> sum = 0;
  auto answers = bus.subscribe("consume.answer", [&](const boost::json::value& answer) {
    sum += answer.at("n").to_number<int>();
  });

  for (int i = 1; i < argc; ++i) {
    auto plugin = manager.loadPlugin(argv[i]);
    if (!plugin) {
      std::cerr << plugin.error().message() << '\n';
      return 1;
    }
    if (auto ready = plugin.value()->initialize(); !ready) {
      std::cerr << ready.error().message() << '\n';
      return 1;
    }
  }
  bus.publish("consume.question", boost::json::object{{"n", 20}});
  if (auto done = bus.drain(); !done) std::cerr << done.error().message() << '\n';
  std::cout << "sum of the answers: " << sum << '\n';
}
