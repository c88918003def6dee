// Handles messages on threads of its own.

#include <qtforge/plugin.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/thread_pool.hpp>

class ExecutorPlugin : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto made = qtforge::MessageBus::instance().subscribe(
        "native_executor.in", boost::asio::bind_executor(threads_.get_executor(), [](const boost::json::value& value) {
          qtforge::MessageBus::instance().publish("native_executor.out", value);
        }));
    if (!made) return made.error();
    subscription_ = std::move(*made);
    return {};
  }

 private:
  boost::asio::thread_pool threads_{1};
  qtforge::Subscription subscription_;
};

QTFORGE_PLUGIN(ExecutorPlugin);
