// Waits for messages that wake it, takes its time to come, and passes on what it hears.

#include <qtforge/plugin.hpp>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

class Late : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (const char* pattern : {"late.queued.*", "late.retained", "late.retained"})
      if (auto heard = hear(pattern, qtforge::DeliveryMode::Queued); !heard) return heard;
    return hear("late.direct", qtforge::DeliveryMode::Direct);
  }

 private:
  qtforge::expected<void> hear(const char* pattern, qtforge::DeliveryMode mode) {
    auto made = bus_.subscribe(
        pattern,
        [this](const qtforge::Message& message) {
          bus_.publish("heard." + std::string(message.topic()).substr(5), boost::json::value(*message.json()));
        },
        {.delivery = mode});
    if (!made) return made.error();
    heard_.push_back(std::move(*made));
    return {};
  }

  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  std::vector<qtforge::Subscription> heard_;
};

QTFORGE_PLUGIN(Late);
