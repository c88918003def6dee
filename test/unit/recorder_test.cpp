// Recorders: what is published gets into files and rings, and nobody who publishes notices, not even a full disk.

#include "manual_bus.hpp"
#include "plugin_folder.hpp"
#include "recording_values.hpp"

#include <qtforge/host.hpp>
#include <qtforge/communication/recording.hpp>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <thread>

using namespace qtforge;
namespace asio = boost::asio;
namespace json = boost::json;

namespace recorder {

/// A recorder's work is done when the test says so, or when somebody needs it at once.
struct Fixture : test::ManualBus {
  test::Folder folder;
  std::filesystem::path path = folder / "recording.jsonl";
  asio::io_context idle;

  RecorderOptions options(std::vector<std::string> patterns = {">"}, std::size_t capacity = 65'536) {
    return {std::move(patterns), capacity, idle.get_executor()};
  }
};

std::string contentsOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<RecordedMessage> messagesIn(const std::filesystem::path& path, std::uint64_t lost = 0) {
  auto reader = RecordingReader::open(path).value();
  std::vector<RecordedMessage> messages;
  while (auto next = reader.next().value()) messages.push_back(std::move(*next));
  BOOST_TEST(reader.lost() == lost);
  BOOST_TEST(!reader.truncated());
  return messages;
}

std::string topicsOf(const std::vector<RecordedMessage>& messages) {
  std::string topics;
  for (const auto& message : messages) topics += message.topic + " ";
  return topics;
}

struct Pose {
  double x;
};
void tag_invoke(json::value_from_tag, json::value& to, const Pose& pose) { to = json::object{{"x", pose.x}}; }

struct Faulty {
  int unused;
};
void tag_invoke(json::value_from_tag, json::value&, const Faulty&) { throw std::runtime_error("no words for it"); }

/// Its copies fail.
struct Uncopied {
  Uncopied() = default;
  Uncopied(const Uncopied&) { throw std::runtime_error("there can be only one"); }
  Uncopied& operator=(const Uncopied&) = delete;
};
void tag_invoke(json::value_from_tag, json::value& to, const Uncopied&) { to = 1; }

/// What is published while it lives.
struct Originals {
  explicit Originals(const MessageBus& bus) : ring(RingRecorder::start(bus, 1'000'000).value()) {}
  RingRecorder ring;

  void compare(const std::vector<RecordedMessage>& recorded) const {
    const auto messages = ring.messages();
    BOOST_TEST_REQUIRE(recorded.size() == messages.size());
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const auto& m = messages[i];
      const auto& r = recorded[i];
      BOOST_TEST_REQUIRE(r.topic == m.topic());
      BOOST_TEST_REQUIRE(r.sender == m.sender());
      BOOST_TEST_REQUIRE(r.id == m.id());
      BOOST_TEST_REQUIRE((r.time == m.time()));
      BOOST_TEST_REQUIRE(test::identical(r.headers, m.headers()));
      BOOST_TEST_REQUIRE(r.replyTo == m.replyTo());
      BOOST_TEST_REQUIRE(r.correlation == m.correlation());
      BOOST_TEST_REQUIRE((r.json() != nullptr) == (m.json() != nullptr));
      if (r.json()) BOOST_TEST_REQUIRE(test::identical(*r.json(), *m.json()));
      else BOOST_TEST_REQUIRE(test::identical(*r.binary(), *m.binary()));
      BOOST_TEST_REQUIRE(test::identical(r.attachments, m.attachments()));
    }
  }
};

void publishWithAttachments(const MessageBus& bus, std::string_view topic, json::value payload, Attachments attachments) {
  const auto where = bus.at();
  detail::PublishArgs args;
  args.topic = topic;
  args.payload = {detail::PayloadKind::Json, &payload, nullptr};
  detail::PublishExtras extras;
  extras.attachments = &attachments;
  args.extras = &extras;
  Delivery delivery;
  BOOST_TEST(where.table->publish(where.core, where.client, &args, &delivery, {}) == 0);
}

}  // namespace recorder

BOOST_FIXTURE_TEST_SUITE(recorder, Fixture)

BOOST_AUTO_TEST_CASE(what_was_published_before_close_is_in_the_file_whatever_the_executor_does) {
  auto recorder = Recorder::start(bus, path, options()).value();
  for (int i = 0; i < 300; ++i) BOOST_TEST(bus.publish("a", i).value().receivers() == 0u);
  const auto stats = recorder.close().value();
  bus.publish("a", 300);
  BOOST_TEST(stats.recorded == 300u);
  BOOST_TEST(stats.lost == 0u);
  BOOST_TEST(stats.bytes == contentsOf(path).size());
  const auto messages = messagesIn(path);
  BOOST_TEST_REQUIRE(messages.size() == 300u);
  for (int i = 0; i < 300; ++i) BOOST_TEST(messages[static_cast<std::size_t>(i)].json()->as_int64() == i);
  BOOST_TEST(recorder.close().value().recorded == 300u);
}

BOOST_AUTO_TEST_CASE(what_cannot_start_leaves_the_file_as_it_was) {
  { auto recorder = Recorder::start(bus, path, options()).value(); }
  const auto before = contentsOf(path);
  BOOST_TEST(!before.empty());
  auto wrong = options();
  wrong.patterns = {"a..b"};
  BOOST_TEST((Recorder::start(bus, path, std::move(wrong)).error() == Errc::InvalidPattern));
  auto none = options();
  none.capacity = 0;
  BOOST_TEST((Recorder::start(bus, path, std::move(none)).error() == Errc::InvalidArgument));
  BOOST_TEST(contentsOf(path) == before);
}

BOOST_AUTO_TEST_CASE(it_writes_in_turns_on_its_executor) {
  auto recorder = Recorder::start(bus, path, options()).value();
  for (int i = 0; i < 3000; ++i) bus.publish("a", i);
  BOOST_TEST(recorder.stats().recorded == 0u);
  idle.restart();
  idle.poll_one();
  BOOST_TEST(recorder.stats().recorded == 1024u);
  idle.poll();
  BOOST_TEST(recorder.stats().recorded == 3000u);
  bus.publish("a", 3000);
  idle.restart();
  idle.poll();
  BOOST_TEST(messagesIn(path).size() == 3001u);  // while it goes on
}

BOOST_AUTO_TEST_CASE(all_kinds_of_messages_come_back_bit_for_bit) {
  const auto seed = std::random_device()();
  BOOST_TEST_MESSAGE("seed " << seed);
  test::Random random(seed);
  auto recorder = Recorder::start(bus, path, options()).value();
  const Originals originals(bus);
  const auto answers = bus.respond("ask", [](const json::value& v) { return v; }, {.delivery = DeliveryMode::Direct}).value();
  for (int i = 0; i < 2000; ++i) {
    const auto headers = random.object();
    switch (random.below(4)) {
      case 0: bus.publish("json", random.value(), {.replyTo = random.text(), .headers = &headers}); break;
      case 1:
        bus.publish("binary", BinaryMessage{Buffer(random.bytes()), random.text(), random.text(), {random.below(9), random.below(9)}},
                    {.headers = &headers});
        break;
      case 2: {
        Attachments attachments;
        for (auto n = random.below(3); n > 0; --n) attachments.push_back({random.text(), Buffer(random.bytes())});
        publishWithAttachments(bus, "attached", random.value(), std::move(attachments));
        break;
      }
      default: BOOST_TEST(bus.request("ask", random.value()).has_value()); break;
    }
  }
  recorder.close().value();
  originals.compare(messagesIn(path));
}

BOOST_AUTO_TEST_CASE(each_message_is_recorded_once_however_many_patterns_match) {
  auto recorder = Recorder::start(bus, path, options({"a.*", "a.b", "*.c", "qtforge.>"})).value();
  const auto failing = bus.subscribe("x", [](const json::value&) { throw std::runtime_error("no"); }).value();
  for (const char* topic : {"a.b", "x", "b.c", "a", "a.b.c"}) bus.publish(topic, 1);
  setLogLevel(LogLevel::Off);
  runHandlers();
  setLogLevel(LogLevel::Info);
  recorder.close().value();
  BOOST_TEST(topicsOf(messagesIn(path)) == "a.b b.c qtforge.errors ");
}

BOOST_AUTO_TEST_CASE(what_it_loses_is_counted_and_noted_where_it_is_missing) {
  setLogLevel(LogLevel::Off);
  auto recorder = Recorder::start(bus, path, options({"a"}, 2)).value();
  idle.poll();
  bus.publish("a", 0);
  idle.restart();
  idle.poll();
  for (int i = 1; i <= 5; ++i) bus.publish("a", i);
  const auto stats = recorder.close().value();
  setLogLevel(LogLevel::Info);
  BOOST_TEST(stats.recorded == 3u);
  BOOST_TEST(stats.lost == 3u);
  std::string kinds;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    kinds += line.starts_with("{\"lost\":3,") ? "L" : line.starts_with("{\"topic\"") ? "m" : "h";
  BOOST_TEST(kinds == "hmLmm");
  BOOST_TEST(messagesIn(path, 3).size() == 3u);
}

BOOST_AUTO_TEST_CASE(a_message_without_a_place_in_the_format_is_counted_as_lost) {
  auto recorder = Recorder::start(bus, path, options()).value();
  const json::object tooDeep{{"x", test::nested(detail::deepestJson)}}, deep{{"x", test::nested(detail::deepestJson - 1)}};
  bus.publish("deep", 1, {.headers = &tooDeep});
  bus.publish("deep", 2, {.headers = &deep});
  const auto stats = recorder.close().value();
  BOOST_TEST(stats.recorded == 1u);
  BOOST_TEST(stats.lost == 1u);
  BOOST_TEST(messagesIn(path, 1).size() == 1u);
  BOOST_TEST(test::contains(contentsOf(path), R"({"lost":1,"reason":"a message on \"deep\": its headers are nested too deeply"})"));
}

BOOST_AUTO_TEST_CASE(payloads_of_cpp_types_are_recorded_as_json_and_lost_where_they_have_none) {
  auto recorder = Recorder::start(bus, path, options()).value();
  bus.publish("pose", Pose{1.0});
  bus.publish("faulty", Faulty{1});
  const Uncopied uncopied;
  BOOST_TEST(bus.publish("uncopied", uncopied).has_value());  // without the tap nobody would have copied it
  bus.publish("pose", Pose{2.0});
  const auto stats = recorder.close().value();
  BOOST_TEST(stats.recorded == 2u);
  BOOST_TEST(stats.lost == 2u);
  const auto messages = messagesIn(path, 2);
  BOOST_TEST_REQUIRE(messages.size() == 2u);
  BOOST_TEST(test::identical(*messages[1].json(), json::object{{"x", 2.0}}));
  BOOST_TEST(test::contains(contentsOf(path), "no words for it"));
}

BOOST_AUTO_TEST_CASE(a_full_disk_ends_the_recording_and_nothing_else) {
  std::vector<std::string> lines;
  setLogSinks({[&](const LogRecord& record) { lines.emplace_back(record.message); }});
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{}, small{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 100'000;
  ::setrlimit(RLIMIT_FSIZE, &small);
  auto recorder = Recorder::start(bus, path, options()).value();
  for (int i = 0; i < 2000; ++i) bus.publish("a", i);
  idle.poll();
  BOOST_TEST(bus.stats().at("subscriptions").as_array().empty());  // publishers no longer pay for it
  BOOST_TEST(bus.publish("a", 2000).has_value());
  const auto closed = recorder.close();
  const auto again = recorder.close();
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
  setLogSinks({});
  BOOST_TEST((closed.error() == Errc::FileFailed));
  BOOST_TEST((again.error() == Errc::FileFailed));
  BOOST_TEST(test::contains(closed.error().message(), path.string() + "': cannot write it: File too large"));
  BOOST_TEST_REQUIRE(lines.size() == 1u);
  BOOST_TEST(test::contains(lines[0], "the recording ends here"));
  BOOST_TEST(recorder.stats().lost > 0u);
  auto reader = RecordingReader::open(path).value();
  std::uint64_t count = 0;
  while (reader.next().value()) ++count;
  BOOST_TEST(reader.truncated());
  BOOST_TEST(count >= recorder.stats().recorded);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_is_an_error_at_once) {
  BOOST_TEST((Recorder::start(bus, folder / "none/file").error() == Errc::FileFailed));
  BOOST_TEST((Recorder::start(bus, folder.path()).error() == Errc::FileFailed));
  const auto full = Recorder::start(bus, "/dev/full");
  BOOST_TEST((full.error() == Errc::FileFailed));
  BOOST_TEST(test::contains(full.error().message(), "'/dev/full': cannot write it: No space left on device"));
  BOOST_TEST_REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  BOOST_TEST((Recorder::start(bus, folder / "fifo").error() == Errc::FileFailed));
  BOOST_TEST(bus.stats().at("subscriptions").as_array().empty());
}

BOOST_AUTO_TEST_CASE(wrong_options_are_refused) {
  BOOST_TEST((Recorder::start(bus, path, options({})).error() == Errc::InvalidArgument));
  BOOST_TEST((Recorder::start(bus, path, options({"a", "b..c"})).error() == Errc::InvalidPattern));
  BOOST_TEST((Recorder::start(bus, path, options({"a"}, 0)).error() == Errc::InvalidArgument));
  BOOST_TEST((RingRecorder::start(bus, 0).error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_CASE(a_bus_that_ends_first_is_told_by_close) {
  std::optional<MessageBus> other(std::in_place, context.get_executor());
  auto recorder = Recorder::start(*other, path, options()).value();
  other->publish("a", 1);
  idle.poll();
  other->publish("a", 2);
  other.reset();
  BOOST_TEST((recorder.close().error() == Errc::ShuttingDown));
  BOOST_TEST(messagesIn(path).size() == 1u);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_object_ends_the_recording) {
  {
    auto recorder = Recorder::start(bus, path, options()).value();
    bus.publish("a", 1);
    recorder = Recorder::start(bus, folder / "second", options()).value();
    bus.publish("a", 2);
  }
  BOOST_TEST(messagesIn(path).size() == 1u);
  BOOST_TEST(messagesIn(folder / "second").size() == 1u);
  idle.poll();  // tasks that were left
}

BOOST_AUTO_TEST_CASE(a_file_that_exists_is_emptied) {
  folder.write("recording.jsonl", std::string(10'000, 'x'));
  Recorder::start(bus, path, options()).value().close().value();
  BOOST_TEST(contentsOf(path) == detail::recordingHeader());
}

BOOST_AUTO_TEST_CASE(a_ring_keeps_the_newest) {
  auto ring = RingRecorder::start(bus, 3, options({"a"})).value();
  BOOST_TEST(ring.messages().empty());
  for (int i = 0; i < 200; ++i) bus.publish("a", i);
  bus.publish("b", 0);
  std::vector<std::int64_t> seen;
  for (const auto& message : ring.messages()) seen.push_back(message.json()->as_int64());
  BOOST_TEST((seen == std::vector<std::int64_t>{197, 198, 199}));
  BOOST_TEST(ring.stats().recorded == 200u);
  const auto saved = ring.save(path).value();
  BOOST_TEST(saved.recorded == 3u);
  BOOST_TEST(saved.bytes == contentsOf(path).size());
  BOOST_TEST(messagesIn(path)[2].json()->as_int64() == 199);
  ring.close();
  bus.publish("a", 200);
  BOOST_TEST(ring.messages().size() == 3u);
  BOOST_TEST((ring.save("/dev/full").error() == Errc::FileFailed));
}

BOOST_AUTO_TEST_CASE(a_saved_ring_tells_what_the_ring_lost) {
  setLogLevel(LogLevel::Off);
  auto ring = RingRecorder::start(bus, 10, options({"a"}, 2)).value();
  for (int i = 0; i < 5; ++i) bus.publish("a", i);
  BOOST_TEST(ring.messages().size() == 2u);
  setLogLevel(LogLevel::Info);
  BOOST_TEST(ring.save(path).value().lost == 3u);
  BOOST_TEST(messagesIn(path, 3).size() == 2u);
}

BOOST_AUTO_TEST_CASE(publishers_on_many_threads_are_all_recorded_or_counted) {
  const auto& process = MessageBus::instance();
  constexpr int publishers = 4, each = 3000;
  for (const std::size_t capacity : {std::size_t(publishers * each), std::size_t(16)}) {
    setLogLevel(LogLevel::Off);
    auto recorder = Recorder::start(process, path, {{"test.recorded"}, capacity, {}}).value();
    auto ring = RingRecorder::start(process, 100, {{"test.*", "other"}, capacity, {}}).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < publishers; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < each; ++i) process.publish("test.recorded", json::array{t, i});
      });
    while (ring.stats().recorded + ring.stats().lost < publishers * each / 2) {
      BOOST_TEST(ring.messages().size() <= 100u);
      std::this_thread::yield();
    }
    for (auto& thread : threads) thread.join();
    const auto stats = recorder.close().value();
    setLogLevel(LogLevel::Info);
    BOOST_TEST(stats.recorded + stats.lost == std::uint64_t(publishers * each));
    if (capacity > 16) BOOST_TEST(stats.lost == 0u);
    std::vector<std::int64_t> last(publishers, -1);
    const auto messages = messagesIn(path, stats.lost);
    BOOST_TEST(messages.size() == stats.recorded);
    for (const auto& message : messages) {
      const auto& both = message.json()->as_array();
      auto& before = last[static_cast<std::size_t>(both[0].as_int64())];
      BOOST_TEST_REQUIRE(both[1].as_int64() > before);
      before = both[1].as_int64();
    }
  }
}

BOOST_AUTO_TEST_CASE(recorders_come_and_go_while_others_publish) {
  const auto& process = MessageBus::instance();
  std::atomic<bool> going{true};
  std::thread publisher([&] {
    while (going) process.publish("test.recorded", 1);
  });
  for (int i = 0; i < 50; ++i) {
    auto recorder = Recorder::start(process, path, {{"test.recorded"}, 65'536, {}}).value();
    auto ring = RingRecorder::start(process, 5, {{"test.recorded"}, 65'536, {}}).value();
    while (ring.messages().empty()) std::this_thread::yield();
    BOOST_TEST(recorder.close().has_value());
  }
  going = false;
  publisher.join();
}

BOOST_AUTO_TEST_SUITE_END()
