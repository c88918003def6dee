// A plugin that uses what the host gives to authors: its folders, its store, its log, and functions at the end.

#include <qtforge/plugin.hpp>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

class Author : public qtforge::IPlugin {
 public:
  Author() {
    onUnload([this] { tell("at the unload, " + state_); });
    hear();
    log().info("made in " + path().filename().string());
  }
  ~Author() override { tell("destructor"); }

  qtforge::expected<void> initialize() override {
    auto kept = store();
    if (!kept) return kept.error();
    const auto visits = kept->get<int>("visits", 0);
    if (!visits) return visits.error();
    if (auto set = kept->set("visits", *visits + 1); !set) return set;
    bus_.publish("author.visits", *visits + 1);
    state_ = "initialized";
    hear();
    onUnload([this] { tell("first of initialize, " + state_); });
    onUnload([] { throw std::runtime_error("at the end"); });
    onUnload([this] { tell("last of initialize, " + state_); });
    return {};
  }

  void cleanup() override {
    state_ = "cleaned";
    throw std::runtime_error("cleanup failed");
  }

 private:
  void hear() {
    if (auto heard = bus_.subscribe("author.hears", [](int) {})) heard_.push_back(std::move(*heard));
  }
  void tell(const std::string& text) { bus_.publish("author.told", text); }

  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  std::string state_ = "made";
  std::vector<qtforge::Subscription> heard_;  // never let go by cleanup
};

QTFORGE_PLUGIN(Author);
