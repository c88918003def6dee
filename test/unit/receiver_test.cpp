// Receiver: messages on demand, by callback, future and coroutine; what is cancelled or ended takes none with it.

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/communication/receiver.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <thread>

using namespace qtforge;
namespace asio = boost::asio;
namespace json = boost::json;

namespace receiver {

std::int64_t number(const Message& message) { return message.json()->as_int64(); }

/// Completions run when the test says so.
struct Fixture {
  asio::io_context context;
  MessageBus bus{context.get_executor()};

  void run() {
    context.restart();
    context.poll();
  }

  auto into(std::vector<std::int64_t>& seen) {
    return asio::bind_executor(context, [&seen](expected<Message> m) {
      seen.push_back(m ? number(*m) : -static_cast<std::int64_t>(m.error().code()));
    });
  }
};

constexpr auto cancelled = -static_cast<std::int64_t>(Errc::Cancelled);
constexpr auto ended = -static_cast<std::int64_t>(Errc::ShuttingDown);

}  // namespace receiver

BOOST_FIXTURE_TEST_SUITE(receiver, Fixture)

BOOST_AUTO_TEST_CASE(messages_wait_until_they_are_received) {
  auto messages = bus.subscribe("a.*").value();
  BOOST_TEST(!messages.tryReceive());
  for (int i = 0; i < 3; ++i) BOOST_TEST(bus.publish("a.b", i).value().queued == 1u);
  BOOST_TEST(messages.stats().pending == 3u);
  for (int i = 0; i < 3; ++i) BOOST_TEST(number(messages.tryReceive().value()) == i);
  BOOST_TEST(!messages.tryReceive());
  BOOST_TEST(messages.stats().delivered == 3u);
  BOOST_TEST(bus.drain().has_value());
}

BOOST_AUTO_TEST_CASE(a_completion_handler_is_never_called_inside_the_function_that_starts_it) {
  auto messages = bus.subscribe("a").value();
  std::vector<std::int64_t> seen;
  bus.publish("a", 1);
  messages.asyncReceive(into(seen));
  messages.asyncReceive(into(seen));
  messages.asyncReceive(into(seen));
  BOOST_TEST(seen.empty());
  bus.publish("a", 2);
  bus.publish("a", 3);
  BOOST_TEST(seen.empty());
  run();
  BOOST_TEST((seen == std::vector<std::int64_t>{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(who_asked_first_is_served_first) {
  auto messages = bus.subscribe("a").value();
  std::vector<std::int64_t> seen;
  messages.asyncReceive(into(seen));
  bus.publish("a", 1);
  bus.publish("a", 2);
  BOOST_TEST(number(messages.tryReceive().value()) == 2);
  run();
  BOOST_TEST((seen == std::vector<std::int64_t>{1}));
}

BOOST_AUTO_TEST_CASE(many_can_be_received_at_once) {
  auto messages = bus.subscribe("a").value();
  std::vector<std::size_t> counts;
  const auto count = asio::bind_executor(context, [&](expected<std::vector<Message>> m) { counts.push_back(m->size()); });
  for (int i = 0; i < 50; ++i) bus.publish("a", i);
  messages.asyncReceiveSome(40, count);
  messages.asyncReceiveSome(40, count);
  messages.asyncReceiveSome(0, count);
  run();
  bus.publish("a", 1);
  run();
  BOOST_TEST((counts == std::vector<std::size_t>{40, 10, 1}));
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_takes_no_message) {
  auto messages = bus.subscribe("a").value();
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
    std::vector<std::int64_t> seen;
    asio::cancellation_signal signal;
    messages.asyncReceive(asio::bind_cancellation_slot(signal.slot(), into(seen)));
    messages.asyncReceive(into(seen));
    signal.emit(type);
    bus.publish("a", 7);
    run();
    BOOST_TEST((seen == std::vector<std::int64_t>{cancelled, 7}));
    signal.emit(type);  // long done
  }
}

BOOST_AUTO_TEST_CASE(a_cancellation_that_comes_after_the_message_is_too_late) {
  auto messages = bus.subscribe("a").value();
  std::vector<std::int64_t> seen;
  asio::cancellation_signal signal;
  messages.asyncReceive(asio::bind_cancellation_slot(signal.slot(), into(seen)));
  bus.publish("a", 7);
  signal.emit(asio::cancellation_type::terminal);
  run();
  BOOST_TEST((seen == std::vector<std::int64_t>{7}));
}

BOOST_AUTO_TEST_CASE(the_end_completes_what_waits) {
  std::vector<std::int64_t> seen;
  {
    auto messages = bus.subscribe("a").value();
    messages.asyncReceive(into(seen));
  }
  auto other = bus.subscribe("a").value();
  other.asyncReceive(into(seen));
  other.unsubscribe();
  other.asyncReceive(into(seen));
  BOOST_TEST(!other.tryReceive());
  run();
  BOOST_TEST((seen == std::vector<std::int64_t>{ended, ended, ended}));
}

BOOST_AUTO_TEST_CASE(a_receive_that_waits_keeps_its_context_running) {
  auto messages = bus.subscribe("a").value();
  bool done = false;
  messages.asyncReceive(asio::bind_executor(context, [&](expected<Message>) { done = true; }));
  run();
  BOOST_TEST(!context.stopped());  // as it is when it has no more work
  bus.publish("a", 1);
  context.run();
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(a_future_and_a_bare_callback_complete_on_the_runtimes_threads) {
  const auto& process = MessageBus::instance();
  auto messages = process.subscribe("test.received").value();
  auto future = messages.asyncReceive(asio::use_future);
  process.publish("test.received", 5);
  BOOST_TEST(number(future.get().value()) == 5);
  std::promise<std::int64_t> told;
  messages.asyncReceive([&](expected<Message> m) { told.set_value(number(*m)); });
  process.publish("test.received", 6);
  BOOST_TEST(told.get_future().get() == 6);
}

BOOST_AUTO_TEST_CASE(coroutines_receive_in_a_loop_until_the_end) {
  std::optional<Receiver> messages(bus.subscribe("a").value());
  std::vector<std::int64_t> seen;
  asio::co_spawn(context, [&]() -> asio::awaitable<void> {
    for (;;) {
      auto message = co_await messages->asyncReceive(asio::use_awaitable);
      if (!message) break;
      seen.push_back(number(*message));
      const auto [same] = co_await messages->asyncReceive(asio::as_tuple(asio::use_awaitable));
      if (!same) break;
      seen.push_back(number(*same) * 10);
      const auto later = co_await messages->asyncReceive(asio::deferred)(asio::use_awaitable);
      if (!later) break;
      seen.push_back(number(*later) * 100);
    }
    seen.push_back(ended);
  }, asio::detached);
  run();
  for (int i = 1; i <= 4; ++i) {
    bus.publish("a", i);
    run();
  }
  messages->unsubscribe();
  run();
  BOOST_TEST((seen == std::vector<std::int64_t>{1, 20, 300, 4, ended}));
}

BOOST_AUTO_TEST_CASE(a_receive_with_a_time_limit_loses_nothing) {
  using namespace asio::experimental::awaitable_operators;
  auto messages = bus.subscribe("a").value();
  bool timedOut = false;
  asio::co_spawn(context, [&]() -> asio::awaitable<void> {
    asio::steady_timer timer(context, std::chrono::milliseconds(1));
    const auto first = co_await (messages.asyncReceive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
    timedOut = first.index() == 1;
  }, asio::detached);
  context.restart();
  context.run();
  BOOST_TEST(timedOut);
  bus.publish("a", 1);
  BOOST_TEST(number(messages.tryReceive().value()) == 1);
}

BOOST_AUTO_TEST_CASE(a_full_mailbox_goes_by_its_policy_and_a_receive_makes_place) {
  auto few = bus.subscribe("a", {.capacity = 2, .policy = OverflowPolicy::Fail}).value();
  auto blocks = bus.subscribe("b", {.capacity = 1}).value();
  for (int i = 0; i < 2; ++i) BOOST_TEST(bus.publish("a", i).has_value());
  BOOST_TEST((bus.publish("a", 2).error() == Errc::Overflow));
  BOOST_TEST(number(few.tryReceive().value()) == 0);
  BOOST_TEST(bus.publish("a", 3).has_value());
  bus.publish("b", 0);
  std::thread publisher([&] { bus.publish("b", 1); });
  for (int i = 0; i < 2; ++i) {
    std::optional<Message> message;
    while (!(message = blocks.tryReceive())) std::this_thread::yield();
    BOOST_TEST(number(*message) == i);
  }
  publisher.join();
}

BOOST_AUTO_TEST_CASE(a_late_receiver_gets_what_is_retained) {
  bus.publish("a.x", 1, {.retain = true});
  auto messages = bus.subscribe("a.*").value();
  BOOST_TEST(number(messages.tryReceive().value()) == 1);
  bus.clearRetained(">");
}

BOOST_AUTO_TEST_CASE(direct_delivery_needs_a_handler) {
  BOOST_TEST((bus.subscribe("a", {.delivery = DeliveryMode::Direct}).error() == Errc::InvalidArgument));
  BOOST_TEST((bus.subscribe("a..b").error() == Errc::InvalidPattern));
}

BOOST_AUTO_TEST_CASE(a_drain_completes_when_what_was_there_is_received) {
  auto messages = bus.subscribe("a").value();
  std::vector<Errc> drained;
  const auto into = asio::bind_executor(context, [&](expected<void> d) { drained.push_back(d ? Errc::Ok : d.error().code()); });
  messages.asyncDrain(into);  // there is nothing
  BOOST_TEST(drained.empty());
  run();
  BOOST_TEST((drained == std::vector{Errc::Ok}));

  for (int i = 0; i < 3; ++i) bus.publish("a", i);
  messages.asyncDrain(into);
  bus.publish("a", 3);  // after the call
  for (int i = 0; i < 2; ++i) BOOST_TEST(messages.tryReceive().has_value());
  run();
  BOOST_TEST(drained.size() == 1u);
  std::vector<std::int64_t> seen;
  messages.asyncReceive(this->into(seen));
  BOOST_TEST(drained.size() == 1u);
  run();
  BOOST_TEST((drained == std::vector{Errc::Ok, Errc::Ok}));
  BOOST_TEST(messages.stats().pending == 1u);
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_what_stands_in_line_and_not_for_what_was_dropped) {
  auto line = bus.subscribe("a", {.capacity = 1}).value();
  auto newest = bus.subscribe("b", {.capacity = 1, .policy = OverflowPolicy::DropOldest}).value();
  std::vector<std::string> done;
  const auto note = [&](const char* what) {
    return asio::bind_executor(context, [&done, what](auto result) { done.push_back((result ? "" : "no ") + std::string(what)); });
  };
  bus.publish("a", 0);
  bus.asyncPublish("a", 1, {}, note("publish"));
  line.asyncDrain(note("line"));
  BOOST_TEST(number(line.tryReceive().value()) == 0);
  run();
  BOOST_TEST((done == std::vector<std::string>{"publish"}));
  BOOST_TEST(number(line.tryReceive().value()) == 1);
  run();
  BOOST_TEST((done == std::vector<std::string>{"publish", "line"}));

  bus.publish("b", 0);
  newest.asyncDrain(note("newest"));
  bus.publish("b", 1);
  run();
  BOOST_TEST(done.back() == "newest");
}

BOOST_AUTO_TEST_CASE(a_drain_ends_late_cancelled_or_with_the_subscription) {
  std::optional<Receiver> messages(bus.subscribe("a.*").value());
  bus.publish("a.b", 1);
  std::vector<Errc> drained;
  const auto into = [&](expected<void> d) { drained.push_back(d ? Errc::Ok : d.error().code()); };
  std::string words;
  messages->asyncDrain(std::chrono::milliseconds(1), asio::bind_executor(context, [&](expected<void> d) {
    into(d);
    words = d.error().message();
  }));
  context.restart();
  context.run();
  BOOST_TEST((drained == std::vector{Errc::TimedOut}));
  BOOST_TEST(words == "drain: subscription \"a.*\" of host still has 1 messages queued");

  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
    asio::cancellation_signal signal;
    messages->asyncDrain(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, into)));
    signal.emit(type);
    run();
    BOOST_TEST((drained.back() == Errc::Cancelled));
    signal.emit(type);  // long done
  }
  BOOST_TEST(drained.size() == 4u);

  messages->asyncDrain(asio::bind_executor(context, into));
  messages->unsubscribe();
  messages->asyncDrain(asio::bind_executor(context, into));
  run();
  BOOST_TEST(drained.size() == 6u);
  BOOST_TEST((drained[4] == Errc::ShuttingDown));
  BOOST_TEST((drained[5] == Errc::ShuttingDown));
}

BOOST_AUTO_TEST_CASE(a_drain_ends_with_its_bus_and_goes_with_its_context) {
  std::vector<Errc> drained;
  const auto into = [&](expected<void> d) { drained.push_back(d ? Errc::Ok : d.error().code()); };
  std::optional<Receiver> messages;
  {
    MessageBus shortLived(context.get_executor());
    messages.emplace(shortLived.subscribe("a").value());
    shortLived.publish("a", 1);
    messages->asyncDrain(std::chrono::hours(1), asio::bind_executor(context, into));
  }
  run();
  BOOST_TEST((drained == std::vector{Errc::ShuttingDown}));

  messages.emplace(bus.subscribe("a").value());
  bus.publish("a", 1);
  {
    asio::io_context other;
    messages->asyncDrain(std::chrono::hours(1), asio::bind_executor(other, into));
  }
  BOOST_TEST(messages->tryReceive().has_value());
  run();
  BOOST_TEST(drained.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_drain_is_not_done_by_a_receive_whose_context_has_ended) {
  auto messages = bus.subscribe("a").value();
  std::vector<std::int64_t> seen;
  {
    asio::io_context other;
    messages.asyncReceive(asio::bind_executor(other, [](expected<Message>) {}));
  }
  bus.publish("a", 1);
  bool drained = false;
  messages.asyncDrain(asio::bind_executor(context, [&](expected<void> d) { drained = d.has_value(); }));
  run();
  BOOST_TEST(!drained);
  messages.asyncReceive(into(seen));
  run();
  BOOST_TEST(drained);
  BOOST_TEST((seen == std::vector<std::int64_t>{1}));
}

BOOST_AUTO_TEST_CASE(coroutines_drain) {
  auto messages = bus.subscribe("a").value();
  bus.publish("a", 1);
  bool drained = false;
  asio::co_spawn(context, [&]() -> asio::awaitable<void> {
    drained = (co_await messages.asyncDrain(std::chrono::hours(1), asio::use_awaitable)).has_value();
  }, asio::detached);
  run();
  BOOST_TEST(!drained);
  BOOST_TEST(messages.tryReceive().has_value());
  run();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(drains_and_receives_on_many_threads_all_end) {
  const auto& process = MessageBus::instance();
  auto messages = process.subscribe("test.drained", {.capacity = 64}).value();
  constexpr int publishers = 2, each = 2000;
  std::atomic<int> received{0}, drained{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < publishers; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) process.publish("test.drained", i);
    });
  int started = 0;
  while (received < publishers * each) {
    messages.asyncDrain([&](expected<void> d) { drained += d.has_value(); });
    ++started;
    auto some = messages.asyncReceiveSome(16, asio::use_future).get();
    received += static_cast<int>(some.value().size());
  }
  for (auto& thread : threads) thread.join();
  BOOST_TEST(messages.asyncDrain(std::chrono::seconds(10), asio::use_future).get().has_value());
  while (drained < started) std::this_thread::yield();  // they are on their way
}

BOOST_AUTO_TEST_CASE(publishers_and_receivers_on_many_threads_lose_nothing) {
  const auto& process = MessageBus::instance();
  auto messages = process.subscribe("test.flood").value();
  constexpr int publishers = 4, each = 2000;
  asio::io_context mine;
  std::atomic<int> received{0};
  std::function<void()> next = [&] {
    messages.asyncReceiveSome(16, asio::bind_executor(mine, [&](expected<std::vector<Message>> m) {
      if (!m) return;
      received += static_cast<int>(m->size());
      if (received < publishers * each) next();
    }));
  };
  next();
  std::vector<std::thread> threads;
  for (int t = 0; t < publishers; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) process.publish("test.flood", i);
    });
  mine.run();
  for (auto& thread : threads) thread.join();
  BOOST_TEST(received == publishers * each);
}

BOOST_AUTO_TEST_SUITE_END()
