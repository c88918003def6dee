// Asks, publishes, receives and drains without waiting, and is unloaded with most of it under way.

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/receiver.hpp>
#include <qtforge/plugin.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <optional>
#include <string>

namespace asio = boost::asio;

class AsyncPlugin : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto& bus = qtforge::MessageBus::instance();
    auto made = bus.subscribe("native_async.in");
    if (!made) return made.error();
    messages_.emplace(std::move(*made));
    asio::co_spawn(threads_, askAndReceive(), asio::detached);
    const auto limit = std::chrono::hours(1);
    const auto here = asio::bind_executor(threads_, Ended());
    bus.asyncPublish("native_async.full", "waits", {}, here);
    bus.asyncRequest("native_async.slow", "waits", limit, here);
    bus.asyncDrain(limit, here);
    // On the host's threads, where it may be called when the plugin is no more.
    bus.asyncPublish("native_async.full", "waits too", {}, Ended());
    bus.asyncRequest("native_async.slow", "waits too", limit, Ended());
    bus.asyncDrain(limit, Ended());
    return {};
  }

 private:
  // Its code must be there when it is called, and when it is dropped.
  struct Ended {
    std::string text = std::string(64, 'x');
    void operator()(const auto&) const {}
  };

  asio::awaitable<void> askAndReceive() {
    auto& bus = qtforge::MessageBus::instance();
    const auto twice = co_await bus.asyncRequest("native_async.twice", 21, std::chrono::seconds(10), asio::use_awaitable);
    if (twice) bus.publish("native_async.out", *twice->json());
    while (const auto message = co_await messages_->asyncReceive(asio::use_awaitable))
      bus.publish("native_async.out", *message->json());
  }

  std::optional<qtforge::Receiver> messages_;
  asio::thread_pool threads_{1};
};

QTFORGE_PLUGIN(AsyncPlugin);
