#pragma once
// qtforge/communication/detail/process_root.hpp: makes the process's one runtime, log and bus, and ends them.

#include <qtforge/communication/detail/bus_functions.hpp>
#include <qtforge/utils/detail/debugged_time.hpp>
#include <qtforge/utils/log_sinks.hpp>
#include <qtforge/utils/runtime.hpp>

#include <cstdlib>
#include <unistd.h>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Where the root leads, in the binary that made it and in those built like it. Never destroyed: threads that nobody
/// joins may use it until the process is gone.
class ProcessRoot : public Root {
 public:
  ProcessRoot() : bus_(std::make_shared<BusCore>(ExecutorRef{&executorTable, nullptr}, &logBus)) {
    Root::client = &bus_->host();
    Root::runtime = &runtimeTable;
    Root::log = &logTable;
    Root::bus = &BusFunctions::table;
    Root::busCore = &bus_;
    Root::python = [] { return current().pythonTable.load(std::memory_order_acquire); };
    // Before lanes are waited for, which may be waiting for an answer.
    runtime_.shutdownSteps().add(ShutdownPhase::Python, [this](Deadline) -> std::vector<std::string> {
      bus_->endRequests();
      return {};
    });
    runtime_.shutdownSteps().add(ShutdownPhase::Threads, [this](Deadline deadline) -> std::vector<std::string> {
      bus_->refuse();
      if (runtime_.stop(deadline)) return {};
      return {"a runtime thread"};
    });
  }

  [[nodiscard]] Runtime& runtime() noexcept { return runtime_; }
  [[nodiscard]] LogCore& log() noexcept { return log_; }
  [[nodiscard]] BusCore& bus() noexcept { return *bus_; }
  [[nodiscard]] Shutdown& shutdown() noexcept { return runtime_.shutdownSteps(); }

  /// A sender and owner of subscriptions. Its memory and figures stay, for the next of that name.
  Client* openClient(std::string_view name) {
    std::lock_guard lock(clientsMutex_);
    for (auto& known : clients_)
      if (!known.open && known.client->name() == name) {
        known.open = true;
        return known.client.get();
      }
    clients_.push_back({std::make_unique<Client>(name), true});
    bus_->addClient(clients_.back().client.get());
    return clients_.back().client.get();
  }

  /// Ends what it subscribed while it was initialized; waits for running calls. @return nothing, or Errc::TimedOut if some
  /// run on at the deadline, as the next
  expected<void> endInitialized(Client& client, Deadline deadline) {
    client.initialized.store(false, std::memory_order_relaxed);
    return allEnded(bus_->unsubscribeInitialized(client, deadline));
  }
  /// Ends what it subscribed and its timers; waits for running calls. Where some run on, it may be called again.
  expected<void> closeClient(Client* closing, Deadline deadline) {
    auto running = bus_->unsubscribeAll(*closing, deadline);
    if (!runtime_.stopTimersOf(closing, deadline)) running.push_back("a timer of " + std::string(closing->name()));
    if (auto ended = allEnded(running); !ended) return ended;
    // Publishers may still be about to use an executor that is the client's code: without them its library can go at
    // once. Else it stays mapped, by its lease, until they are done.
    ThreadRecords::instance().synchronize(ThreadRecords::mine(),
                                          std::chrono::steady_clock::now() + std::chrono::milliseconds(500));
    std::lock_guard lock(clientsMutex_);
    for (auto& known : clients_)
      if (known.client.get() == closing) known.open = false;
    return {};
  }

  std::atomic<const PythonTable*> pythonTable{nullptr};
  const pid_t process = getpid();
  std::atomic<void*> interpreter{nullptr};  // python/detail/interpreter.hpp
  DebuggedTime debugged;

  static ProcessRoot& current() noexcept { return *static_cast<ProcessRoot*>(findRoot()); }

 private:
  struct KnownClient {
    std::unique_ptr<Client> client;
    bool open;
  };

  static expected<void> allEnded(const std::vector<std::string>& running) {
    if (running.empty()) return {};
    std::string names;
    for (const auto& name : running) names += (names.empty() ? "" : ", ") + name;
    return Error(Errc::TimedOut, "what it was called for has not ended: " + names);
  }

  static void logBus(std::int32_t level, const std::string& text) {
    logTable.write(nullptr, level, std::string_view("qtforge.bus"), std::string_view(text), {}, 0);
  }

  static const ExecutorTable executorTable;
  static const RuntimeTable runtimeTable;
  static const LogTable logTable;

  Runtime runtime_;
  LogCore log_;
  std::shared_ptr<BusCore> bus_;
  std::mutex clientsMutex_;  // guards clients_
  std::vector<KnownClient> clients_;
};

inline constexpr ExecutorTable ProcessRoot::executorTable{
    [](void*, Task task) { boost::asio::post(current().runtime().executor(), UniqueTask(task)); }, nullptr, nullptr};

inline constexpr RuntimeTable ProcessRoot::runtimeTable{
    [](Task task) { boost::asio::post(current().runtime().executor(), UniqueTask(task)); },
    [](void* client, std::int64_t nanoseconds, bool repeats, Callback tick) {
      return current().runtime().startTimer(client, std::chrono::nanoseconds(nanoseconds), repeats, tick);
    },
    [](std::uintptr_t timer) { current().runtime().stopTimer(timer); }};

inline constexpr LogTable ProcessRoot::logTable{
    [](void* client, std::int32_t level, Text logger, Text message, Text file, std::uint32_t line) {
      auto& log = current().log();
      if (!log.enabled(static_cast<LogLevel>(level))) return;
      if (logger.size == 0 && client) logger = static_cast<Client*>(client)->name();
      log.write({static_cast<LogLevel>(level), logger, message, file, line, std::chrono::system_clock::now()});
    },
    [](std::int32_t level) { return current().log().enabled(static_cast<LogLevel>(level)); }};

inline void endProcess(int status, void*) {
  auto* root = __atomic_load_n(&qtforge_root_v1, __ATOMIC_ACQUIRE);
  if (!root || static_cast<ProcessRoot*>(root)->process != getpid()) return;  // a forked child has none of the threads
  const auto stuck = static_cast<ProcessRoot*>(root)->shutdown().run();
  if (stuck.empty()) return;
  // What is stuck would meet static destructors: leave without them, with what was written so far.
  std::string names;
  for (const auto& name : stuck) names += (names.empty() ? "" : ", ") + name;
  std::fprintf(stderr, "qtforge: did not end in time: %s; leaving without\n", names.c_str());
  std::fflush(nullptr);
  _exit(status);
}

/// Lets the shutdown run before the static destructors of all that is loaded so far: again after each load.
inline void registerExitHook() {
#if defined(__GLIBC__)
  on_exit(&endProcess, nullptr);
#else
  std::atexit([] { endProcess(EXIT_SUCCESS, nullptr); });
#endif
}

inline ProcessRoot& processRoot() noexcept { return ProcessRoot::current(); }

inline Client* openClient(std::string_view name) { return processRoot().openClient(name); }
/// What the client subscribes from here on ends with endInitialized().
inline void beginInitialized(Client& client) noexcept { client.initialized.store(true, std::memory_order_relaxed); }
inline expected<void> endInitialized(Client& client, Deadline deadline) {
  return processRoot().endInitialized(client, deadline);
}
inline expected<void> closeClient(Client* client, Deadline deadline) { return processRoot().closeClient(client, deadline); }

/// Publishes below `qtforge.`, in the library's name.
inline void publishInternal(std::string_view topic, boost::json::value payload) {
  processRoot().bus().publishInternal(topic, std::move(payload));
}

}  // namespace qtforge::inline QTFORGE_ABI::detail

extern "C" __attribute__((weak, visibility("hidden"))) qtforge::detail::Root* qtforge_make_root_v1() {
  auto made = std::make_unique<qtforge::detail::ProcessRoot>();
  qtforge::detail::Root* none = nullptr;
  if (!__atomic_compare_exchange_n(&qtforge_root_v1, &none, static_cast<qtforge::detail::Root*>(made.get()), false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return none;  // another thread was first
  qtforge::detail::registerExitHook();
  return made.release();
}

namespace qtforge::inline QTFORGE_ABI {

inline Runtime& Runtime::instance() { return detail::processRoot().runtime(); }

}  // namespace qtforge::inline QTFORGE_ABI
