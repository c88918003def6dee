// test/unit/build_test.cpp: JSON that is built in its message's memory.

#include "manual_bus.hpp"

#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace building {

constexpr DeliveryMode direct = DeliveryMode::Direct;
const std::string longText(100, 'x');

void fill(json::value& out, int n) {
  auto& object = out.emplace_object();
  object["n"] = n;
  object["text"] = longText;
  object["list"] = json::array{1, "two", json::object{{"three", 3}}};
}

const json::value& filled() {
  static const json::value value{{"n", 7}, {"text", longText}, {"list", {1, "two", {{"three", 3}}}}};
  return value;
}

/// Keeps what comes.
struct Kept {
  explicit Kept(const MessageBus& bus, const SubscribeOptions& options = {})
      : subscription(bus.subscribe("a.>", [this](const Message& message) { messages.push_back(message); }, options).value()) {}
  std::vector<Message> messages;
  Subscription subscription;
};

}  // namespace building

using namespace building;

BOOST_AUTO_TEST_SUITE(building)

BOOST_AUTO_TEST_CASE(what_was_built_arrives_however_it_is_delivered) {
  ManualBus m;
  Kept queued(m.bus), direct(m.bus, {.delivery = building::direct});
  const auto publisher = m.bus.publisher("a.c").value();
  for (int round = 0; round < 3; ++round) {
    const auto delivery = m.bus.build("a.b", [](json::value& out) { fill(out, 7); });
    BOOST_TEST_REQUIRE(delivery.has_value());
    BOOST_TEST(delivery->queued == 1u);
    BOOST_TEST(delivery->called == 1u);
    BOOST_TEST(publisher.build([](json::value& out) { fill(out, 7); }).has_value());
  }
  m.runHandlers();
  for (const auto* kept : {&queued, &direct}) {
    BOOST_TEST_REQUIRE(kept->messages.size() == 6u);
    for (const auto& message : kept->messages) BOOST_TEST(*message.json() == filled());
    BOOST_TEST(kept->messages[0].topic() == "a.b");
    BOOST_TEST(kept->messages[1].topic() == "a.c");
    BOOST_TEST(kept->messages[0].id() < kept->messages[1].id());
  }
}

BOOST_AUTO_TEST_CASE(scalars_and_null_are_payloads_too) {
  ManualBus m;
  Kept kept(m.bus);
  (void)m.bus.build("a.b", [](json::value&) {});
  (void)m.bus.build("a.b", [](json::value& out) { out = 4.5; });
  (void)m.bus.build("a.b", [](json::value& out) { out = longText; });
  m.runHandlers();
  BOOST_TEST_REQUIRE(kept.messages.size() == 3u);
  BOOST_TEST(kept.messages[0].json()->is_null());
  BOOST_TEST(kept.messages[1].json()->as_double() == 4.5);
  BOOST_TEST(kept.messages[2].json()->as_string() == longText);
}

BOOST_AUTO_TEST_CASE(large_ones_and_those_that_grow_are_whole) {
  ManualBus m;
  Kept kept(m.bus);
  for (const int size : {10, 1000, 100'000, 5})
    (void)m.bus.build("a.b", [&](json::value& out) {
      auto& array = out.emplace_array();
      for (int i = 0; i < size; ++i) array.emplace_back(std::to_string(i) + longText);
    });
  m.runHandlers();
  BOOST_TEST_REQUIRE(kept.messages.size() == 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& array = kept.messages[i].json()->as_array();
    BOOST_TEST_REQUIRE(array.size() == std::vector<std::size_t>({10, 1000, 100'000, 5})[i]);
    BOOST_TEST(array.back().as_string() == std::to_string(array.size() - 1) + longText);
  }
}

BOOST_AUTO_TEST_CASE(copies_outlive_the_message_and_can_be_published_again) {
  ManualBus m;
  std::vector<json::value> copies;
  const auto s = m.bus.subscribe("a.b", [&](const json::value& value) {
    copies.push_back(value);
    copies.emplace_back(value);
    copies.emplace_back(value.at("list"));
  }).value();
  (void)m.bus.build("a.b", [](json::value& out) { fill(out, 7); });
  m.runHandlers();
  for (int i = 0; i < 100; ++i) (void)m.bus.build("a.b", [](json::value& out) { fill(out, 8); });
  BOOST_TEST_REQUIRE(copies.size() == 3u);
  BOOST_TEST(copies[1] == filled());
  copies[0].as_object()["more"] = longText + longText;
  BOOST_TEST(copies[0].at("more").as_string().size() == 200u);
  BOOST_TEST(copies[2] == filled().at("list"));
  Kept kept(m.bus);
  (void)m.bus.publish("a.again", std::move(copies[1]));
  m.runHandlers();
  BOOST_TEST(*kept.messages.back().json() == filled());
}

BOOST_AUTO_TEST_CASE(copies_may_be_changed_and_freed_on_any_thread) {
  ManualBus m;
  json::value copy;
  const auto s = m.bus.subscribe("a.b", [&](const json::value& value) { copy.emplace_object()["inner"] = json::value(value); }).value();
  (void)m.bus.build("a.b", [](json::value& out) { fill(out, 7); });
  m.runHandlers();
  std::thread([&] {
    copy.at("inner").as_object()["n"] = longText;
    json::value other(copy.at("inner"));
    copy = nullptr;
    BOOST_TEST(other.at("n").as_string() == longText);
  }).join();
}

BOOST_AUTO_TEST_CASE(what_is_moved_into_it_from_elsewhere_is_its_own_then) {
  ManualBus m;
  std::vector<json::value> copies;
  const auto s = m.bus.subscribe("a.b", [&](const json::value& value) { copies.push_back(json::value(value)); copies.emplace_back(value); }).value();
  (void)m.bus.build("a.b", [](json::value& out) { fill(out, 7); });
  m.runHandlers();
  Kept kept(m.bus);
  json::value heap = filled();
  (void)m.bus.build("a.mixed", [&](json::value& out) {
    auto& object = out.emplace_object();
    object["heap"] = std::move(heap);
    object["copy"] = std::move(copies[1]);  // of the same storage as `out`
    object["part"] = std::move(copies[0].as_object()["list"]);
  });
  (void)m.bus.build("a.key", [&](json::value& out) { out = std::move(copies[0]); });
  copies.clear();
  m.runHandlers();
  BOOST_TEST_REQUIRE(kept.messages.size() == 2u);
  const auto& mixed = *kept.messages[0].json();
  BOOST_TEST(mixed.at("heap") == filled());
  BOOST_TEST(mixed.at("copy") == filled());
  BOOST_TEST(mixed.at("part") == filled().at("list"));
  BOOST_TEST(kept.messages[1].json()->at("text").as_string() == longText);
}

BOOST_AUTO_TEST_CASE(what_the_building_code_publishes_and_builds_meanwhile_is_apart) {
  ManualBus m;
  std::vector<json::value> copies;
  const auto s = m.bus.subscribe("inner", [&](const json::value& value) { copies.emplace_back(value); }, {.delivery = direct}).value();
  Kept kept(m.bus);
  const auto delivery = m.bus.build("a.outer", [&](json::value& out) {
    auto& object = out.emplace_object();
    object["before"] = longText;
    (void)m.bus.build("inner", [&](json::value& inner) {
      fill(inner, 7);
      (void)m.bus.publish("inner", json::value(1));
    });
    json::value own(object["before"]);
    (void)m.bus.publish("inner", own);
    (void)m.bus.publish("a.moved", std::move(own));
    object["after"] = longText;
  });
  BOOST_TEST(delivery.has_value());
  m.runHandlers();
  BOOST_TEST_REQUIRE(copies.size() == 3u);
  BOOST_TEST(copies[0].as_int64() == 1);
  BOOST_TEST(copies[1] == filled());
  BOOST_TEST(copies[2].as_string() == longText);
  BOOST_TEST_REQUIRE(kept.messages.size() == 2u);
  BOOST_TEST(kept.messages[0].json()->as_string() == longText);
  BOOST_TEST(kept.messages[1].json()->at("before").as_string() == longText);
  BOOST_TEST(kept.messages[1].json()->at("after").as_string() == longText);
}

BOOST_AUTO_TEST_CASE(what_the_building_code_throws_is_the_callers_and_nothing_is_published) {
  ManualBus m;
  Kept kept(m.bus);
  for (int i = 0; i < 3; ++i)
    BOOST_CHECK_THROW((void)m.bus.build("a.b",
                                        [](json::value& out) {
                                          fill(out, 7);
                                          throw std::runtime_error("no value");
                                        }),
                      std::runtime_error);
  (void)m.bus.build("a.b", [](json::value& out) { fill(out, 7); });
  m.runHandlers();
  BOOST_TEST(kept.messages.size() == 1u);
}

BOOST_AUTO_TEST_CASE(wrong_topics_and_what_is_nested_too_deep_are_refused) {
  ManualBus m;
  Kept kept(m.bus);
  const auto build = [&](std::string_view topic) { return m.bus.build(topic, [](json::value& out) { fill(out, 7); }); };
  BOOST_TEST((build("a..b").error() == Errc::InvalidTopic));
  BOOST_TEST((build("a.*").error() == Errc::InvalidTopic));
  BOOST_TEST((build(std::string(300, 'x')).error() == Errc::InvalidTopic));
  BOOST_TEST((build("qtforge.x").error() == Errc::ReservedTopic));
  const auto nested = [&](int depth) {
    return m.bus.build("a.b", [&](json::value& out) {
      auto* inner = &out;
      for (int i = 0; i < depth; ++i) inner = &inner->emplace_array().emplace_back(longText);
    });
  };
  BOOST_TEST(nested(maxPayloadDepth).has_value());
  const auto refused = nested(maxPayloadDepth + 1);
  BOOST_TEST((refused.error() == Errc::LimitExceeded));
  BOOST_TEST(refused.error().message().find("\"a.b\"") != std::string::npos);
  m.runHandlers();
  BOOST_TEST(kept.messages.size() == 1u);
}

BOOST_AUTO_TEST_CASE(headers_reply_topic_and_retaining_are_as_in_publish) {
  ManualBus m;
  const json::object headers{{"unit", longText}};
  (void)m.bus.build("a.b", [](json::value& out) { fill(out, 7); }, {.replyTo = "answers", .headers = &headers, .retain = true});
  Kept late(m.bus);
  m.runHandlers();
  BOOST_TEST_REQUIRE(late.messages.size() == 1u);
  BOOST_TEST(*late.messages[0].json() == filled());
  BOOST_TEST(late.messages[0].replyTo() == "answers");
  BOOST_TEST(late.messages[0].headers() == headers);
}

BOOST_AUTO_TEST_CASE(a_built_message_can_be_forwarded) {
  ManualBus m;
  Kept kept(m.bus);
  const auto s = m.bus.subscribe("b", [&](const Message& message) { (void)m.bus.publish("a.b", message); }).value();
  (void)m.bus.build("b", [](json::value& out) { fill(out, 7); });
  m.runHandlers();
  m.runHandlers();
  BOOST_TEST_REQUIRE(kept.messages.size() == 1u);
  BOOST_TEST(*kept.messages[0].json() == filled());
}

BOOST_AUTO_TEST_CASE(threads_build_beside_each_other) {
  ManualBus m;
  Kept kept(m.bus, {.capacity = 100'000});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) (void)m.bus.build("a.b", [&](json::value& out) { fill(out, 7); });
    });
  for (auto& thread : threads) thread.join();
  while (kept.messages.size() < 8000) m.runHandlers();
  for (const auto& message : kept.messages) BOOST_REQUIRE(*message.json() == filled());
}

BOOST_AUTO_TEST_SUITE_END()
