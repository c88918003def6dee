// C++ types on the bus: shared as they are where both ends agree, JSON for everybody else.

#include "manual_bus.hpp"

#include <qtforge/communication/filter.hpp>
#include <qtforge/host.hpp>

#include <boost/describe/class.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <thread>
#include <vector>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace typed_payload {

struct Point {
  int x = 0, y = 0;
};
BOOST_DESCRIBE_STRUCT(Point, (), (x, y))

/// Counts its lives and copies.
struct Traced {
  Traced() { ++alive; }
  Traced(const Traced& other) : path(other.path) {
    ++alive;
    ++copies;
  }
  Traced(Traced&& other) noexcept : path(std::move(other.path)) { ++alive; }
  Traced& operator=(const Traced&) = default;
  ~Traced() { --alive; }

  std::vector<Point> path;

  static inline int alive = 0, copies = 0;
};
BOOST_DESCRIBE_STRUCT(Traced, (), (path))

struct Celsius {
  double degrees = 0;
};
std::atomic<int> conversions{0};
void tag_invoke(const json::value_from_tag&, json::value& to, const Celsius& from) {
  ++conversions;
  to = {{"celsius", from.degrees}};
}
Celsius tag_invoke(const json::value_to_tag<Celsius>&, const json::value& from) {
  return {from.at("celsius").to_number<double>()};
}

struct Stubborn {};
void tag_invoke(const json::value_from_tag&, json::value&, const Stubborn&) { throw std::runtime_error("no words for it"); }

struct Picky {};
Picky tag_invoke(const json::value_to_tag<Picky>&, const json::value&) {
  throw Exception(Error(Errc::ConversionFailed, "at \"/n\": not this one"));
}

struct Handle {
  std::unique_ptr<int> owned;
};
void tag_invoke(const json::value_from_tag&, json::value& to, const Handle& from) { to = *from.owned; }

struct alignas(128) Wide {
  std::array<double, 4> values{};
};
BOOST_DESCRIBE_STRUCT(Wide, (), (values))

struct Borrowed {
  std::string_view text;
};
BOOST_DESCRIBE_STRUCT(Borrowed, (), (text))

struct OtherView {
  boost::core::string_view text;
};
BOOST_DESCRIBE_STRUCT(OtherView, (), (text))

struct Document {
  json::value body;
};
BOOST_DESCRIBE_STRUCT(Document, (), (body))

struct Pooled {
  std::pmr::vector<int> items;
};
BOOST_DESCRIBE_STRUCT(Pooled, (), (items))

struct Tree {
  int value = 0;
  std::vector<Tree> children;
};
BOOST_DESCRIBE_STRUCT(Tree, (), (value, children))

struct Trace {
  Trace() { Traced::alive = Traced::copies = 0; }
  ~Trace() { BOOST_TEST(Traced::alive == 0); }
  ManualBus m;
};

}  // namespace typed_payload

BOOST_FIXTURE_TEST_SUITE(typed_payload, Trace)

BOOST_AUTO_TEST_CASE(handlers_of_a_type_share_the_object_that_was_moved_in) {
  std::vector<const Traced*> seen;
  const auto look = [&](const Traced& traced) { seen.push_back(&traced); };
  const auto a = m.bus.subscribe("a", look).value(), b = m.bus.subscribe("a", look).value();
  const auto whole = m.bus.subscribe("a", [&](const Message& message) { seen.push_back(message.get<Traced>()); }).value();
  Traced traced;
  traced.path = {{1, 2}, {3, 4}};
  BOOST_TEST(m.bus.publish("a", std::move(traced)).value().queued == 3u);
  m.runHandlers();
  BOOST_REQUIRE(seen.size() == 3u);
  BOOST_TEST(seen[0] != nullptr);
  BOOST_TEST((seen[0] == seen[1] && seen[1] == seen[2]));
  BOOST_TEST(Traced::copies == 0);
}

BOOST_AUTO_TEST_CASE(an_lvalue_is_copied_once_for_all_queued_handlers_and_never_for_direct_ones) {
  Traced traced;
  const Traced* seen = nullptr;
  {
    const auto direct = m.bus.subscribe("a", [&](const Traced& given) { seen = &given; },
                                        {.delivery = DeliveryMode::Direct}).value();
    (void)m.bus.publish("a", traced);
    BOOST_TEST(seen == &traced);
    BOOST_TEST(Traced::copies == 0);
  }
  const auto a = m.bus.subscribe("a", [](const Traced&) {}).value(), b = m.bus.subscribe("a", [](const Traced&) {}).value();
  (void)m.bus.publish("a", traced);
  m.runHandlers();
  BOOST_TEST(Traced::copies == 1);
}

BOOST_AUTO_TEST_CASE(who_wants_json_gets_its_json_form_which_is_made_once) {
  std::vector<const json::value*> seen;
  const auto look = [&](const json::value& value) { seen.push_back(&value); };
  const auto a = m.bus.subscribe("a", look).value(), b = m.bus.subscribe("a", look).value();
  conversions = 0;
  (void)m.bus.publish("a", Celsius{21.5});
  BOOST_TEST(conversions == 0);
  std::string text;
  const auto direct = m.bus.subscribe("b", [&](const json::value& value) { text = json::serialize(value); },
                                      {.delivery = DeliveryMode::Direct}).value();
  (void)m.bus.publish("b", Point{1, 2});
  BOOST_TEST(text == R"({"x":1,"y":2})");
  m.runHandlers();
  BOOST_REQUIRE(seen.size() == 2u);
  BOOST_TEST(seen[0] == seen[1]);
  BOOST_TEST(conversions == 1);
}

BOOST_AUTO_TEST_CASE(a_type_with_conversions_of_its_own_is_received_as_itself) {
  double seen = 0;
  conversions = 0;
  const auto s = m.bus.subscribe("a", [&](const Celsius& given) { seen = given.degrees; }).value();
  (void)m.bus.publish("a", Celsius{21.5});
  m.runHandlers();
  BOOST_TEST(seen == 21.5);
  BOOST_TEST(conversions == 0);
}

BOOST_AUTO_TEST_CASE(json_of_the_right_shape_becomes_the_type_and_other_json_is_a_mismatch) {
  int sum = 0;
  const auto s = m.bus.subscribe("a", [&](const Point& p) { sum += p.x + p.y; }).value();
  (void)m.bus.publish("a", json::object{{"x", 1}, {"y", 2}});
  (void)m.bus.publish("a", json::object{{"x", 1}});
  (void)m.bus.publish("a", BinaryMessage{});
  m.runHandlers();
  BOOST_TEST(sum == 3);
  BOOST_TEST(s.stats().mismatched == 2u);
}

BOOST_AUTO_TEST_CASE(what_a_types_own_conversion_says_against_json_is_told) {
  std::optional<Message> kept;
  const auto whole = m.bus.subscribe("a", [&](const Message& message) { kept = message; }).value();
  const auto s = m.bus.subscribe("a", [](const Picky&) {}).value();
  std::string logged;
  setLogSinks({[&](const LogRecord& record) { logged += record.message; }});
  (void)m.bus.publish("a", json::object{{"n", 1}});
  m.runHandlers();
  setLogSinks({});
  BOOST_TEST(s.stats().mismatched == 1u);
  BOOST_TEST(logged.find("at \"/n\": not this one") != std::string::npos);
  const auto error = kept->as<Picky>().error();
  BOOST_TEST((error.code() == Errc::PayloadMismatch));
  BOOST_TEST(error.message().find("at \"/n\": not this one") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(another_type_of_the_same_shape_is_received_through_json) {
  struct Place {
    int x = 0, y = 0;
  };
  int sum = 0;
  const auto s = m.bus.subscribe("a", [&](const std::map<std::string, int>& m) { sum = m.at("x") + m.at("y"); }).value();
  (void)m.bus.publish("a", Point{1, 2});
  m.runHandlers();
  BOOST_TEST(sum == 3);
}

BOOST_AUTO_TEST_CASE(a_message_gives_a_copy_as_any_type_that_its_payload_converts_to) {
  std::optional<Message> kept;
  const auto s = m.bus.subscribe("a", [&](const Message& message) { kept = message; }).value();
  (void)m.bus.publish("a", Point{1, 2});
  m.runHandlers();
  BOOST_TEST(kept->as<Point>().value().y == 2);
  BOOST_TEST((kept->as<std::map<std::string, int>>().value().at("x")) == 1);
  BOOST_TEST(kept->get<Celsius>() == nullptr);
  const auto wrong = kept->as<std::vector<int>>();
  BOOST_REQUIRE(!wrong);
  BOOST_TEST((wrong.error().code() == Errc::PayloadMismatch));
  BOOST_TEST(wrong.error().message().find("\"a\"") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_conversion_that_throws_is_a_failure_that_names_the_type) {
  std::string told;
  const auto errors = m.bus.subscribe("qtforge.errors", [&](const json::value& v) { told = v.at("message").as_string(); }).value();
  const auto s = m.bus.subscribe("a", [](const json::value&) {}).value();
  const auto whole = m.bus.subscribe("b", [](const Message& message) { (void)message.json(); }).value();
  for (const char* topic : {"a", "b"}) {
    told.clear();
    (void)m.bus.publish(topic, Stubborn());
    m.runHandlers();
    BOOST_TEST(told.find("Stubborn") != std::string::npos);
    BOOST_TEST(told.find("no words for it") != std::string::npos);
  }
  BOOST_TEST(s.stats().failed == 1u);
}

BOOST_AUTO_TEST_CASE(what_can_only_be_moved_is_moved_in) {
  int seen = 0;
  const auto s = m.bus.subscribe("a", [&](const Handle& handle) { seen = *handle.owned; }).value();
  (void)m.bus.publish("a", Handle{std::make_unique<int>(7)});
  m.runHandlers();
  BOOST_TEST(seen == 7);
}

BOOST_AUTO_TEST_CASE(alignment_is_kept) {
  std::uintptr_t place = 1;
  const auto s = m.bus.subscribe("a", [&](const Wide& wide) { place = reinterpret_cast<std::uintptr_t>(&wide); }).value();
  for (int i = 0; i < 8; ++i) {
    (void)m.bus.publish("a", Wide{});
    m.runHandlers();
    BOOST_TEST(place % alignof(Wide) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_filter_sees_the_object_before_it_is_queued) {
  int seen = 0;
  const auto s = m.bus.subscribe("a", filter([](const Point& p) { return p.x > 0; }, [&](const Point& p) { seen += p.x; })).value();
  for (int x : {-1, 2, -3, 4}) (void)m.bus.publish("a", Point{x, 0});
  m.runHandlers();
  BOOST_TEST(seen == 6);
}

BOOST_AUTO_TEST_CASE(a_republished_message_shares_its_payload) {
  std::vector<const Traced*> seen;
  const auto second = m.bus.subscribe("b", [&](const Traced& given) { seen.push_back(&given); }).value();
  const auto third = m.bus.subscribe("c", [&](const Traced& given) { seen.push_back(&given); }).value();
  const auto forward = m.bus.subscribe("*", [&](const Message& message) {
    if (message.topic() == "a") (void)m.bus.publish("b", message);
    if (message.topic() == "b") (void)m.bus.publish("c", message);
    if (message.topic() == "a") seen.push_back(message.get<Traced>());
  }).value();
  (void)m.bus.publish("a", Traced());
  m.runHandlers();
  BOOST_REQUIRE(seen.size() == 3u);
  BOOST_TEST((seen[0] == seen[1] && seen[1] == seen[2]));
  BOOST_TEST(Traced::copies == 0);
}

BOOST_AUTO_TEST_CASE(a_republished_json_payload_is_not_copied_either) {
  std::vector<const json::value*> seen;
  const auto look = [&](const json::value& value) { seen.push_back(&value); };
  const auto a = m.bus.subscribe("a", look).value(), b = m.bus.subscribe("b", look).value();
  const auto forward = m.bus.subscribe("a", [&](const Message& message) { (void)m.bus.publish("b", message); }).value();
  (void)m.bus.publish("a", json::object{{"n", 1}});
  m.runHandlers();
  BOOST_REQUIRE(seen.size() == 2u);
  BOOST_TEST(seen[0] == seen[1]);
}

BOOST_AUTO_TEST_CASE(answers_and_retained_messages_are_typed_too) {
  const auto answering = m.bus.respond("square", [](const Point& p) { return Point{p.x * p.x, p.y * p.y}; },
                                       {.delivery = DeliveryMode::Direct}).value();
  const auto answer = m.bus.request("square", Point{3, 4});
  BOOST_REQUIRE(answer.has_value());
  BOOST_REQUIRE(answer->get<Point>() != nullptr);
  BOOST_TEST(answer->get<Point>()->y == 16);

  (void)m.bus.publish("state", Point{5, 6}, {.retain = true});
  int seen = 0;
  const auto late = m.bus.subscribe("state", [&](const Point& p) { seen = p.x; }).value();
  m.runHandlers();
  BOOST_TEST(seen == 5);
}

BOOST_AUTO_TEST_CASE(threads_that_ask_for_the_json_form_at_once_get_the_same_one) {
  for (int round = 0; round < 50; ++round) {
    std::optional<Message> kept;
    const auto s = m.bus.subscribe("a", [&](const Message& message) { kept = message; }).value();
    (void)m.bus.publish("a", Celsius{1});
    m.runHandlers();
    const json::value* seen[2] = {};
    std::thread other([&] { seen[0] = kept->json(); });
    seen[1] = kept->json();
    other.join();
    BOOST_REQUIRE(seen[0] == seen[1]);
  }
}

BOOST_AUTO_TEST_CASE(what_refers_to_memory_of_others_is_json_at_once) {
  static_assert(!detail::SharedAsItself<Borrowed> && !detail::SharedAsItself<OtherView>);
  static_assert(!detail::SharedAsItself<Document> && !detail::SharedAsItself<Pooled>);
  static_assert(detail::SharedAsItself<Tree> && detail::SharedAsItself<Celsius> && detail::SharedAsItself<Handle>);
  static_assert(!detail::SharedAsItself<std::string> && !detail::SharedAsItself<std::vector<int>>);
  static_assert(!detail::SharedAsItself<json::value> && !detail::SharedAsItself<json::object>);
  std::string seen;
  const auto s = m.bus.subscribe("a", [&](const json::value& v) { seen = v.at("text").as_string(); }).value();
  {
    std::string text = "gone when it is read";
    (void)m.bus.publish("a", Borrowed{text});
  }
  m.runHandlers();
  BOOST_TEST(seen == "gone when it is read");
}

BOOST_AUTO_TEST_CASE(json_on_memory_of_the_publishers_own_does_not_outlive_it) {
  std::string seen;
  const auto s = m.bus.subscribe("a", [&](const Document& d) { seen = d.body.at("text").as_string(); }).value();
  {
    json::monotonic_resource memory;
    Document document{json::value({{"text", "a text that is longer than the short strings"}}, &memory)};
    (void)m.bus.publish("a", std::move(document));
  }
  m.runHandlers();
  BOOST_TEST(seen == "a text that is longer than the short strings");
}

BOOST_AUTO_TEST_CASE(a_recursive_type_is_shared_too) {
  std::size_t children = 0;
  const auto s = m.bus.subscribe("a", [&](const Tree& tree) { children = tree.children.size(); }).value();
  (void)m.bus.publish("a", Tree{1, {{2, {}}, {3, {}}}});
  m.runHandlers();
  BOOST_TEST(children == 2u);
}

BOOST_AUTO_TEST_SUITE_END()

// ---- Layouts -------------------------------------------------------------------------------------------------------

namespace layout {

template <class... Parts>
std::uint64_t fingerprintFrom(Parts... parts) {
  detail::Fingerprint print;
  (print.add(parts), ...);
  return print.value();
}

namespace one {
struct Layout {
  int a = 0;
  double b = 0;
};
BOOST_DESCRIBE_STRUCT(Layout, (), (a, b))
}  // namespace one
namespace two {
struct Layout {
  int a = 0;
  float b = 0;
};
BOOST_DESCRIBE_STRUCT(Layout, (), (a, b))
}  // namespace two

template <class Inner>
struct Around {
  std::vector<Inner> items;
};
BOOST_DESCRIBE_STRUCT(Around<one::Layout>, (), (items))
BOOST_DESCRIBE_STRUCT(Around<two::Layout>, (), (items))

}  // namespace layout

BOOST_AUTO_TEST_SUITE(layout)

BOOST_AUTO_TEST_CASE(fingerprints_tell_types_apart_by_their_members) {
  BOOST_TEST(detail::fingerprintOf<one::Layout>() != detail::fingerprintOf<two::Layout>());
  BOOST_TEST(detail::fingerprintOf<one::Layout>() == detail::fingerprintOf<one::Layout>());
  BOOST_TEST(detail::fingerprintOf<Around<one::Layout>>() != detail::fingerprintOf<Around<two::Layout>>());
}

BOOST_AUTO_TEST_CASE(texts_that_run_into_each_other_differ) {
  const auto text = [](const char* t) { return std::string_view(t); };
  BOOST_TEST(fingerprintFrom(text("ab"), text("c")) != fingerprintFrom(text("a"), text("bc")));
}

BOOST_AUTO_TEST_SUITE_END()
