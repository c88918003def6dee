// MessageBus: delivery, order, bounds, the end of subscriptions.

#include "manual_bus.hpp"

#include <qtforge/host.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/static_resource.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <future>
#include <latch>
#include <random>
#include <sys/wait.h>
#include <unistd.h>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace message_bus {

/// Collects integers that are published.
auto collectInto(std::vector<std::int64_t>& seen) {
  return [&seen](const json::value& value) { seen.push_back(value.as_int64()); };
}

}  // namespace message_bus

BOOST_AUTO_TEST_SUITE(message_bus)

BOOST_AUTO_TEST_CASE(queued_messages_arrive_in_order_on_the_bus_executor) {
  ManualBus m;
  std::vector<std::int64_t> seen;
  const auto subscription = m.bus.subscribe("a.b", collectInto(seen)).value();
  for (int i = 0; i < 5; ++i) BOOST_TEST(m.bus.publish("a.b", i).value().queued == 1u);
  BOOST_TEST(seen.empty());
  m.runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{0, 1, 2, 3, 4}));
  BOOST_TEST(subscription.stats().delivered == 5u);
}

BOOST_AUTO_TEST_CASE(more_messages_than_one_turn_takes_arrive_too) {
  ManualBus m;
  std::vector<std::int64_t> seen;
  const auto subscription = m.bus.subscribe("a", collectInto(seen)).value();
  for (int i = 0; i < 5000; ++i) m.bus.publish("a", i);
  m.runHandlers();
  BOOST_TEST(seen.size() == 5000u);
  BOOST_TEST(std::is_sorted(seen.begin(), seen.end()));
}

BOOST_AUTO_TEST_CASE(direct_handlers_run_inside_publish) {
  ManualBus m;
  std::thread::id where;
  const auto subscription =
      m.bus.subscribe("a", [&](const json::value&) { where = std::this_thread::get_id(); },
                      {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(m.bus.publish("a", nullptr).value().called == 1u);
  BOOST_TEST((where == std::this_thread::get_id()));
}

BOOST_AUTO_TEST_CASE(a_handler_runs_on_the_executor_it_is_bound_to) {
  ManualBus m;
  boost::asio::io_context other;
  std::vector<std::int64_t> seen;
  const auto subscription =
      m.bus.subscribe("a", boost::asio::bind_executor(other.get_executor(), collectInto(seen))).value();
  m.bus.publish("a", 7);
  m.runHandlers();
  BOOST_TEST(seen.empty());
  other.poll();
  BOOST_TEST((seen == std::vector<std::int64_t>{7}));
}

BOOST_AUTO_TEST_CASE(handlers_get_the_payload_they_name) {
  ManualBus m;
  BinaryMessage image{Buffer({1, 2, 3}), "image/png", "|u1", {3}};
  std::string text;
  std::size_t bytes = 0;
  std::map<std::string, int> typed;
  const Message* borrowed = nullptr;
  const auto s1 = m.bus.subscribe("t", [&](const Message& message) {
    borrowed = &message;
    text = std::string(message.topic()) + "/" + std::string(message.sender());
    BOOST_TEST(message.id() != 0u);
    BOOST_TEST((message.time().time_since_epoch().count() > 0));
  }).value();
  const auto s2 = m.bus.subscribe("b", [&](const BinaryMessage& message) { bytes = message.data.size(); }).value();
  const auto s3 = m.bus.subscribe("m", [&](const std::map<std::string, int>& map) { typed = map; }).value();
  const auto s4 = m.bus.subscribe<int>("i", [&](auto number) { BOOST_TEST(number == 4); }).value();
  m.bus.publish("t", "hello");
  m.bus.publish("b", image);
  m.bus.publish("m", json::object{{"x", 1}, {"y", 2}});
  m.bus.publish("i", 4);
  m.runHandlers();
  BOOST_TEST(borrowed != nullptr);
  BOOST_TEST(text == "t/host");
  BOOST_TEST(bytes == 3u);
  BOOST_TEST(typed["y"] == 2);
  BOOST_TEST(s4.stats().delivered == 1u);
}

BOOST_AUTO_TEST_CASE(a_payload_of_another_kind_is_counted_and_the_handler_not_called) {
  ManualBus m;
  setLogSinks({});
  int calls = 0;
  const auto wantsBytes = m.bus.subscribe("a", [&](const BinaryMessage&) { ++calls; }).value();
  const auto wantsNumber = m.bus.subscribe<int>("a", [&](int) { ++calls; }).value();
  m.bus.publish("a", "text");
  m.runHandlers();
  BOOST_TEST(calls == 0);
  BOOST_TEST(wantsBytes.stats().mismatched == 1u);
  BOOST_TEST(wantsNumber.stats().mismatched == 1u);
  BOOST_TEST(wantsNumber.stats().delivered == 0u);
}

BOOST_AUTO_TEST_CASE(a_json_rvalue_is_adopted_and_an_lvalue_left_as_it_is) {
  ManualBus m;
  const char* data = nullptr;
  const auto subscription = m.bus.subscribe("a", [&](const json::value& value) { data = value.as_string().data(); }).value();
  json::value long_text = json::string(100, 'x');
  const auto* before = long_text.as_string().data();
  m.bus.publish("a", long_text);
  m.runHandlers();
  BOOST_TEST(long_text.as_string().size() == 100u);
  BOOST_TEST((data != before));
  m.bus.publish("a", std::move(long_text));
  m.runHandlers();
  BOOST_TEST((data == before));
}

BOOST_AUTO_TEST_CASE(a_value_on_the_callers_memory_resource_does_not_outlive_it) {
  ManualBus m;
  std::string seen;
  const auto subscription = m.bus.subscribe("a", [&](const json::value& value) { seen = json::serialize(value); }).value();
  {
    unsigned char memory[512];
    json::static_resource resource(memory);
    json::value value({{"key", "a text that is longer than the small string buffer"}}, &resource);
    m.bus.publish("a", std::move(value));
    std::memset(memory, 0xFF, sizeof memory);
  }
  m.runHandlers();
  BOOST_TEST(seen == R"({"key":"a text that is longer than the small string buffer"})");
}

BOOST_AUTO_TEST_CASE(wildcards_match_and_not_the_librarys_own_topics) {
  ManualBus m;
  std::vector<std::string> seen;
  const auto note = [&](const char* name) {
    return [&seen, name](const Message& message) { seen.push_back(name + std::string(":") + std::string(message.topic())); };
  };
  const auto s1 = m.bus.subscribe("sensor.*.temperature", note("star")).value();
  const auto s2 = m.bus.subscribe("sensor.>", note("rest")).value();
  const auto s3 = m.bus.subscribe(">", note("all")).value();
  const auto s4 = m.bus.subscribe("qtforge.errors", note("errors")).value();
  const auto failing = m.bus.subscribe("fail", [](const json::value&) { throw std::runtime_error("no"); }).value();
  setLogSinks({});
  BOOST_TEST(m.bus.publish("sensor.kitchen.temperature", 1).value().queued == 3u);
  BOOST_TEST(m.bus.publish("sensor", 1).value().queued == 1u);
  m.bus.publish("fail", 1);
  m.runHandlers();
  m.runHandlers();
  BOOST_TEST(std::count(seen.begin(), seen.end(), "errors:qtforge.errors") == 1);
  BOOST_TEST(std::count(seen.begin(), seen.end(), "all:qtforge.errors") == 0);
}

BOOST_AUTO_TEST_CASE(a_throwing_handler_stays_subscribed_and_is_reported_with_its_message) {
  ManualBus m;
  setLogSinks({});
  json::value report;
  int calls = 0;
  const auto errors = m.bus.subscribe("qtforge.errors", [&](const json::value& value) { report = value; }).value();
  const auto failing = m.bus.subscribe("a", [&](const json::value&) {
    ++calls;
    throw std::runtime_error("out of paper");
  }).value();
  m.bus.publish("a", 1);
  m.bus.publish("a", 2);
  m.runHandlers();
  m.runHandlers();
  BOOST_TEST(calls == 2);
  BOOST_TEST(failing.stats().failed == 2u);
  BOOST_TEST(report.at("message").as_string() == "std::runtime_error: out of paper");
  BOOST_TEST(report.at("topic").as_string() == "a");
}

BOOST_AUTO_TEST_CASE(only_the_library_publishes_below_qtforge) {
  ManualBus m;
  BOOST_TEST((m.bus.publish("qtforge.errors", 1).error() == Errc::ReservedTopic));
  BOOST_TEST((m.bus.publish("qtforge", 1).error() == Errc::ReservedTopic));
  BOOST_TEST((m.bus.publisher("qtforge.x").error() == Errc::ReservedTopic));
  BOOST_TEST(m.bus.publish("qtforgery", 1).has_value());
}

BOOST_AUTO_TEST_CASE(bad_topics_and_options_are_errors_that_say_where) {
  ManualBus m;
  BOOST_TEST(m.bus.publish("a..b", 1).error().message() == "topic \"a..b\": empty token at offset 2");
  BOOST_TEST((m.bus.publish("a.*", 1).error() == Errc::InvalidTopic));
  BOOST_TEST((m.bus.subscribe("a.b*", [](const json::value&) {}).error() == Errc::InvalidPattern));
  BOOST_TEST((m.bus.subscribe("a", [](const json::value&) {}, {.capacity = 0}).error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_CASE(fail_reports_overflow_and_the_others_still_get_the_message) {
  ManualBus m;
  setLogSinks({});
  std::vector<std::int64_t> small, large;
  const auto s1 = m.bus.subscribe("a", collectInto(small), {.capacity = 2, .policy = OverflowPolicy::Fail}).value();
  const auto s2 = m.bus.subscribe("a", collectInto(large)).value();
  m.bus.publish("a", 1);
  m.bus.publish("a", 2);
  BOOST_TEST((m.bus.publish("a", 3).error() == Errc::Overflow));
  m.runHandlers();
  BOOST_TEST((small == std::vector<std::int64_t>{1, 2}));
  BOOST_TEST((large == std::vector<std::int64_t>{1, 2, 3}));
  BOOST_TEST(s1.stats().dropped == 1u);
}

BOOST_AUTO_TEST_CASE(drop_policies_lose_the_oldest_or_the_newest_and_count) {
  ManualBus m;
  setLogSinks({});
  std::vector<std::int64_t> oldest, newest;
  const auto s1 = m.bus.subscribe("a", collectInto(oldest), {.capacity = 2, .policy = OverflowPolicy::DropOldest}).value();
  const auto s2 = m.bus.subscribe("a", collectInto(newest), {.capacity = 2, .policy = OverflowPolicy::DropNewest}).value();
  for (int i = 1; i <= 4; ++i) m.bus.publish("a", i);
  m.runHandlers();
  BOOST_TEST((oldest == std::vector<std::int64_t>{3, 4}));
  BOOST_TEST((newest == std::vector<std::int64_t>{1, 2}));
  BOOST_TEST(s1.stats().dropped == 2u);
  BOOST_TEST(s2.stats().dropped == 2u);
}

BOOST_AUTO_TEST_CASE(overflow_is_reported_once_per_burst) {
  ManualBus m;
  setLogSinks({});
  int reports = 0;
  const auto overflow = m.bus.subscribe("qtforge.bus.overflow", [&](const json::value&) { ++reports; }).value();
  std::vector<std::int64_t> seen;
  const auto s = m.bus.subscribe("a", collectInto(seen), {.capacity = 1, .policy = OverflowPolicy::DropNewest}).value();
  for (int burst = 0; burst < 2; ++burst) {
    for (int i = 0; i < 10; ++i) m.bus.publish("a", i);
    m.runHandlers();
  }
  m.runHandlers();
  BOOST_TEST(reports == 2);
}

BOOST_AUTO_TEST_CASE(block_waits_for_a_place) {
  ManualBus m;
  std::vector<std::int64_t> seen;
  const auto s = m.bus.subscribe("a", collectInto(seen), {.capacity = 1}).value();
  m.bus.publish("a", 1);
  auto second = std::async(std::launch::async, [&] { return m.bus.publish("a", 2).has_value(); });
  while (seen.size() < 2) m.runHandlers();
  BOOST_TEST(second.get());
  BOOST_TEST((seen == std::vector<std::int64_t>{1, 2}));
}

BOOST_AUTO_TEST_CASE(block_gives_up_after_its_timeout_with_overflow) {
  ManualBus m;
  setLogSinks({});
  const auto s = m.bus.subscribe("a", [](const json::value&) {}, {.capacity = 1, .blockTimeout = std::chrono::milliseconds(10)}).value();
  m.bus.publish("a", 1);
  BOOST_TEST((m.bus.publish("a", 2).error() == Errc::Overflow));
}

BOOST_AUTO_TEST_CASE(block_from_the_mailboxes_own_handler_would_deadlock) {
  ManualBus m;
  setLogSinks({});
  Error error;
  const auto s = m.bus.subscribe("a", [&](const json::value&) {
    if (error.code() != Errc::Ok) return;
    m.bus.publish("a", 2);
    if (auto sent = m.bus.publish("a", 3); !sent) error = sent.error();
  }, {.capacity = 1}).value();
  m.bus.publish("a", 1);
  m.runHandlers();
  BOOST_TEST((error == Errc::WouldDeadlock));
}

BOOST_AUTO_TEST_CASE(handlers_that_block_on_each_others_mailboxes_are_told_instead_of_waiting) {
  boost::asio::io_context first, second;
  MessageBus bus(first.get_executor());
  const SubscribeOptions full{.capacity = 1, .blockTimeout = std::chrono::minutes(1)};
  std::latch both(2);
  std::atomic<int> told{0}, sent{0};
  const auto flood = [&](const char* topic) {
    both.arrive_and_wait();
    for (int i = 0; i < 3; ++i) {
      const auto result = bus.publish(topic, 0);
      ++sent;
      if (!result && result.error() == Errc::WouldDeadlock) ++told;
    }
  };
  std::atomic<bool> a{true}, b{true};
  const auto onA = bus.subscribe("a", boost::asio::bind_executor(first, [&](const json::value&) {
    if (a.exchange(false)) flood("b");
  }), full).value();
  const auto onB = bus.subscribe("b", boost::asio::bind_executor(second, [&](const json::value&) {
    if (b.exchange(false)) flood("a");
  }), full).value();
  (void)bus.publish("a", 0);
  (void)bus.publish("b", 0);
  std::thread one([&] { first.run(); }), other([&] { second.run(); });
  one.join();
  other.join();
  BOOST_TEST(sent == 6);
  BOOST_TEST(told >= 1);
}

BOOST_AUTO_TEST_CASE(direct_handlers_that_publish_to_themselves_are_stopped_before_the_stack) {
  ManualBus m;
  int depth = 0;
  Error error;
  const auto s = m.bus.subscribe("a", [&](const json::value&) {
    ++depth;
    if (auto sent = m.bus.publish("a", 1); !sent) error = sent.error();
  }, {.delivery = DeliveryMode::Direct}).value();
  m.bus.publish("a", 1);
  BOOST_TEST((error == Errc::LimitExceeded));
  BOOST_TEST(depth == 32);
}

BOOST_AUTO_TEST_CASE(messages_carry_the_time_of_their_publish_to_about_a_microsecond) {
  ManualBus m;
  std::vector<std::chrono::system_clock::time_point> times;
  const auto s = m.bus.subscribe("a", [&](const Message& message) { times.push_back(message.time()); }).value();
  const auto slack = std::chrono::milliseconds(1);  // the test may be held up between two lines
  std::vector<std::chrono::system_clock::time_point> before;
  for (int i = 0; i < 1000; ++i) {
    before.push_back(std::chrono::system_clock::now());
    (void)m.bus.publish("a", i);
  }
  const auto end = std::chrono::system_clock::now();
  m.runHandlers();
  BOOST_REQUIRE(times.size() == before.size());
  BOOST_TEST(std::is_sorted(times.begin(), times.end()));
  BOOST_TEST((times.back() <= end));
  std::size_t early = 0;
  for (std::size_t i = 0; i < times.size(); ++i) early += times[i] + slack < before[i];
  BOOST_TEST(early == 0u);
}

BOOST_AUTO_TEST_CASE(after_unsubscribe_no_call_begins_and_the_captures_are_dead) {
  ManualBus m;
  auto captured = std::make_shared<int>(0);
  auto s = m.bus.subscribe("a", [captured](const json::value&) { ++*captured; }).value();
  m.bus.publish("a", 1);
  s.unsubscribe();
  BOOST_TEST(captured.use_count() == 1);
  m.runHandlers();
  BOOST_TEST(*captured == 0);
  BOOST_TEST(m.bus.publish("a", 1).value().receivers() == 0u);
}

BOOST_AUTO_TEST_CASE(unsubscribe_from_inside_the_own_handler_lets_the_captures_live_until_it_returns) {
  for (const auto mode : {DeliveryMode::Queued, DeliveryMode::Direct}) {
    ManualBus m;
    auto captured = std::make_shared<int>(0);
    Subscription s;
    s = m.bus.subscribe("a", [&s, captured](const json::value&) {
      s.unsubscribe();
      ++*captured;
    }, {.delivery = mode}).value();
    m.bus.publish("a", 1);
    m.bus.publish("a", 1);
    m.runHandlers();
    BOOST_TEST(*captured == 1);
    BOOST_TEST(captured.use_count() == 1);
  }
}

BOOST_AUTO_TEST_CASE(one_direct_handler_of_a_topic_may_end_the_next_one_or_the_one_before) {
  constexpr SubscribeOptions direct{.delivery = DeliveryMode::Direct};
  for (const int ended : {0, 1, 2}) {
    MessageBus& bus = MessageBus::instance();
    std::vector<Subscription> all(3);
    std::vector<int> seen;
    std::weak_ptr<int> captured;
    for (int i = 0; i < 3; ++i) {
      auto held = std::make_shared<int>(i);
      if (i == ended) captured = held;
      all[static_cast<std::size_t>(i)] = bus.subscribe("test.round", [&, held](const json::value&) {
        seen.push_back(*held);
        if (*held == 1) all[static_cast<std::size_t>(ended)].unsubscribe();
        BOOST_TEST(captured.expired() == (*held > (ended == 1 ? 1 : 0)));
      }, direct).value();
    }
    BOOST_TEST(bus.publish("test.round", 0).value().called == (ended == 2 ? 2u : 3u));
    BOOST_TEST(captured.expired());
    BOOST_TEST((seen == (ended == 2 ? std::vector{0, 1} : std::vector{0, 1, 2})));
  }
}

BOOST_AUTO_TEST_CASE(a_direct_handler_that_has_ended_is_destroyed_outside_of_all_calls) {
  ManualBus m;
  Subscription first;
  expected<void> drained = Error("not tried");
  std::shared_ptr<int> held(new int(0), [&](int* number) {
    drained = m.bus.drain(std::chrono::seconds(0));
    delete number;
  });
  first = m.bus.subscribe("a", [&first, held](const json::value&) { first.unsubscribe(); },
                          {.delivery = DeliveryMode::Direct}).value();
  held.reset();
  bool before = false;
  const auto second = m.bus.subscribe("a", [&](const json::value&) { before = drained.has_value(); },
                                      {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(m.bus.publish("a", 1).value().called == 2u);
  BOOST_TEST(before);
}

BOOST_AUTO_TEST_CASE(unsubscribe_waits_for_a_call_on_another_thread) {
  auto& bus = MessageBus::instance();
  std::latch entered(1), leave(1);
  std::atomic<bool> left{false};
  auto s = bus.subscribe("test.wait", [&](const json::value&) {
    entered.count_down();
    leave.wait();
    left = true;
  }).value();
  bus.publish("test.wait", 1);
  entered.wait();
  std::thread release([&] { leave.count_down(); });
  s.unsubscribe();
  BOOST_TEST(left.load());
  release.join();
}

BOOST_AUTO_TEST_CASE(unsubscribe_waits_for_a_destructor_on_another_thread) {
  auto& bus = MessageBus::instance();
  struct Seen {
    std::atomic<bool> inside{false}, destroyed{false}, returned{false};
  } seen;
  struct Slow {
    explicit Slow(Seen& s) : seen(&s) {}
    Slow(Slow&& other) noexcept : seen(std::exchange(other.seen, nullptr)) {}
    ~Slow() {
      if (!seen) return;
      // The end of another subscription wakes all who wait for an end: often enough that one would return if it could.
      for (int i = 0; i < 500 && !seen->returned; ++i) {
        Subscription other;
        other = MessageBus::instance().subscribe("test.other", [&](const json::value&) { other.unsubscribe(); },
                                                 {.delivery = DeliveryMode::Direct}).value();
        MessageBus::instance().publish("test.other", 1);
        std::this_thread::yield();
      }
      seen->destroyed = true;
    }
    Seen* seen;
  };
  const auto& mine = detail::ThreadRecords::mine();
  const auto waits = [&] {
    const std::lock_guard lock(detail::ThreadRecords::instance().waitMutex());
    return mine.waitingFor != nullptr;
  };
  auto s = bus.subscribe("test.slow_end", [&, slow = Slow(seen)](const json::value&) {
    seen.inside = true;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!waits() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  }).value();
  bus.publish("test.slow_end", 1);
  while (!seen.inside) std::this_thread::yield();
  s.unsubscribe();
  BOOST_TEST(seen.destroyed);
  seen.returned = true;
  while (!seen.destroyed) std::this_thread::yield();
}

BOOST_AUTO_TEST_CASE(handlers_that_end_each_other_do_not_wait_for_ever) {
  auto& bus = MessageBus::instance();
  std::latch both(2);
  Subscription one, two;
  std::atomic<int> returned{0};
  one = bus.subscribe("test.one", [&](const json::value&) {
    both.arrive_and_wait();
    two.unsubscribe();
    ++returned;
  }).value();
  two = bus.subscribe("test.two", [&](const json::value&) {
    both.arrive_and_wait();
    one.unsubscribe();
    ++returned;
  }).value();
  bus.publish("test.one", 1);
  bus.publish("test.two", 1);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (returned < 2 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  BOOST_TEST(returned == 2);
}

BOOST_AUTO_TEST_CASE(drain_waits_for_what_handlers_publish_too) {
  auto& bus = MessageBus::instance();
  std::atomic<int> steps{0};
  const auto s = bus.subscribe("test.chain", [&](const json::value& value) {
    ++steps;
    if (value.as_int64() > 0) bus.publish("test.chain", value.as_int64() - 1);
  }).value();
  bus.publish("test.chain", 20);
  BOOST_TEST(bus.drain().has_value());
  BOOST_TEST(steps == 21);
}

BOOST_AUTO_TEST_CASE(drain_does_not_wait_for_what_is_published_after_it_began) {
  auto& bus = MessageBus::instance();
  const auto s = bus.subscribe("test.steady", [](const json::value&) {}).value();
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    while (!stop) bus.publish("test.steady", 1);
  });
  for (int i = 0; i < 20; ++i) BOOST_TEST(bus.drain().has_value());
  stop = true;
  publisher.join();
}

BOOST_AUTO_TEST_CASE(handlers_that_run_their_executor_inside_each_other_lose_nothing) {
  ManualBus m;
  constexpr int deep = 100;
  std::vector<Subscription> subscriptions;
  int calls = 0, inside = 0, deepest = 0;
  for (int i = 0; i < deep; ++i)
    subscriptions.push_back(m.bus.subscribe("a", [&](const json::value&) {
      ++calls;
      deepest = std::max(deepest, ++inside);
      m.context.poll();
      --inside;
    }).value());
  m.bus.publish("a", 1);
  m.runHandlers();
  BOOST_TEST(calls == deep);
  BOOST_TEST(deepest <= 32);
}

BOOST_AUTO_TEST_CASE(drain_names_who_is_not_done_and_refuses_inside_a_handler) {
  ManualBus m;
  Error inside;
  const auto s = m.bus.subscribe("slow.topic", [&](const json::value&) { inside = m.bus.drain().error(); }).value();
  m.bus.publish("slow.topic", 1);
  const auto late = m.bus.drain(std::chrono::milliseconds(5));
  BOOST_TEST((late.error() == Errc::TimedOut));
  BOOST_TEST(late.error().message().find("slow.topic") != std::string::npos);
  m.runHandlers();
  BOOST_TEST((inside == Errc::WouldDeadlock));
}

BOOST_AUTO_TEST_CASE(when_the_executor_ends_publishers_get_an_error) {
  auto context = std::make_unique<boost::asio::io_context>();
  auto& bus = MessageBus::instance();
  const auto s = bus.subscribe("test.gone", boost::asio::bind_executor(context->get_executor(), [](const json::value&) {})).value();
  bus.publish("test.gone", 1);
  context.reset();
  BOOST_TEST((bus.publish("test.gone", 2).error() == Errc::ShuttingDown));
  BOOST_TEST(bus.drain().has_value());
}

BOOST_AUTO_TEST_CASE(a_bus_that_ends_ends_its_subscriptions_and_its_publishers_say_so) {
  boost::asio::io_context context;
  auto bus = std::make_unique<MessageBus>(context.get_executor());
  auto captured = std::make_shared<int>(0);
  auto s = bus->subscribe("a", [captured](const json::value&) {}).value();
  const auto publisher = bus->publisher("a").value();
  publisher.publish(1);
  bus.reset();
  BOOST_TEST(captured.use_count() == 1);
  BOOST_TEST((publisher.publish(2).error() == Errc::ShuttingDown));
  s.unsubscribe();
  context.poll();
}

BOOST_AUTO_TEST_CASE(stats_count_what_was_published_to_each_topic_that_somebody_names) {
  ManualBus m;
  const auto a = m.bus.subscribe("a", [](const json::value&) {}).value(), also = m.bus.subscribe("a", [](const json::value&) {}).value();
  const auto all = m.bus.subscribe(">", [](const json::value&) {}).value();
  const auto b = m.bus.publisher("b").value();
  for (const char* topic : {"a", "a", "b", "unnamed"}) (void)m.bus.publish(topic, 1);
  std::thread([&] {
    for (int i = 0; i < 3; ++i) (void)b.publish(1);
  }).join();
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> seen;
  const auto stats = m.bus.stats();
  for (const auto& row : stats.at("topics").as_array())
    seen[row.at("topic").as_string().c_str()] = {row.at("published").to_number<std::int64_t>(),
                                                 row.at("subscriptions").to_number<std::int64_t>()};
  BOOST_TEST(seen.size() == 2u);
  BOOST_TEST((seen["a"] == std::pair<std::int64_t, std::int64_t>(2, 2)));
  BOOST_TEST((seen["b"] == std::pair<std::int64_t, std::int64_t>(4, 0)));
}

BOOST_AUTO_TEST_CASE(in_a_forked_child_every_call_is_an_error_that_says_so) {
  ManualBus m;
  auto s = m.bus.subscribe("a", [](const json::value&) {}).value();
  const auto publisher = m.bus.publisher("a").value();
  const auto refused = [](const auto& result) {
    return !result && result.error() == Errc::NoRuntime && result.error().message().find("forked") != std::string::npos;
  };
  const pid_t child = ::fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    const bool all = refused(m.bus.publish("a", 1)) && refused(publisher.publish(1)) &&
                     refused(m.bus.subscribe("a", [](const json::value&) {})) && refused(m.bus.request("a", 1)) &&
                     refused(m.bus.drain()) && refused(m.bus.clearRetained("a")) && refused(m.bus.publisher("b"));
    s.unsubscribe();
    ::_exit(all && s.stats().delivered == 0 ? 0 : 1);
  }
  int status = -1;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  BOOST_TEST(m.bus.publish("a", 1).value().queued == 1u);
}

BOOST_AUTO_TEST_CASE(json_that_is_nested_too_deeply_is_refused_and_not_queued) {
  ManualBus m;
  int calls = 0;
  const auto s = m.bus.subscribe("a", [&](const json::value&) { ++calls; }).value();
  json::value nested = 0;
  for (int depth = 0; depth < maxPayloadDepth; ++depth) {
    if (depth % 2) nested = json::array{std::move(nested)};
    else nested = json::object{{"in", std::move(nested)}};
  }
  BOOST_TEST(m.bus.publish("a", nested).has_value());
  const auto refused = m.bus.publish("a", json::array{nested});
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error() == Errc::LimitExceeded));
  BOOST_TEST(refused.error().message().find("\"a\": its payload is nested deeper than 200") != std::string::npos);
  m.runHandlers();
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(stats_count_what_ended_subscriptions_received) {
  ManualBus m;
  std::vector<std::int64_t> seen;
  auto s = m.bus.subscribe("a", collectInto(seen)).value();
  m.bus.publish("a", 1);
  m.runHandlers();
  s.unsubscribe();
  const auto stats = m.bus.stats();
  BOOST_TEST(stats.at("published").as_uint64() == 1u);
  BOOST_TEST(stats.at("clients").at(0).at("delivered").as_uint64() == 1u);
  BOOST_TEST(stats.at("subscriptions").as_array().empty());
}

BOOST_AUTO_TEST_CASE(attachments_and_headers_travel_with_the_message) {
  ManualBus m;
  const json::object headers{{"trace", "abc"}};
  bool same = false;
  const auto second = m.bus.subscribe("copy", [&](const Message& message) {
    same = message.attachments().empty() && *message.json() == json::value("x");
  }).value();
  const auto s = m.bus.subscribe("a", [&](const Message& message) {
    BOOST_TEST(message.headers().at("trace").as_string() == "abc");
    BOOST_TEST(message.replyTo() == "answers");
    m.bus.publish("copy", message);
  }).value();
  m.bus.publish("a", "x", {.replyTo = "answers", .headers = &headers});
  m.runHandlers();
  m.runHandlers();
  BOOST_TEST(same);
}

// Random programs of publish, subscribe and unsubscribe on several threads: every subscription sees each publisher's
// numbers in order, and those that live throughout see all.
BOOST_AUTO_TEST_CASE(concurrent_publishers_keep_their_order_while_subscriptions_come_and_go) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  auto& bus = MessageBus::instance();
  constexpr int publishers = 4, messages = 3000;
  std::array<std::atomic<int>, publishers> last{};
  std::atomic<int> wrong{0}, received{0};
  const auto check = [&](const json::value& value) {
    const auto from = static_cast<std::size_t>(value.at("from").as_int64());
    const auto number = static_cast<int>(value.at("n").as_int64());
    if (last[from].exchange(number) >= number) ++wrong;
    ++received;
  };
  const auto steady = bus.subscribe("stress.*", check).value();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int p = 0; p < publishers; ++p)
    threads.emplace_back([&bus, p] {
      const auto topic = "stress.t" + std::to_string(p % 2);
      for (int n = 1; n <= messages; ++n) bus.publish(topic, json::object{{"from", p}, {"n", n}});
    });
  std::thread churn([&] {
    std::mt19937 random(seed);
    std::vector<Subscription> some;
    while (!stop) {
      const char* patterns[] = {"stress.t0", "stress.>", ">", "stress.*", "other.t0"};
      const auto mode = random() % 2 ? DeliveryMode::Direct : DeliveryMode::Queued;
      some.push_back(bus.subscribe(patterns[random() % 5], [](const json::value&) {}, {.delivery = mode}).value());
      if (some.size() > 8) some.erase(some.begin() + static_cast<std::ptrdiff_t>(random() % some.size()));
    }
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  churn.join();
  BOOST_TEST(bus.drain().has_value());
  BOOST_TEST(wrong == 0);
  BOOST_TEST(received == publishers * messages);
}

BOOST_AUTO_TEST_SUITE_END()
