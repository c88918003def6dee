// From one C++ thread to another: by the bus, and by what one would write: posts, a strand, a vector under a mutex.

#include "bench.hpp"

#include <qtforge/communication/message_bus.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

using namespace qtforge;
namespace asio = boost::asio;
namespace json = boost::json;

namespace bench {

namespace {

// Apart from what the sender reads, as the consumer writes it.
constexpr std::size_t apart = 128;

/// What a consumer saw of the integers 0, 1, 2...
class alignas(apart) Arrived {
 public:
  void take(std::int64_t value) {
    disordered_ += value != count_.load(std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_release);
  }

  /// Waits until all are there, and checks them.
  void await(const char* who, std::int64_t messages) {
    while (count_.load(std::memory_order_acquire) < messages) std::this_thread::yield();
    check(who, {count_, disordered_}, messages);
  }

 private:
  std::atomic<std::int64_t> count_{0};
  std::int64_t disordered_ = 0;
};

/// An io_context with a thread of its own.
class ContextThread {
 public:
  ContextThread() : work_(context.get_executor()), thread_([this] { context.run(); }) {}
  ContextThread(const ContextThread&) = delete;
  ContextThread& operator=(const ContextThread&) = delete;
  ~ContextThread() {
    work_.reset();
    thread_.join();
  }

  asio::io_context context{1};

 private:
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;  // last: it uses the rest
};

// ---- As many as go through -----------------------------------------------------------------------------------------

/// @param send  gives one integer to the consumer. @return messages per second
template <class Send>
double flood(const char* who, Arrived& arrived, std::int64_t messages, Send&& send) {
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < messages; ++i) send(i);
  arrived.await(who, messages);
  return static_cast<double>(messages) / seconds(Clock::now() - begin);
}

double floodBus(std::int64_t messages) {
  Arrived arrived;
  ContextThread consumer;
  const MessageBus bus(consumer.context.get_executor());
  const auto subscription =
      valueOf(bus.subscribe("bench.queued", [&](const json::value& value) { arrived.take(value.as_int64()); }));
  const auto publisher = valueOf(bus.publisher("bench.queued"));
  return flood("qtforge, Queued", arrived, messages, [&](std::int64_t i) { (void)publisher.publish(json::value(i)); });
}

template <class Executor>
double floodPosts(const char* who, std::int64_t messages, Arrived& arrived, const Executor& executor) {
  return flood(who, arrived, messages, [&](std::int64_t i) {
    asio::post(executor, [&arrived, value = json::value(i)] { arrived.take(value.as_int64()); });
  });
}

double floodContext(std::int64_t messages) {
  Arrived arrived;
  ContextThread consumer;
  return floodPosts("boost::asio::post", messages, arrived, consumer.context.get_executor());
}

double floodStrand(std::int64_t messages) {
  Arrived arrived;
  ContextThread consumer;
  return floodPosts("boost::asio::strand", messages, arrived, asio::make_strand(consumer.context));
}

/// A vector that is filled while the consumer works on what it took.
class SwappedVector {
 public:
  explicit SwappedVector(Arrived& arrived) : thread_([this, &arrived] { run(arrived); }) {}
  SwappedVector(const SwappedVector&) = delete;
  SwappedVector& operator=(const SwappedVector&) = delete;
  ~SwappedVector() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    some_.notify_one();
    thread_.join();
  }

  void put(json::value value) {
    bool wake;
    {
      const std::lock_guard lock(mutex_);
      wake = values_.empty();
      values_.push_back(std::move(value));
    }
    if (wake) some_.notify_one();
  }

 private:
  void run(Arrived& arrived) {
    std::vector<json::value> taken;
    for (;;) {
      taken.clear();
      {
        std::unique_lock lock(mutex_);
        some_.wait(lock, [&] { return stopped_ || !values_.empty(); });
        if (values_.empty()) return;
        taken.swap(values_);
      }
      for (const auto& value : taken) arrived.take(value.as_int64());
    }
  }

  std::mutex mutex_;  // guards all below
  std::condition_variable some_;
  std::vector<json::value> values_;
  bool stopped_ = false;
  std::thread thread_;  // last: it uses the rest
};

double floodVector(std::int64_t messages) {
  Arrived arrived;
  SwappedVector queue(arrived);
  return flood("a vector under a mutex", arrived, messages, [&](std::int64_t i) { queue.put(json::value(i)); });
}

// ---- How late ------------------------------------------------------------------------------------------------------

constexpr std::int64_t rate = 20'000;  // per second

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

struct Latency {
  double median, late;  // p50 and p99, ns
};

/// @param send  gives the time to the consumer, which puts how long ago that was into `passed`
template <class Send>
Latency pace(const char* who, const std::vector<std::int64_t>& passed, std::atomic<std::int64_t>& count, std::int64_t messages,
             Send&& send) {
  constexpr auto interval = std::chrono::nanoseconds(std::chrono::seconds(1)) / rate;
  auto due = Clock::now();
  for (std::int64_t i = 0; i < messages; ++i, due += interval) {
    while (Clock::now() < due) {}  // a sleep is longer than the interval
    send(now());
  }
  while (count.load(std::memory_order_acquire) < messages) std::this_thread::yield();
  check(who, {static_cast<std::int64_t>(passed.size()), 0}, messages);
  auto sorted = passed;
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](std::size_t percent) { return static_cast<double>(sorted[(sorted.size() - 1) * percent / 100]); };
  return {at(50), at(99)};
}

/// Takes the time when it was sent.
struct alignas(apart) Late {
  explicit Late(std::int64_t messages) { passed.reserve(static_cast<std::size_t>(messages)); }
  void take(const json::value& sent) {
    passed.push_back(now() - sent.as_int64());
    count.fetch_add(1, std::memory_order_release);
  }
  std::vector<std::int64_t> passed;
  std::atomic<std::int64_t> count{0};
};

Latency paceBus(std::int64_t messages) {
  Late late(messages);
  ContextThread consumer;
  const MessageBus bus(consumer.context.get_executor());
  const auto subscription = valueOf(bus.subscribe("bench.paced", [&](const json::value& sent) { late.take(sent); }));
  const auto publisher = valueOf(bus.publisher("bench.paced"));
  return pace("qtforge, Queued", late.passed, late.count, messages,
              [&](std::int64_t sent) { (void)publisher.publish(json::value(sent)); });
}

Latency pacePosts(std::int64_t messages) {
  Late late(messages);
  ContextThread consumer;
  return pace("boost::asio::post", late.passed, late.count, messages, [&](std::int64_t sent) {
    asio::post(consumer.context, [&late, value = json::value(sent)] { late.take(value); });
  });
}

// ---- There and back ------------------------------------------------------------------------------------------------

/// @param spin  how long each side looks for the next message before it sleeps
double roundTripsThroughBus(std::int64_t rounds, std::chrono::microseconds spin) {
  ContextThread here, there;
  const MessageBus bus(here.context.get_executor());
  std::promise<void> done;
  const auto ping = valueOf(bus.publisher("bench.ping")), pong = valueOf(bus.publisher("bench.pong"));
  const auto answers = valueOf(bus.subscribe("bench.ping", asio::bind_executor(there.context, [&](const json::value& value) {
    (void)pong.publish(value);
  }), {.spin = spin}));
  const auto goesOn = valueOf(bus.subscribe("bench.pong", [&](const json::value& value) {
    if (value.as_int64() == rounds) done.set_value();
    else (void)ping.publish(json::value(value.as_int64() + 1));
  }, {.spin = spin}));
  const auto begin = Clock::now();
  (void)ping.publish(json::value(1));
  done.get_future().wait();
  return seconds(Clock::now() - begin) / static_cast<double>(rounds) * 1e9;
}

double roundTripsThroughPosts(std::int64_t rounds) {
  ContextThread here, there;
  std::promise<void> done;
  std::function<void(std::int64_t)> ping, pong;
  ping = [&](std::int64_t n) {
    asio::post(there.context, [&, value = json::value(n)] { pong(value.as_int64()); });
  };
  pong = [&](std::int64_t n) {
    asio::post(here.context, [&, value = json::value(n)] {
      if (value.as_int64() == rounds) done.set_value();
      else ping(value.as_int64() + 1);
    });
  };
  const auto begin = Clock::now();
  ping(1);
  done.get_future().wait();
  return seconds(Clock::now() - begin) / static_cast<double>(rounds) * 1e9;
}

}  // namespace

std::vector<Comparison> measureQueued(const Options& options) {
  Comparison result("integers from one C++ thread to another", "messages/s", Better::More);
  auto& post = result.peer("boost::asio::post (no topics, unbounded)");
  auto& strand = result.peer("boost::asio::strand (no topics, unbounded)");
  auto& vector = result.peer("a vector under a mutex, swapped (unbounded)");
  inTurn(options.runs, {{&result.ours, options.messages, &floodBus},
                        {&post, options.messages, &floodContext},
                        {&strand, options.messages, &floodStrand},
                        {&vector, options.messages, &floodVector}});
  return {result};
}

std::vector<Comparison> measureLatency(const Options& options) {
  const auto paced = " at " + shown(rate) + " messages/s";
  Comparison median("one way to another thread, half are quicker," + paced, "ns", Better::Less);
  Comparison late("one way to another thread, 99 % are quicker," + paced, "ns", Better::Less);
  auto& postMedian = median.peer("boost::asio::post");
  auto& postLate = late.peer("boost::asio::post");
  const auto messages = std::min(options.messages, rate);  // of a second
  paceBus(messages / 20 + 1);
  pacePosts(messages / 20 + 1);
  const auto add = [](Latency latency, Runs& medians, Runs& lates) {
    medians.add(latency.median);
    lates.add(latency.late);
  };
  for (std::int64_t run = 0; run < options.runs; ++run) {
    add(paceBus(messages), median.ours, late.ours);
    add(pacePosts(messages), postMedian, postLate);
  }
  return {median, late};
}

std::vector<Comparison> measurePingPong(const Options& options) {
  Comparison result("to another C++ thread and back", "ns/round trip", Better::Less, "qtforge, spin of 50 us");
  auto& post = result.peer("boost::asio::post");
  auto& asleep = result.peer("qtforge without spin");
  const auto rounds = options.messages / 20 + 1;
  inTurn(options.runs,
         {{&result.ours, rounds, [](auto count) { return roundTripsThroughBus(count, std::chrono::microseconds(50)); }},
          {&asleep, rounds, [](auto count) { return roundTripsThroughBus(count, {}); }},
          {&post, rounds, &roundTripsThroughPosts}});
  return {result};
}

}  // namespace bench
