// A plugin with settings: it reads them in its constructor and its hooks, and refuses or throws where a test wants it.

#include <qtforge/plugin.hpp>

#include <boost/json/object.hpp>

#include <stdexcept>
#include <string>

class Configured : public qtforge::IPlugin {
 public:
  Configured() : atFirst_(config().get<int>("processing_timeout").value()) {}

  qtforge::expected<void> initialize() override {
    bus_.publish("configured.initialize", boost::json::object{{"first", atFirst_}, {"now", config().values()}});
    return {};
  }

  qtforge::expected<void> onConfigChanged(const qtforge::Configuration& before,
                                          const qtforge::Configuration& after) override {
    const auto timeout = after.get<int>("processing_timeout").value();
    if (timeout == 13) return qtforge::Error("13 brings bad luck");
    if (timeout == 14) throw std::runtime_error("thrown for 14");
    bus_.publish("configured.changed", boost::json::object{{"before", before.values()},
                                                           {"after", after.values()},
                                                           {"now", config().values()}});
    return {};
  }

 private:
  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  int atFirst_;
};

QTFORGE_PLUGIN(Configured);
