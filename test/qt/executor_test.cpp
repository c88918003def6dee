// Handlers, coroutines and timers in the event loop of an object's thread, and what becomes of them when it dies.

#include <QCoreApplication>
#include <QEvent>
#include <QEventLoop>
#include <QJsonObject>
#include <QObject>
#include <QThread>

#include <qtforge/qt/executor.hpp>
#include <qtforge/qt/json.hpp>

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/message_bus.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

using namespace qtforge;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace qt_executor {

/// Counts while it lives, as a function that was not called must not leak.
struct Alive {
  explicit Alive(std::atomic<int>& c) : count(&c) { ++*count; }
  Alive(const Alive& other) : count(other.count) { ++*count; }
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --*count; }
  std::atomic<int>* count;
};

struct Application {
  /// Runs the event loop of this thread until `done()`.
  template <class Done>
  bool runUntil(Done&& done) {
    for (const auto end = std::chrono::steady_clock::now() + 20s; !done();) {
      if (std::chrono::steady_clock::now() > end) return false;
      QCoreApplication::processEvents(QEventLoop::AllEvents, 10);
      std::this_thread::yield();
    }
    return true;
  }
  void runEvents() { QCoreApplication::processEvents(); }

  int argc = 1;
  char name[3] = "qt";
  char* argv[2] = {name, nullptr};
  QCoreApplication application{argc, argv};
  MessageBus& bus = MessageBus::instance();
};

/// A thread with an event loop.
struct LoopThread : QThread {
  LoopThread() { start(); }
  ~LoopThread() override {
    quit();
    wait();
  }
};

auto in(QObject& object, auto handler) { return asio::bind_executor(qt::executor(&object), std::move(handler)); }

bool drained(MessageBus& bus) { return bus.drain(20s).has_value(); }

}  // namespace qt_executor

BOOST_FIXTURE_TEST_SUITE(qt_executor, Application)

BOOST_AUTO_TEST_CASE(handlers_run_in_the_event_loop_of_the_objects_thread_and_in_order) {
  QObject here;
  std::vector<qint64> seen;
  QThread* on = nullptr;
  const auto s = bus.subscribe("qt.order", in(here, [&](const QJsonObject& value) {
                                 on = QThread::currentThread();
                                 seen.push_back(value["n"].toInteger());
                               })).value();
  std::thread publisher([&] {
    for (int i = 0; i < 1000; ++i) bus.publish("qt.order", QJsonObject{{"n", i}});
  });
  BOOST_TEST(runUntil([&] { return seen.size() == 1000u; }));
  publisher.join();
  BOOST_TEST((on == here.thread()));
  for (int i = 0; i < 1000; ++i) BOOST_TEST(seen[static_cast<std::size_t>(i)] == i);
}

BOOST_AUTO_TEST_CASE(nothing_runs_before_the_event_loop_does_not_even_a_dispatch_in_it) {
  QObject here;
  std::vector<int> seen;
  asio::dispatch(qt::executor(&here), [&] { seen.push_back(1); });
  asio::post(qt::executor(&here), [&] {
    asio::dispatch(qt::executor(&here), [&] { seen.push_back(3); });
    seen.push_back(2);
  });
  BOOST_TEST(seen.empty());
  BOOST_TEST(runUntil([&] { return seen.size() == 3u; }));
  BOOST_TEST((seen == std::vector{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(an_object_of_another_thread_has_them_there) {
  LoopThread thread;
  auto* there = new QObject;
  there->moveToThread(&thread);
  std::atomic<QThread*> on = nullptr;
  const auto s = bus.subscribe("qt.there", in(*there, [&](const QJsonObject&) { on = QThread::currentThread(); })).value();
  bus.publish("qt.there", QJsonObject());
  BOOST_TEST(drained(bus));
  BOOST_TEST((on == &thread));
  there->deleteLater();
}

BOOST_AUTO_TEST_CASE(what_is_queued_moves_to_another_thread_with_its_object) {
  LoopThread thread;
  auto* moved = new QObject;
  std::atomic<QThread*> on = nullptr;
  asio::post(qt::executor(moved), [&] { on = QThread::currentThread(); });
  moved->moveToThread(&thread);
  BOOST_TEST(runUntil([&] { return on.load() != nullptr; }));
  BOOST_TEST((on == &thread));
  moved->deleteLater();
}

BOOST_AUTO_TEST_CASE(when_the_object_dies_what_is_queued_is_destroyed_without_a_call) {
  std::atomic<int> alive = 0;
  int called = 0;
  auto object = std::make_unique<QObject>();
  const auto executor = qt::executor(object.get());
  for (int i = 0; i < 3; ++i) asio::post(executor, [&, life = Alive(alive)] { ++called; });
  BOOST_TEST(alive == 3);
  object.reset();
  BOOST_TEST(alive == 0);
  asio::post(executor, [&, life = Alive(alive)] { ++called; });
  BOOST_TEST(alive == 0);
  asio::post(qt::executor(nullptr), [&, life = Alive(alive)] { ++called; });
  BOOST_TEST(alive == 0);
  runEvents();
  BOOST_TEST(called == 0);
}

BOOST_AUTO_TEST_CASE(a_subscription_ends_with_its_object_and_publishers_are_told) {
  auto object = std::make_unique<QObject>();
  int called = 0;
  const auto s = bus.subscribe("qt.gone", in(*object, [&](const QJsonObject&) { ++called; })).value();
  bus.publish("qt.gone", QJsonObject());
  object.reset();
  BOOST_TEST((bus.publish("qt.gone", QJsonObject()).error() == Errc::ShuttingDown));
  BOOST_TEST(drained(bus));
  const auto late = bus.subscribe("qt.late", asio::bind_executor(qt::executor(nullptr), [&](const QJsonObject&) { ++called; })).value();
  bus.publish("qt.late", QJsonObject());
  BOOST_TEST((bus.publish("qt.late", QJsonObject()).error() == Errc::ShuttingDown));
  runEvents();
  BOOST_TEST(called == 0);
}

BOOST_AUTO_TEST_CASE(a_handler_may_destroy_its_object) {
  auto object = std::make_unique<QObject>();
  int called = 0;
  const auto s = bus.subscribe("qt.suicide", in(*object, [&](const QJsonObject&) {
                                 ++called;
                                 object.reset();
                               })).value();
  bus.publish("qt.suicide", QJsonObject());
  BOOST_TEST(runUntil([&] { return called == 1; }));
  bus.publish("qt.suicide", QJsonObject());
  runEvents();
  BOOST_TEST((bus.publish("qt.suicide", QJsonObject()).error() == Errc::ShuttingDown));
}

BOOST_AUTO_TEST_CASE(a_destroyed_function_may_use_the_executor) {
  struct PostsAtItsEnd {
    explicit PostsAtItsEnd(qt::Executor e) : executor(std::make_unique<qt::Executor>(std::move(e))) {}
    PostsAtItsEnd(PostsAtItsEnd&&) = default;
    ~PostsAtItsEnd() {
      if (executor) asio::post(*executor, [] {});
    }
    void operator()() {}
    std::unique_ptr<qt::Executor> executor;
  };
  auto object = std::make_unique<QObject>();
  const auto executor = qt::executor(object.get());
  asio::post(executor, PostsAtItsEnd(executor));
  object.reset();
  asio::post(executor, PostsAtItsEnd(executor));
  BOOST_TEST(!executor.waitsForCaller());
}

BOOST_AUTO_TEST_CASE(what_waits_for_its_own_thread_is_an_error_and_no_standstill) {
  QObject here;
  const auto full = bus.subscribe("qt.full", in(here, [](const QJsonObject&) {}), {.capacity = 1}).value();
  bus.publish("qt.full", QJsonObject());
  BOOST_TEST((bus.publish("qt.full", QJsonObject()).error() == Errc::WouldDeadlock));
  const auto answering = bus.respond("qt.ask", in(here, [](const QJsonObject& o) { return o; })).value();
  BOOST_TEST((bus.request("qt.ask", QJsonObject()).error() == Errc::WouldDeadlock));
  std::thread other([&] {
    const auto answer = bus.request("qt.ask", QJsonObject{{"n", 1}}, 20s);
    BOOST_TEST((answer && answer->as<QJsonObject>().value()["n"] == 1));
    QMetaObject::invokeMethod(&application, &QCoreApplication::quit, Qt::QueuedConnection);
  });
  QCoreApplication::exec();
  other.join();
}

BOOST_AUTO_TEST_CASE(coroutines_and_timers_run_in_the_event_loop) {
  QObject here;
  const auto echo = bus.respond("qt.echo", [](const QJsonObject& o) { return o; }).value();
  std::vector<QThread*> on;
  bool answered = false;
  const QJsonObject question{{"n", 1}};  // GCC 12 takes no such list in a co_await
  asio::co_spawn(
      qt::executor(&here),
      [&]() -> asio::awaitable<void> {
        on.push_back(QThread::currentThread());
        const auto answer = co_await bus.asyncRequest("qt.echo", question, 20s, asio::use_awaitable);
        answered = answer && answer->as<QJsonObject>().value()["n"] == 1;
        on.push_back(QThread::currentThread());
        asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
        co_await timer.async_wait(asio::use_awaitable);
        on.push_back(QThread::currentThread());
      },
      asio::detached);
  BOOST_TEST(runUntil([&] { return on.size() == 3u; }));
  BOOST_TEST(answered);
  for (auto* thread : on) BOOST_TEST((thread == here.thread()));
}

BOOST_AUTO_TEST_CASE(a_coroutine_is_destroyed_with_its_object) {
  std::atomic<int> alive = 0;
  auto object = std::make_unique<QObject>();
  asio::co_spawn(
      qt::executor(object.get()),
      [](std::atomic<int>& count) -> asio::awaitable<void> {
        const Alive life(count);
        for (;;) co_await asio::post(asio::use_awaitable);
      }(alive),
      asio::detached);
  BOOST_TEST(runUntil([&] { return alive == 1; }));
  object.reset();
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(copies_are_equal_and_executors_of_other_objects_are_not) {
  QObject here, other;
  const auto executor = qt::executor(&here);
  const auto copy = executor;  // NOLINT(performance-unnecessary-copy-initialization)
  BOOST_TEST((executor == copy));
  BOOST_TEST((executor != qt::executor(&other)));
  BOOST_TEST(executor.waitsForCaller());
}

BOOST_AUTO_TEST_CASE(objects_die_while_many_threads_queue) {
  constexpr int rounds = 200, threads = 3;
  std::atomic<int> alive = 0, called = 0;
  LoopThread loop;
  for (int round = 0; round < rounds; ++round) {
    auto* object = new QObject;
    object->moveToThread(&loop);
    std::atomic<bool> go = false;
    std::vector<std::thread> posting;
    for (int i = 0; i < threads; ++i)
      posting.emplace_back([&, executor = qt::executor(object)] {
        while (!go) std::this_thread::yield();
        for (int n = 0; n < 50; ++n) asio::post(executor, [&, life = Alive(alive)] { ++called; });
      });
    go = true;
    object->deleteLater();
    for (auto& thread : posting) thread.join();
  }
  BOOST_TEST(runUntil([&] { return alive == 0; }));
  BOOST_TEST(called <= rounds * threads * 50);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(without_an_application_what_is_queued_waits_and_dies_with_its_object) {
  std::atomic<int> alive = 0;
  {
    QObject object;
    boost::asio::post(qtforge::qt::executor(&object), [life = qt_executor::Alive(alive)] {});
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
}
