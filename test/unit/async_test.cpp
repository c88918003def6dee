// asyncPublish, asyncRequest, asyncDrain: what waits, for how long, in which order, and how it ends.

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/message_bus.hpp>
#include <qtforge/communication/receiver.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/test/unit_test.hpp>
#if BOOST_VERSION >= 108200
#include <boost/asio/bind_immediate_executor.hpp>
#endif

#include <future>
#include <memory>
#include <optional>
#include <thread>

using namespace qtforge;
using namespace std::chrono_literals;
namespace asio = boost::asio;
namespace json = boost::json;

namespace async {

constexpr std::int64_t codeOf(Errc code) { return -static_cast<std::int64_t>(code); }
std::int64_t number(const Message& message) { return message.json()->as_int64(); }

/// Handlers of subscriptions and completions run when the test says so.
struct Fixture {
  asio::io_context handlers;
  asio::io_context context;
  MessageBus bus{handlers.get_executor()};
  std::vector<std::int64_t> seen;  // by completions: the number of queued, or of the answer; the code of an error

  void handle(std::size_t most = SIZE_MAX) {
    handlers.restart();
    while (most-- > 0 && handlers.poll_one() > 0) {}
  }
  std::vector<std::int64_t> completed() {
    context.restart();
    context.poll();
    return std::exchange(seen, {});
  }
  /// Waits for what timers and other threads complete.
  std::vector<std::int64_t> completedSoon() {
    context.restart();
    context.run_for(10s);
    return std::exchange(seen, {});
  }

  auto into() {
    return asio::bind_executor(context, [this](auto result) {
      if (!result) return seen.push_back(codeOf(result.error().code()));
      using Result = decltype(result);
      if constexpr (std::is_same_v<Result, expected<Delivery>>) seen.push_back(result->queued);
      else if constexpr (std::is_same_v<Result, expected<Message>>) seen.push_back(number(*result));
      else seen.push_back(0);
    });
  }
  template <class T>
  void publish(std::string_view topic, T&& payload) {
    bus.asyncPublish(topic, std::forward<T>(payload), {}, into());
  }
  auto numbersInto(std::vector<std::int64_t>& to) {
    return [&to](const Message& m) { to.push_back(number(m)); };
  }
};

using Numbers = std::vector<std::int64_t>;

struct Place {
  std::string name;
  std::unique_ptr<int> number;
};
void tag_invoke(json::value_from_tag, json::value& to, const Place& from) { to = from.name; }

}  // namespace async

BOOST_FIXTURE_TEST_SUITE(async, Fixture)

BOOST_AUTO_TEST_CASE(a_publish_that_need_not_wait_completes_at_once_but_not_inside_the_function) {
  Numbers got;
  const auto all = bus.subscribe(">", numbersInto(got));
  publish("a", 1);
  publish("a", 2);
  BOOST_TEST(seen.empty());
  BOOST_TEST((completed() == Numbers{1, 1}));
  handle();
  BOOST_TEST((got == Numbers{1, 2}));
  publish("a..b", 1);
  publish("qtforge.x", 1);
  publish("nobody", 1);
  BOOST_TEST((completed() == Numbers{codeOf(Errc::InvalidTopic), codeOf(Errc::ReservedTopic), 1}));
}

BOOST_AUTO_TEST_CASE(a_publish_waits_for_a_place_and_gets_it_in_order) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  for (int i = 0; i < 4; ++i) publish("a", i);
  BOOST_TEST((completed() == Numbers{1}));
  BOOST_TEST(messages.stats().pending == 1u);
  for (int i = 0; i < 4; ++i) {
    BOOST_TEST(number(messages.tryReceive().value()) == i);
    BOOST_TEST((completed() == (i < 3 ? Numbers{1} : Numbers{})));
  }
  BOOST_TEST(!messages.tryReceive());
  BOOST_TEST(messages.stats().dropped == 0u);
}

BOOST_AUTO_TEST_CASE(the_handler_that_empties_a_mailbox_may_publish_to_it) {
  Numbers got;
  const auto all = bus.subscribe("a", [&](const Message& m) {
    got.push_back(number(m));
    if (number(m) < 6) {
      publish("a", number(m) * 2 + 1);
      publish("a", number(m) * 2 + 2);
    }
  }, {.capacity = 1});
  publish("a", 0);
  handle();
  BOOST_TEST(got.size() == 13u);
  BOOST_TEST((completed() == Numbers(13, 1)));
}

BOOST_AUTO_TEST_CASE(what_a_thread_publishes_does_not_overtake_what_of_it_waits) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  std::thread publisher([&] {
    publish("a", 0);
    publish("a", 1);
    bus.publish("a", 2);  // stands in line
    publish("a", 3);
    bus.publish("a", 4);
  });
  for (int i = 0; i < 5; ++i) {
    std::optional<Message> message;
    while (!(message = messages.tryReceive())) std::this_thread::yield();
    BOOST_TEST(number(*message) == i);
  }
  publisher.join();
  BOOST_TEST((completed() == Numbers{1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(a_publish_gives_up_when_the_block_timeout_is_over_and_the_others_have_it) {
  auto full = bus.subscribe("a", {.capacity = 1, .blockTimeout = 5ms}).value();
  auto none = bus.subscribe("b", {.capacity = 1, .blockTimeout = 0ms}).value();
  auto other = bus.subscribe(">").value();
  for (const char* topic : {"a", "b"}) {
    bus.publish(topic, 0);
    publish(topic, 1);
    publish(topic, 2);
    BOOST_TEST((completedSoon() == Numbers(2, codeOf(Errc::Overflow))));
  }
  BOOST_TEST(full.stats().dropped == 2u);
  BOOST_TEST(number(full.tryReceive().value()) == 0);
  BOOST_TEST(!full.tryReceive());
  for (int i = 0; i < 6; ++i) BOOST_TEST(number(other.tryReceive().value()) == i % 3);
}

BOOST_AUTO_TEST_CASE(a_cancelled_publish_keeps_its_places_and_drops_what_waited) {
  auto full = bus.subscribe("a", {.capacity = 1}).value();
  auto other = bus.subscribe(">").value();
  bus.publish("a", 0);
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
    asio::cancellation_signal signal;
    bus.asyncPublish("a", 1, {}, asio::bind_cancellation_slot(signal.slot(), into()));
    publish("a", 2);
    signal.emit(asio::cancellation_type::none);
    BOOST_TEST(completed().empty());
    signal.emit(type);
    BOOST_TEST((completed() == Numbers{codeOf(Errc::Cancelled)}));
    signal.emit(type);  // long done
    BOOST_TEST(number(full.tryReceive().value()) != 1);
    BOOST_TEST((completed() == Numbers{2}));
  }
  BOOST_TEST(full.stats().dropped == 3u);
  BOOST_TEST(other.stats().pending == 7u);
}

BOOST_AUTO_TEST_CASE(a_cancellation_that_comes_after_the_place_is_too_late) {
  auto full = bus.subscribe("a", {.capacity = 1}).value();
  bus.publish("a", 0);
  asio::cancellation_signal signal;
  bus.asyncPublish("a", 1, {}, asio::bind_cancellation_slot(signal.slot(), into()));
  BOOST_TEST(number(full.tryReceive().value()) == 0);
  signal.emit(asio::cancellation_type::total);
  BOOST_TEST((completed() == Numbers{1}));
  BOOST_TEST(number(full.tryReceive().value()) == 1);
}

BOOST_AUTO_TEST_CASE(a_publish_waits_for_all_full_mailboxes) {
  auto first = bus.subscribe("a", {.capacity = 1}).value();
  auto second = bus.subscribe("a", {.capacity = 1}).value();
  auto third = bus.subscribe("a", {.capacity = 1, .policy = OverflowPolicy::DropNewest}).value();
  bus.publish("a", 0);
  Delivery end;
  bus.asyncPublish("a", 1, {}, asio::bind_executor(context, [&](expected<Delivery> d) { end = d.value(); }));
  BOOST_TEST(first.tryReceive().has_value());
  completed();
  BOOST_TEST(end.receivers() == 0u);
  BOOST_TEST(second.tryReceive().has_value());
  completed();
  BOOST_TEST(end.queued == 2u);
  BOOST_TEST(end.dropped == 1u);
}

BOOST_AUTO_TEST_CASE(a_group_whose_members_are_full_has_the_message_wait_with_one) {
  auto first = bus.subscribe("a", {.capacity = 1, .group = "g"}).value();
  auto second = bus.subscribe("a", {.capacity = 1, .group = "g"}).value();
  for (int i = 0; i < 3; ++i) publish("a", i);
  BOOST_TEST((completed() == Numbers{1, 1}));
  std::size_t got = 0;
  for (int i = 0; i < 2; ++i) got += first.tryReceive().has_value() + second.tryReceive().has_value();
  BOOST_TEST(got == 3u);
  BOOST_TEST((completed() == Numbers{1}));
}

BOOST_AUTO_TEST_CASE(a_publish_ends_with_the_subscription_or_the_bus_it_waits_for) {
  auto ends = bus.subscribe("a", {.capacity = 1}).value();
  bus.publish("a", 0);
  publish("a", 1);
  ends.unsubscribe();
  BOOST_TEST((completed() == Numbers{0}));
  std::optional<MessageBus> other(std::in_place, handlers.get_executor());
  auto stays = std::optional(other->subscribe("a", {.capacity = 1}).value());
  const auto never = other->respond("b", [](std::int64_t n) { return n; });
  other->publish("a", 0);
  other->asyncPublish("a", 1, {}, into());
  other->asyncRequest("b", 1, 1h, into());
  other->asyncDrain(1h, into());
  BOOST_TEST(completed().empty());
  other.reset();
  BOOST_TEST((completed() == Numbers(3, codeOf(Errc::ShuttingDown))));
}

BOOST_AUTO_TEST_CASE(the_payload_is_taken_before_the_function_returns) {
  auto messages = bus.subscribe(">", {.capacity = 1}).value();
  auto none = asio::bind_executor(context, [](expected<Delivery>) {});
  bus.publish("first", 0);
  {
    unsigned char memory[512];
    json::monotonic_resource resource(memory);
    json::value value = json::object({{"text", "on the stack"}}, &resource);
    json::object headers{{"h", 1}};
    std::string topic = "second", replyTo = "reply";
    bus.asyncPublish(topic, value, {.replyTo = replyTo, .headers = &headers}, none);
    bus.asyncPublish("third", std::move(value), {}, none);
    std::vector<std::uint8_t> bytes{1, 2, 3};
    bus.asyncPublish("fourth", BinaryMessage{std::move(bytes), "x/y", {}, {}}, {}, none);
    topic = replyTo = "overwritten";
    std::fill(std::begin(memory), std::end(memory), 0);
  }
  BOOST_TEST(messages.tryReceive().value().topic() == "first");
  const auto second = messages.tryReceive().value();
  BOOST_TEST(second.topic() == "second");
  BOOST_TEST(second.json()->at("text").as_string() == "on the stack");
  BOOST_TEST(second.replyTo() == "reply");
  BOOST_TEST(second.headers().at("h").as_int64() == 1);
  BOOST_TEST(messages.tryReceive().value().json()->at("text").as_string() == "on the stack");
  const auto fourth = messages.tryReceive().value();
  BOOST_TEST(fourth.binary()->contentType == "x/y");
  bus.asyncPublish("fifth", fourth, {}, none);
  BOOST_TEST(messages.tryReceive().value().binary()->data.data() == fourth.binary()->data.data());
}

BOOST_AUTO_TEST_CASE(a_payload_of_a_type_of_its_own_is_moved_and_shared_as_it_is) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  Place here{"here", std::make_unique<int>(7)};
  const auto* kept = here.number.get();
  bus.asyncPublish("a", 0, {}, into());
  auto lazily = bus.asyncPublish("a", std::move(here), {}, asio::deferred);
  std::move(lazily)(into());
  BOOST_TEST(number(messages.tryReceive().value()) == 0);
  const auto message = messages.tryReceive().value();
  BOOST_TEST(message.get<Place>()->number.get() == kept);
  BOOST_TEST(message.json()->as_string() == "here");
}

BOOST_AUTO_TEST_CASE(a_publisher_publishes_likewise_and_may_be_gone) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  {
    const auto publisher = bus.publisher("a").value();
    for (int i = 0; i < 3; ++i) publisher.asyncPublish(i, {.retain = i == 2}, into());
  }
  for (int i = 0; i < 3; ++i) BOOST_TEST(number(messages.tryReceive().value()) == i);
  BOOST_TEST((completed() == Numbers{1, 1, 1}));
  BOOST_TEST(bus.clearRetained("a").value() == 1u);
}

BOOST_AUTO_TEST_CASE(a_request_gets_its_answer_or_the_responders_error) {
  const auto twice = bus.respond("twice", [](std::int64_t n) { return n * 2; });
  const auto fails = bus.respond("fails", [](std::int64_t) -> expected<int> { return Error(Errc::NameNotFound, "none"); });
  const auto direct = bus.respond("direct", [](std::int64_t n) { return n; }, {.delivery = DeliveryMode::Direct});
  bus.asyncRequest("twice", 21, 5s, into());
  bus.asyncRequest("fails", 1, 5s, into());
  bus.asyncRequest("nobody", 1, 5s, into());
  bus.asyncRequest("a..b", 1, 5s, into());
  bus.asyncRequest("direct", 4, 5s, into());
  BOOST_TEST(seen.empty());
  BOOST_TEST((completed() == Numbers{codeOf(Errc::NoResponder), codeOf(Errc::InvalidTopic), 4}));
  handle();
  BOOST_TEST((completed() == Numbers{42, codeOf(Errc::NameNotFound)}));
}

BOOST_AUTO_TEST_CASE(a_handler_may_request_what_is_answered_where_it_runs) {
  const auto twice = bus.respond("twice", [](std::int64_t n) { return n * 2; });
  const auto asks = bus.subscribe("ask", [&](std::int64_t n) { bus.asyncRequest("twice", n, 5s, into()); });
  bus.publish("ask", 4);
  handle();
  BOOST_TEST((completed() == Numbers{8}));
}

BOOST_AUTO_TEST_CASE(a_request_ends_when_its_time_is_over_or_it_is_cancelled) {
  const auto never = bus.respond("slow", [](std::int64_t n) { return n; });
  asio::cancellation_signal signal;
  bus.asyncRequest("slow", 1, 1h, asio::bind_cancellation_slot(signal.slot(), into()));
  signal.emit(asio::cancellation_type::terminal);
  BOOST_TEST((completed() == Numbers{codeOf(Errc::Cancelled)}));
  // The nearer limits come first, in whatever order they were set.
  for (const auto limit : {30ms, 1ms, 15ms}) bus.asyncRequest("slow", 1, limit, into());
  bus.asyncRequest("slow", 1, std::chrono::nanoseconds::max(), into());
  context.restart();
  while (seen.size() < 3) context.run_one_for(10s);
  BOOST_TEST((std::exchange(seen, {}) == Numbers(3, codeOf(Errc::TimedOut))));
  handle();  // answers that nobody waits for, and one that somebody does
  BOOST_TEST((completed() == Numbers{1}));
}

BOOST_AUTO_TEST_CASE(a_request_waits_for_a_place_with_its_responder) {
  const auto slow = bus.respond("slow", [](std::int64_t n) { return n; }, {.capacity = 1});
  for (int i = 0; i < 4; ++i) bus.asyncRequest("slow", i, 5s, into());
  BOOST_TEST(completed().empty());
  handle();
  BOOST_TEST((completed() == Numbers{0, 1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(a_request_that_gets_no_place_fails) {
  auto impatient = bus.respond("slow", [](std::int64_t n) { return n; }, {.capacity = 1, .blockTimeout = 1ms}).value();
  bus.asyncRequest("slow", 0, 1h, into());
  bus.asyncRequest("slow", 1, 1h, into());
  context.restart();
  context.run_one_for(10s);
  BOOST_TEST((std::exchange(seen, {}) == Numbers{codeOf(Errc::Overflow)}));
  auto patient = bus.respond("other", [](std::int64_t n) { return n; }, {.capacity = 1}).value();
  bus.asyncRequest("other", 2, 1h, into());
  bus.asyncRequest("other", 3, 1h, into());
  bus.asyncRequest("other", 4, 1ms, into());
  context.run_one_for(10s);
  const auto late = std::exchange(seen, {});  // its place and its answer were due at once
  BOOST_TEST((late == Numbers{codeOf(Errc::Overflow)} || late == Numbers{codeOf(Errc::TimedOut)}));
  asio::cancellation_signal signal;
  bus.asyncRequest("other", 5, 1h, asio::bind_cancellation_slot(signal.slot(), into()));
  signal.emit(asio::cancellation_type::total);
  BOOST_TEST((completed() == Numbers{codeOf(Errc::Cancelled)}));
  patient.unsubscribe();  // the one that was queued and the one that waited for a place have nobody left
  BOOST_TEST((completed() == Numbers(2, codeOf(Errc::NoResponder))));
  handle();
  BOOST_TEST((completed() == Numbers{0}));
}

BOOST_AUTO_TEST_CASE(a_request_whose_responders_executor_ends_is_told_at_once) {
  std::optional<asio::io_context> other(std::in_place);
  const auto s = bus.respond("slow", asio::bind_executor(*other, [](std::int64_t n) { return n; })).value();
  bus.asyncRequest("slow", 1, 1h, into());
  BOOST_TEST(completed().empty());
  other.reset();
  BOOST_TEST((completed() == Numbers{codeOf(Errc::NoResponder)}));
}

BOOST_AUTO_TEST_CASE(a_drain_completes_when_all_is_handled_with_what_handlers_published) {
  int left = 3;
  const auto chain = bus.subscribe("a", [&](std::int64_t n) {
    if (left-- > 0) bus.publish("a", n + 1);
  });
  bus.asyncDrain(5s, into());
  BOOST_TEST(seen.empty());
  BOOST_TEST((completed() == Numbers{0}));
  bus.publish("a", 0);
  bus.asyncDrain(5s, into());
  BOOST_TEST(completed().empty());
  handle();
  BOOST_TEST((completed() == Numbers{0}));
  BOOST_TEST(left == -1);
}

BOOST_AUTO_TEST_CASE(a_drain_inside_a_handler_waits_for_it) {
  bool returned = false, told = false;
  const auto drains = bus.subscribe("a", [&](std::int64_t) {
    bus.asyncDrain(5s, asio::bind_executor(context, [&](expected<void> done) { told = done && returned; }));
    completed();
    BOOST_TEST(!told);
    returned = true;
  });
  bus.publish("a", 0);
  handle();
  completed();
  BOOST_TEST(told);
}

BOOST_AUTO_TEST_CASE(a_drain_names_who_is_late_and_can_be_cancelled) {
  auto messages = bus.subscribe("late.*").value();
  bus.publish("late.a", 0);
  std::string text;
  bus.asyncDrain(1ms, asio::bind_executor(context, [&](expected<void> done) { text = done.error().message(); }));
  completedSoon();
  BOOST_TEST(text == "drain: subscription \"late.*\" of host still has 1 messages queued");
  asio::cancellation_signal signal;
  bus.asyncDrain(1h, asio::bind_cancellation_slot(signal.slot(), into()));
  bus.asyncDrain(std::chrono::nanoseconds::max(), into());
  signal.emit(asio::cancellation_type::partial);
  BOOST_TEST((completed() == Numbers{codeOf(Errc::Cancelled)}));
  BOOST_TEST(messages.tryReceive().has_value());
  BOOST_TEST((completed() == Numbers{0}));
}

BOOST_AUTO_TEST_CASE(a_subscription_can_be_drained_alone) {
  auto mine = bus.subscribe("a", [&](std::int64_t) { bus.publish("b", 2); }).value();
  auto other = bus.subscribe("b").value();
  bus.publish("b", 1);  // of the other, which nobody receives
  bus.publish("a", 1);
  mine.asyncDrain(into());
  BOOST_TEST(completed().empty());
  handle();
  BOOST_TEST((completed() == Numbers{0}));

  bus.publish("a", 3);
  mine.asyncDrain(1h, into());
  mine.unsubscribe();
  mine.asyncDrain(1h, into());
  BOOST_TEST((completed() == Numbers{codeOf(Errc::ShuttingDown), codeOf(Errc::ShuttingDown)}));
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_what_waits_for_a_place_unless_that_is_taken_back) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  asio::cancellation_signal signal;
  publish("a", 0);
  bus.asyncPublish("a", 1, {}, asio::bind_cancellation_slot(signal.slot(), into()));
  publish("a", 2);
  bus.asyncDrain(1h, into());
  BOOST_TEST((completed() == Numbers{1}));
  publish("a", 3);
  signal.emit(asio::cancellation_type::total);
  BOOST_TEST((completed() == Numbers{codeOf(Errc::Cancelled)}));
  BOOST_TEST(number(messages.tryReceive().value()) == 0);
  BOOST_TEST((completed() == Numbers{1}));
  BOOST_TEST(number(messages.tryReceive().value()) == 2);
  BOOST_TEST((completed() == Numbers{1, 0}));  // before the one that was published later
}

BOOST_AUTO_TEST_CASE(what_waits_keeps_its_context_running) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  const auto twice = bus.respond("twice", [](std::int64_t n) { return n * 2; });
  publish("a", 0);
  publish("a", 1);
  bus.asyncRequest("twice", 5, 1h, into());
  bus.asyncDrain(1h, into());
  std::thread other([&] {
    while (!messages.tryReceive()) std::this_thread::yield();
    while (!messages.tryReceive()) std::this_thread::yield();
    handle();
  });
  context.restart();
  context.run();
  other.join();
  BOOST_TEST(seen.size() == 4u);
}

BOOST_AUTO_TEST_CASE(every_token_will_do) {
  const auto& process = MessageBus::instance();
  const auto twice = process.respond("test.async.twice", [](std::int64_t n) { return n * 2; });
  BOOST_TEST(number(process.asyncRequest("test.async.twice", 4, 5s, asio::use_future).get().value()) == 8);
  BOOST_TEST(process.asyncPublish("test.async.twice", 4, {}, asio::use_future).get().value().queued == 1u);
  BOOST_TEST(process.asyncDrain(5s, asio::use_future).get().has_value());
  const auto publisher = process.publisher("test.async.twice").value();
  BOOST_TEST(publisher.asyncPublish(4, {}, asio::use_future).get().value().queued == 1u);
  std::promise<std::int64_t> told;  // on the runtime's threads
  process.asyncRequest("test.async.twice", 5, 5s, [&](expected<Message> m) { told.set_value(number(*m)); });
  BOOST_TEST(told.get_future().get() == 10);

  auto lazily = [&] {
    std::string topic = "test.async.twice";
    json::value payload = 6;
    return process.asyncRequest(topic, payload, 5s, asio::deferred);  // begins later
  }();
  Numbers answers;
  asio::co_spawn(context, [&]() -> asio::awaitable<void> {
    answers.push_back(number((co_await std::move(lazily)(asio::use_awaitable)).value()));
    answers.push_back(number((co_await process.asyncRequest("test.async.twice", 7, 5s, asio::use_awaitable)).value()));
    const auto [last] = co_await process.asyncRequest("test.async.twice", 8, 5s, asio::as_tuple(asio::use_awaitable));
    answers.push_back(number(last.value()));
    const auto sent = co_await process.asyncPublish("test.async.twice", 9, {}, asio::use_awaitable);
    answers.push_back(sent->queued);
    const auto drained = co_await process.asyncDrain(5s, asio::deferred);
    answers.push_back(drained.has_value());
  }, asio::detached);
  completedSoon();
  BOOST_TEST((answers == Numbers{12, 14, 16, 1, 1}));
}

BOOST_AUTO_TEST_CASE(a_handler_is_called_on_its_executor_whatever_that_is) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  asio::thread_pool pool(1);
  auto strand = asio::make_strand(context);
  std::promise<bool> inPool;
  bool inStrand = false;
  publish("a", 0);
  bus.asyncPublish("a", 1, {}, asio::bind_executor(strand, [&](auto) { inStrand = strand.running_in_this_thread(); }));
  bus.asyncPublish("a", 2, {}, asio::bind_executor(asio::any_io_executor(pool.get_executor()), [&](auto) {
    inPool.set_value(pool.get_executor().running_in_this_thread());
  }));
  while (messages.tryReceive()) {}
  completed();
  BOOST_TEST(inStrand);
  BOOST_TEST(inPool.get_future().get());
}

namespace {

struct Counts {
  int allocated = 0, freed = 0;
};

/// Counts what is allocated through it.
template <class T = void>
struct CountingAllocator {
  using value_type = T;
  Counts* counts;

  explicit CountingAllocator(Counts* c) : counts(c) {}
  template <class U>
  CountingAllocator(const CountingAllocator<U>& other) : counts(other.counts) {}
  T* allocate(std::size_t n) {
    ++counts->allocated;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    ++counts->freed;
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  bool operator==(const CountingAllocator<U>& other) const {
    return counts == other.counts;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(memory_comes_from_the_associated_allocator_and_is_given_back_before_the_call) {
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  const auto twice = bus.respond("twice", [](std::int64_t n) { return n * 2; });
  Counts counts;
  int calls = 0;
  auto counted = asio::bind_allocator(CountingAllocator<>(&counts), asio::bind_executor(context, [&](auto) {
    BOOST_TEST(counts.allocated == counts.freed);
    ++calls;
  }));
  const auto check = [&](int expectedCalls) {
    BOOST_TEST(counts.allocated > 0);
    completed();
    BOOST_TEST(calls == expectedCalls);
    BOOST_TEST(counts.allocated == counts.freed);
    counts = {};
  };
  messages.asyncReceive(counted);
  BOOST_TEST(counts.allocated == 1);
  bus.publish("a", 0);
  check(1);
  publish("a", 0);
  bus.asyncPublish("a", 1, {}, counted);
  BOOST_TEST(counts.allocated == 1);
  while (messages.tryReceive()) {}
  check(2);
  bus.asyncRequest("twice", 1, 1h, counted);
  handle();
  check(3);
  bus.asyncRequest("nobody", 1, 1h, counted);
  check(4);
  publish("a", 0);
  bus.asyncDrain(1h, counted);
  while (messages.tryReceive()) {}
  check(5);
}

#if BOOST_VERSION >= 108200
BOOST_AUTO_TEST_CASE(what_ends_at_once_uses_the_immediate_executor) {
  int called = 0;
  auto inside = asio::bind_immediate_executor(asio::system_executor(), asio::bind_executor(context, [&](auto) { ++called; }));
  auto messages = bus.subscribe("a", {.capacity = 1}).value();
  bus.asyncPublish("a", 1, {}, inside);
  BOOST_TEST(called == 1);
  bus.asyncPublish("a", 2, {}, inside);  // waits
  BOOST_TEST(called == 1);
  messages.asyncReceive(inside);
  BOOST_TEST(called == 2);
  completed();
  BOOST_TEST(called == 3);
  messages.asyncReceiveSome(2, inside);
  BOOST_TEST(called == 4);
  messages.asyncReceive(inside);  // waits
  bus.asyncRequest("nobody", 1, 1s, inside);
  BOOST_TEST(called == 5);
  bus.asyncDrain(1s, inside);
  BOOST_TEST(called == 6);
  bus.publish("a", 3);
  BOOST_TEST(called == 6);
  completed();
  BOOST_TEST(called == 7);
  MessageBus::instance().asyncRequest("nobody", 1, 1s, asio::bind_immediate_executor(asio::system_executor(), [&](auto) { ++called; }));
  BOOST_TEST(called == 8);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
