// Values of C++ in calls of Python functions and their results, with what goes wrong; calls that nobody waits for.

#include <qtforge/python/async_call.hpp>
#include <qtforge/python/gil.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/describe/class.hpp>
#include <boost/test/unit_test.hpp>

#include <deque>
#include <future>
#include <list>
#include <memory_resource>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>

using namespace qtforge;
using namespace std::chrono_literals;
using namespace std::string_view_literals;
using qtforge::python::arg;
using qtforge::python::PythonExecutor;
namespace asio = boost::asio;
namespace json = boost::json;

namespace call_test {

struct Point {
  double x = 0, y = 0;
  friend bool operator==(const Point&, const Point&) = default;
};
BOOST_DESCRIBE_STRUCT(Point, (), (x, y))

struct Shape {
  std::string name;
  std::vector<Point> points;
  std::optional<std::string> note;
  std::vector<Shape> parts;
  friend bool operator==(const Shape&, const Shape&) = default;
};
BOOST_DESCRIBE_STRUCT(Shape, (), (name, points, note, parts))

struct Celsius {
  double degrees = 0;
  friend bool operator==(const Celsius&, const Celsius&) = default;
};

struct OneWay {};

}  // namespace call_test

using namespace call_test;

template <>
struct qtforge::python::PythonConversion<Celsius> {
  static double toPython(const Celsius& value) {
    if (value.degrees < -273.15) throw std::range_error("colder than can be");
    return value.degrees;
  }
  static qtforge::expected<Celsius> fromPython(double degrees) {
    if (degrees > 1e6) return qtforge::Error("hotter than the sun");
    return Celsius{degrees};
  }
};
template <>
struct qtforge::python::PythonConversion<OneWay> {
  static std::tuple<int, Celsius> toPython(const OneWay&) { return {1, Celsius{2}}; }
};

namespace call_test {

/// An executor with functions that the cases call.
struct Functions {
  PythonExecutor executor;
  Functions() {
    const auto defined = executor.execute(R"(
import array
kept = []
def same(x): return x
def shown(x): return repr(x)
def kind(x): return type(x).__name__
def scaled(x, *, scale=1.0, offset=0.0): return x * scale + offset
def describe(*positional, **keywords): return repr((positional, keywords))
def of(x): return (x.format, x.readonly, x.tolist(), x.shape)
def total(x): return sum(x)
def fail(x): raise ValueError(x)
def keep(x): kept.append(x)
def keep_bytes(x): kept.append(memoryview(x)[1:])
)");
    BOOST_REQUIRE_MESSAGE(defined.has_value(), defined.error().message());
  }

  template <class T>
  T same(const T& value) {
    auto result = executor.callFunction<T>("same", value);
    BOOST_REQUIRE_MESSAGE(result.has_value(), result.error().message());
    return *result;
  }
  std::string shown(const auto& value) { return executor.callFunction<std::string>("shown", value).value(); }
  template <class R>
  std::string refused(const char* expression) {
    const auto result = executor.evaluate<R>(expression);
    BOOST_REQUIRE_MESSAGE(!result, expression);
    BOOST_TEST((result.error() == Errc::ConversionFailed));
    return result.error().message();
  }
  bool hasNumpy() { return executor.execute("import numpy").has_value(); }
};

/// Handles completions on a context of its own, one after the other.
struct Completions : Functions {
  asio::io_context context;
  template <class F>
  auto here(F f) {
    return asio::bind_executor(context, std::move(f));
  }
  void run() { context.run_for(20s); }
};

}  // namespace call_test

BOOST_FIXTURE_TEST_SUITE(python_values, Functions)

BOOST_AUTO_TEST_CASE(containers_go_there_and_back) {
  using Map = std::map<std::string, std::vector<std::optional<int>>>;
  BOOST_TEST((same(Map{{"a", {1, {}, 3}}, {"b", {}}}) == Map{{"a", {1, {}, 3}}, {"b", {}}}));
  BOOST_TEST(shown(Map{{"a", {1, {}, 3}}}) == "{'a': [1, None, 3]}");
  BOOST_TEST((same(std::tuple(1, std::string("x"), 2.5)) == std::tuple(1, std::string("x"), 2.5)));
  BOOST_TEST(shown(std::pair(1, std::string("x"))) == "(1, 'x')");
  BOOST_TEST(shown(std::tuple<>()) == "()");
  BOOST_TEST((same(std::vector<bool>{true, false}) == std::vector<bool>{true, false}));
  BOOST_TEST((same(std::deque<std::string>{"a", "b"}) == std::deque<std::string>{"a", "b"}));
  BOOST_TEST((same(std::list<float>{0.5f}) == std::list<float>{0.5f}));
  BOOST_TEST((same(std::array<int, 3>{1, 2, 3}) == std::array<int, 3>{1, 2, 3}));
  BOOST_TEST((same(std::array<std::string, 2>{"a", "b"}) == std::array<std::string, 2>{"a", "b"}));
  BOOST_TEST((executor.evaluate<std::set<int>>("{3, 1}").value() == std::set<int>{1, 3}));
  BOOST_TEST((same(std::unordered_map<std::string, int>{{"a", 1}}) == std::unordered_map<std::string, int>{{"a", 1}}));
  BOOST_TEST((same(std::map<int, std::string>{{-1, "x"}}) == std::map<int, std::string>{{-1, "x"}}));
  BOOST_TEST(shown(std::map<std::tuple<int, int>, bool>{{{1, 2}, true}}) == "{(1, 2): True}");
  BOOST_TEST(shown(nullptr) == "None");
  BOOST_TEST(shown(std::optional<int>()) == "None");
  BOOST_TEST(shown(std::vector<std::uint8_t>{1, 2}) == "[1, 2]");
  BOOST_TEST((executor.evaluate<std::vector<double>>("(1, 2.5, True + 1)").value() == std::vector<double>{1, 2.5, 2}));
  BOOST_TEST(executor.callFunction<int>("total", std::vector<std::uint64_t>(5000, 2)).value() == 10'000);
  BOOST_TEST(executor.callFunction<void>("same", 1).has_value());
}

BOOST_AUTO_TEST_CASE(a_described_class_is_a_dict_and_may_hold_itself) {
  const Shape house{"house", {{0, 1}, {2, 3}}, "old", {{"roof", {}, {}, {}}}};
  BOOST_TEST((same(house) == house));
  BOOST_TEST(shown(Point{1, 2}) == "{'x': 1.0, 'y': 2.0}");
  BOOST_TEST((executor.evaluate<Point>("{'y': 2, 'x': 1, 'more': None}").value() == Point{1, 2}));
  BOOST_TEST((executor.evaluate<Shape>("{'name': 'a', 'points': [], 'parts': []}").value() == Shape{"a", {}, {}, {}}));
  BOOST_TEST(refused<Point>("{'x': 1}") == "evaluate: result.y: float expected, nothing came");
  BOOST_TEST(refused<std::vector<Shape>>("[{'name': 'a', 'points': [{'x': 1, 'y': '2'}], 'parts': []}]") ==
             "evaluate: result[0].points[0].y: float expected, str came");
  BOOST_TEST(refused<Point>("[1, 2]") == "evaluate: result: dict expected, list came");
}

BOOST_AUTO_TEST_CASE(a_variant_is_what_fits_exactly_else_what_fits) {
  using Value = std::variant<double, int, std::string, std::vector<int>, std::monostate>;
  for (const Value& value : {Value(2.5), Value(3), Value("x"), Value(std::vector<int>{1}), Value(std::monostate())})
    BOOST_TEST((same(value) == value));
  BOOST_TEST((executor.evaluate<std::variant<double, std::string>>("3").value() == std::variant<double, std::string>(3.0)));
  BOOST_TEST(refused<Value>("{}") == "evaluate: result: float, int, str, list or None expected, dict came");
  BOOST_TEST(refused<Value>("[1, 'x']") == "evaluate: result[1]: int expected, str came");
}

BOOST_AUTO_TEST_CASE(times_are_timedelta_and_datetime_with_a_zone) {
  BOOST_TEST(shown(90min + 250ms) == "datetime.timedelta(seconds=5400, microseconds=250000)");
  BOOST_TEST(shown(-1us) == "datetime.timedelta(days=-1, seconds=86399, microseconds=999999)");
  BOOST_TEST(shown(1999ns) == "datetime.timedelta(microseconds=1)");
  BOOST_TEST((same(123456789us) == 123456789us));
  BOOST_TEST((same(-36h) == -36h));
  BOOST_TEST(same(std::chrono::duration<double>(0.25)).count() == 0.25);
  const std::chrono::sys_seconds moon(-14182940s);  // 1969-07-20
  BOOST_TEST((same(moon) == moon));
  BOOST_TEST(shown(moon).find("datetime.datetime(1969, 7, 20, 20, 17, 40, tzinfo=datetime.timezone.utc)") == 0u);
  BOOST_REQUIRE(executor.execute("import datetime as d").has_value());
  BOOST_TEST((executor.evaluate<std::chrono::sys_seconds>("d.datetime(1970, 1, 1, tzinfo=d.timezone(d.timedelta(hours=1)))")
                  .value() == std::chrono::sys_seconds(-1h)));
  BOOST_TEST(refused<std::chrono::seconds>("d.timedelta(seconds=1.5)").find("has exactly expected, 0:00:01.500000 came") !=
             std::string::npos);
  BOOST_TEST(refused<std::chrono::seconds>("1.5") == "evaluate: result: timedelta expected, float came");
  BOOST_TEST(refused<std::chrono::nanoseconds>("d.timedelta.max").find("timedelta") != std::string::npos);
  BOOST_TEST(refused<std::chrono::sys_seconds>("d.datetime(2024, 1, 1)") ==
             "evaluate: result: datetime with a time zone expected, 2024-01-01 00:00:00 came");
  BOOST_TEST((executor.callFunction<int>("same", std::chrono::sys_days(std::chrono::days(10'000'000))).error() ==
              Errc::ConversionFailed));
}

BOOST_AUTO_TEST_CASE(paths_are_paths) {
  const std::filesystem::path path("/tmp/gr\xC3\xBC\xC3\x9F \xFF");  // the last is no UTF-8
  BOOST_TEST(same(path) == path);
  BOOST_TEST(executor.callFunction<std::string>("kind", path).value() == "PosixPath");
  BOOST_TEST(executor.evaluate<std::filesystem::path>("'a/b'").value() == "a/b");
  BOOST_TEST(executor.evaluate<std::filesystem::path>("b'a/b'").value() == "a/b");
  BOOST_TEST(refused<std::filesystem::path>("3") == "evaluate: result: Path expected, int came");
  BOOST_TEST(refused<std::filesystem::path>("'a\\0b'").find("ValueError") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_type_of_ones_own_goes_by_its_conversion_and_its_errors_have_their_place) {
  BOOST_TEST((same(std::vector<Celsius>{{1}, {2.5}}) == std::vector<Celsius>{{1}, {2.5}}));
  BOOST_TEST((same(std::map<std::string, Celsius>{{"a", {1}}}) == std::map<std::string, Celsius>{{"a", {1}}}));
  BOOST_TEST(shown(OneWay{}) == "(1, 2.0)");
  BOOST_TEST(refused<std::vector<Celsius>>("[1, 1e7]") == "evaluate: result[1]: hotter than the sun");
  BOOST_TEST(refused<Celsius>("'x'") == "evaluate: result: float expected, str came");
  BOOST_TEST(refused<OneWay>("1").find("has no fromPython()") != std::string::npos);
  const auto thrown = executor.callFunction<int>("same", 1, std::vector<Celsius>{{1}, {-300}}).error();
  BOOST_TEST((thrown == Errc::ConversionFailed));
  BOOST_TEST(thrown.message() == "same(): argument 1[1]: ValueError: std::range_error: colder than can be");
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_names_what_was_expected_what_came_and_where) {
  BOOST_TEST(refused<std::uint8_t>("256") == "evaluate: result: int from 0 to 255 expected, 256 came");
  BOOST_TEST((refused<std::map<std::string, std::vector<int>>>("{'a': [1, 'x']}") ==
              "evaluate: result[\"a\"][1]: int expected, str came"));
  BOOST_TEST((refused<std::map<int, int>>("{'a': 1}") == "evaluate: result[\"a\"]: a key: int expected, str came"));
  BOOST_TEST((refused<std::map<int, int>>("{7: None}") == "evaluate: result[7]: int expected, NoneType came"));
  BOOST_TEST((refused<std::tuple<int, int>>("(1,)") == "evaluate: result: tuple of 2 expected, one of 1 came"));
  BOOST_TEST((refused<std::array<int, 2>>("[1, 2, 3]") == "evaluate: result: list of 2 expected, one of 3 came"));
  BOOST_TEST(refused<std::vector<double>>("'text'") == "evaluate: result: list expected, str came");
  BOOST_TEST(refused<std::vector<double>>("[1, True]") == "evaluate: result[1]: float expected, bool came");
  BOOST_TEST(refused<std::nullptr_t>("0") == "evaluate: result: None expected, int came");
  BOOST_TEST(refused<json::value>("{1: 2}").find("a key must be str, not int (1)") != std::string::npos);
  BOOST_TEST(refused<json::value>("[b'x']").find("bytes do not go into JSON") != std::string::npos);
  BOOST_TEST((executor.callFunction<std::vector<Shape>>("same", 3).error().message() == "same(): list expected, int came"));
  const std::vector<std::map<std::string, std::string>> texts{{}, {{"k", "\xFF"}}};
  const auto argument = executor.callFunction<int>("same", texts);
  BOOST_TEST(argument.error().message().find("same(): argument 0[1][\"k\"]: UnicodeDecodeError") == 0u);
}

BOOST_AUTO_TEST_CASE(lists_that_hold_themselves_are_an_error_not_an_overflow) {
  BOOST_REQUIRE(executor.execute("shape = {'name': 'a', 'points': []}\nshape['parts'] = [shape]").has_value());
  BOOST_TEST(refused<Shape>("shape").find("nested deeper than 200 containers") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(evaluate_gives_the_value_of_an_expression_in_the_executors_namespace) {
  BOOST_REQUIRE(executor.execute("n = 20").has_value());
  BOOST_TEST(executor.evaluate<int>("n * 2 + 2").value() == 42);
  BOOST_TEST((executor.evaluate<json::value>("{'a': [1, None]}").value() == json::value{{"a", {1, nullptr}}}));
  BOOST_TEST(executor.evaluate("n").value() == 20);
  BOOST_TEST(executor.evaluate("n = 1").error().pythonType() == "SyntaxError");
  BOOST_TEST(executor.evaluate("1 / 0").error().message() == "evaluate: ZeroDivisionError: division by zero");
  BOOST_TEST((executor.evaluate("n\0m"sv).error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_CASE(keywords_come_after_positional_arguments) {
  BOOST_TEST(executor.callFunction<double>("scaled", 3).value() == 3);
  BOOST_TEST(executor.callFunction<double>("scaled", 3, arg("scale") = 2.0).value() == 6);
  const double offset = 0.5;
  BOOST_TEST(executor.callFunction<double>("scaled", 3, arg("offset") = offset, arg("scale") = 2).value() == 6.5);
  BOOST_TEST(executor.callFunction<std::string>("describe", 1, arg("text") = "x", arg("list") = std::vector{1}).value() ==
             "((1,), {'text': 'x', 'list': [1]})");
  BOOST_TEST(executor.callFunction<std::string>("describe", arg("a") = nullptr).value() == "((), {'a': None})");
  BOOST_TEST(executor.callFunction("scaled", 3, arg("size") = 1).error().pythonType() == "TypeError");
  BOOST_TEST(executor.callFunction("scaled", 3, arg("scale") = "\xFF").error().message().find(
                 "scaled(): argument scale: UnicodeDecodeError") == 0u);
  BOOST_TEST(executor.callFunction<std::string>("describe", 1, 2, 3, 4, 5, 6, 7, 8, arg("b") = 9, arg("c") = 10).value() ==
             "((1, 2, 3, 4, 5, 6, 7, 8), {'b': 9, 'c': 10})");
}

BOOST_AUTO_TEST_CASE(a_function_is_looked_up_once_and_outlives_its_name_and_executor) {
  std::optional<python::PythonFunction<double(double, int)>> pow;
  {
    PythonExecutor other;
    BOOST_REQUIRE(other.execute("def f(x, n): return x ** n").has_value());
    pow = other.function<double(double, int)>("f").value();
    BOOST_REQUIRE(other.execute("def f(x, n): return 0").has_value());
    BOOST_TEST(other.callFunction<int>("f", 1, 1).value() == 0);
  }
  const auto copy = *pow;
  BOOST_TEST((*pow)(1.5, 2).value() == 2.25);
  std::thread([&] { BOOST_TEST(copy(2, 3).value() == 8); }).join();
  const auto len = executor.function<std::size_t(std::vector<int>)>("len").value();
  BOOST_TEST(len({1, 2, 3}).value() == 3u);
  BOOST_TEST((executor.function<void()>("nobody").error() == Errc::NameNotFound));
  BOOST_TEST(executor.function<void()>("kept").error().message() == "'kept' is no function but of type list");
  const auto fail = executor.function<void(std::string)>("fail").value();
  BOOST_TEST(fail("x").error().message() == "fail(): ValueError: x");
  const python::Gil gil;
  BOOST_TEST((*pow)(gil, 3, 2).value() == 9);
  BOOST_TEST(executor.callFunction<int>(gil, "total", std::vector<int>{1, 2}).value() == 3);
}

BOOST_AUTO_TEST_CASE(a_name_that_gets_another_meaning_is_called_by_that) {
  for (int i = 0; i < 3; ++i) {
    BOOST_REQUIRE(executor.execute("def now(): return " + std::to_string(i)).has_value());
    BOOST_TEST(executor.callFunction<int>("now").value() == i);
    BOOST_TEST(executor.callFunction<int>("now").value() == i);
  }
  BOOST_REQUIRE(executor.execute("del now\ndef len(x): return -1").has_value());
  BOOST_TEST((executor.callFunction("now").error() == Errc::NameNotFound));
  BOOST_TEST(executor.callFunction<int>("len", 0).value() == -1);
  BOOST_REQUIRE(executor.execute("del len").has_value());
  BOOST_TEST((executor.callFunction("len", 0).error().pythonType() == "TypeError"));
}

BOOST_AUTO_TEST_CASE(a_span_is_a_read_only_buffer_that_is_not_copied_and_ends_with_the_call) {
  const std::vector<double> reals{1, 2.5};
  using Of = std::tuple<std::string, bool, std::vector<double>, std::vector<int>>;
  BOOST_TEST((executor.callFunction<Of>("of", std::span(reals)).value() == Of{"d", true, {1, 2.5}, {2}}));
  const std::array<std::int16_t, 3> shorts{1, 2, 3};
  BOOST_TEST((executor.callFunction<Of>("of", std::span(shorts)).value() == Of{"h", true, {1, 2, 3}, {3}}));
  BOOST_TEST((executor.callFunction<Of>("of", std::span<const float>()).value() == Of{"f", true, {}, {0}}));
  BOOST_TEST(executor.callFunction<double>("total", arg("x") = std::span(reals)).value() == 3.5);
  // What was kept of it is of no use afterwards.
  BOOST_TEST(executor.callFunction<void>("keep", std::span(reals)).has_value());
  BOOST_TEST(executor.evaluate<double>("kept[0][0]").error().message().find("ValueError") != std::string::npos);
  // A view of the view would be: that is told.
  BOOST_TEST((executor.callFunction<void>("keep_bytes", std::span(reals)).error() == Errc::InvalidArgument));
  BOOST_REQUIRE(executor.execute("kept.clear()").has_value());
  BOOST_TEST(executor.callFunction<void>("fail", std::span(reals)).error().pythonType() == "ValueError");
  BOOST_TEST((executor.callFunction<std::vector<double>>("same", std::span(reals)).value() == reals));
  const auto bytes = executor.callFunction<Buffer>("same", std::span(reals)).value();
  BOOST_TEST(bytes.data() != reinterpret_cast<const std::uint8_t*>(reals.data()));
  BOOST_TEST(bytes.size() == 16u);
}

BOOST_AUTO_TEST_CASE(binary_messages_buffers_and_arrays_come_back) {
  const BinaryMessage image{Buffer({1, 2, 3, 4, 5, 6}), "image/raw", "|u1", {2, 3}};
  const auto back = executor.callFunction<BinaryMessage>("same", image).value();
  BOOST_TEST((back.data == image.data));
  BOOST_TEST(back.data.data() == image.data.data());  // not copied
  BOOST_TEST((back.shape == image.shape));
  const auto value = executor.callFunction("same", image).value();
  BOOST_REQUIRE(value.binary());
  BOOST_TEST(value.binary()->contentType == "image/raw");
  BOOST_TEST((value.as<BinaryMessage>().value().data == image.data));
  BOOST_TEST(value.as<int>().error().message() == "int expected, BinaryMessage came");
  BOOST_TEST((executor.callFunction("same", value).value() == value));
  BOOST_TEST((same(image.data) == image.data));
  BOOST_TEST(executor.callFunction<std::string>("kind", image.data).value() == "memoryview");
  BOOST_TEST((executor.evaluate<Buffer>("b'ab'").value() == Buffer({'a', 'b'})));
  using Octets = std::vector<std::uint8_t>;
  BOOST_TEST((executor.evaluate<Octets>("bytearray(b'ab')").value() == Octets{'a', 'b'}));
  BOOST_TEST((executor.evaluate<Octets>("[1, 2]").value() == Octets{1, 2}));
  BOOST_TEST((executor.evaluate<std::vector<double>>("array.array('d', [1, 2.5])").value() == std::vector<double>{1, 2.5}));
  BOOST_TEST((executor.evaluate<std::vector<int>>("array.array('b', [-1, 2])").value() == std::vector<int>{-1, 2}));
  BOOST_TEST((executor.evaluate<std::array<float, 2>>("array.array('f', [1, 2])").value() == std::array<float, 2>{1, 2}));
  BOOST_TEST((executor.evaluate<BinaryMessage>("array.array('d', [1, 2])").value().data.size() == 16u));
  BOOST_TEST(executor.evaluate("array.array('H', [1, 2])").value().binary()->data.size() == 4u);
  BOOST_TEST(refused<BinaryMessage>("3") == "evaluate: result: BinaryMessage expected, int came");
  const auto nested = executor.evaluate("{'raw': [b'ab']}").value();
  BOOST_TEST(nested.attachments().at(0).place == "/raw/0");
  BOOST_TEST(executor.callFunction<std::string>("shown", nested).value() == "{'raw': [b'ab']}");
}

BOOST_AUTO_TEST_CASE(arrays_of_numpy_are_lists_of_numbers_or_binary_messages) {
  if (!hasNumpy()) return;
  BOOST_TEST((executor.evaluate<std::vector<double>>("numpy.arange(3) / 2").value() == std::vector<double>{0, 0.5, 1}));
  BOOST_TEST((executor.evaluate<std::vector<double>>("numpy.arange(6)[::2]").value() == std::vector<double>{0, 2, 4}));
  BOOST_TEST((executor.evaluate<std::vector<std::vector<int>>>("numpy.ones((2, 2), int)").value() ==
              std::vector<std::vector<int>>{{1, 1}, {1, 1}}));
  BOOST_TEST(refused<std::vector<double>>("numpy.ones((2, 2))").find("result[0]: float expected, numpy.ndarray came") !=
             std::string::npos);
  const auto image = executor.evaluate<BinaryMessage>("numpy.zeros((2, 3), '<f4')").value();
  BOOST_TEST(image.dtype == "<f4");
  BOOST_TEST((image.shape == std::vector<std::size_t>{2, 3}));
  BOOST_TEST(executor.evaluate("numpy.zeros(3)").value().binary()->dtype == "<f8");
  BOOST_TEST(executor.evaluate<double>("numpy.float64(0.5)").value() == 0.5);
  BOOST_TEST(executor.evaluate("numpy.float64(0.5)").value() == 0.5);
  BOOST_REQUIRE(executor.execute("def keep_array(x): kept.append(numpy.asarray(x))\n"
                                 "def mean(x): return numpy.asarray(x).mean()\n").has_value());
  static const std::vector<double> numbers{1, 2};  // as long as Python
  BOOST_TEST(executor.callFunction<double>("mean", std::span(numbers)).value() == 1.5);
  BOOST_REQUIRE(executor.execute("def as_array(x): return numpy.asarray(x)").has_value());
  BOOST_TEST((executor.callFunction<std::vector<double>>("as_array", std::span(numbers)).value() == numbers));
  const auto kept = executor.callFunction<void>("keep_array", std::span(numbers)).error();
  BOOST_TEST((kept == Errc::InvalidArgument));
  BOOST_TEST(kept.message().find("keep_array(): Python keeps something that uses the memory of a span") == 0u);
}

BOOST_AUTO_TEST_CASE(plugins_that_know_the_first_functions_of_the_table_alone_still_call) {
  const auto* table = qtforge::detail::findRoot()->python();
  Error error;
  void* handle = table->makeExecutor(qtforge::detail::sinkInto(error));
  BOOST_REQUIRE(handle);
  BOOST_TEST(table->execute(handle, "def f(*a): return [repr(a), b'x']"sv, "f.py"sv, qtforge::detail::sinkInto(error)) == 0);
  using qtforge::detail::PythonArgument;
  const double reals[] = {1, 2};
  const std::int64_t ints[] = {3};
  const json::value document{{"k", 1}};
  std::array<PythonArgument, 9> arguments;
  arguments[1].kind = PythonArgument::Kind::Bool, arguments[1].boolean = true;
  arguments[2].kind = PythonArgument::Kind::Int, arguments[2].integer = -1;
  arguments[3].kind = PythonArgument::Kind::Uint, arguments[3].natural = UINT64_MAX;
  arguments[4].kind = PythonArgument::Kind::Real, arguments[4].real = 0.5;
  arguments[5].kind = PythonArgument::Kind::String, arguments[5].data = "xyz", arguments[5].size = 2;
  arguments[6].kind = PythonArgument::Kind::Reals, arguments[6].data = reals, arguments[6].size = 2;
  arguments[7].kind = PythonArgument::Kind::Ints, arguments[7].data = ints, arguments[7].size = 1;
  arguments[8].kind = PythonArgument::Kind::Json, arguments[8].data = &document;
  json::value result;
  Attachments attachments;
  BOOST_TEST(table->call(handle, "f"sv, arguments.data(), arguments.size(), &result, &attachments,
                         qtforge::detail::sinkInto(error)) == 0);
  BOOST_TEST(result.at(0).as_string() == "(None, True, -1, 18446744073709551615, 0.5, 'xy', [1.0, 2.0], [3], {'k': 1})");
  BOOST_TEST(attachments.at(0).place == "/1");
  BOOST_TEST(table->call(handle, "g"sv, nullptr, 0, &result, &attachments, qtforge::detail::sinkInto(error)) ==
             static_cast<int>(Errc::NameNotFound));
  table->freeExecutor(handle);
}

BOOST_AUTO_TEST_CASE(an_executor_that_was_moved_from_says_so) {
  PythonExecutor moved(std::move(executor));
  BOOST_TEST(moved.callFunction<int>("same", 1).value() == 1);
  BOOST_TEST((executor.callFunction<int>("same", 1).error() == Errc::InvalidArgument));
  BOOST_TEST((executor.evaluate("1").error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(async_calls, Completions)

BOOST_AUTO_TEST_CASE(a_call_completes_with_its_result_on_the_handlers_executor_after_its_start_returned) {
  int completed = 0;
  bool returned = false;
  const auto mine = std::this_thread::get_id();
  executor.asyncCall<double>("scaled", here([&](expected<double> result) {
    BOOST_TEST(returned);
    BOOST_TEST((std::this_thread::get_id() == mine));
    BOOST_TEST(result.value() == 6);
    ++completed;
  }), 3, arg("scale") = 2.0);
  executor.asyncCall("fail", here([&](expected<python::PythonValue> result) {
    BOOST_TEST(result.error().message() == "fail(): ValueError: x");
    ++completed;
  }), "x");
  executor.asyncCall<void>("nobody", here([&](expected<void> result) {
    BOOST_TEST((result.error() == Errc::NameNotFound));
    ++completed;
  }));
  returned = true;
  run();
  BOOST_TEST(completed == 3);
}

BOOST_AUTO_TEST_CASE(what_is_given_is_kept_and_the_executor_may_go) {
  std::future<expected<std::string>> result;
  {
    PythonExecutor other;
    BOOST_REQUIRE(other.execute("def joined(*a, **k): return repr((a, k))").has_value());
    std::string text("first"), name("key");
    std::vector<int> list{1, 2};
    result = other.asyncCall<std::string>("joined", asio::use_future, text, list, std::string_view(text), arg(name) = text);
    text = name = "overwritten";
    list.clear();
  }
  BOOST_TEST(result.get().value() == "(('first', [1, 2], 'first'), {'key': 'first'})");
}

BOOST_AUTO_TEST_CASE(a_coroutine_awaits_a_call) {
  int sum = 0;
  asio::co_spawn(context, [this, &sum]() -> asio::awaitable<void> {
    for (int i = 1; i <= 3; ++i) sum += (co_await executor.asyncCall<int>("same", asio::use_awaitable, i)).value();
  }, [](const std::exception_ptr& thrown) { BOOST_TEST(!thrown); });
  run();
  BOOST_TEST(sum == 6);
}

BOOST_AUTO_TEST_CASE(calls_run_one_after_the_other_in_order_and_not_on_the_callers_thread) {
  BOOST_REQUIRE(executor.execute("import threading\norder = []\n"
                                 "def note(i):\n    order.append(i)\n    return threading.get_ident()\n").has_value());
  std::set<std::uint64_t> threads;
  const auto noted = [&](expected<std::uint64_t> thread) { threads.insert(thread.value()); };
  for (int i = 0; i < 100; ++i) executor.asyncCall<std::uint64_t>("note", here(noted), i);
  run();
  BOOST_TEST(threads.size() == 1u);
  BOOST_TEST(*threads.begin() != executor.evaluate<std::uint64_t>("threading.get_ident()").value());
  BOOST_TEST(executor.evaluate<bool>("order == list(range(100))").value());
}

BOOST_AUTO_TEST_CASE(a_call_that_waits_can_be_cancelled_and_one_that_runs_goes_on) {
  BOOST_REQUIRE(executor.execute("import threading\ngo = threading.Event()\nbegun = threading.Event()\n"
                                 "def wait():\n    begun.set()\n    return go.wait(20)\n"
                                 "def called(): called.times += 1\ncalled.times = 0\n").has_value());
  asio::cancellation_signal first, second;
  std::vector<Errc> ends;
  const auto noted = [&](expected<void> result) { ends.push_back(result ? Errc::Ok : result.error().code()); };
  executor.asyncCall<void>("wait", asio::bind_cancellation_slot(first.slot(), here(noted)));
  executor.asyncCall<void>("called", asio::bind_cancellation_slot(second.slot(), here(noted)));
  BOOST_REQUIRE(executor.evaluate<bool>("begun.wait(20)").value());
  first.emit(asio::cancellation_type::terminal);
  second.emit(asio::cancellation_type::terminal);
  context.run_one_for(20s);
  BOOST_TEST((ends == std::vector{Errc::Cancelled}));
  BOOST_REQUIRE(executor.execute("go.set()").has_value());
  run();
  BOOST_TEST((ends == std::vector{Errc::Cancelled, Errc::Ok}));
  // What was queued behind is passed over.
  BOOST_TEST((executor.asyncCall<int>("same", asio::use_future, 1).get().value() == 1));
  BOOST_TEST(executor.evaluate<int>("called.times").value() == 0);
}

BOOST_AUTO_TEST_CASE(a_handler_whose_context_ends_goes_without_a_call) {
  BOOST_REQUIRE(executor.execute("import threading\ngo = threading.Event()\ndef wait(): return go.wait(20)\n").has_value());
  const auto token = std::make_shared<int>();
  {
    asio::io_context ending;
    for (const char* name : {"wait", "kind"})
      executor.asyncCall<int>(name, asio::bind_executor(ending, [token](expected<int>) { BOOST_TEST(false); }));
  }
  BOOST_TEST(token.use_count() == 1);
  BOOST_REQUIRE(executor.execute("go.set()").has_value());
  BOOST_TEST((executor.asyncCall<int>("same", asio::use_future, 1).get().value() == 1));
}

BOOST_AUTO_TEST_CASE(memory_for_what_waits_comes_from_the_handlers_allocator) {
  struct Counting : std::pmr::memory_resource {
    int allocated = 0, freed = 0;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      ++allocated;
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
      ++freed;
      std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } memory;
  const auto four = here([&](expected<int> result) { BOOST_TEST(result.value() == 4); });
  executor.asyncCall<int>("same", asio::bind_allocator(std::pmr::polymorphic_allocator<>(&memory), four), 4);
  run();
  BOOST_TEST(memory.allocated > 0);
  BOOST_TEST(memory.allocated == memory.freed);
}

BOOST_AUTO_TEST_CASE(a_broken_executor_completes_with_its_error_and_not_inside_the_start) {
  PythonExecutor moved(std::move(executor));
  bool returned = false, told = false;
  executor.asyncCall<int>("same", here([&](expected<int> result) {
    told = returned && result.error() == Errc::InvalidArgument;
  }), 1);
  returned = true;
  run();
  BOOST_TEST(told);
}

BOOST_AUTO_TEST_CASE(many_threads_start_calls_at_once) {
  std::vector<std::thread> threads;
  std::atomic<int> sum{0}, done{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i)
        executor.asyncCall<int>("same", [&](expected<int> result) {
          sum += result.value();
          ++done;
          done.notify_all();
        }, i);
    });
  for (auto& thread : threads) thread.join();
  for (int seen = done; seen < 400; seen = done) done.wait(seen);
  BOOST_TEST(sum == 4 * 4950);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(native_plugins_call_python)

BOOST_AUTO_TEST_CASE(a_native_plugin_calls_with_types_of_its_own_and_may_be_unloaded_while_calls_wait) {
  const char* built = std::getenv("QTFORGE_BUILD_ROOT");
  BOOST_REQUIRE(built);
  for (int run = 0; run < 3; ++run) {
    PluginManager manager;
    std::promise<json::value> out, async;
    const auto& bus = MessageBus::instance();
    const auto heard = bus.subscribe("native_calls.out", [&](const json::value& v) { out.set_value(v); }).value();
    const auto later = bus.subscribe("native_calls.async", [&](const json::value& v) { async.set_value(v); }).value();
    auto plugin = manager.loadPlugin(std::filesystem::path(built) / "test/plugins/native_calls").value();
    const auto ready = plugin->initialize();
    BOOST_REQUIRE_MESSAGE(ready.has_value(), ready.error().message());
    const json::value wanted{{"rooms", 2}, {"room", "hall"}, {"cold", true}, {"ticket", 7},
                             {"refused", "evaluate: result[1]: a ticket begins with #"},
                             {"scaled", 3.0}, {"bytes", 3}, {"half", 0.5}};
    BOOST_TEST(out.get_future().get() == wanted);
    if (run > 0) BOOST_TEST(async.get_future().get() == json::value(9));
    BOOST_TEST(manager.unloadPlugin("CallsPlugin").has_value());
  }
}

BOOST_AUTO_TEST_SUITE_END()
