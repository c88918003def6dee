// What subscriptions may ask for: filters, the latest only, what is retained, one member of a group, answers.

#include "manual_bus.hpp"

#include <qtforge/communication/filter.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <thread>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace message_delivery {

using Seen = std::vector<std::string>;

auto into(Seen& seen) {
  return [&seen](const Message& message) {
    seen.push_back(std::string(message.topic()) + "=" + json::serialize(*message.json()));
  };
}

constexpr PublishOptions retain{.retain = true};

}  // namespace message_delivery

BOOST_AUTO_TEST_SUITE(message_delivery)

// ---- Filters -------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(what_a_filter_refuses_takes_no_place) {
  ManualBus m;
  std::vector<std::int64_t> seen;
  const auto s = m.bus.subscribe("a", filter([](const json::value& v) { return v.as_int64() % 2 == 0; },
                                             [&](const json::value& v) { seen.push_back(v.as_int64()); }),
                                 {.capacity = 2, .policy = OverflowPolicy::Fail}).value();
  for (int i = 0; i < 4; ++i) BOOST_TEST(m.bus.publish("a", i).value().queued == (i % 2 == 0 ? 1u : 0u));
  m.runHandlers();
  BOOST_TEST((seen == std::vector<std::int64_t>{0, 2}));
  BOOST_TEST(s.stats().dropped == 0u);
}

BOOST_AUTO_TEST_CASE(a_request_that_cannot_be_made_into_a_message_is_an_error_at_once_and_leaves_nothing_behind) {
  json::value nested = 0;
  for (int depth = 0; depth <= maxPayloadDepth; ++depth) nested = json::array{std::move(nested)};
  for (const auto delivery : {DeliveryMode::Queued, DeliveryMode::Direct}) {
    ManualBus m;
    int calls = 0;
    const auto s = m.bus.respond("a", [&](const json::value&) { return ++calls; }, {.delivery = delivery}).value();
    const auto refused = m.bus.request("a", nested, std::chrono::minutes(1));
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error() == Errc::LimitExceeded));
    BOOST_TEST(calls == 0);
  }  // the bus ends, and tells nobody
}

BOOST_AUTO_TEST_CASE(a_filter_that_cannot_be_asked_so_deep_in_handlers_lets_nothing_through) {
  ManualBus m;
  std::size_t heard = 0, refused = 0;
  const auto filtered = m.bus.subscribe("a", filter([](const json::value&) { return false; },
                                                    [&](const json::value&) { ++heard; })).value();
  const auto again = m.bus.subscribe("a", [&](const json::value&) { refused += m.bus.publish("a", 1).has_error(); },
                                     {.delivery = DeliveryMode::Direct}).value();
  (void)m.bus.publish("a", 1);
  m.runHandlers();
  BOOST_TEST(heard == 0u);
  BOOST_TEST(refused == 1u);
  BOOST_TEST(filtered.stats().dropped == 1u);
}

BOOST_AUTO_TEST_CASE(a_filter_that_throws_is_a_failure_of_its_handler_and_the_message_goes) {
  ManualBus m;
  int calls = 0;
  const auto s = m.bus.subscribe("a", filter([](const json::value&) -> bool { throw std::runtime_error("no idea"); },
                                             [&](const json::value&) { ++calls; })).value();
  std::string told;
  const auto errors = m.bus.subscribe("qtforge.errors", [&](const json::value& v) { told = v.at("message").as_string(); }).value();
  BOOST_TEST(m.bus.publish("a", 1).value().queued == 0u);
  m.runHandlers();
  BOOST_TEST(calls == 0);
  BOOST_TEST(told == "std::runtime_error: no idea");
  BOOST_TEST(s.stats().failed == 1u);
}

BOOST_AUTO_TEST_CASE(a_payload_that_a_filter_cannot_take_is_a_mismatch) {
  ManualBus m;
  const auto s = m.bus.subscribe("a", filter([](const BinaryMessage& b) { return !b.data.empty(); }, [](const BinaryMessage&) {})).value();
  m.bus.publish("a", 1);
  BOOST_TEST(s.stats().mismatched == 1u);
}

BOOST_AUTO_TEST_CASE(transform_gives_its_result_to_the_handler_on_the_handlers_executor) {
  ManualBus m;
  boost::asio::io_context mine;
  std::string seen;
  const auto s = m.bus.subscribe(
      "a", transform([](const json::value& v) { return json::serialize(v); },
                     boost::asio::bind_executor(mine, [&](const std::string& text) { seen = text; }))).value();
  m.bus.publish("a", json::object{{"n", 1}});
  m.runHandlers();
  BOOST_TEST(seen.empty());
  mine.run();
  BOOST_TEST(seen == R"({"n":1})");
}

BOOST_AUTO_TEST_CASE(filters_count_inside_each_other_bound_to_an_executor_and_before_a_responder) {
  ManualBus m;
  boost::asio::io_context mine;
  int both = 0, bound = 0;
  const auto positive = [](const json::value& v) { return v.as_int64() > 0; };
  const auto even = [](const json::value& v) { return v.as_int64() % 2 == 0; };
  const auto s1 = m.bus.subscribe("a", filter(positive, filter(even, [&](const json::value&) { ++both; }))).value();
  const auto s2 = m.bus.subscribe("a", boost::asio::bind_executor(mine, filter(even, [&](const json::value&) { ++bound; }))).value();
  const auto s3 = m.bus.respond("a", filter(positive, [](const json::value& v) { return v; }), {.delivery = DeliveryMode::Direct}).value();
  for (const int n : {-2, -1, 1, 2}) m.bus.publish("a", n);
  m.runHandlers();
  mine.run();
  BOOST_TEST(both == 1);
  BOOST_TEST(bound == 2);
  BOOST_TEST(m.bus.request("a", 3).value().json()->as_int64() == 3);
  BOOST_TEST((m.bus.request("a", -3).error() == Errc::NoResponder));
}

// ---- The latest only -----------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(latest_keeps_one_message_a_topic_in_the_place_of_the_first) {
  ManualBus m;
  Seen seen;
  const auto s = m.bus.subscribe("*", into(seen), {.policy = OverflowPolicy::Latest}).value();
  for (int i = 0; i < 3; ++i)
    for (const char* topic : {"a", "b"}) m.bus.publish(topic, i);
  m.runHandlers();
  m.bus.publish("b", 9);
  m.runHandlers();
  BOOST_TEST((seen == Seen{"a=2", "b=2", "b=9"}));
  BOOST_TEST(s.stats().replaced == 4u);
  BOOST_TEST(s.stats().dropped == 0u);
}

BOOST_AUTO_TEST_CASE(latest_drops_the_oldest_when_more_topics_wait_than_have_a_place) {
  ManualBus m;
  Seen seen;
  const auto s = m.bus.subscribe("*", into(seen), {.capacity = 2, .policy = OverflowPolicy::Latest}).value();
  for (const char* topic : {"a", "b", "c", "b"}) m.bus.publish(topic, 1);
  m.runHandlers();
  BOOST_TEST((seen == Seen{"b=1", "c=1"}));
  BOOST_TEST(s.stats().dropped == 1u);
  BOOST_TEST(s.stats().replaced == 1u);
}

// ---- Retained ------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(who_comes_late_gets_the_last_message_of_each_topic_first) {
  ManualBus m;
  m.bus.publish("a.x", 1, retain);
  m.bus.publish("a.y", 2, retain);
  m.bus.publish("a.x", 3, retain);
  m.bus.publish("a.x", 4);
  Seen all, exact, none, direct;
  const auto s1 = m.bus.subscribe("a.*", into(all)).value();
  const auto s2 = m.bus.subscribe("a.y", into(exact)).value();
  const auto s3 = m.bus.subscribe("a.>", into(none), {.retained = false}).value();
  const auto s4 = m.bus.subscribe("a.x", into(direct), {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST((direct == Seen{"a.x=3"}));
  m.bus.publish("a.z", 5);
  m.runHandlers();
  BOOST_TEST((all == Seen{"a.y=2", "a.x=3", "a.z=5"}));
  BOOST_TEST((exact == Seen{"a.y=2"}));
  BOOST_TEST((none == Seen{"a.z=5"}));
}

BOOST_AUTO_TEST_CASE(late_subscribers_get_the_newest_that_fit) {
  ManualBus m;
  for (int i = 0; i < 5; ++i) m.bus.publish("t" + std::to_string(i), i, retain);
  Seen seen;
  const auto s = m.bus.subscribe("*", into(seen), {.capacity = 2}).value();
  m.runHandlers();
  BOOST_TEST((seen == Seen{"t3=3", "t4=4"}));
  BOOST_TEST(s.stats().dropped == 3u);
}

BOOST_AUTO_TEST_CASE(retained_messages_are_cleared_by_pattern_and_freed) {
  ManualBus m;
  auto owner = std::make_shared<int>(1);
  const std::uint8_t bytes[] = {1};
  BinaryMessage binary;
  binary.data = Buffer::of(bytes, owner);
  m.bus.publish("a.binary", std::move(binary), retain);
  m.bus.publish("b", 1, retain);
  BOOST_TEST(owner.use_count() == 2);
  BOOST_TEST((m.bus.clearRetained("a..b").error() == Errc::InvalidPattern));
  BOOST_TEST(m.bus.clearRetained("a.>").value() == 1u);
  BOOST_TEST(owner.use_count() == 1);
  BOOST_TEST(m.bus.clearRetained("a.>").value() == 0u);
  BOOST_TEST(m.bus.clearRetained(">").value() == 1u);
}

BOOST_AUTO_TEST_CASE(one_topic_too_many_is_delivered_but_not_retained) {
  ManualBus m;
  for (std::size_t i = 1; i < maxRetainedTopics; ++i)
    BOOST_REQUIRE(m.bus.publish("many." + std::to_string(i), 0, retain).has_value());
  Seen seen, late;
  const auto s = m.bus.subscribe("a.*", into(seen)).value();
  BOOST_TEST(m.bus.publish("a.last", 1, retain).has_value());
  const Error refused = m.bus.publish("a.more", 2, retain).error();
  BOOST_TEST((refused == Errc::LimitExceeded));
  BOOST_TEST(refused.message() ==
             "topic \"a.more\": its message is not retained, since 65536 others are; let some go with clearRetained");
  BOOST_TEST(m.bus.publish("a.last", 3, retain).has_value());  // it has its place
  BOOST_TEST(m.bus.publish("a.more", 4).has_value());
  m.runHandlers();
  BOOST_TEST((seen == Seen{"a.last=1", "a.more=2", "a.last=3", "a.more=4"}));

  BOOST_TEST(m.bus.clearRetained("many.7").value() == 1u);
  BOOST_TEST(m.bus.publish("a.more", 5, retain).has_value());
  const auto l = m.bus.subscribe("a.*", into(late)).value();
  m.runHandlers();
  BOOST_TEST((late == Seen{"a.last=3", "a.more=5"}));
}

BOOST_AUTO_TEST_CASE(a_subscriber_ends_with_what_is_retained_however_it_meets_the_publisher) {
  ManualBus m;
  for (int round = 0; round < 200; ++round) {
    constexpr int messages = 50;
    std::thread publisher([&] {
      for (int i = 0; i <= messages; ++i) m.bus.publish("a", i, retain);
    });
    std::vector<std::int64_t> seen;
    const auto s = m.bus.subscribe("a", [&](const json::value& v) { seen.push_back(v.as_int64()); }).value();
    publisher.join();
    m.runHandlers();
    BOOST_TEST_REQUIRE(!seen.empty());
    BOOST_TEST_REQUIRE(seen.back() == messages);
    for (std::size_t i = 1; i < seen.size(); ++i) BOOST_TEST_REQUIRE(seen[i] == seen[i - 1] + 1);  // none twice, none lost
    m.bus.clearRetained("a");
  }
}

// ---- Groups --------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(each_message_goes_to_one_member_of_a_group_in_turn) {
  ManualBus m;
  std::vector<Seen> seen(3);
  Seen alone;
  std::vector<Subscription> members;
  for (auto& one : seen) members.push_back(m.bus.subscribe("a", into(one), {.group = "workers"}).value());
  const auto other = m.bus.subscribe("*", into(alone)).value();
  for (int i = 0; i < 9; ++i) BOOST_TEST(m.bus.publish("a", i).value().queued == 2u);
  m.runHandlers();
  for (const auto& one : seen) BOOST_TEST(one.size() == 3u);
  BOOST_TEST(alone.size() == 9u);
}

BOOST_AUTO_TEST_CASE(a_member_that_is_full_or_does_not_want_it_leaves_it_to_another) {
  ManualBus m;
  Seen small, large;
  const auto s1 = m.bus.subscribe("a", into(small), {.capacity = 1, .policy = OverflowPolicy::Fail, .group = "g"}).value();
  const auto s2 = m.bus.subscribe("a", filter([](const Message& v) { return v.json()->as_int64() != 7; }, into(large)),
                                  {.capacity = 8, .policy = OverflowPolicy::Fail, .group = "g"}).value();
  for (int i = 0; i < 7; ++i) BOOST_TEST(m.bus.publish("a", i).has_value());
  BOOST_TEST((m.bus.publish("a", 7).error() == Errc::Overflow));  // full, and not wanted
  m.runHandlers();
  BOOST_TEST(small.size() == 1u);
  BOOST_TEST(large.size() == 6u);
  BOOST_TEST(m.bus.publish("a", 7).value().queued == 1u);
}

BOOST_AUTO_TEST_CASE(what_one_member_refuses_and_another_takes_is_no_error) {
  ManualBus m;
  Seen small, patient;
  const auto s1 = m.bus.subscribe("a", into(small), {.capacity = 1, .policy = OverflowPolicy::Fail, .group = "g"}).value();
  const auto s2 = m.bus.subscribe("a", into(patient), {.capacity = 1, .policy = OverflowPolicy::DropOldest, .group = "g"}).value();
  for (int i = 0; i < 10; ++i) BOOST_TEST(m.bus.publish("a", i).has_value());
}

BOOST_AUTO_TEST_CASE(many_members_of_several_groups_each_get_their_share) {
  ManualBus m;
  constexpr std::size_t groups = 3, each = 10;  // more than fit without an allocation
  std::map<std::string, int> seen;
  std::vector<Subscription> members;
  for (std::size_t i = 0; i < groups * each; ++i) {
    const auto group = "g" + std::to_string(i % groups);
    members.push_back(m.bus.subscribe(i % 2 ? "a" : "*", [&, group](const json::value&) { ++seen[group]; }, {.group = group}).value());
  }
  for (int i = 0; i < 20; ++i) BOOST_TEST(m.bus.publish("a", i).value().queued == groups);
  m.runHandlers();
  for (const auto& member : members) BOOST_TEST(member.stats().delivered == 2u);
  for (const auto& [group, count] : seen) BOOST_TEST(count == 20);
}

// ---- Requests ------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_request_gets_the_responders_answer) {
  const auto& bus = MessageBus::instance();
  const auto s = bus.respond("test.add", [](const json::value& v) { return v.at("a").as_int64() + v.at("b").as_int64(); }).value();
  const auto answer = bus.request("test.add", json::object{{"a", 2}, {"b", 3}}).value();
  BOOST_TEST(answer.json()->as_int64() == 5);
  BOOST_TEST(answer.correlation() != 0u);
  BOOST_TEST(answer.sender() == "host");
}

BOOST_AUTO_TEST_CASE(a_responder_may_return_nothing_an_error_or_bytes_and_throw) {
  const auto& bus = MessageBus::instance();
  const auto nothing = bus.respond("test.nothing", [](const json::value&) {}).value();
  const auto error = bus.respond("test.error", [](const json::value&) -> expected<int> { return Error(Errc::LimitExceeded, "too much"); }).value();
  const auto thrown = bus.respond("test.throws", [](const json::value&) -> int { throw std::runtime_error("thrown"); }).value();
  const auto bytes = bus.respond("test.bytes", [](const Message&) {
    BinaryMessage binary;
    binary.data = Buffer::copy(std::vector<std::uint8_t>{7});
    return binary;
  }).value();
  BOOST_TEST(bus.request("test.nothing", 1).value().json()->is_null());
  BOOST_TEST((bus.request("test.error", 1).error() == Errc::LimitExceeded));
  const auto failed = bus.request("test.throws", 1).error();
  BOOST_TEST((failed == Errc::HandlerFailed));
  BOOST_TEST(failed.message() == "std::runtime_error: thrown");
  BOOST_TEST(bus.request("test.bytes", 1).value().binary()->data[0] == 7);
  const auto kind = bus.request("test.error", BinaryMessage{}).error();
  BOOST_TEST((kind == Errc::PayloadMismatch));
  BOOST_TEST(thrown.stats().failed == 0u);  // its errors went to who asked
  bus.publish("test.throws", 1);
  BOOST_TEST(bus.drain().has_value());
  BOOST_TEST(thrown.stats().failed == 1u);
}

BOOST_AUTO_TEST_CASE(without_a_responder_the_error_comes_at_once_even_if_others_listen) {
  const auto& bus = MessageBus::instance();
  const auto listener = bus.subscribe("test.nobody", [](const json::value&) {}).value();
  const auto begin = std::chrono::steady_clock::now();
  const auto failed = bus.request("test.nobody", 1, std::chrono::minutes(1));
  BOOST_TEST((failed.error() == Errc::NoResponder));
  BOOST_TEST(failed.error().message().find("test.nobody") != std::string::npos);
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)));
}

BOOST_AUTO_TEST_CASE(an_answer_that_does_not_come_is_a_timeout_and_a_late_one_is_dropped) {
  ManualBus m;
  const auto s = m.bus.respond("a", [](const json::value& v) { return v; }).value();
  const auto late = m.bus.request("a", 1, std::chrono::milliseconds(5));
  BOOST_TEST((late.error() == Errc::TimedOut));
  m.runHandlers();
  BOOST_TEST(s.stats().failed == 0u);
}

BOOST_AUTO_TEST_CASE(a_request_that_a_full_mailbox_does_not_take_fails_at_once_or_within_its_timeout) {
  ManualBus m;
  const auto echo = [](const json::value& v) { return v; };
  const auto fails = m.bus.respond("fails", echo, {.capacity = 1, .policy = OverflowPolicy::Fail}).value();
  const auto drops = m.bus.respond("drops", echo, {.capacity = 1, .policy = OverflowPolicy::DropNewest}).value();
  const auto waits = m.bus.respond("waits", echo, {.capacity = 1, .blockTimeout = std::chrono::minutes(1)}).value();
  for (const char* topic : {"fails", "drops", "waits"}) m.bus.publish(topic, 1);
  const auto begin = std::chrono::steady_clock::now();
  BOOST_TEST((m.bus.request("fails", 2, std::chrono::minutes(1)).error() == Errc::Overflow));
  BOOST_TEST((m.bus.request("drops", 2, std::chrono::minutes(1)).error() == Errc::Overflow));
  BOOST_TEST((m.bus.request("waits", 2, std::chrono::milliseconds(10)).error() == Errc::Overflow));
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)));
}

BOOST_AUTO_TEST_CASE(a_responder_that_would_have_to_run_on_the_waiting_thread_is_an_error) {
  const auto& bus = MessageBus::instance();
  Errc inside = Errc::Ok;
  const auto s = bus.respond("test.self", [&](const json::value& v) {
    if (v.as_int64() == 1) inside = bus.request("test.self", 2, std::chrono::seconds(30)).error().code() == Errc::WouldDeadlock
                                        ? Errc::WouldDeadlock : Errc::Failed;
    return 0;
  }).value();
  BOOST_TEST(bus.request("test.self", 1).has_value());
  BOOST_TEST((inside == Errc::WouldDeadlock));
}

namespace {

/// Responders on threads of their own that ask others before they answer.
struct Askers {
  const MessageBus& bus = MessageBus::instance();
  boost::asio::thread_pool threads[3]{boost::asio::thread_pool(1), boost::asio::thread_pool(1), boost::asio::thread_pool(1)};
  std::atomic<int> refused{0};
  std::vector<Subscription> responders;

  ~Askers() {
    responders.clear();
    for (auto& thread : threads) thread.join();
  }

  void add(int thread, std::string topic, std::string next) {
    auto asks = [this, next](const json::value& v) -> expected<Message> {
      auto answer = bus.request(next, v, std::chrono::minutes(1));
      if (!answer && answer.error() == Errc::WouldDeadlock) ++refused;
      return answer;
    };
    responders.push_back(bus.respond(topic, boost::asio::bind_executor(threads[thread], asks)).value());
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(requests_in_a_circle_are_an_error_at_once) {
  Askers askers;
  askers.add(0, "test.circle.a", "test.circle.b");
  askers.add(1, "test.circle.b", "test.circle.c");
  askers.add(2, "test.circle.c", "test.circle.a");
  const auto begin = std::chrono::steady_clock::now();
  const Error error = askers.bus.request("test.circle.a", 1, std::chrono::minutes(1)).error();
  BOOST_TEST((error == Errc::WouldDeadlock));
  BOOST_TEST((error.message().find("request: subscription \"test.circle.") != std::string::npos));
  BOOST_TEST(askers.refused > 0);  // whoever closed the circle
  BOOST_TEST(askers.bus.drain().has_value());
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)));
}

BOOST_AUTO_TEST_CASE(requests_that_meet_in_a_circle_all_end) {
  Askers askers;
  askers.add(0, "test.meet.a", "test.meet.b");
  askers.add(1, "test.meet.b", "test.meet.a");
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  std::atomic<int> told{0};
  for (const char* topic : {"test.meet.a", "test.meet.b"})
    threads.emplace_back([&, topic] {
      for (int i = 0; i < 200; ++i) told += askers.bus.request(topic, i, std::chrono::minutes(1)).error() == Errc::WouldDeadlock;
    });
  for (auto& thread : threads) thread.join();
  BOOST_TEST(told == 400);
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)));
}

BOOST_AUTO_TEST_CASE(a_circle_of_which_another_may_answer_is_none) {
  Askers askers;
  std::atomic<int> answered{0};
  askers.responders.push_back(askers.bus.respond("test.other", boost::asio::bind_executor(askers.threads[1], [&](const json::value&) {
    if (askers.bus.request("test.first", 2, std::chrono::minutes(1))) ++answered;
    return 0;
  })).value());
  askers.responders.push_back(askers.bus.respond("test.other", boost::asio::bind_executor(askers.threads[2], [](const json::value&) {
    return 1;
  })).value());
  askers.responders.push_back(askers.bus.respond("test.first", boost::asio::bind_executor(askers.threads[0], [&](const json::value& v) {
    if (v.as_int64() == 1 && askers.bus.request("test.other", 1, std::chrono::minutes(1))) ++answered;
    return 0;
  })).value());
  for (int i = 1; i <= 50; ++i) {
    BOOST_TEST(askers.bus.request("test.first", 1, std::chrono::minutes(1)).has_value());
    BOOST_TEST(askers.bus.drain().has_value());
    BOOST_TEST(answered == 2 * i);
  }
}

BOOST_AUTO_TEST_CASE(a_request_whose_responder_ends_or_drops_it_is_told_at_once) {
  ManualBus m;
  const auto answer = [](const json::value& v) { return v; };
  const auto ask = [&](auto&& meanwhile) {
    Error error;
    std::thread asks([&] { error = m.bus.request("a", 1, std::chrono::minutes(1)).error(); });
    meanwhile();
    asks.join();
    return error;
  };
  const auto await = [](const Subscription& s, std::uint64_t pending) {
    while (s.stats().pending < pending) std::this_thread::yield();
  };
  {
    auto only = m.bus.respond("a", answer).value();
    const auto ended = ask([&] { await(only, 1), only.unsubscribe(); });
    BOOST_TEST((ended == Errc::NoResponder));
    BOOST_TEST(ended.message().find("has ended without answering \"a\"") != std::string::npos);
  }
  {
    const auto small = m.bus.respond("a", answer, {.capacity = 1, .policy = OverflowPolicy::DropOldest}).value();
    const auto evicted = ask([&] { await(small, 1), (void)m.bus.publish("a", 2); });
    BOOST_TEST((evicted == Errc::Overflow));
    m.runHandlers();
  }
  {
    auto first = m.bus.respond("a", answer).value();
    auto second = m.bus.respond("a", answer).value();
    BOOST_TEST((ask([&] { await(second, 1), await(first, 1), first.unsubscribe(), second.unsubscribe(); }) == Errc::NoResponder));
    first = m.bus.respond("a", answer).value();
    second = m.bus.respond("a", answer).value();
    BOOST_TEST((ask([&] { await(second, 1), await(first, 1), first.unsubscribe(), m.runHandlers(); }) == Errc::Ok));
  }
  {  // taken from the mailbox already, with the one that ends the responder
    Subscription ending;
    ending = m.bus.respond("a", [&](const json::value& v) {
      if (v.as_int64() == 0) ending.unsubscribe();
      return v;
    }).value();
    for (int i = 0; i < 4; ++i) (void)m.bus.publish("a", 9);  // the next batch is larger
    (void)m.bus.publish("a", 0);
    BOOST_TEST((ask([&] { await(ending, 6), m.runHandlers(); }) == Errc::NoResponder));
  }
}

BOOST_AUTO_TEST_CASE(a_direct_responder_answers_inside_the_request) {
  ManualBus m;
  const auto s = m.bus.respond("a", [](const json::value& v) { return v.as_int64() + 1; }, {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(m.bus.request("a", 1).value().json()->as_int64() == 2);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_bus_ends_requests_that_wait) {
  boost::asio::io_context context;
  auto bus = std::make_unique<MessageBus>(context.get_executor());
  const auto s = bus->respond("a", [](const json::value& v) { return v; }).value();
  Error error;
  std::atomic<bool> asking{false};
  std::thread asks([&] {
    asking = true;
    error = bus->request("a", 1, std::chrono::minutes(1)).error();
  });
  while (!asking || s.stats().pending == 0) std::this_thread::yield();
  bus.reset();
  asks.join();
  BOOST_TEST((error == Errc::ShuttingDown));
}

BOOST_AUTO_TEST_CASE(requests_from_many_threads_to_a_group_each_get_their_own_answer) {
  const auto& bus = MessageBus::instance();
  std::vector<Subscription> members;
  for (int i = 0; i < 3; ++i)
    members.push_back(bus.respond("test.square", [](const json::value& v) { return v.as_int64() * v.as_int64(); }, {.group = "g"}).value());
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::int64_t i = 0; i < 200; ++i) {
        const auto n = t * 1000 + i;
        const auto answer = bus.request("test.square", n, std::chrono::seconds(30));
        if (!answer || answer->json()->as_int64() != n * n) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(nobody_publishes_to_reply_topics_that_are_none) {
  ManualBus m;
  BOOST_TEST((m.bus.publish("qtforge.reply.x", 1).error() == Errc::ReservedTopic));
  BOOST_TEST((m.bus.publish("qtforge.reply.0", 1).error() == Errc::ReservedTopic));
  BOOST_TEST(m.bus.publish("qtforge.reply.7", 1).value().receivers() == 0u);
}

// ---- All of it against a model -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(random_programs_do_what_a_list_and_a_linear_matcher_do) {
  const auto seed = std::random_device{}();
  BOOST_TEST_CONTEXT("seed " << seed) {
    std::mt19937 random(seed);
    const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    const std::vector<std::string> topics{"a", "b", "a.b", "a.c", "a.b.c", "b.b"};
    const std::vector<std::string> patterns{"a", "b", "a.b", "*", "a.*", "*.b", ">", "a.>", "*.*", "a.b.c"};
    struct Model {
      std::string pattern;
      OverflowPolicy policy;
      std::size_t capacity;
      std::deque<std::pair<std::string, int>> queue;
      Seen expected;
      std::unique_ptr<Seen> seen;
      Subscription subscription;

      void put(const std::string& topic, int value) {
        if (policy == OverflowPolicy::Latest)
          for (auto& [queued, last] : queue)
            if (queued == topic) return (void)(last = value);
        if (queue.size() == capacity && policy == OverflowPolicy::DropNewest) return;
        if (queue.size() == capacity) queue.pop_front();
        queue.emplace_back(topic, value);
      }
      void run() {
        for (const auto& [topic, value] : queue) expected.push_back(topic + "=" + std::to_string(value));
        queue.clear();
      }
    };
    ManualBus m;
    std::vector<Model> models;
    std::vector<std::pair<std::string, int>> retained;  // the oldest first
    for (int step = 0; step < 3000; ++step) {
      switch (pick(10)) {
        case 0: {
          const std::vector<OverflowPolicy> policies{OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Latest};
          auto& model = models.emplace_back(Model{patterns[pick(patterns.size())], policies[pick(3)], 1 + pick(6), {}, {}, {}, {}});
          model.seen = std::make_unique<Seen>();
          std::deque<std::pair<std::string, int>> first;
          for (const auto& [topic, value] : retained)
            if (matches(model.pattern, topic)) first.emplace_back(topic, value);
          while (first.size() > model.capacity) first.pop_front();
          model.queue = first;
          model.subscription = m.bus.subscribe(model.pattern, into(*model.seen), {.capacity = model.capacity, .policy = model.policy}).value();
          break;
        }
        case 1:
          if (!models.empty()) {
            const auto at = models.begin() + static_cast<std::ptrdiff_t>(pick(models.size()));
            BOOST_TEST_REQUIRE((*at->seen == at->expected));
            models.erase(at);
          }
          break;
        case 2:
          m.runHandlers();
          for (auto& model : models) model.run();
          break;
        case 3: {
          const auto& pattern = patterns[pick(patterns.size())];
          const auto cleared = std::erase_if(retained, [&](const auto& item) { return matches(pattern, item.first); });
          BOOST_TEST_REQUIRE(m.bus.clearRetained(pattern).value() == cleared);
          break;
        }
        default: {
          const auto& topic = topics[pick(topics.size())];
          const bool kept = pick(4) == 0;
          if (kept) {
            std::erase_if(retained, [&](const auto& item) { return item.first == topic; });
            retained.emplace_back(topic, step);
          }
          for (auto& model : models)
            if (matches(model.pattern, topic)) model.put(topic, step);
          m.bus.publish(topic, step, {.retain = kept});
        }
      }
    }
    m.runHandlers();
    for (auto& model : models) {
      model.run();
      BOOST_TEST((*model.seen == model.expected));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
