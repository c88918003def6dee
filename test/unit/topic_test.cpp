// Topics, patterns, and the index that finds subscriptions by them.

#include <qtforge/communication/message_bus.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <random>

using namespace qtforge;

BOOST_AUTO_TEST_SUITE(topic)

BOOST_AUTO_TEST_CASE(topics_are_tokens_between_dots) {
  for (const char* good : {"a", "a.b", "sensor.kitchen.temperature", "\xC3\xA4.\xE2\x82\xAC", "a-b.c_d.1"})
    BOOST_TEST(checkTopic(good).has_value(), good);
  const std::pair<std::string, std::size_t> bad[] = {
      {"", 0}, {".", 0}, {"a.", 2}, {".a", 0}, {"a..b", 2}, {"a.*", 2}, {"a.>", 2}, {"a*", 1},
      {std::string("a\0b", 3), 1}, {"a.\xFF", 2}, {"a\xED\xA0\x80", 1}, {"\xC0\x80", 0}, {std::string(256, 'x'), 255}};
  for (const auto& [text, offset] : bad) {
    const auto checked = checkTopic(text);
    BOOST_TEST((!checked && checked.error() == Errc::InvalidTopic), text);
    BOOST_TEST(checked.error().message().ends_with("at offset " + std::to_string(offset)), checked.error().message());
  }
  BOOST_TEST(checkTopic(std::string(255, 'x')).has_value());
}

BOOST_AUTO_TEST_CASE(patterns_have_wildcards_as_whole_tokens) {
  for (const char* good : {"*", ">", "a.*", "*.b.>", "a.*.c"}) BOOST_TEST(checkPattern(good).has_value(), good);
  for (const char* bad : {"a*", "*a", "a.>.b", ">a", "a.**", ""}) BOOST_TEST(!checkPattern(bad), bad);
}

BOOST_AUTO_TEST_CASE(matching_follows_nats) {
  BOOST_TEST(matches("a.b", "a.b"));
  BOOST_TEST(!matches("a.b", "a.b.c"));
  BOOST_TEST(!matches("a.b.c", "a.b"));
  BOOST_TEST(matches("a.*", "a.b"));
  BOOST_TEST(!matches("a.*", "a"));
  BOOST_TEST(!matches("a.*", "a.b.c"));
  BOOST_TEST(matches("a.>", "a.b.c"));
  BOOST_TEST(!matches("a.>", "a"));
  BOOST_TEST(matches(">", "a.b.c"));
  BOOST_TEST(!matches(">", "qtforge.errors"));
  BOOST_TEST(!matches("*.errors", "qtforge.errors"));
  BOOST_TEST(matches("qtforge.>", "qtforge.errors"));
  BOOST_TEST(matches(">", "qtforgery"));
}

// The index against the linear matcher above, over random subscriptions that come and go.
BOOST_AUTO_TEST_CASE(the_index_finds_what_the_matcher_matches) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  boost::asio::io_context context;
  MessageBus bus(context.get_executor());
  const auto text = [&](bool pattern) {
    static const char* tokens[] = {"a", "b", "c", "qtforge", "*"};
    std::string result;
    const auto count = 1 + random() % 4;
    for (std::size_t i = 0; i < count; ++i) result += (i ? "." : "") + std::string(tokens[random() % (pattern ? 5 : 4)]);
    if (pattern && random() % 4 == 0) result += ".>";
    return result;
  };
  struct Live {
    std::string pattern;
    std::size_t calls = 0;
    Subscription subscription;
  };
  std::vector<std::unique_ptr<Live>> live;
  std::vector<Publisher> publishers;  // entries without exact subscriptions
  for (int round = 0; round < 4000; ++round) {
    const auto what = random() % 10;
    if (what < 3) {
      auto made = std::make_unique<Live>();
      made->pattern = text(true);
      made->subscription = bus.subscribe(made->pattern, [calls = &made->calls](const boost::json::value&) { ++*calls; },
                                         {.delivery = DeliveryMode::Direct}).value();
      live.push_back(std::move(made));
    } else if (what < 5 && !live.empty()) {
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(random() % live.size()));
    } else if (what == 5) {
      if (auto made = bus.publisher(text(false))) publishers.push_back(*made);
      if (publishers.size() > 5) publishers.erase(publishers.begin());
    } else {
      const auto topic = text(false);
      for (auto& each : live) each->calls = 0;
      const auto sent = bus.publish(topic, round);
      for (const auto& each : live) {
        const std::size_t expected = sent && matches(each->pattern, topic) ? 1 : 0;
        if (each->calls != expected) BOOST_TEST_MESSAGE(each->pattern << " on " << topic);
        BOOST_REQUIRE_EQUAL(each->calls, expected);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
