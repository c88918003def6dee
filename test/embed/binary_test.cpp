// Binary data between the languages: who copies it, where it lies, and how long it lives.

#include "log_box.hpp"

#include <fstream>
#include <memory>
#include <numeric>

using namespace qtforge;
using qtforge::python::PythonExecutor;
using test::contains;
using test::LogBox;
namespace json = boost::json;

namespace binary_test {

/// An executor with functions that the cases call.
struct Binary {
  PythonExecutor executor;
  const MessageBus& bus = MessageBus::instance();

  Binary() {
    const auto defined = executor.execute(R"(
import gc, time, weakref
import numpy, qtforge
from qtforge import BinaryMessage
bus = qtforge.MessageBus.instance()
kept = []
def start(topic): kept.append(bus.subscribe(topic, lambda message: kept.append(message)))
def taken(): return kept[1]
def stop(): kept[0].unsubscribe(); kept.clear(); gc.collect()
def address(data): return numpy.frombuffer(data, numpy.uint8).ctypes.data
def wait_until(true):
    limit = time.monotonic() + 20
    while not true() and time.monotonic() < limit: time.sleep(0.001)
    return bool(true())
)");
    BOOST_REQUIRE_MESSAGE(defined.has_value(), defined.error().message());
  }
  ~Binary() {
    BOOST_TEST(executor.execute("if kept: stop()").has_value());
  }

  void run(const std::string& code) {
    const auto done = executor.execute(code);
    BOOST_REQUIRE_MESSAGE(done.has_value(), done.error().message() << done.error().traceback());
  }
  std::uint64_t number(const std::string& expression) {
    const auto result = executor.evaluate<std::uint64_t>(expression);
    BOOST_REQUIRE_MESSAGE(result.has_value(), result.error().message());
    return *result;
  }
  /// What Python gets of `payload`, as `taken()`.
  template <class T>
  void send(T&& payload, const PublishOptions& options = {}) {
    run("start('embed.kept')");
    BOOST_TEST(bus.publish("embed.kept", std::forward<T>(payload), options).value().queued == 1u);
    BOOST_REQUIRE(bus.drain().has_value());
  }
};

std::uint64_t addressOf(const BinaryMessage& message) { return reinterpret_cast<std::uint64_t>(message.data.data()); }

/// Numbers that say when they are freed.
struct Watched {
  std::shared_ptr<std::vector<float>> values = std::make_shared<std::vector<float>>(1 << 18);
  std::weak_ptr<std::vector<float>> gone = values;

  /// Gives the only owner away.
  BinaryMessage message() {
    std::iota(values->begin(), values->end(), 0.0f);
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(values->data()), values->size() * sizeof(float));
    return {Buffer::of(bytes, std::move(values)), "application/octet-stream", "<f4", {512, 512}};
  }
};

/// Keeps what is published to a topic until it is told otherwise.
struct Keeper {
  std::vector<Message> messages;
  Subscription subscription;
  explicit Keeper(const char* topic)
      : subscription(MessageBus::instance().subscribe(topic, [this](const Message& m) { messages.push_back(m); }).value()) {}

  /// Drops them on a thread that never had the GIL.
  void dropElsewhere() {
    BOOST_REQUIRE(MessageBus::instance().drain().has_value());
    std::thread([this] { messages.clear(); }).join();
  }
};

}  // namespace binary_test

using namespace binary_test;

BOOST_AUTO_TEST_SUITE(binary)

BOOST_FIXTURE_TEST_CASE(python_sees_64_mib_where_cpp_has_them, Binary) {
  const test::Folder folder;
  constexpr std::size_t size = std::size_t{64} << 20;
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; i += 4096) bytes[i] = static_cast<std::uint8_t>(i >> 12);
  const BinaryMessage message{Buffer(std::move(bytes)), "application/octet-stream", "<f8", {size / 8}};
  send(message);
  BOOST_TEST(number("address(taken().data)") == addressOf(message));
  BOOST_TEST(number("numpy.asarray(taken()).ctypes.data") == addressOf(message));
  BOOST_TEST(number("numpy.asarray(taken()).size") == size / 8);
  BOOST_TEST(number("numpy.from_dlpack(taken()).ctypes.data") == addressOf(message));
  BOOST_TEST(number("taken().data[4096 * 7]") == 7u);
  BOOST_TEST(number("len(bytes(taken().data))") == size);
  run("open('" + (folder.path() / "all").string() + "', 'wb').write(taken().data)");
  std::ifstream file(folder.path() / "all", std::ios::binary);
  const std::vector<char> written{std::istreambuf_iterator<char>(file), {}};
  BOOST_REQUIRE(written.size() == size);
  BOOST_TEST(std::equal(written.begin(), written.end(), reinterpret_cast<const char*>(message.data.data())));
}

BOOST_FIXTURE_TEST_CASE(memory_of_cpp_lives_as_long_as_an_array_over_it_and_no_longer, Binary) {
  Watched watched;
  send(watched.message());
  run("values = numpy.asarray(taken())[1:]\nstop()");
  BOOST_TEST(!watched.gone.expired());
  BOOST_TEST(number("int(values[-1, -1])") == 512u * 512u - 1);
  run("del values; gc.collect()");
  BOOST_TEST(watched.gone.expired());
}

BOOST_FIXTURE_TEST_CASE(memory_of_cpp_that_python_publishes_again_is_not_copied, Binary) {
  Watched watched;
  const auto message = watched.message();
  send(message);
  Keeper again("embed.again");
  run("values = numpy.asarray(taken())\n"
      "for one in (taken(), values, values[256:], BinaryMessage(taken().data), values.view('<i4')): "
      "bus.publish('embed.again', one)");
  BOOST_REQUIRE(bus.drain().has_value());
  BOOST_REQUIRE(again.messages.size() == 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    const auto offset = i == 2 ? 256 * 512 * sizeof(float) : 0;
    BOOST_TEST(addressOf(*again.messages[i].binary()) == addressOf(message) + offset);
  }
  const auto half = again.messages[2].as<ArrayView<const float>>().value();
  BOOST_TEST((half.extent(0) == 256u && half(0, 1) == 256 * 512 + 1));
  again.dropElsewhere();
  run("stop(); del values");
  BOOST_TEST(!watched.gone.expired());
}

BOOST_FIXTURE_TEST_CASE(memory_of_python_is_let_go_by_a_thread_without_the_gil, Binary) {
  Keeper keeper("embed.held");
  run(R"(
class Array(numpy.ndarray): pass
values = numpy.arange(1000.0).view(Array)
gone = weakref.ref(values)
where = values.ctypes.data
bus.publish("embed.held", BinaryMessage(values, copy=False))
del values
gc.collect()
)");
  BOOST_REQUIRE(bus.drain().has_value());
  BOOST_REQUIRE(keeper.messages.size() == 1u);
  BOOST_TEST(number("where") == addressOf(*keeper.messages[0].binary()));
  BOOST_TEST(keeper.messages[0].as<std::span<const double>>().value()[999] == 999);
  BOOST_TEST(executor.evaluate<bool>("gone() is not None").value());
  keeper.dropElsewhere();
  BOOST_TEST(executor.evaluate<bool>("wait_until(lambda: gone() is None)").value());
}

BOOST_FIXTURE_TEST_CASE(bytes_of_python_come_back_to_python_as_themselves, Binary) {
  Keeper keeper("embed.kept");
  run("import sys\nstart('embed.kept')\nraw = bytes(3000)\nbefore = sys.getrefcount(raw)\n"
      "bus.publish('embed.kept', {'a/b': [{'raw': raw}]})");
  BOOST_REQUIRE(bus.drain().has_value());
  BOOST_TEST(executor.evaluate<bool>("taken()['a/b'][0]['raw'] is raw").value());
  BOOST_TEST(keeper.messages[0].attachment("/a~1b/0/raw")->size() == 3000u);
  run("kept.pop()");
  keeper.dropElsewhere();
  BOOST_TEST(executor.evaluate<bool>("wait_until(lambda: sys.getrefcount(raw) == before)").value());
}

BOOST_FIXTURE_TEST_CASE(bytes_that_cpp_attaches_are_bytes_in_the_dict, Binary) {
  const Attachments attached{{"/image", Buffer({1, 2, 3})}, {"/parts/1", {}}};
  send(json::value{{"image", nullptr}, {"parts", {1, nullptr}}, {"none", nullptr}}, {.attachments = &attached});
  BOOST_TEST(executor.evaluate<bool>(
      "taken() == {'image': b'\\1\\2\\3', 'parts': [1, b''], 'none': None} and type(taken()['image']) is bytes").value());
}

BOOST_FIXTURE_TEST_CASE(a_vector_of_cpp_is_an_array_of_numpy_and_back, Binary) {
  send(arrayMessage(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6}, {2, 3}).value());
  BOOST_TEST(executor.evaluate<bool>("numpy.array_equal(taken(), [[1, 2, 3], [4, 5, 6]])").value());
  const auto back = executor.evaluate<BinaryMessage>("numpy.asarray(taken()).T").value();
  const auto view = back.as<ArrayView<const std::int32_t>>().value();
  BOOST_TEST((view.extent(0) == 3u && view(2, 0) == 3 && view(0, 1) == 4));
}

BOOST_FIXTURE_TEST_CASE(bytes_of_cpp_that_are_no_array_of_their_shape_fail_in_python_and_say_so, Binary) {
  LogBox log;
  run("start('embed.contradicts')");
  bus.publish("embed.contradicts", BinaryMessage{Buffer({1, 2, 3}), "", "<f4", {5}});
  const auto logged = log.await("BinaryMessage() argument 'data' has 3 bytes, but dtype '<f4' and shape (5,) take 20");
  BOOST_TEST(contains(logged.message, "ValueError"));
  BOOST_TEST(number("len(kept)") == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
