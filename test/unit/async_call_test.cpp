// Calls of interfaces with completion tokens.

#include "plugin_folder.hpp"

#include <qtforge/core/async_call.hpp>
#include <qtforge/core/implements.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/host.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>

using namespace qtforge;
namespace asio = boost::asio;

namespace async_call {

using Work = Interface<"test.work/1", Method<"echo(text, times)", std::string(std::string_view, int)>,
                       Method<"count(text)", void(const std::string&)>, Method<"thread()", bool()>>;

class Worker : public Implements<Worker, Work> {
 public:
  expected<std::string> echo(std::string_view text, int times) {
    if (times < 0) return Error("not that often");
    std::string all;
    while (times-- > 0) all += text;
    return all;
  }
  void count(const std::string& text) { counted += static_cast<int>(text.size()); }
  bool thread() { return Runtime::instance().isWorker(); }

  static constexpr auto methods() {
    return std::tuple(bind<"echo">(&Worker::echo), bind<"count">(&Worker::count), bind<"thread">(&Worker::thread));
  }

  static inline std::atomic<int> counted{0};
};

class Loader : public IPluginLoader {
 public:
  std::string_view language() const override { return "made up"; }
  expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    return std::unique_ptr<IPlugin>(std::make_unique<Worker>());
  }
};

struct Loaded {
  Loaded() {
    manager.addLoader(std::make_unique<Loader>());
    folder.write("worker/plugin.json", R"({"name": "worker", "version": "1.0.0", "language": "made up", "entry_point": "x"})");
    manager.loadPlugin(folder / "worker").value();
    work = manager.find<Work>("worker").value();
  }

  test::Folder folder;
  PluginManager manager;
  InterfaceHandle<Work> work;
};

/// Lets no thread of the runtime do anything else while it lives.
class BusyRuntime {
 public:
  BusyRuntime() {
    for (int i = 0; i < threads; ++i)
      asio::post(Runtime::instance().executor(), [go = go_] { go->wait(); });
  }
  BusyRuntime(const BusyRuntime&) = delete;
  BusyRuntime& operator=(const BusyRuntime&) = delete;
  ~BusyRuntime() { go_->count_down(); }

 private:
  static constexpr int threads = 8;  // as many as there can be
  std::shared_ptr<std::latch> go_ = std::make_shared<std::latch>(1);
};

}  // namespace async_call

BOOST_AUTO_TEST_SUITE(async_call)

BOOST_FIXTURE_TEST_CASE(a_call_runs_on_the_runtime_and_completes_with_its_result, Loaded) {
  BOOST_TEST(asyncCall<"echo">(work, asio::use_future, "ab", 3).get().value() == "ababab");
  BOOST_TEST(asyncCall<"thread">(work, asio::use_future).get().value());
  Worker::counted = 0;
  asyncCall<"count">(work, asio::use_future, std::string(100, 'x')).get().value();
  BOOST_TEST(Worker::counted == 100);
  const auto failed = asyncCall<"echo">(work, asio::use_future, "ab", -1).get();
  BOOST_TEST(failed.error().message() == "plugin 'worker': echo(): not that often");
}

BOOST_FIXTURE_TEST_CASE(the_handler_is_called_on_its_executor_and_not_before_the_call_returns, Loaded) {
  asio::io_context context;
  bool called = false;
  const auto me = std::this_thread::get_id();
  asyncCall<"echo">(work, asio::bind_executor(context, [&](expected<std::string> result) {
    BOOST_TEST(result.value() == "x");
    BOOST_TEST((std::this_thread::get_id() == me));
    called = true;
  }), "x", 1);
  BOOST_TEST(!called);
  context.run();  // the call counts as its work
  BOOST_TEST(called);
}

BOOST_FIXTURE_TEST_CASE(coroutines_await_calls, Loaded) {
  asio::io_context context;
  auto done = asio::co_spawn(context, [&]() -> asio::awaitable<std::string> {
    const auto once = co_await asyncCall<"echo">(work, asio::use_awaitable, "a", 2);
    const auto [again] = co_await asyncCall<"echo">(work, asio::as_tuple(asio::use_awaitable), once.value(), 2);
    co_return again.value();
  }, asio::use_future);
  context.run();
  BOOST_TEST(done.get() == "aaaa");
}

BOOST_FIXTURE_TEST_CASE(a_plugin_that_is_gone_or_was_not_found_is_the_calls_error, Loaded) {
  BOOST_TEST((asyncCall<"echo">(manager.find<Work>("work"), asio::use_future, "x", 1).get().error() == Errc::PluginNotFound));
  BOOST_TEST(asyncCall<"echo">(manager.find<Work>("worker"), asio::use_future, "x", 1).get().value() == "x");
  manager.unloadPlugin("worker").value();
  BOOST_TEST((asyncCall<"echo">(work, asio::use_future, "x", 1).get().error() == Errc::PluginUnloaded));
  BOOST_TEST((asyncCall<"thread">(InterfaceHandle<Work>(), asio::use_future).get().error() == Errc::PluginUnloaded));
}

BOOST_FIXTURE_TEST_CASE(a_call_that_has_not_begun_is_cancelled, Loaded) {
  asio::io_context context;
  asio::cancellation_signal signal;
  Worker::counted = 0;
  Error error;
  {
    const BusyRuntime busy;
    asyncCall<"count">(work, asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, [&](expected<void> result) {
      error = result.error();
    })), "x");
    signal.emit(asio::cancellation_type::total);
    context.run();
    BOOST_TEST((error == Errc::Cancelled));
  }
  asyncCall<"thread">(work, asio::use_future).get().value();  // after it in the queue
  BOOST_TEST(Worker::counted == 0);
  signal.emit(asio::cancellation_type::total);  // of nobody
}

BOOST_FIXTURE_TEST_CASE(a_context_that_ends_drops_the_handler_and_the_call, Loaded) {
  const auto held = std::make_shared<int>(0);
  Worker::counted = 0;
  {
    const BusyRuntime busy;
    asio::io_context context;
    asyncCall<"count">(work, asio::bind_executor(context, [held](expected<void>) {}), "x");
  }
  BOOST_TEST(held.use_count() == 1);
  asyncCall<"thread">(work, asio::use_future).get().value();
  BOOST_TEST(Worker::counted == 0);
}

BOOST_AUTO_TEST_SUITE_END()
