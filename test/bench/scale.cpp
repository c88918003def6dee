// What a publish costs, and a subscription, where there are many that do not match.

#include "bench.hpp"

#include <qtforge/communication/message_bus.hpp>

#include <boost/asio/io_context.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <unistd.h>

using namespace qtforge;
namespace json = boost::json;

namespace bench {

namespace {

double residentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  if (!(statm >> total >> resident)) fail("cannot read /proc/self/statm");
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// A bus with one subscription that matches and many that do not: exact ones and patterns.
class CrowdedBus {
 public:
  explicit CrowdedBus(std::int64_t others) {
    others_.reserve(static_cast<std::size_t>(others));
    const double before = residentBytes();
    const auto begin = Clock::now();
    for (std::int64_t i = 0; i < others; ++i) {
      const auto number = std::to_string(i);
      const auto pattern = i % 2 ? "unrelated." + number + ".exact" : "unrelated." + number + ".*";
      others_.push_back(valueOf(bus_.subscribe(pattern, [](const json::value&) {})));
    }
    subscribing_ = seconds(Clock::now() - begin) / static_cast<double>(others) * 1e9;
    bytes_ = (residentBytes() - before) / static_cast<double>(others);
  }

  [[nodiscard]] double subscribingTime() const noexcept { return subscribing_; }
  [[nodiscard]] double bytesEach() const noexcept { return bytes_; }

  double publish(std::int64_t calls) {
    const json::value message{{"n", 1}, {"value", 0.5}, {"name", "sensor"}};
    const auto before = count_;
    const double passed = perCall(calls, [&] { (void)bus_.publish("bench.scale", message); });
    check("qtforge, Direct", {count_ - before, 0}, calls);
    return passed;
  }

  /// @return ns per subscription that ends
  double clear() {
    const auto begin = Clock::now();
    const auto count = static_cast<double>(others_.size());
    others_.clear();
    return seconds(Clock::now() - begin) / count * 1e9;
  }

 private:
  boost::asio::io_context context_;
  MessageBus bus_{context_.get_executor()};
  std::int64_t count_ = 0;
  Subscription matching_ = valueOf(bus_.subscribe("bench.scale", [this](const json::value&) { ++count_; },
                                                  {.delivery = DeliveryMode::Direct}));
  std::vector<Subscription> others_;
  double subscribing_ = 0, bytes_ = 0;
};

}  // namespace

std::vector<Comparison> measureScale(const Options& options) {
  const std::array<std::int64_t, 3> sizes{1, 1000, options.subscriptions};
  const auto with = [](std::int64_t n) {
    auto digits = shown(static_cast<double>(n));
    if (n < 1000) digits = std::to_string(n);
    return digits + (n == 1 ? " subscription that does not match" : " subscriptions that do not match");
  };
  std::vector<std::unique_ptr<CrowdedBus>> buses;
  for (const auto size : sizes) buses.push_back(std::make_unique<CrowdedBus>(size));

  Comparison result("a message that is there by topic, among others", "ns/call", Better::Less, with(sizes[0]));
  auto& some = result.peer(with(sizes[1]));
  auto& many = result.peer(with(sizes[2]));
  Runs* const into[] = {&result.ours, &some, &many};
  std::vector<Contender> contenders;
  for (std::size_t i = 0; i < buses.size(); ++i)
    contenders.push_back({into[i], options.messages, [&bus = *buses[i]](std::int64_t calls) { return bus.publish(calls); }});
  inTurn(options.runs, contenders);

  const auto of = " one of " + shown(static_cast<double>(options.subscriptions)) + " subscriptions";
  Comparison memory("memory of" + of, "bytes", Better::Less), begin("to begin" + of, "ns", Better::Less),
      end("to end" + of, "ns", Better::Less);
  memory.ours.add(buses.back()->bytesEach());
  begin.ours.add(buses.back()->subscribingTime());
  end.ours.add(buses.back()->clear());
  return {result, memory, begin, end};
}

}  // namespace bench
