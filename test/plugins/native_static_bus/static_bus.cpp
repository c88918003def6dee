// Its static initialiser uses the bus, which is not there yet: a named error, told later on "native.early".

#include <qtforge/plugin.hpp>

static const qtforge::expected<qtforge::Delivery> early =
    qtforge::MessageBus::instance().publish("native.early", boost::json::value("too early"));

class StaticBus : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    qtforge::MessageBus::instance().publish(
        "native.early", boost::json::object{{"code", early ? 0 : static_cast<int>(early.error().code())},
                                            {"message", early ? "" : early.error().message()}});
    return {};
  }
};

QTFORGE_PLUGIN(StaticBus);
