#pragma once
// participant.hpp: one of those who meet on the bus: says its name to all, and notes whose names it hears.

#include <qtforge/communication/bus.hpp>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

// As qtforge itself: else a host that exports all would put its functions into libraries with another Boost.
namespace one_process::inline QTFORGE_ABI {

class Participant {
 public:
  explicit Participant(std::string name) : name_(std::move(name)) {}

  qtforge::expected<void> listen() {
    auto subscribed = bus_.subscribe("hello.*", [this](const qtforge::Message& hello) {
      std::ostringstream line;
      line << std::string_view(hello.json()->as_string()) << ' ' << hello.sender() << ' ' << std::this_thread::get_id();
      std::lock_guard lock(mutex_);
      heard_.push_back(line.str());
    });
    if (!subscribed) return subscribed.error();
    hellos_ = std::move(*subscribed);
    return {};
  }

  qtforge::expected<void> speak() {
    const auto sent = bus_.publish("hello." + name_, boost::json::value(name_));
    if (!sent) return sent.error();
    return {};
  }

  /// Ends it, and writes a line per hello, "who sender thread", to a file of its name.
  void report() {
    hellos_.unsubscribe();
    std::lock_guard lock(mutex_);
    std::ofstream file(std::string(std::getenv("QTFORGE_TEST_FOLDER")) + "/" + name_ + ".txt");
    for (const auto& line : heard_) file << line << '\n';
  }

 private:
  const std::string name_;
  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  std::mutex mutex_;  // guards heard_
  std::vector<std::string> heard_;
  qtforge::Subscription hellos_;
};

}  // namespace one_process::inline QTFORGE_ABI
