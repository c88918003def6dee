// A native plugin; built under two names.

#include "participant.hpp"

#include <qtforge/plugin.hpp>

class Native : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override { return self_.listen(); }
  qtforge::expected<void> activate() override { return self_.speak(); }
  qtforge::expected<void> deactivate() override {
    self_.report();
    return {};
  }

 private:
  one_process::Participant self_{PARTICIPANT};
};

QTFORGE_PLUGIN(Native);
