// From C++ to C++ on the publisher's thread: by the bus, and by the tables of signals or functions that one would write.

#include "bench.hpp"

#include <qtforge/communication/message_bus.hpp>

#include <boost/signals2/signal.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <latch>
#include <thread>
#include <unordered_map>

using namespace qtforge;
namespace json = boost::json;

namespace bench {

namespace {

const std::string topic = "bench.direct";
constexpr int otherTopics = 100;  // in each table, with one handler each
constexpr SubscribeOptions direct{.delivery = DeliveryMode::Direct};

const json::value& message() {
  static const json::value value{{"n", 1}, {"value", 0.5}, {"name", "sensor"}};
  return value;
}

std::string otherTopic(int i) { return "bench.other." + std::to_string(i); }

void checkCalls(const char* who, std::int64_t count, std::int64_t calls, int handlers) {
  check(who, {count, 0}, calls * handlers);
}

// ---- One thread ----------------------------------------------------------------------------------------------------

/// Subscriptions of one topic, and those of others.
class Subscribed {
 public:
  Subscribed(int handlers, std::int64_t& count) {
    for (int i = 0; i < handlers; ++i) add(topic, count);
    for (int i = 0; i < otherTopics; ++i) add(otherTopic(i), count);
  }

 private:
  void add(const std::string& name, std::int64_t& count) {
    all_.push_back(valueOf(MessageBus::instance().subscribe(name, [&count](const json::value&) { ++count; }, direct)));
  }
  std::vector<Subscription> all_;
};

double throughTopic(std::int64_t calls, int handlers) {
  std::int64_t count = 0;
  const Subscribed subscribed(handlers, count);
  const auto& bus = MessageBus::instance();
  const double passed = perCall(calls, [&] { (void)bus.publish(topic, message()); });
  checkCalls("qtforge, Direct", count, calls, handlers);
  return passed;
}

double throughPublisher(std::int64_t calls, int handlers) {
  std::int64_t count = 0;
  const Subscribed subscribed(handlers, count);
  const auto publisher = valueOf(MessageBus::instance().publisher(topic));
  const double passed = perCall(calls, [&] { (void)publisher.publish(message()); });
  checkCalls("qtforge, Direct", count, calls, handlers);
  return passed;
}

using Signal = boost::signals2::signal<void(const json::value&)>;

double throughSignal(std::int64_t calls, int handlers) {
  std::int64_t count = 0;
  Signal signal;
  for (int i = 0; i < handlers; ++i) signal.connect([&](const json::value&) { ++count; });
  const double passed = perCall(calls, [&] { signal(message()); });
  checkCalls("Boost.Signals2", count, calls, handlers);
  return passed;
}

double throughSignals(std::int64_t calls, int handlers) {
  std::int64_t count = 0;
  const auto handler = [&](const json::value&) { ++count; };
  std::unordered_map<std::string, Signal> signals;
  for (int i = 0; i < handlers; ++i) signals[topic].connect(handler);
  for (int i = 0; i < otherTopics; ++i) signals[otherTopic(i)].connect(handler);
  const double passed = perCall(calls, [&] {
    if (const auto found = signals.find(topic); found != signals.end()) found->second(message());
  });
  checkCalls("Boost.Signals2 in a map", count, calls, handlers);
  return passed;
}

double throughFunctions(std::int64_t calls, int handlers) {
  std::int64_t count = 0;
  const auto handler = [&](const json::value&) { ++count; };
  std::unordered_map<std::string, std::vector<std::function<void(const json::value&)>>> functions;
  for (int i = 0; i < handlers; ++i) functions[topic].push_back(handler);
  for (int i = 0; i < otherTopics; ++i) functions[otherTopic(i)].push_back(handler);
  const double passed = perCall(calls, [&] {
    const auto found = functions.find(topic);
    if (found == functions.end()) return;
    for (const auto& function : found->second) function(message());
  });
  checkCalls("functions in a map", count, calls, handlers);
  return passed;
}

// ---- Several threads -----------------------------------------------------------------------------------------------

thread_local std::int64_t callsHere = 0;

/// @return ns per call on each of so many threads, which all do it at once
template <class F>
double perCallOf(unsigned threads, std::int64_t calls, F&& call) {
  std::latch ready(threads);
  std::atomic<double> sum{0};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t)
    all.emplace_back([&] {
      callsHere = 0;
      ready.arrive_and_wait();
      sum += perCall(calls, call);
      check("threads", {callsHere, 0}, calls);
    });
  for (auto& thread : all) thread.join();
  return sum / threads;
}

double throughTopicOn(unsigned threads, std::int64_t calls) {
  const auto& bus = MessageBus::instance();
  const auto subscription = valueOf(bus.subscribe(topic, [](const json::value&) { ++callsHere; }, direct));
  return perCallOf(threads, calls, [&] { (void)bus.publish(topic, message()); });
}

double throughSignalOn(unsigned threads, std::int64_t calls) {
  Signal signal;
  signal.connect([](const json::value&) { ++callsHere; });
  return perCallOf(threads, calls, [&] { signal(message()); });
}

// ---- While others subscribe ----------------------------------------------------------------------------------------

/// Subscribes and unsubscribes 1,000 times per second, exactly and by wildcard in turn.
class Churn {
 public:
  Churn() : begin_(Clock::now()), thread_([this] { run(); }) {}
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;
  ~Churn() { (void)end(); }

  /// @return subscriptions per second
  double end() {
    if (!thread_.joinable()) return 0;
    stop_ = true;
    thread_.join();
    return static_cast<double>(count_) / seconds(Clock::now() - begin_);
  }

 private:
  void run() {
    auto next = begin_;
    while (!stop_) {
      std::this_thread::sleep_until(next += std::chrono::milliseconds(1));
      (void)valueOf(MessageBus::instance().subscribe(count_++ % 2 ? topic : "bench.*", [](const json::value&) {}, direct));
    }
  }

  const Clock::time_point begin_;
  std::atomic<bool> stop_{false};
  std::int64_t count_ = 0;
  std::thread thread_;  // last: it uses the rest
};

/// @return ns per publish over half a second
double throughTopicForAWhile() {
  std::int64_t count = 0, calls = 0;
  const auto& bus = MessageBus::instance();
  const auto subscription = valueOf(bus.subscribe(topic, [&](const json::value&) { ++count; }, direct));
  constexpr std::int64_t most = 10'000;
  const auto begin = Clock::now();
  auto passed = Clock::duration::zero();
  while (passed < std::chrono::milliseconds(500)) {
    for (std::int64_t i = 0; i < most; ++i) (void)bus.publish(topic, message());
    calls += most;
    passed = Clock::now() - begin;
  }
  check("qtforge, Direct", {count, 0}, calls);
  return seconds(passed) / static_cast<double>(calls) * 1e9;
}

std::vector<Comparison> compareDirect(const Options& options, int handlers) {
  const auto to = " to " + std::to_string(handlers) + (handlers == 1 ? " C++ handler" : " C++ handlers");
  Comparison byTopic("a message that is there by topic" + to, "ns/call", Better::Less);
  auto& signals = byTopic.peer("Boost.Signals2 in an unordered_map by name");
  auto& functions = byTopic.peer("functions in an unordered_map by name, no locks");
  Comparison byHandle("a message that is there" + to, "ns/call", Better::Less);
  auto& signal = byHandle.peer("Boost.Signals2 (no topics, no counters)");
  const auto messages = std::max<std::int64_t>(1, options.messages / handlers);
  const auto contender = [&](Runs& into, double (*measure)(std::int64_t, int)) {
    return Contender{&into, messages, [=](std::int64_t calls) { return measure(calls, handlers); }};
  };
  inTurn(options.runs, {contender(byTopic.ours, &throughTopic), contender(signals, &throughSignals),
                        contender(functions, &throughFunctions), contender(byHandle.ours, &throughPublisher),
                        contender(signal, &throughSignal)});
  return {byTopic, byHandle};
}

}  // namespace

std::vector<Comparison> measureDirect(const Options& options) {
  auto all = compareDirect(options, 1);
  for (auto& comparison : compareDirect(options, 10)) all.push_back(comparison);
  return all;
}

std::vector<Comparison> measureThreads(const Options& options) {
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  Comparison result("Direct on one topic, per thread of " + std::to_string(threads) + " that publish at once", "ns/call",
                    Better::Less);
  auto& alone = result.peer("qtforge, one thread");
  auto& signal = result.peer("Boost.Signals2, as many threads");
  auto& signalAlone = result.peer("Boost.Signals2, one thread");
  inTurn(options.runs,
         {{&result.ours, options.messages, [=](std::int64_t calls) { return throughTopicOn(threads, calls); }},
          {&alone, options.messages, [](std::int64_t calls) { return throughTopicOn(1, calls); }},
          {&signal, options.messages / 5 + 1, [=](std::int64_t calls) { return throughSignalOn(threads, calls); }},
          {&signalAlone, options.messages / 5 + 1, [](std::int64_t calls) { return throughSignalOn(1, calls); }}});
  return {result};
}

std::vector<Comparison> measureChurn(const Options& options) {
  Comparison result("Direct by topic while 1,000 subscriptions/s come and go", "ns/call", Better::Less);
  auto& quiet = result.peer("qtforge, while none does");
  Runs rates;
  inTurn(options.runs, {{&result.ours, 1,
                         [&](std::int64_t) {
                           Churn churn;
                           const double passed = throughTopicForAWhile();
                           rates.add(churn.end());
                           return passed;
                         }},
                        {&quiet, 1, [](std::int64_t) { return throughTopicForAWhile(); }}});
  std::printf("\nsubscriptions that came and went: %s/s\n", shown(rates.median()).c_str());
  return {result};
}

}  // namespace bench
