// A plugin that does it all right: it echoes what comes on "native.ping" and tells its steps on "native.steps".

#include <qtforge/plugin.hpp>

#include <boost/json/object.hpp>

class Good : public qtforge::IPlugin {
 public:
  std::string name() const override { return "Good"; }
  std::string version() const override { return "1.2.3"; }
  std::string author() const override { return "its code"; }

  qtforge::expected<void> initialize() override {
    auto subscribed = bus_.subscribe("native.ping", [this](const boost::json::value& ping) {
      bus_.publish("native.pong", boost::json::object{{"ping", ping}, {"by", "Good"}});
    });
    if (!subscribed) return subscribed.error();
    ping_ = std::move(*subscribed);
    tell("initialize");
    return {};
  }
  qtforge::expected<void> activate() override {
    tell("activate");
    return {};
  }
  qtforge::expected<void> deactivate() override {
    tell("deactivate");
    return {};
  }
  void cleanup() override {
    ping_.unsubscribe();
    tell("cleanup");
  }
  ~Good() override { tell("destructor"); }

 private:
  void tell(const char* step) const { bus_.publish("native.steps", boost::json::value(step)); }

  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  qtforge::Subscription ping_;
};

QTFORGE_PLUGIN(Good);
