// Errors, the log, timers, buffers: what the layers above stand on.

#include <qtforge/host.hpp>
#include <qtforge/fwd.hpp>
#include <qtforge/utils/timer.hpp>

#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <boost/throw_exception.hpp>

#include <algorithm>
#include <cerrno>
#include <latch>
#include <mutex>
#include <new>
#include <numeric>
#include <stdexcept>
#include <system_error>

using namespace qtforge;

BOOST_AUTO_TEST_SUITE(utils)

BOOST_AUTO_TEST_CASE(errors_are_cheap_comparable_and_error_codes_too) {
  const Error none, plain("it broke"), coded(Errc::TimedOut, "waited for x");
  BOOST_TEST((none == Errc::Ok));
  BOOST_TEST(none.message().empty());
  BOOST_TEST((plain == Errc::Failed));
  BOOST_TEST(coded.within("drain").message() == "drain: waited for x");
  BOOST_TEST((coded.within("drain") == Errc::TimedOut));
  const boost::system::error_code code = coded;
  BOOST_TEST((code == Errc::TimedOut));
  BOOST_TEST(std::string(code.category().name()) == "qtforge");
  BOOST_TEST(code.message() == "timed out");
}

BOOST_AUTO_TEST_CASE(value_of_an_error_throws_it) {
  const auto fail = []() -> expected<int> { return Error(Errc::NameNotFound, "no x here"); };
  BOOST_CHECK_EXCEPTION(fail().value(), Exception, [](const Exception& e) {
    return e.error() == Errc::NameNotFound && std::string(e.what()) == "no x here";
  });
  const auto text = []() -> expected<std::string> {
    std::string s = "a text is a value";
    return s;
  };
  BOOST_TEST(text().value() == "a text is a value");
}

namespace {

/// What is thrown by `f`, as an error at the edge of a binary.
template <class F>
Error caught(F&& f) {
  Error error;
  detail::guarded(detail::sinkInto(error), [&]() -> expected<void> {
    f();
    return {};
  });
  return error;
}

template <class T>
struct Named : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Odd {};

template <class Inner, class Outer>
void throwBecause(Inner inner, Outer outer) {
  try {
    inner();
  } catch (...) {
    std::throw_with_nested(outer);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_thrown_is_told_with_its_type_and_its_causes) {
  BOOST_TEST(caught([] { throw std::runtime_error("broken"); }).message() == "std::runtime_error: broken");
  BOOST_TEST(caught([] { throw std::bad_alloc(); }).message() == "std::bad_alloc");
  BOOST_TEST(caught([] { throw 42; }).message() == "int, which is no std::exception");
  BOOST_TEST(caught([] { throw Named<std::string>("x"); }).message().find("Named<std::basic_string<char") != std::string::npos);
  BOOST_TEST(caught([] { boost::throw_exception(std::range_error("far")); }).message() == "std::range_error: far");
  const auto disk = [] { throw std::system_error(ENOSPC, std::generic_category(), "write"); };
  const auto nested = caught([&] {
    throwBecause([&] { throwBecause(disk, std::runtime_error("save")); }, std::logic_error("close"));
  });
  BOOST_TEST((nested == Errc::HandlerFailed));
  BOOST_TEST(nested.message() == "std::logic_error: close; caused by std::runtime_error: save; caused by "
                                 "std::system_error: write: No space left on device");
  BOOST_TEST(nested.report() == nested.message());
  BOOST_TEST(caught([&] { throwBecause([] { throw Odd(); }, std::logic_error("odd")); }).message().ends_with(
      "Odd, which is no std::exception"));
  BOOST_TEST(caught([&] { throwBecause(disk, Odd()); }).message().find("Odd, which is no std::exception; caused by "
             "std::system_error") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_error_that_is_thrown_stays_itself_and_a_cause_from_python_keeps_type_and_traceback) {
  const Error python(Errc::PythonError, "f(): KeyError: 'x'", "KeyError", "Traceback: line 3");
  const auto itself = caught([&] { throw Exception(python); });
  BOOST_TEST((itself == Errc::PythonError));
  BOOST_TEST(itself.message() == python.message());
  BOOST_TEST(itself.report() == "f(): KeyError: 'x'\nTraceback: line 3");
  const auto nested = caught([&] { throwBecause([&] { throw Exception(python); }, std::runtime_error("no picture")); });
  BOOST_TEST((nested == Errc::HandlerFailed));
  BOOST_TEST(nested.message() == "std::runtime_error: no picture; caused by f(): KeyError: 'x'");
  BOOST_TEST(nested.pythonType() == "KeyError");
  BOOST_TEST(nested.traceback() == "Traceback: line 3");
  const auto timed = caught([&] { throwBecause([&] { throw Exception(python); }, Exception(Error(Errc::TimedOut, "late"))); });
  BOOST_TEST((timed == Errc::TimedOut));
  BOOST_TEST(timed.message() == "late; caused by f(): KeyError: 'x'");
}

BOOST_AUTO_TEST_CASE(debug_mode_lowers_the_level_and_times_handlers_until_it_ends) {
  std::mutex mutex;
  std::vector<std::string> lines;
  setLogSinks({[&](const LogRecord& record) {
    const std::lock_guard lock(mutex);
    lines.emplace_back(record.message);
  }});
  const auto timed = [&] {
    lines.clear();
    const auto& bus = MessageBus::instance();
    for (const auto delivery : {DeliveryMode::Queued, DeliveryMode::Direct}) {
      const auto subscription = bus.subscribe("timed.topic", [](const boost::json::value&) {}, {.delivery = delivery}).value();
      bus.publish("timed.topic", 1);
      BOOST_TEST(bus.drain().has_value());
    }
    return std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
      return line.starts_with("subscription \"timed.topic\" of host: its handler took ") &&
             line.ends_with(" ms on \"timed.topic\"");
    });
  };
  setLogLevel(LogLevel::Error);
  setDebugMode(true);
  setDebugMode(true);
  BOOST_TEST((logLevel() == LogLevel::Debug));
  BOOST_TEST(timed() == 2);
  setDebugMode(false);
  BOOST_TEST((logLevel() == LogLevel::Error));
  setLogLevel(LogLevel::Trace);
  BOOST_TEST(timed() == 0);
  setDebugMode(true);
  BOOST_TEST((logLevel() == LogLevel::Trace));
  setDebugMode(false);
  setLogLevel(LogLevel::Info);
  setLogSinks({});
}

BOOST_AUTO_TEST_CASE(the_log_filters_by_level_and_names_who_speaks) {
  std::vector<std::string> lines;
  setLogSinks({[&](const LogRecord& record) {
    lines.push_back(std::string(toString(record.level)) + " " + std::string(record.logger) + ": " + std::string(record.message));
  }});
  setLogLevel(LogLevel::Warning);
  const Logger logger("mine");
  logger.info("quiet");
  logger.warning("loud");
  Logger().error("by the host");
  BOOST_TEST(!Logger::enabled(LogLevel::Info));
  setLogLevel(LogLevel::Info);
  setLogSinks({});
  BOOST_TEST((lines == std::vector<std::string>{"WARNING mine: loud", "ERROR host: by the host"}));
}

BOOST_AUTO_TEST_CASE(a_sink_that_throws_does_not_end_the_others) {
  int calls = 0;
  setLogSinks({[](const LogRecord&) { throw std::runtime_error("full disk"); }, [&](const LogRecord&) { ++calls; }});
  Logger("x").error("y");
  setLogSinks({});
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(timers_repeat_until_they_stop_and_survive_exceptions) {
  setLogSinks({});
  auto captured = std::make_shared<std::atomic<int>>(0);
  std::latch three(3);
  auto timer = Timer::every(std::chrono::milliseconds(1), [captured, &three] {
    if (++*captured <= 3) three.count_down();
    throw std::runtime_error("every time");
  }).value();
  three.wait();
  timer.stop();
  BOOST_TEST(captured.use_count() == 1);
  const int calls = *captured;
  BOOST_TEST(calls >= 3);
  BOOST_TEST((Timer::every(std::chrono::microseconds(1), [] {}).error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_CASE(a_timer_of_one_call_lets_go_of_its_function_and_is_stopped_or_not) {
  for (const bool stop : {true, false}) {
    auto captured = std::make_shared<std::atomic<int>>(0);
    auto timer = Timer::once(std::chrono::nanoseconds(0), [captured] { ++*captured; }).value();
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (captured.use_count() > 1 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    BOOST_TEST(captured.use_count() == 1);
    BOOST_TEST(*captured == 1);
    if (stop) timer.stop();
  }
  auto captured = std::make_shared<int>(0);
  Timer::once(std::chrono::hours(1), [captured] { ++*captured; }).value().stop();
  BOOST_TEST(captured.use_count() == 1);
  BOOST_TEST(*captured == 0);
  BOOST_TEST((Timer::once(std::chrono::nanoseconds(-1), [] {}).error() == Errc::InvalidArgument));
}

BOOST_AUTO_TEST_CASE(a_timer_may_stop_itself) {
  auto timer = std::make_shared<Timer>();
  auto captured = std::make_shared<int>(0);
  std::latch set(1), once(1);
  *timer = Timer::every(std::chrono::milliseconds(1), [&, captured] {
    set.wait();
    timer->stop();
    once.count_down();
  }).value();
  set.count_down();
  once.wait();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (captured.use_count() > 1 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  BOOST_TEST(captured.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(buffers_share_their_bytes_and_free_them_with_the_last) {
  std::vector<std::uint8_t> bytes(1000);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  const auto* data = bytes.data();
  const Buffer adopted(std::move(bytes));
  BOOST_TEST((adopted.data() == data));
  const Buffer copy = adopted;
  BOOST_TEST((copy.data() == data));
  BOOST_TEST(copy[999] == 999 % 256);
  auto owner = std::make_shared<int>(0);
  {
    static const std::uint8_t fixed[] = {1, 2};
    Buffer borrowed = Buffer::of(fixed, owner);
    Buffer second = borrowed;
    BOOST_TEST(owner.use_count() == 2);
    BOOST_TEST((second == Buffer({1, 2})));
    BOOST_TEST((*second.owner<std::shared_ptr<int>>() == owner));
    BOOST_TEST((second.owner<std::unique_ptr<int>>() == nullptr));
  }
  BOOST_TEST(owner.use_count() == 1);
  BOOST_TEST(Buffer().empty());
  BOOST_TEST((Buffer().owner<std::shared_ptr<int>>() == nullptr));
  BOOST_TEST((Buffer() == Buffer(std::vector<std::uint8_t>{})));
}

BOOST_AUTO_TEST_CASE(latencies_fall_into_buckets_a_quarter_wide) {
  detail::LatencyHistogram histogram;
  for (std::uint64_t ns = 1; ns <= 1000; ++ns) histogram.add(ns * 1000);
  BOOST_TEST(histogram.samples() == 1000u);
  BOOST_TEST(histogram.quantile(0.5) >= 500'000u);
  BOOST_TEST(histogram.quantile(0.5) <= 640'000u);
  BOOST_TEST(histogram.quantile(0.99) >= 990'000u);
  BOOST_TEST(histogram.quantile(0.99) <= 1'250'000u);
  detail::LatencyHistogram extreme;
  extreme.add(0);
  extreme.add(UINT64_MAX);
  BOOST_TEST(extreme.quantile(0) == 0u);
  BOOST_TEST(extreme.samples() == 2u);
}

BOOST_AUTO_TEST_CASE(limits_begin_anew_when_a_debugger_has_gone) {
  using Clock = detail::DebuggedTime::Clock;
  detail::DebuggedTime debugged;
  const auto begin = Clock::now();
  BOOST_TEST((debugged.countedFrom(begin) == begin));
  debugged.set(false);  // there was none
  BOOST_TEST((debugged.countedFrom(begin) == begin));
  debugged.set(true);
  BOOST_TEST(debugged.attached());
  const auto meanwhile = Clock::now();
  BOOST_TEST((debugged.countedFrom(begin) >= meanwhile));
  debugged.set(false);
  BOOST_TEST(!debugged.attached());
  const auto after = debugged.countedFrom(begin);
  BOOST_TEST((after >= meanwhile && after <= Clock::now()));
  debugged.set(false);  // again
  BOOST_TEST((debugged.countedFrom(begin) == after));
  BOOST_TEST((debugged.countedFrom(after + std::chrono::seconds(1)) == after + std::chrono::seconds(1)));
}

BOOST_AUTO_TEST_SUITE_END()
