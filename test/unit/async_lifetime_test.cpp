// Asynchronous operations and the ends of what they need: execution contexts, buses, receivers; and many threads at once.

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/message_bus.hpp>
#include <qtforge/communication/receiver.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <map>
#include <random>
#include <thread>

using namespace qtforge;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace async_lifetime {

std::int64_t number(const Message& message) { return message.json()->as_int64(); }

/// A bus with a full mailbox, a responder that does not answer and a receiver without messages.
struct Waiting {
  asio::io_context handlers;
  std::optional<MessageBus> bus{std::in_place, handlers.get_executor()};
  std::optional<Receiver> full{bus->subscribe("full", {.capacity = 1}).value()};
  std::optional<Receiver> empty{bus->subscribe("empty").value()};
  Subscription slow = bus->respond("slow", [](std::int64_t n) { return n; }).value();
  std::shared_ptr<int> alive = std::make_shared<int>();  // shared by the handlers
  int called = 0;

  Waiting() { bus->publish("full", 0); }

  auto handlerOn(const auto& executor) {
    return asio::bind_executor(executor, [this, held = alive](auto) { ++called; });
  }
  /// Starts one of each kind.
  void start(const auto& executor) {
    bus->asyncPublish("full", 1, {}, handlerOn(executor));
    bus->asyncRequest("slow", 1, 1h, handlerOn(executor));
    bus->asyncDrain(1h, handlerOn(executor));
    empty->asyncReceive(handlerOn(executor));
    empty->asyncReceiveSome(8, handlerOn(executor));
  }
  void answer() {
    handlers.restart();
    handlers.poll();
  }
};

}  // namespace async_lifetime

BOOST_FIXTURE_TEST_SUITE(async_lifetime, Waiting)

BOOST_AUTO_TEST_CASE(what_waits_is_dropped_with_its_context) {
  {
    asio::io_context context;
    start(context.get_executor());
    BOOST_TEST(alive.use_count() == 6);
  }
  BOOST_TEST(alive.use_count() == 1);
  BOOST_TEST(called == 0);
  BOOST_TEST(number(full->tryReceive().value()) == 0);
  BOOST_TEST(!full->tryReceive());  // the message that waited went with it
  BOOST_TEST(full->stats().dropped == 1u);
  bus->publish("empty", 5);
  BOOST_TEST(number(empty->tryReceive().value()) == 5);  // nobody has taken it
  answer();
  BOOST_TEST(bus->drain(10s).has_value());
  bus.reset();
}

BOOST_AUTO_TEST_CASE(a_bus_that_ends_first_completes_what_waits) {
  asio::io_context context;
  start(context.get_executor());
  bus.reset();
  BOOST_TEST(called == 0);
  context.run();
  BOOST_TEST(called == 5);
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_bus_and_then_a_context_may_end_with_completions_that_were_not_called) {
  {
    asio::io_context context;
    start(context.get_executor());
    bus.reset();
  }
  BOOST_TEST(called == 0);
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_coroutine_with_all_it_owns_goes_with_its_context) {
  {
    asio::io_context context;
    asio::co_spawn(context, [](Waiting& self, std::shared_ptr<int>) -> asio::awaitable<void> {
      auto own = self.bus->subscribe("own").value();
      own.asyncReceive(self.handlerOn(co_await asio::this_coro::executor));
      std::ignore = co_await own.asyncReceive(asio::use_awaitable);
      ++self.called;
    }(*this, alive), asio::detached);
    asio::co_spawn(context, [](Waiting& self, std::shared_ptr<int>) -> asio::awaitable<void> {
      std::ignore = co_await self.bus->asyncRequest("slow", 1, 1h, asio::use_awaitable);
      ++self.called;
    }(*this, alive), asio::detached);
    context.poll();
    BOOST_TEST(alive.use_count() == 4);
  }
  BOOST_TEST(alive.use_count() == 1);
  bus->publish("own", 1);
  answer();
  BOOST_TEST(called == 0);
}

BOOST_AUTO_TEST_CASE(the_others_of_a_subscription_go_on_when_one_is_dropped) {
  asio::io_context stays;
  {
    asio::io_context goes;
    empty->asyncReceive(handlerOn(goes.get_executor()));
    empty->asyncReceive(handlerOn(stays.get_executor()));
    bus->asyncPublish("full", 1, {}, handlerOn(goes.get_executor()));
    bus->asyncPublish("full", 2, {}, handlerOn(stays.get_executor()));
  }
  bus->publish("empty", 1);
  BOOST_TEST(number(full->tryReceive().value()) == 0);
  BOOST_TEST(number(full->tryReceive().value()) == 2);
  stays.run();
  BOOST_TEST(called == 2);
}

BOOST_AUTO_TEST_CASE(a_signal_may_live_longer_than_context_and_bus) {
  asio::cancellation_signal signal;
  {
    asio::io_context context;
    bus->asyncRequest("slow", 1, 1h, asio::bind_cancellation_slot(signal.slot(), handlerOn(context.get_executor())));
  }
  bus.reset();
  signal.emit(asio::cancellation_type::terminal);
  BOOST_TEST(called == 0);
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(contexts_may_end_while_other_threads_complete_what_waits_on_them) {
  for (int round = 0; round < 50; ++round) {
    Waiting set;
    std::atomic<int> ready{0};
    const auto together = [&] {
      ++ready;
      while (ready < 4) std::this_thread::yield();
    };
    auto pool = std::make_optional<asio::thread_pool>(1);
    std::atomic<int> calls{0};
    auto counted = asio::bind_executor(pool->get_executor(), [&, held = set.alive](auto) { ++calls; });
    set.bus->asyncPublish("full", 1, {}, counted);
    set.bus->asyncRequest("slow", 1, 1h, counted);
    set.bus->asyncDrain(1h, counted);
    set.empty->asyncReceive(counted);
    std::thread receives([&] {
      together();
      std::ignore = set.full->tryReceive();
    });
    std::thread answers([&] {
      together();
      set.answer();
    });
    std::thread publishes([&] {
      together();
      set.bus->publish("empty", 1);
    });
    together();
    pool.reset();
    receives.join();
    answers.join();
    publishes.join();
    BOOST_TEST(calls <= 4);
  }
}

BOOST_AUTO_TEST_CASE(many_publish_wait_cancel_and_receive_and_nothing_is_lost_or_overtaken) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  const auto& process = MessageBus::instance();
  constexpr int publishers = 4, each = 1500, receivers = 3;

  // Who publishes what, and what of it each receiver got.
  struct Got {
    std::mutex mutex;
    std::map<std::int64_t, std::vector<std::int64_t>> of;
    void add(std::int64_t n) {
      std::lock_guard lock(mutex);
      of[n / 1'000'000].push_back(n % 1'000'000);
    }
  };
  std::array<Got, receivers + 1> got;
  std::atomic<bool> over{false};
  std::vector<std::jthread> threads;
  asio::thread_pool pool(2);

  // One handles, one receives by hand, one with completions, one with completions it cancels now and then.
  const auto handled = process.subscribe("test.stress", [&](const Message& m) { got[0].add(number(m)); }, {.capacity = 3}).value();
  auto byHand = process.subscribe("test.stress", {.capacity = 2}).value();
  threads.emplace_back([&] {
    while (!over) {
      if (auto m = byHand.tryReceive()) got[1].add(number(*m));
      else std::this_thread::yield();
    }
  });
  auto completing = process.subscribe("test.stress", {.capacity = 1}).value();
  auto cancelling = process.subscribe("test.stress", {.capacity = 4}).value();
  auto strand = asio::make_strand(pool);
  std::function<void()> next = [&] {
    completing.asyncReceiveSome(2, asio::bind_executor(strand, [&](expected<std::vector<Message>> m) {
      if (!m) return;
      for (const auto& one : *m) got[2].add(number(one));
      next();
    }));
  };
  next();
  auto otherStrand = asio::make_strand(pool);
  asio::cancellation_signal signal;
  std::mt19937 cancelRandom(seed);
  std::function<void()> nextCancelled = [&] {
    cancelling.asyncReceive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(otherStrand, [&](expected<Message> m) {
      if (!m && !(m.error() == Errc::Cancelled)) return;
      if (m) got[3].add(number(*m));
      nextCancelled();
      if (cancelRandom() % 4 == 0) signal.emit(asio::cancellation_type::total);
    })));
  };
  asio::post(otherStrand, nextCancelled);

  // Each publisher's messages, what was cancelled left out or not.
  std::array<std::vector<std::int64_t>, publishers> certain;
  std::atomic<int> pending{0}, failed{0};
  std::vector<std::jthread> sending;
  for (int p = 0; p < publishers; ++p)
    sending.emplace_back([&, p] {
      std::mt19937 random(seed + static_cast<unsigned>(p) + 1);
      asio::io_context own;
      for (std::int64_t n = 0; n < each; ++n) {
        const auto value = p * 1'000'000 + n;
        const auto count = [&](expected<Delivery> d) {
          --pending;
          if (!d && !(d.error() == Errc::Cancelled)) ++failed;
        };
        switch (random() % 4) {
          case 0:
            if (!process.publish("test.stress", value)) ++failed;
            certain[static_cast<std::size_t>(p)].push_back(n);
            break;
          case 1: {
            ++pending;
            asio::cancellation_signal taken;
            process.asyncPublish("test.stress", value, {}, asio::bind_cancellation_slot(taken.slot(), asio::bind_executor(own, count)));
            if (random() % 2) std::this_thread::yield();
            taken.emit(asio::cancellation_type::total);
            own.restart();
            own.run();
            break;
          }
          default:
            ++pending;
            process.asyncPublish("test.stress", value, {}, asio::bind_executor(pool, count));
            certain[static_cast<std::size_t>(p)].push_back(n);
        }
      }
    });
  for (auto& thread : sending) thread.join();
  const auto limit = std::chrono::steady_clock::now() + 60s;
  while (pending > 0 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  BOOST_TEST(pending == 0);
  BOOST_TEST(process.drain(60s).has_value());
  over = true;
  threads.clear();
  asio::post(strand, [&] { completing.unsubscribe(); });
  asio::post(otherStrand, [&] { cancelling.unsubscribe(); });
  pool.join();

  BOOST_TEST(failed == 0);
  for (std::size_t r = 0; r < got.size(); ++r)
    for (std::size_t p = 0; p < publishers; ++p) {
      const auto& numbers = got[r].of[static_cast<std::int64_t>(p)];
      BOOST_TEST((std::adjacent_find(numbers.begin(), numbers.end(), std::greater_equal<>()) == numbers.end()),
                 "receiver " << r << " got publisher " << p << "'s in another order, seed " << seed);
      BOOST_TEST(std::includes(numbers.begin(), numbers.end(), certain[p].begin(), certain[p].end()),
                 "receiver " << r << " lost messages of publisher " << p << ", seed " << seed);
    }
}

BOOST_AUTO_TEST_SUITE_END()
