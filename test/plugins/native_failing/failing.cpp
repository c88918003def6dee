// Fails as QTFORGE_TEST_FAIL says, "hook:how": how is error, empty, throw, odd (no std::exception), hang or exit.
// The hook "handler" is what it does with a message on "native.fail".

#include <qtforge/plugin.hpp>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

class Failing : public qtforge::IPlugin {
 public:
  Failing() {
    if (auto done = step("constructor"); !done) throw qtforge::Exception(done.error());
  }
  qtforge::expected<void> initialize() override {
    auto subscribed = qtforge::MessageBus::instance().subscribe(
        "native.fail", [](const boost::json::value&) { (void)step("handler"); });
    if (!subscribed) return subscribed.error();
    fail_ = std::move(*subscribed);
    return step("initialize");
  }
  qtforge::expected<void> activate() override { return step("activate"); }
  qtforge::expected<void> deactivate() override { return step("deactivate"); }
  void cleanup() override {
    if (auto done = step("cleanup"); !done) throw qtforge::Exception(done.error());
  }
  bool isCompatible(std::string_view) const override { return step("isCompatible").has_value(); }

 private:
  static qtforge::expected<void> step(const std::string& hook) {
    const char* set = std::getenv("QTFORGE_TEST_FAIL");
    const std::string wanted = set ? set : "";
    if (!wanted.starts_with(hook + ':')) return {};
    const auto how = wanted.substr(hook.size() + 1);
    if (how == "throw") throw std::runtime_error("thrown by " + hook);
    if (how == "odd") throw 42;
    if (how == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
    if (how == "exit") std::exit(17);
    if (how == "empty") return qtforge::Error();
    return qtforge::Error(("returned by " + hook).c_str());
  }

  qtforge::Subscription fail_;
};

QTFORGE_PLUGIN(Failing);
