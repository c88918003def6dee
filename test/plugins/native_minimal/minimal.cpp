// The least that is a plugin: its manifest says who it is. It tells its steps on "native.steps" with the name that the
// bus knows it by, in the messages' sender.

#include <qtforge/plugin.hpp>

class Minimal : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override { return tell("initialize"); }
  qtforge::expected<void> activate() override { return tell("activate"); }
  qtforge::expected<void> deactivate() override { return tell("deactivate"); }
  void cleanup() override { (void)tell("cleanup"); }

 private:
  static qtforge::expected<void> tell(const char* step) {
    qtforge::MessageBus::instance().publish("native.steps", boost::json::value(step));
    return {};
  }
};

QTFORGE_PLUGIN(Minimal);
