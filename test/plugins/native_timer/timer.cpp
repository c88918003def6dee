// Publishes from a timer and hands out a buffer whose bytes its own code frees.

#include <qtforge/plugin.hpp>

#include <memory>

class TimerPlugin : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto tick = qtforge::Timer::every(std::chrono::milliseconds(1), [] {
      static const std::uint8_t bytes[] = {1, 2, 3};
      qtforge::BinaryMessage message;
      message.data = qtforge::Buffer::of(bytes, std::make_unique<int>(1));
      qtforge::MessageBus::instance().publish("native_timer.bytes", std::move(message));
    });
    if (!tick) return tick.error();
    timer_ = std::move(*tick);
    return {};
  }

 private:
  qtforge::Timer timer_;
};

QTFORGE_PLUGIN(TimerPlugin);
