// Exchanges C++ structs with its host: of one both know the layout, of the other the host has another one.

#include <qtforge/plugin.hpp>

#include <boost/describe/class.hpp>

#include <cstdint>
#include <string>

namespace fixture {

struct Same {
  std::string name;
  double value = 0;
};
BOOST_DESCRIBE_STRUCT(Same, (), (name, value))

struct Other {  // the host's has its members the other way round
  double value = 0;
  std::string name;
};
BOOST_DESCRIBE_STRUCT(Other, (), (value, name))

}  // namespace fixture

class TypedPlugin : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto same = qtforge::MessageBus::instance().subscribe("native_typed.same", [](const fixture::Same& given) {
      tell(given);
      qtforge::MessageBus::instance().publish("native_typed.answer", fixture::Same{given.name + "!", given.value + 1},
                                              {.retain = true});
      qtforge::MessageBus::instance().build("native_typed.built", [&](boost::json::value& out) {
        auto& object = out.emplace_object();
        object["name"] = given.name;
        object["values"].emplace_array().resize(1000, given.value);
      }, {.retain = true});
    }, {.delivery = qtforge::DeliveryMode::Direct});
    if (!same) return same.error();
    same_ = std::move(*same);
    auto other = qtforge::MessageBus::instance().subscribe("native_typed.other", [](const fixture::Other& given) {
      tell(given);
    }, {.delivery = qtforge::DeliveryMode::Direct});
    if (!other) return other.error();
    other_ = std::move(*other);
    return {};
  }

 private:
  template <class T>
  static void tell(const T& given) {
    qtforge::MessageBus::instance().publish(
        "native_typed.told", boost::json::object{{"address", reinterpret_cast<std::uintptr_t>(&given)},
                                                 {"name", given.name},
                                                 {"value", given.value}});
  }

  qtforge::Subscription same_, other_;
};

QTFORGE_PLUGIN(TypedPlugin);
