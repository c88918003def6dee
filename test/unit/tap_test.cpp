// Taps: tools see all that is published and change nothing for those who publish and receive.

#include "manual_bus.hpp"

#include <qtforge/host.hpp>
#include <qtforge/communication/filter.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/test/unit_test.hpp>

#include <thread>

using namespace qtforge;
namespace asio = boost::asio;
namespace json = boost::json;

namespace tap {

struct Fixture : test::ManualBus {
  std::vector<std::string> topics;

  auto remember() {
    return [this](const Message& message) { topics.emplace_back(message.topic()); };
  }
};

using Topics = std::vector<std::string>;

}  // namespace tap

BOOST_FIXTURE_TEST_SUITE(tap, Fixture)

BOOST_AUTO_TEST_CASE(a_tap_sees_what_nobody_receives_and_is_no_receiver) {
  const auto tap = bus.tap(remember()).value();
  const auto sent = bus.publish("a.b", json::object{{"x", 1}}).value();
  BOOST_TEST(sent.receivers() == 0u);
  BOOST_TEST(sent.dropped == 0u);
  BOOST_TEST(topics.empty());
  runHandlers();
  BOOST_TEST((topics == Topics{"a.b"}));
  BOOST_TEST(tap.stats().delivered == 1u);
}

BOOST_AUTO_TEST_CASE(a_tap_shares_the_message_with_the_receivers) {
  const void *seen = nullptr, *received = nullptr;
  const auto tap = bus.tap([&](const Message& m) { seen = m.record(); }).value();
  const auto subscription = bus.subscribe("a", [&](const Message& m) { received = m.record(); }).value();
  BOOST_TEST(bus.publish("a", json::array{1, 2}).value().queued == 1u);
  runHandlers();
  BOOST_TEST(seen);
  BOOST_TEST(seen == received);
}

BOOST_AUTO_TEST_CASE(direct_handlers_still_get_what_a_tap_is_shown) {
  const auto tap = bus.tap(remember()).value();
  json::value got;
  const auto subscription = bus.subscribe("a", [&](const json::value& v) { got = v; }, {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(bus.publish("a", json::object{{"x", "y"}}).value().called == 1u);
  BOOST_TEST((got == json::value{{"x", "y"}}));
  runHandlers();
  BOOST_TEST(topics.size() == 1u);
}

BOOST_AUTO_TEST_CASE(its_pattern_matches_the_librarys_own_topics_too) {
  const auto all = bus.tap(remember()).value();
  Topics errors, others;
  const auto second = bus.tap([&](const Message& m) { errors.emplace_back(m.topic()); }, {.pattern = "*.errors"}).value();
  const auto third = bus.tap([&](const Message& m) { others.emplace_back(m.topic()); }, {.pattern = "b.*"}).value();
  const auto failing = bus.subscribe("a", [](const json::value&) { throw std::runtime_error("no"); }).value();
  bus.publish("a", 1);
  runHandlers();
  BOOST_TEST((topics == Topics{"a", "qtforge.errors"}));
  BOOST_TEST((errors == Topics{"qtforge.errors"}));
  BOOST_TEST(others.empty());
}

BOOST_AUTO_TEST_CASE(requests_and_their_answers_are_shown) {
  std::vector<std::string> seen;
  const auto tap = bus.tap([&](const Message& m) {
    seen.push_back(std::string(m.topic()) + " " + std::to_string(m.json()->as_int64()) + " " + std::string(m.replyTo()) +
                   " " + std::to_string(m.correlation()));
  }).value();
  const auto adder = bus.respond("add", [](const json::value& v) { return v.as_int64() + 1; }, {.delivery = DeliveryMode::Direct}).value();
  const auto answer = bus.request("add", 4).value();
  BOOST_TEST(answer.json()->as_int64() == 5);
  BOOST_TEST((bus.request("nobody", 4).error() == Errc::NoResponder));
  runHandlers();
  BOOST_TEST((seen == std::vector<std::string>{"add 4 qtforge.reply.1 1", "qtforge.reply.1 5  1", "nobody 4 qtforge.reply.2 2"}));
}

BOOST_AUTO_TEST_CASE(a_tap_does_not_respond) {
  const auto tap = bus.tap(remember()).value();
  BOOST_TEST((bus.request("a", 1).error() == Errc::NoResponder));
  runHandlers();
  BOOST_TEST((topics == Topics{"a"}));
}

BOOST_AUTO_TEST_CASE(what_is_refused_is_not_shown) {
  const auto tap = bus.tap(remember()).value();
  BOOST_TEST((bus.publish("a..b", 1).error() == Errc::InvalidTopic));
  BOOST_TEST((bus.publish("qtforge.mine", 1).error() == Errc::ReservedTopic));
  runHandlers();
  BOOST_TEST(topics.empty());
}

BOOST_AUTO_TEST_CASE(what_is_retained_is_shown_when_it_is_published_and_not_again) {
  bus.publish("a", 1, {.retain = true});
  const auto tap = bus.tap(remember()).value();
  bus.publish("b", 1, {.retain = true});
  runHandlers();
  BOOST_TEST((topics == Topics{"b"}));
}

BOOST_AUTO_TEST_CASE(every_nth_message_that_matches_is_shown_the_first_one_included) {
  std::vector<std::int64_t> seen, all;
  const auto tap = bus.tap([&](const Message& m) { seen.push_back(m.json()->as_int64()); }, {.pattern = "a", .every = 3}).value();
  const auto other = bus.tap([&](const Message& m) { all.push_back(m.json()->as_int64()); }, {.pattern = "a"}).value();
  for (int i = 0; i < 8; ++i) {
    bus.publish("a", i);
    bus.publish("b", i);
  }
  runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{0, 3, 6}));
  BOOST_TEST(all.size() == 8u);
}

BOOST_AUTO_TEST_CASE(a_filter_is_asked_before_messages_are_counted) {
  std::vector<std::int64_t> seen;
  const auto even = [](const Message& m) { return m.json()->as_int64() % 2 == 0; };
  const auto tap = bus.tap(filter(even, [&](const Message& m) { seen.push_back(m.json()->as_int64()); }), {.every = 2}).value();
  for (int i = 0; i < 10; ++i) bus.publish("a", i);
  runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{0, 4, 8}));
}

BOOST_AUTO_TEST_CASE(a_full_mailbox_loses_messages_and_publishers_do_not_notice) {
  std::vector<std::int64_t> seen;
  Topics reports;
  const auto note = [&](const Message& m) { if (m.topic() == "a") seen.push_back(m.json()->as_int64()); };
  const auto oldest = bus.tap(note, {.pattern = "a", .capacity = 2}).value();
  for (int i = 0; i < 5; ++i) {
    const auto sent = bus.publish("a", i).value();
    BOOST_TEST(sent.receivers() == 0u);
    BOOST_TEST(sent.dropped == 0u);
  }
  BOOST_TEST(oldest.stats().dropped == 3u);
  runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{3, 4}));

  seen.clear();
  const auto newest = bus.tap(note, {.pattern = "a", .capacity = 2, .policy = OverflowPolicy::DropNewest}).value();
  const auto latest = bus.tap(note, {.pattern = "a", .capacity = 2, .policy = OverflowPolicy::Latest}).value();
  for (int i = 0; i < 5; ++i) bus.publish("a", i);
  runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{3, 4, 0, 1, 4}));
  BOOST_TEST(latest.stats().replaced == 4u);
}

BOOST_AUTO_TEST_CASE(an_overflow_of_a_tap_is_logged_and_not_published) {
  std::vector<std::string> lines;
  setLogSinks({[&](const LogRecord& record) { lines.emplace_back(std::string_view(record.message)); }});
  const auto tap = bus.tap(remember(), {.capacity = 1}).value();
  const auto reports = bus.subscribe("qtforge.bus.overflow", remember()).value();
  for (int i = 0; i < 5; ++i) bus.publish("a", i);
  BOOST_TEST(tap.stats().dropped == 4u);
  runHandlers();
  BOOST_TEST((topics == Topics{"a"}));
  setLogSinks({});
  BOOST_TEST((lines == std::vector<std::string>{"tap \">\" of host: its mailbox of 1 messages overflows; logged once "
                                                "until it is empty"}));
}

BOOST_AUTO_TEST_CASE(options_that_would_hold_publishers_up_are_refused) {
  const auto errorOf = [&](const TapOptions& options) { return bus.tap(remember(), options).error().code(); };
  BOOST_TEST((errorOf({.policy = OverflowPolicy::Block}) == Errc::InvalidArgument));
  BOOST_TEST((errorOf({.policy = OverflowPolicy::Fail}) == Errc::InvalidArgument));
  BOOST_TEST((errorOf({.every = 0}) == Errc::InvalidArgument));
  BOOST_TEST((errorOf({.capacity = 0}) == Errc::InvalidArgument));
  BOOST_TEST((errorOf({.pattern = "a..b"}) == Errc::InvalidPattern));
}

BOOST_AUTO_TEST_CASE(a_tap_is_not_shown_what_its_own_handler_publishes_and_other_taps_are) {
  Topics echoes;
  const auto tap = bus.tap([&](const Message& m) {
    topics.emplace_back(m.topic());
    bus.publish("seen", m.topic());
  }).value();
  const auto relay = bus.subscribe("seen", [&](const json::value&) { bus.publish("relayed", 1); }, {.delivery = DeliveryMode::Direct}).value();
  const auto other = bus.tap([&](const Message& m) { echoes.emplace_back(m.topic()); }).value();
  bus.publish("a", 1);
  for (int i = 0; i < 5; ++i) runHandlers();
  BOOST_TEST((topics == Topics{"a"}));
  BOOST_TEST((echoes == Topics{"a", "seen", "relayed"}));
}

BOOST_AUTO_TEST_CASE(a_tap_whose_handler_throws_is_reported_without_end) {
  setLogLevel(LogLevel::Off);
  int calls = 0;
  const auto tap = bus.tap([&](const Message&) {
    ++calls;
    throw std::runtime_error("no");
  }).value();
  const auto other = bus.tap([&](const Message& m) {
    topics.emplace_back(m.topic());
    throw std::runtime_error("no");
  }).value();
  bus.publish("a", 1);
  for (int i = 0; i < 10; ++i) runHandlers();
  setLogLevel(LogLevel::Info);
  BOOST_TEST(calls == 2);  // for "a", and for the report on the other one
  BOOST_TEST((topics == Topics{"a", "qtforge.errors"}));
}

BOOST_AUTO_TEST_CASE(after_its_end_no_call_begins_and_publishing_goes_on) {
  auto tap = bus.tap(remember()).value();
  auto second = bus.tap(remember()).value();
  bus.publish("a", 1);
  tap.unsubscribe();
  second.unsubscribe();
  runHandlers();
  BOOST_TEST(topics.empty());
  bus.publish("b", 1);
  const auto third = bus.tap(remember()).value();
  bus.publish("c", 1);
  runHandlers();
  BOOST_TEST((topics == Topics{"c"}));
}

BOOST_AUTO_TEST_CASE(it_runs_where_its_executor_says_and_drain_waits_for_it) {
  asio::io_context mine;
  const auto tap = bus.tap(asio::bind_executor(mine, remember())).value();
  bus.publish("a", 1);
  runHandlers();
  BOOST_TEST(topics.empty());
  BOOST_TEST((bus.drain(std::chrono::milliseconds(1)).error() == Errc::TimedOut));
  mine.poll();
  BOOST_TEST((topics == Topics{"a"}));
  BOOST_TEST(bus.drain().has_value());
}

BOOST_AUTO_TEST_CASE(stats_tell_taps_from_subscriptions) {
  const auto tap = bus.tap(remember()).value();
  const auto subscription = bus.subscribe("a", [](const json::value&) {}).value();
  int taps = 0;
  const auto stats = bus.stats();
  BOOST_TEST(stats.at("subscriptions").as_array().size() == 2u);
  for (const auto& row : stats.at("subscriptions").as_array()) taps += row.as_object().contains("tap");
  BOOST_TEST(taps == 1);
}

BOOST_AUTO_TEST_CASE(a_bus_that_has_ended_takes_no_tap) {
  std::optional<asio::io_context> context(std::in_place);
  std::optional<MessageBus> other(std::in_place, context->get_executor());
  auto tap = other->tap(remember()).value();
  other.reset();
  tap.unsubscribe();
  BOOST_TEST(topics.empty());
}

BOOST_AUTO_TEST_CASE(taps_come_and_go_while_many_threads_publish) {
  const auto& process = MessageBus::instance();
  constexpr int publishers = 4, each = 3000, every = 7;
  std::atomic<int> shown{0}, sampled{0}, going{publishers};
  const auto all = process.tap([&](const Message&) { ++shown; }, {.pattern = "test.tapped", .capacity = publishers * each}).value();
  const auto some = process.tap([&](const Message&) { ++sampled; },
                                {.pattern = "test.*", .every = every, .capacity = publishers * each}).value();
  std::vector<std::thread> threads;
  for (int t = 0; t < publishers; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) process.publish("test.tapped", i);
      --going;
    });
  int made = 0;
  while (going > 0 || made < 10) {
    std::atomic<int> mine{0};
    auto tap = process.tap([&](const Message&) { ++mine; }).value();
    if (++made % 2) std::this_thread::yield();
    tap.unsubscribe();
    const int after = mine;
    BOOST_TEST(mine == after);
  }
  for (auto& thread : threads) thread.join();
  BOOST_TEST(process.drain(std::chrono::seconds(30)).has_value());
  BOOST_TEST(shown == publishers * each);
  BOOST_TEST(sampled == (publishers * each + every - 1) / every);
}

BOOST_AUTO_TEST_SUITE_END()
