// Implements two interfaces: by member functions that are const, noexcept, inherited, or give back an expected.

#include <qtforge/plugin.hpp>

#include "image_filter.hpp"

#include <boost/json/monotonic_resource.hpp>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace json = boost::json;

class Titled {
 public:
  qtforge::expected<std::string> title() const noexcept { return std::string("blur"); }
};

[[noreturn]] void throwNested() {
  try {
    throw std::system_error(ENOENT, std::generic_category(), "open");
  } catch (...) {
    std::throw_with_nested(std::runtime_error("no picture"));
  }
}

class InterfacePlugin : public qtforge::Implements<InterfacePlugin, fixture_interfaces::ImageFilter, fixture_interfaces::Everything>, public Titled {
 public:
  qtforge::BinaryMessage apply(qtforge::BinaryMessage image, double amount) {
    std::vector<std::uint8_t> bytes(image.data.begin(), image.data.end());
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(byte * amount);
    image.data = qtforge::Buffer(std::move(bytes));
    return image;
  }

  void nothing() noexcept {}
  bool flip(bool value) const { return !value; }
  std::uint8_t small(std::uint8_t value) { return value; }
  std::uint64_t large(std::uint64_t value) { return value; }
  std::int64_t sum(int a, std::int64_t b) const noexcept { return a + b; }
  float real(float value) { return value; }
  std::string text(std::string_view value) { return std::string(value); }
  std::size_t length(std::string_view value) { return value.size(); }
  std::optional<int> maybe(std::optional<int> value) { return value; }
  std::vector<std::vector<double>> list(const std::vector<std::vector<double>>& value) { return value; }
  std::vector<bool> bools(std::vector<bool> value) { return value; }
  std::map<std::string, int> map(const std::map<std::string, int>& value) { return value; }
  // In a memory resource whose code is this library's.
  json::value json(json::value value) { return json::value(value, json::make_shared_resource<json::monotonic_resource>()); }
  json::object object(json::object value) { return value; }
  json::array array(const json::array& value) { return value; }
  const qtforge::BinaryMessage& binary(const qtforge::BinaryMessage& value) { return value; }
  qtforge::expected<int> fail(const std::string& reason) {
    if (reason == "throw") throw std::runtime_error("thrown");
    if (reason == "number") throw 5;
    if (reason == "nested") throwNested();
    if (reason == "error") return qtforge::Error(qtforge::Errc::LimitExceeded, "returned");
    return 1;
  }
  std::string thread() { return "caller"; }

  static constexpr auto methods() {
    return std::tuple(bind<"apply">(&InterfacePlugin::apply), bind<"title">(&InterfacePlugin::title),
                      bind<"nothing">(&InterfacePlugin::nothing), bind<"flip">(&InterfacePlugin::flip),
                      bind<"small">(&InterfacePlugin::small), bind<"large">(&InterfacePlugin::large),
                      bind<"sum">(&InterfacePlugin::sum), bind<"real">(&InterfacePlugin::real),
                      bind<"text">(&InterfacePlugin::text), bind<"length">(&InterfacePlugin::length),
                      bind<"maybe">(&InterfacePlugin::maybe), bind<"list">(&InterfacePlugin::list),
                      bind<"bools">(&InterfacePlugin::bools), bind<"map">(&InterfacePlugin::map),
                      bind<"json">(&InterfacePlugin::json), bind<"object">(&InterfacePlugin::object),
                      bind<"array">(&InterfacePlugin::array), bind<"binary">(&InterfacePlugin::binary),
                      bind<"fail">(&InterfacePlugin::fail), bind<"thread">(&InterfacePlugin::thread));
  }
};

QTFORGE_PLUGIN(InterfacePlugin);
