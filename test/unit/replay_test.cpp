// Replay: what was recorded is published again, in its time, and stops when it is told to.

#include "manual_bus.hpp"
#include "plugin_folder.hpp"
#include "recording_values.hpp"

#include <qtforge/communication/replay.hpp>

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace qtforge;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace replay {

struct Fixture : test::ManualBus {
  test::Folder folder;
  std::vector<Message> heard;
  Subscription listener = bus.subscribe(">", [this](const Message& m) { heard.push_back(m); }, {.delivery = DeliveryMode::Direct}).value();

  static std::string line(std::string_view topic, std::int64_t time, const json::value& payload = 1) {
    RecordedMessage m;
    m.topic = topic;
    m.time += std::chrono::nanoseconds(time);
    m.payload = payload;
    std::string text;
    BOOST_TEST(!detail::appendFrame(text, detail::MessageFrame(m)));
    return text;
  }

  std::filesystem::path recording(const std::string& lines) { return folder.write("r.jsonl", detail::recordingHeader() + lines); }

  std::string topics() const {
    std::string all;
    for (const auto& message : heard) all += std::string(message.topic()) + " ";
    return all;
  }
};

ReplayOptions fast() { return {.speed = 0}; }

}  // namespace replay

BOOST_FIXTURE_TEST_SUITE(replay, Fixture)

BOOST_AUTO_TEST_CASE(payloads_headers_and_topics_are_published_again) {
  const json::object headers{{"k", 1.0}};
  const BinaryMessage image{Buffer(std::vector<std::uint8_t>{1, 2}), "image/png", "|u1", {2}};
  auto recorder = Recorder::start(bus, folder / "r").value();
  bus.publish("a.json", json::value{{"x", std::numeric_limits<double>::quiet_NaN()}, {"n", 5u}}, {.replyTo = "there", .headers = &headers});
  bus.publish("a.binary", image);
  recorder.close().value();
  const auto first = std::exchange(heard, {});
  const auto summary = qtforge::replay(folder / "r", bus, fast()).value();
  BOOST_TEST(summary.published == 2u);
  BOOST_TEST(summary.failed == 0u);
  BOOST_TEST_REQUIRE(heard.size() == 2u);
  BOOST_TEST(topics() == "a.json a.binary ");
  BOOST_TEST(test::identical(*heard[0].json(), *first[0].json()));
  BOOST_TEST(test::identical(heard[0].headers(), headers));
  BOOST_TEST(heard[0].replyTo() == "");
  BOOST_TEST(test::identical(*heard[1].binary(), image));
}

BOOST_AUTO_TEST_CASE(attachments_are_published_again) {
  RecordedMessage m;
  m.topic = "a";
  m.payload = json::value{{"image", nullptr}};
  m.attachments.push_back({"/image", Buffer(std::vector<std::uint8_t>{7})});
  std::string text;
  detail::appendFrame(text, detail::MessageFrame(m));
  BOOST_TEST(qtforge::replay(recording(text), bus, fast()).value().published == 1u);
  BOOST_TEST(test::identical(heard.at(0).attachments(), m.attachments));
}

BOOST_AUTO_TEST_CASE(a_ring_can_be_replayed_and_does_not_feed_itself) {
  auto ring = RingRecorder::start(bus, 10).value();
  for (int i = 0; i < 3; ++i) bus.publish("a", json::array{i});
  const auto first = std::exchange(heard, {});
  BOOST_TEST(qtforge::replay(ring, bus, fast()).value().published == 3u);
  BOOST_TEST_REQUIRE(heard.size() == 3u);
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST((*heard[i].json() == *first[i].json()));
  BOOST_TEST(ring.messages().size() == 6u);
}

BOOST_AUTO_TEST_CASE(the_librarys_own_messages_are_left_out_and_counted) {
  const auto path = recording(line("a", 1) + line("qtforge.errors", 2) + line("qtforge.reply.3", 3) + line("b", 4));
  const auto summary = qtforge::replay(path, bus, fast()).value();
  BOOST_TEST(summary.published == 2u);
  BOOST_TEST(summary.reserved == 2u);
  BOOST_TEST(topics() == "a b ");
}

BOOST_AUTO_TEST_CASE(patterns_choose_and_prefixes_rename) {
  const auto path = recording(line("robot.arm", 1) + line("robot", 2) + line("robots.arm", 3) + line("other", 4) + line("x.y", 5));
  ReplayOptions options = fast();
  options.patterns = {"robot", "*.arm", "x.>"};
  options.prefixes = {{"robot", "sim.robot"}, {"x", ""}, {"", "all"}};
  const auto summary = qtforge::replay(path, bus, options).value();
  BOOST_TEST(summary.published == 4u);
  BOOST_TEST(summary.unmatched == 1u);
  BOOST_TEST(topics() == "sim.robot.arm sim.robot all.robots.arm y ");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_published_is_counted_and_the_rest_goes_on) {
  const auto path = recording(line("a", 1) + line("b", 2) + line("c", 3));
  ReplayOptions options = fast();
  options.prefixes = {{"a", "qtforge.mine"}, {"b", ""}};
  const auto summary = qtforge::replay(path, bus, options).value();
  BOOST_TEST(summary.published == 1u);
  BOOST_TEST(summary.failed == 2u);
  BOOST_TEST((summary.firstError == Errc::ReservedTopic));
  BOOST_TEST(topics() == "c ");
}

BOOST_AUTO_TEST_CASE(the_schedule_keeps_the_gaps_at_any_speed) {
  const auto at = [](std::int64_t time) { return RecordedMessage::Time(std::chrono::nanoseconds(time)); };
  const auto due = [&](double speed, std::vector<std::int64_t> times) {
    detail::ReplaySchedule schedule(speed);
    std::chrono::nanoseconds last{};
    for (const auto time : times) last = schedule.dueAt(at(time));
    return last;
  };
  BOOST_TEST((due(1.0, {100}) == 0ns));
  BOOST_TEST((due(1.0, {100, 350}) == 250ns));
  BOOST_TEST((due(2.0, {100, 200, 350}) == 125ns));
  BOOST_TEST((due(0.5, {-100, 100}) == 400ns));
  BOOST_TEST((due(1.0, {100, 50}) == 0ns));
  BOOST_TEST((due(0.0, {0, 1'000'000}) == 0ns));
  BOOST_TEST((due(std::numeric_limits<double>::infinity(), {0, 1'000'000}) == 0ns));
  constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  BOOST_TEST((due(1.0, {least, most}) == 320'000'000s));
  BOOST_TEST((due(1e-300, {0, 1}) == 320'000'000s));
  BOOST_TEST((due(1.0, {most, least}) == 0ns));
}

BOOST_AUTO_TEST_CASE(it_takes_the_time_that_it_took) {
  const auto path = recording(line("a", 0) + line("b", 40'000'000));
  const auto begin = std::chrono::steady_clock::now();
  BOOST_TEST(qtforge::replay(path, bus, {.speed = 2}).value().published == 2u);
  BOOST_TEST((std::chrono::steady_clock::now() - begin >= 20ms));
}

BOOST_AUTO_TEST_CASE(it_stops_while_it_waits) {
  const auto path = recording(line("a", 0) + line("b", std::chrono::nanoseconds(1h).count()) + line("c", 0));
  std::stop_source source;
  ReplayOptions options;
  options.stop = source.get_token();
  std::atomic<bool> begun{false};
  const auto first = bus.subscribe("a", [&](const Message&) { begun = true; }, {.delivery = DeliveryMode::Direct}).value();
  std::thread stopper([&] {
    while (!begun) std::this_thread::yield();
    source.request_stop();
  });
  const auto summary = qtforge::replay(path, bus, options).value();
  stopper.join();
  BOOST_TEST(summary.stopped);
  BOOST_TEST(summary.published == 1u);
}

BOOST_AUTO_TEST_CASE(it_stops_between_messages) {
  std::stop_source source;
  ReplayOptions options = fast();
  options.stop = source.get_token();
  const auto stopper = bus.subscribe("b", [&](const Message&) { source.request_stop(); }, {.delivery = DeliveryMode::Direct}).value();
  const auto summary = qtforge::replay(recording(line("a", 0) + line("b", 0) + line("c", 0)), bus, options).value();
  BOOST_TEST(summary.stopped);
  BOOST_TEST(topics() == "a b ");
}

BOOST_AUTO_TEST_CASE(a_recording_that_is_cut_off_is_replayed_up_to_there) {
  std::string lines = line("a", 0) + R"({"lost":4,"reason":"x"})" "\n" + line("b", 0) + line("c", 0);
  lines.resize(lines.size() - 5);
  const auto summary = qtforge::replay(recording(lines), bus, fast()).value();
  BOOST_TEST(summary.truncated);
  BOOST_TEST(summary.published == 2u);
  BOOST_TEST(summary.lost == 4u);
  BOOST_TEST(!summary.stopped);
}

BOOST_AUTO_TEST_CASE(a_broken_line_is_an_error_with_its_place) {
  const auto error = qtforge::replay(recording(line("a", 0) + "{\"topic\" 1}\n" + line("b", 0)), bus, fast()).error();
  BOOST_TEST((error == Errc::RecordingInvalid));
  BOOST_TEST(test::contains(error.message(), "r.jsonl': line 3, column 10: not JSON"), error.message());
  BOOST_TEST(topics() == "a ");
}

BOOST_AUTO_TEST_CASE(what_is_no_recording_and_wrong_options_are_errors) {
  BOOST_TEST((qtforge::replay(folder / "none", bus).error() == Errc::FileFailed));
  BOOST_TEST((qtforge::replay(folder.write("x", "text"), bus).error() == Errc::RecordingInvalid));
  const auto path = recording(line("a", 0));
  BOOST_TEST((qtforge::replay(path, bus, {.speed = -1}).error() == Errc::InvalidArgument));
  BOOST_TEST((qtforge::replay(path, bus, {.speed = std::numeric_limits<double>::quiet_NaN()}).error() == Errc::InvalidArgument));
  BOOST_TEST((qtforge::replay(path, bus, {.patterns = {"a..b"}}).error() == Errc::InvalidPattern));
  BOOST_TEST((qtforge::replay(std::vector<Message>(), bus, {.speed = -1}).error() == Errc::InvalidArgument));
  BOOST_TEST(heard.empty());
}

BOOST_AUTO_TEST_SUITE_END()
