// The text of recordings: the same bytes with every Boost, and the same values again, bit for bit.

#include "plugin_folder.hpp"
#include "recording_values.hpp"

#include <qtforge/communication/recording.hpp>

#include <boost/test/unit_test.hpp>

using namespace qtforge;
using detail::JsonReader;
using detail::JsonWriter;
namespace json = boost::json;

namespace recording_format {

std::string textOf(const json::value& value) {
  std::string text;
  BOOST_TEST(JsonWriter(text).value(value));
  return text;
}

std::string problemOf(std::string_view text) {
  const auto read = JsonReader::read(text);
  return read.problem ? read.problem + (" at " + std::to_string(read.offset)) : "";
}

double nan(std::uint64_t bits) { return std::bit_cast<double>(bits); }

struct Row {
  json::value value;
  const char* text;
};

const Row rows[] = {
    {nullptr, "null"},
    {true, "true"},
    {-1, "-1"},
    {std::numeric_limits<std::int64_t>::min(), "-9223372036854775808"},
    {std::numeric_limits<std::int64_t>::max(), "9223372036854775807"},
    {std::uint64_t(1) << 63, "9223372036854775808"},
    {std::numeric_limits<std::uint64_t>::max(), "18446744073709551615"},
    {std::uint64_t(5), R"({"$uint64":5})"},
    {1.0, "1.0"},
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {100000.0, "1e+05"},
    {1e22, "1e+22"},
    {0.1, "0.1"},
    {1e-7, "1e-07"},
    {5e-324, "5e-324"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {1700000000.123456, "1700000000.123456"},
    {9007199254740993.0, "9007199254740992.0"},
    {std::numeric_limits<double>::infinity(), R"({"$double":"Infinity"})"},
    {-std::numeric_limits<double>::infinity(), R"({"$double":"-Infinity"})"},
    {nan(0x7ff8000000000000), R"({"$double":"NaN"})"},
    {nan(0xfff8000000000000), R"j({"$double":"NaN(fff8000000000000)"})j"},
    {nan(0x7ff4000000000001), R"j({"$double":"NaN(7ff4000000000001)"})j"},
    {"", "\"\""},
    {"a\"\\/\n\r\t\b\f\x01\x7f", "\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\x7f\""},
    {"é日\U0001F600", "\"é日\U0001F600\""},
    {"\xff", R"({"$string":"/w=="})"},
    {json::array{}, "[]"},
    {json::array{1, json::array{2}}, "[1,[2]]"},
    {json::object{}, "{}"},
    {json::object{{"b", 1}, {"a", 2}}, R"({"b":1,"a":2})"},
    {json::object{{"$double", "NaN"}}, R"({"$$double":"NaN"})"},
    {json::object{{"$$", json::object{{"$", 1}}}}, R"({"$$$":{"$$":1}})"},
    {json::object{{"\xff", 1}, {"$", 2}}, R"({"$object":[[{"$string":"/w=="},1],["$",2]]})"},
};

}  // namespace recording_format

BOOST_AUTO_TEST_SUITE(recording_format)

BOOST_AUTO_TEST_CASE(values_have_one_text_and_come_back_from_it) {
  for (const auto& [value, text] : rows) {
    BOOST_TEST(textOf(value) == text);
    const auto read = JsonReader::read(text);
    BOOST_TEST(!read.problem, text << ": " << read.reason);
    BOOST_TEST(test::identical(read.value, value), text);
  }
}

BOOST_AUTO_TEST_CASE(random_values_come_back_bit_for_bit) {
  const auto seed = std::random_device()();
  BOOST_TEST_MESSAGE("seed " << seed);
  test::Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const auto value = random.value();
    const auto text = textOf(value);
    const auto read = JsonReader::read(text);
    BOOST_TEST_REQUIRE(!read.problem, "seed " << seed << ": " << text << ": " << read.reason);
    BOOST_TEST_REQUIRE(test::identical(read.value, value), "seed " << seed << ": " << text);
    BOOST_TEST_REQUIRE(textOf(read.value) == text);
    BOOST_TEST_REQUIRE(detail::isUtf8(text));
    BOOST_TEST_REQUIRE(text.find('\n') == std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(random_doubles_come_back_bit_for_bit) {
  const auto seed = std::random_device()();
  test::Random random(seed);
  for (int i = 0; i < 100'000; ++i) {
    const json::value value = random.real();
    const auto read = JsonReader::read(textOf(value));
    BOOST_TEST_REQUIRE(test::identical(read.value, value), "seed " << seed << ": " << textOf(value));
  }
}

BOOST_AUTO_TEST_CASE(other_spellings_of_json_are_read_too) {
  BOOST_TEST(test::identical(JsonReader::read(" [ 1 , \"\\u0041\\ud83d\\ude00\" ] \r").value, json::array{1, "A\U0001F600"}));
  BOOST_TEST(test::identical(JsonReader::read("1E5").value, json::value(1e5)));
  BOOST_TEST(test::identical(JsonReader::read("0.1000000000000000055511151231257827").value, json::value(0.1)));
  BOOST_TEST(test::identical(JsonReader::read("18446744073709551616").value, json::value(18446744073709551616.0)));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_found_with_its_place) {
  BOOST_TEST(problemOf("") == "not JSON at 0");
  BOOST_TEST(problemOf("[1,]") == "not JSON at 3");
  BOOST_TEST(problemOf("{\"a\":NaN}") == "not JSON at 5");
  BOOST_TEST(problemOf("\"\xff\"").starts_with("not JSON"));
  BOOST_TEST(problemOf("1 2").starts_with("more after its end"));
  BOOST_TEST(problemOf("[1e999]").starts_with("a number out of range"));
  BOOST_TEST(problemOf(R"({"a":1,"a":2})").starts_with("a key that is there twice"));
  for (const char* unknown : {R"({"$new":1})", R"({"$double":1})", R"({"$double":"1.5"})", R"j({"$double":"NaN(0)"})j",
                              R"j({"$double":"NaN(7ff0000000000000)"})j", R"({"$double":"NaN","a":1})", R"({"$uint64":-1})",
                              R"({"$uint64":9223372036854775808})", R"({"$string":"?"})", R"({"$string":"/x=="})",
                              R"({"$object":[["a"]]})", R"({"$object":[["a",1],["a",2]]})", R"({"$":1})"})
    BOOST_TEST(problemOf(unknown).starts_with("a `$` object"), unknown);
}

BOOST_AUTO_TEST_CASE(depth_is_bounded_alike_in_both_directions) {
  const auto deep = test::nested(detail::deepestJson);
  BOOST_TEST(test::identical(JsonReader::read(textOf(deep)).value, deep));
  std::string text;
  BOOST_TEST(!JsonWriter(text).value(test::nested(detail::deepestJson + 1)));
  BOOST_TEST(problemOf(std::string(100'000, '[')).starts_with("not JSON"));
  json::value odd = 1;
  for (std::size_t i = 0; i < detail::deepestJson / 3; ++i) odd = json::object{{"\xff", std::move(odd)}};
  BOOST_TEST(test::identical(JsonReader::read(textOf(odd)).value, odd));
  odd = json::object{{"\xff", json::object{{"\xff", std::move(odd)}}}};
  BOOST_TEST(!JsonWriter(text).value(odd));
}

BOOST_AUTO_TEST_CASE(base64_is_that_of_rfc_4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
                                                         {"\xfb\xff\xfe", "+//+"}};
  for (const auto& [bytes, text] : vectors) {
    std::string out = "=";
    detail::appendBase64(out, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    BOOST_TEST(out == "=" + text);
    const auto back = detail::decodeBase64(text).value();
    BOOST_TEST(std::string(back.begin(), back.end()) == bytes);
  }
  for (const char* wrong : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v=", "====", "Z===", "Zm 9", "Zm-_", "Zg==Zg=="})
    BOOST_TEST(!detail::decodeBase64(wrong), wrong);
}

namespace {

// A whole recording, byte by byte: written the same way by every version that reads it.
constexpr std::string_view golden =
    R"({"format":"qtforge.recording","version":1})" "\n"
    R"({"topic":"a.b","sender":"host","id":1099511627777,"time":1700000000123456789,"json":{"x":1.0,"n":[1,{"$uint64":1},{"$double":"NaN"}]}})" "\n"
    R"({"topic":"é","sender":"plugin","id":2,"time":-1,"headers":{"k":"v","$$d":0.1},"reply_to":"qtforge.reply.7","correlation":7,"json":{"image":null},"attachments":[{"place":"/image","data":"AAEC/w=="},{"place":"","data":""}]})" "\n"
    R"({"lost":3,"reason":"the recorder's mailbox did not take them"})" "\n"
    R"({"topic":"c","sender":"","id":18446744073709551615,"time":0,"binary":{"data":"AAAAAA==","content_type":"application/octet-stream","dtype":"<f4","shape":[1,18446744073709551615]}})" "\n"
    R"({"topic":"d","sender":"host","id":4,"time":9223372036854775807,"binary":{"data":"","content_type":"image/png"}})" "\n";

std::vector<RecordedMessage> goldenMessages() {
  std::vector<RecordedMessage> m(4);
  m[0] = {"a.b", "host", 1099511627777, {}, {}, "", 0,
          json::value{{"x", 1.0}, {"n", {1, std::uint64_t(1), std::numeric_limits<double>::quiet_NaN()}}}, {}};
  m[0].time += std::chrono::nanoseconds(1700000000123456789);
  m[1] = {"é", "plugin", 2, {}, {{"k", "v"}, {"$d", 0.1}}, "qtforge.reply.7", 7, json::value{{"image", nullptr}},
          {{"/image", Buffer(std::vector<std::uint8_t>{0, 1, 2, 255})}, {"", Buffer()}}};
  m[1].time -= std::chrono::nanoseconds(1);
  m[2] = {"c", "", std::numeric_limits<std::uint64_t>::max(), {}, {}, "", 0,
          BinaryMessage{Buffer(std::vector<std::uint8_t>(4)), "application/octet-stream", "<f4",
                        {1, std::numeric_limits<std::size_t>::max()}}, {}};
  m[3] = {"d", "host", 4, RecordedMessage::Time::max(), {}, "", 0, BinaryMessage{{}, "image/png", "", {}}, {}};
  return m;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_recording_is_the_same_bytes_everywhere) {
  std::string text = detail::recordingHeader();
  const auto messages = goldenMessages();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (i == 2) detail::appendLost(text, 3, detail::lostToMailbox);
    BOOST_TEST(!detail::appendFrame(text, detail::MessageFrame(messages[i])));
  }
  BOOST_TEST(text == golden);
}

BOOST_AUTO_TEST_CASE(a_recording_is_read_as_it_was_written) {
  const test::Folder folder;
  auto reader = RecordingReader::open(folder.write("golden.jsonl", golden)).value();
  for (const auto& expected : goldenMessages()) {
    const auto read = reader.next().value();
    BOOST_TEST_REQUIRE(read.has_value());
    BOOST_TEST(read->topic == expected.topic);
    BOOST_TEST(read->sender == expected.sender);
    BOOST_TEST(read->id == expected.id);
    BOOST_TEST((read->time == expected.time));
    BOOST_TEST(test::identical(read->headers, expected.headers));
    BOOST_TEST(read->replyTo == expected.replyTo);
    BOOST_TEST(read->correlation == expected.correlation);
    BOOST_TEST_REQUIRE(read->payload.index() == expected.payload.index());
    if (read->json()) BOOST_TEST(test::identical(*read->json(), *expected.json()));
    else BOOST_TEST(test::identical(*read->binary(), *expected.binary()));
    BOOST_TEST(test::identical(read->attachments, expected.attachments));
  }
  BOOST_TEST(!reader.next().value().has_value());
  BOOST_TEST(reader.lost() == 3u);
  BOOST_TEST(!reader.truncated());
  BOOST_TEST(reader.line() == 6u);
}

BOOST_AUTO_TEST_CASE(a_recording_cut_off_anywhere_is_read_up_to_there) {
  const test::Folder folder;
  const auto header = golden.find('\n') + 1;
  for (auto length = header; length < golden.size(); ++length) {
    auto reader = RecordingReader::open(folder.write("cut.jsonl", golden.substr(0, length))).value();
    std::size_t count = 0;
    for (;;) {
      const auto next = reader.next();
      BOOST_TEST_REQUIRE(next.has_value(), length);
      if (!*next) break;
      ++count;
    }
    // A line of which only its break is missing is whole.
    const auto there = golden.substr(header, length - header);
    const bool whole = there.empty() || there.back() == '\n' || golden[length] == '\n';
    BOOST_TEST(reader.truncated() == !whole, length);
    BOOST_TEST(count <= 4u);
  }
  auto zeros = RecordingReader::open(folder.write("zeros.jsonl", std::string(golden) + std::string(4096, '\0'))).value();
  while (zeros.next().value()) {}
  BOOST_TEST(zeros.truncated());
}

BOOST_AUTO_TEST_CASE(what_is_no_recording_is_refused) {
  const test::Folder folder;
  const auto errorOf = [&](std::string_view text) { return RecordingReader::open(folder.write("r", text)).error(); };
  BOOST_TEST((RecordingReader::open(folder / "missing").error() == Errc::FileFailed));
  BOOST_TEST(test::contains(RecordingReader::open(folder / "missing").error().message(), "missing': cannot open it: No such file"));
  BOOST_TEST((RecordingReader::open(folder.path()).error() == Errc::FileFailed));
  for (const auto& text : {std::string(), std::string("\n"), std::string("{}\n"), std::string("[1]\n"), std::string("\x7f" "ELF"),
                           std::string(100'000, 'x'), std::string(R"({"format":"other","version":1})" "\n"),
                           std::string(R"({"format":"qtforge.recording"})" "\n"),
                           std::string(R"({"format":"qtforge.recording","version":1})")}) {
    const auto error = errorOf(text);
    BOOST_TEST((error == Errc::RecordingInvalid));
    BOOST_TEST(test::contains(error.message(), "not a recording"));
  }
  const auto newer = errorOf(R"({"format":"qtforge.recording","version":2})" "\n");
  BOOST_TEST((newer == Errc::RecordingInvalid));
  BOOST_TEST(test::contains(newer.message(), "version 2; this library reads version 1"));
}

BOOST_AUTO_TEST_CASE(a_broken_line_is_named_and_the_next_one_read) {
  const test::Folder folder;
  const std::string good = R"({"topic":"a","sender":"s","id":1,"time":1,"json":1})" "\n";
  const std::pair<const char*, const char*> broken[] = {
      {R"({"topic":"a" "sender"})", "line 3, column 14: not JSON"},
      {"", "line 3, column 1: not JSON"},
      {"[]", "line 3, column 1: an object expected"},
      {"{}", "\"topic\" is missing"},
      {R"({"topic":1})", "\"topic\": text expected"},
      {R"({"topic":"a","sender":"s","id":-1,"time":1,"json":1})", "\"id\": an integer of at least 0 expected"},
      {R"({"topic":"a","sender":"s","id":1,"time":1.5,"json":1})", "\"time\": an integer expected"},
      {R"({"topic":"a","sender":"s","id":1,"time":1})", "\"json\" is missing"},
      {R"({"topic":"a","sender":"s","id":1,"time":1,"json":1,"headers":[]})", "\"headers\": an object expected"},
      {R"({"topic":"a","sender":"s","id":1,"time":1,"binary":{"data":"?","content_type":""}})", "\"data\": base64 expected"},
      {R"({"topic":"a","sender":"s","id":1,"time":1,"binary":1})", "\"data\" is missing"},
      {R"({"topic":"a","sender":"s","id":1,"time":1,"binary":{"data":"","content_type":"","shape":[1.5]}})", "\"shape\": an integer"},
      {R"({"topic":"a","sender":"s","id":1,"time":1,"json":1,"attachments":[1]})", "\"place\" is missing"},
      {R"({"lost":-1})", "\"lost\": an integer of at least 0 expected"},
  };
  for (const auto& [line, reason] : broken) {
    auto reader = RecordingReader::open(folder.write("r", detail::recordingHeader() + good + line + "\n" + good)).value();
    BOOST_TEST(reader.next().value().has_value());
    const auto wrong = reader.next();
    BOOST_TEST_REQUIRE(!wrong.has_value(), line);
    BOOST_TEST((wrong.error() == Errc::RecordingInvalid));
    BOOST_TEST(test::contains(wrong.error().message(), reason), wrong.error().message());
    BOOST_TEST(reader.next().value().has_value());
    BOOST_TEST(!reader.next().value().has_value());
  }
}

BOOST_AUTO_TEST_CASE(members_that_a_later_version_adds_are_left_alone) {
  const test::Folder folder;
  const auto path = folder.write("r", detail::recordingHeader() +
                                          R"({"topic":"a","sender":"s","id":1,"time":1,"json":1,"colour":"red"})" "\n");
  BOOST_TEST(RecordingReader::open(path).value().next().value()->topic == "a");
}

BOOST_AUTO_TEST_SUITE_END()
