// Its handler of "busy.handler" and the timer that "busy.timer" starts run until the flag is set whose address they are given.

#include <qtforge/plugin.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace {

void waitFor(std::uint64_t flag) {
  const auto& set = *reinterpret_cast<const std::atomic<bool>*>(flag);
  while (!set) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

class Busy : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto handler = bus_.subscribe("busy.handler", [](std::uint64_t flag) { waitFor(flag); });
    if (!handler) return handler.error();
    handler_ = std::move(*handler);
    auto begins = bus_.subscribe(
        "busy.timer",
        [this](std::uint64_t flag) {
          timer_ = qtforge::Timer::once(std::chrono::milliseconds(0), [flag] { waitFor(flag); }).value();
        },
        {.delivery = qtforge::DeliveryMode::Direct});
    if (!begins) return begins.error();
    begins_ = std::move(*begins);
    return {};
  }

 private:
  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  qtforge::Subscription handler_, begins_;
  qtforge::Timer timer_;
};

QTFORGE_PLUGIN(Busy);
