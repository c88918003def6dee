// A host of another Boost than the extension: `other_boost_host PYTHON_PLUGIN NATIVE_PLUGIN LIBRARY`.
// Compiled by test_one_process.py, with -rdynamic and with Boost.JSON in here, so that it exports all it can.

#include <boost/json/src.hpp>

#include "participant.hpp"

#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <dlfcn.h>
#include <future>
#include <iostream>

using namespace qtforge;
namespace json = boost::json;

namespace {

void require(const expected<void>& done) { done.value(); }

// A library of another Boost must not take up this host's root, even if it exports the pointer to it.
void keepApart(const char* path) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(::dlerror());
  const auto call = [&](const char* name) { return reinterpret_cast<int (*)(void*)>(::dlsym(library, name))(root()); };
  if (call("joined_speak") != static_cast<int>(Errc::NoRuntime)) throw std::runtime_error("it published");
  if (call("joined_join") != static_cast<int>(Errc::AbiMismatch)) throw std::runtime_error("it joined");
}

void meet(const char* pythonPlugin, const char* nativePlugin) {
  require(python::PythonIntegration::initialize());
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());

  for (int round = 0; round < 2; ++round) {  // loaded, unloaded, and once more
    one_process::Participant host("host");
    require(host.listen());
    const auto three = manager.loadPlugin(pythonPlugin).value();
    require(three->initialize());
    require(host.speak());
    require(three->activate());
    require(MessageBus::instance().drain(std::chrono::seconds(20)));
    host.report();
    require(manager.unloadPlugin(three->name()));
  }

  // JSON of every kind there and back, bytes, and an error with its traceback.
  const auto three = manager.loadPlugin(pythonPlugin).value();
  require(three->initialize());
  const json::value sent{{"text", "\xc3\xa9"}, {"numbers", {1, -2.5, 18446744073709551615u}}, {"none", nullptr}, {"yes", true}};
  std::promise<json::value> back;
  std::promise<std::string> bytes, failed;
  const auto answer = MessageBus::instance().subscribe("echo.answer", [&](const json::value& v) { back.set_value(v); });
  const auto binary = MessageBus::instance().subscribe("echo.bytes", [&](const BinaryMessage& message) {
    bytes.set_value(std::string(reinterpret_cast<const char*>(message.data.data()), message.data.size()));
  });
  const auto error = MessageBus::instance().subscribe(
      "qtforge.errors", [&](const json::value& v) { failed.set_value(json::serialize(v)); });
  MessageBus::instance().publish("echo.ask", sent).value();
  MessageBus::instance().publish("echo.fail", 1).value();
  require(MessageBus::instance().drain(std::chrono::seconds(20)));
  if (back.get_future().get() != sent) throw std::runtime_error("what came back is not what was sent");
  if (bytes.get_future().get() != std::string("\0bytes", 6)) throw std::runtime_error("other bytes came");
  std::cout << "failure: " << failed.get_future().get() << '\n';

  const auto native = manager.loadPlugin(nativePlugin);
  std::cout << "native plugin: " << (native ? "loaded" : native.error().message()) << '\n';
  if (native || !(native.error() == Errc::AbiMismatch)) throw std::runtime_error("no Errc::AbiMismatch");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::cout << "boost: " << BOOST_LIB_VERSION << '\n';
  try {
    meet(argv[1], argv[2]);
    keepApart(argv[3]);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 1;
  }
}
