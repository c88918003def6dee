// Bytes beside JSON: how C++ attaches and reads them, and which places they may have.

#include "manual_bus.hpp"

#include <qtforge/communication/async.hpp>

#include <boost/asio/use_future.hpp>
#include <boost/describe/class.hpp>
#include <boost/test/unit_test.hpp>

#include <optional>
#include <vector>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace attachments {

struct Shot {
  std::optional<int> image;
};
BOOST_DESCRIBE_STRUCT(Shot, (), (image))

struct Received : ManualBus {
  std::vector<Message> got;
  Subscription subscription =
      bus.subscribe("shot", [this](const Message& message) { got.push_back(message); }).value();

  const Message& last() {
    runHandlers();
    BOOST_REQUIRE(!got.empty());
    return got.back();
  }
};

const Buffer image({1, 2, 3});
const Attachments atImage{{"/image", image}};

json::value shot() { return {{"image", nullptr}, {"n", 1}}; }

}  // namespace attachments

using namespace attachments;

BOOST_AUTO_TEST_SUITE(attaching)

BOOST_FIXTURE_TEST_CASE(attached_bytes_arrive_beside_the_payload_and_are_the_same, Received) {
  BOOST_TEST(bus.publish("shot", shot(), {.attachments = &atImage}).value().queued == 1u);
  BOOST_TEST((*last().json() == shot()));
  BOOST_REQUIRE(last().attachment("/image"));
  BOOST_TEST((last().attachment("/image")->data() == image.data()));
  BOOST_TEST((last().attachment("/other") == nullptr));
  BOOST_TEST((atImage[0].data.data() == image.data()));  // the caller's stay
}

BOOST_FIXTURE_TEST_CASE(bytes_have_places_anywhere_in_the_payload, Received) {
  const Attachments many{{"/a~1b/0/~0", image}, {"/a~1b/1", {}}};
  const json::value payload{{"a/b", {{{"~", nullptr}}, nullptr}}};
  BOOST_TEST(bus.publish("shot", payload, {.attachments = &many}).has_value());
  BOOST_TEST((*last().attachment("/a~1b/0/~0") == image));
  BOOST_TEST(last().attachment("/a~1b/1")->empty());
  const Attachments whole{{"", image}};
  BOOST_TEST(bus.publish("shot", nullptr, {.attachments = &whole}).has_value());
  BOOST_TEST((*last().attachment("") == image));
}

BOOST_FIXTURE_TEST_CASE(every_way_to_publish_attaches, Received) {
  bus.publisher("shot").value().publish(shot(), {.attachments = &atImage});
  BOOST_TEST((*last().attachment("/image") == image));
  bus.build("shot", [](json::value& out) { out = shot(); }, {.attachments = &atImage});
  BOOST_TEST((*last().attachment("/image") == image));
  auto sent = bus.asyncPublish("shot", shot(), PublishOptions{.attachments = &atImage}, boost::asio::use_future);
  runHandlers();
  BOOST_TEST(sent.get().value().queued == 1u);
  BOOST_TEST((*last().attachment("/image") == image));
  BOOST_TEST(got.size() == 3u);
}

BOOST_FIXTURE_TEST_CASE(direct_handlers_see_them_too, Received) {
  bool seen = false;
  const auto direct = bus.subscribe(
      "shot", [&](const Message& message) { seen = message.attachment("/image")->data() == image.data(); },
      {.delivery = DeliveryMode::Direct}).value();
  bus.publish("shot", shot(), {.attachments = &atImage});
  BOOST_TEST(seen);
}

BOOST_FIXTURE_TEST_CASE(a_message_that_is_published_again_keeps_its_own, Received) {
  bus.publish("shot", shot(), {.attachments = &atImage});
  const Message first = last();
  bus.publish("shot", first);
  BOOST_TEST(got.size() == 1u);
  BOOST_TEST((last().attachment("/image")->data() == image.data()));
  BOOST_TEST(got.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_place_where_the_payload_has_no_null_is_refused, Received) {
  const auto refused = [&](auto payload, const char* place) {
    const Attachments wrong{{"/image", image}, {place, image}};
    const auto sent = bus.publish("shot", std::move(payload), {.attachments = &wrong});
    BOOST_REQUIRE(!sent);
    BOOST_TEST((sent.error() == Errc::InvalidArgument));
    return sent.error().message();
  };
  BOOST_TEST(refused(shot(), "/n") == "a message on \"shot\": bytes are attached at \"/n\", where its payload has no "
                                      "null; a place is a JSON pointer, as \"/image\"");
  for (const auto* place : {"", "/", "image", "/none", "/image/0", "/image/deep/deeper", "~", "/\xff"})
    refused(shot(), place);
  refused(json::value{{"image", {nullptr}}}, "/image/0");
  refused(Shot{}, "/image");  // a class has no JSON yet
  refused(BinaryMessage{}, "");
  runHandlers();
  BOOST_TEST(got.empty());
  auto later = bus.asyncPublish("shot", json::value(1), PublishOptions{.attachments = &atImage}, boost::asio::use_future);
  runHandlers();
  BOOST_TEST((later.get().error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_SUITE_END()
