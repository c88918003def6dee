// Its handler of "busy.handler" and the timer that "busy.timer" starts run until the flag is set whose address they are given;
// on "busy.handler.itself" and "busy.timer.itself" they end their own subscription or timer before.

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
    auto itself = bus_.subscribe("busy.handler.itself", [this](std::uint64_t flag) {
      itself_.unsubscribe();
      waitFor(flag);
    });
    if (!itself) return itself.error();
    itself_ = std::move(*itself);
    auto begins = bus_.subscribe(
        "busy.timer.>", [this](const qtforge::Message& message) { begin(message); },
        {.delivery = qtforge::DeliveryMode::Direct});
    if (!begins) return begins.error();
    begins_ = std::move(*begins);
    return {};
  }

 private:
  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  void begin(const qtforge::Message& message) {
    const bool itself = message.topic() == "busy.timer.itself";
    auto timer = qtforge::Timer::every(std::chrono::milliseconds(1), [this, itself, flag = message.as<std::uint64_t>().value()] {
                   while (!begun_) std::this_thread::yield();
                   if (itself) timer_.stop();
                   waitFor(flag);
                 }).value();
    timer_ = std::move(timer);
    begun_ = true;
  }

  qtforge::Subscription handler_, itself_, begins_;
  qtforge::Timer timer_;
  std::atomic<bool> begun_{false};  // timer_ is there
};

QTFORGE_PLUGIN(Busy);
