#pragma once
// qtforge/core/detail/plugin_ledger.hpp: what is taken back from a plugin in C++: functions, timers, subscriptions, threads, its store.

#include <qtforge/communication/subscription.hpp>
#include <qtforge/core/detail/plugin_thread.hpp>
#include <qtforge/core/store.hpp>
#include <qtforge/utils/log.hpp>
#include <qtforge/utils/timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What is added after beginInitialize() is taken back by endCleanup(), the rest by end(): the threads are told to end,
/// timers and subscriptions end and functions are called, the newest first, then the threads are waited for. After end() nothing is
/// added: Errc::PluginUnloaded.
/// @par Thread safety  any thread; nothing is called with its lock.
class PluginLedger {
 public:
  PluginLedger() = default;
  PluginLedger(const PluginLedger&) = delete;
  PluginLedger& operator=(const PluginLedger&) = delete;

  expected<void> onUnload(std::function<void()> f) {
    const auto key = add("onUnload", std::move(f));
    return key ? expected<void>() : expected<void>(key.error());
  }

  expected<void> every(std::chrono::nanoseconds interval, std::function<void()> f) {
    const auto key = add("every");
    return key ? keep(*key, &Entry::timer, Timer::every(interval, std::move(f))) : expected<void>(key.error());
  }

  expected<void> later(std::chrono::nanoseconds delay, std::function<void()> f) {
    const auto key = add("later");
    if (!key) return key.error();
    return keep(*key, &Entry::timer, Timer::once(delay, [this, key = *key, f = std::move(f)] {
                  const auto mine = extract(key);  // stopped once the call is over
                  f();
                }));
  }

  expected<void> subscribe(expected<Subscription> made) {
    const auto key = add("subscribe");
    return key ? keep(*key, &Entry::subscription, std::move(made)) : expected<void>(key.error());
  }

  expected<void> runInThread(std::function<void(StopSignal)> f, Logger log) {
    std::lock_guard lock(mutex_);
    if (ended_) return isEnded("runInThread");
    std::erase_if(threads_, [](const Thread& known) { return known.thread.isOver(); });
    auto started = PluginThread::start(std::move(f), std::move(log));
    if (!started) return started.error();
    threads_.push_back({std::move(*started), initialized_});
    return {};
  }

  /// @param services  outlive this
  expected<void> offer(const PluginServices& services, std::string name, const OfferedObject& object) {
    Error error;
    if (services.offer(services.others, std::string_view(name), &object, sinkInto(error)) != 0) return error;
    const auto key = add("offer", [&services, name] { services.withdraw(services.others, std::string_view(name)); });
    if (key) return {};
    services.withdraw(services.others, std::string_view(name));
    return key.error();
  }

  void beginInitialize() {
    std::lock_guard lock(mutex_);
    initialized_ = true;
  }

  void endCleanup(const Logger& log) {
    {
      std::lock_guard lock(mutex_);
      initialized_ = false;
    }
    takeBack(true, log);
  }

  void end(const Logger& log) {
    std::unique_lock lock(mutex_);
    ended_ = true;
    lock.unlock();
    takeBack(true, log);
    takeBack(false, log);
    lock.lock();
    const auto store = std::exchange(store_, nullptr);
    lock.unlock();
    if (!store) return;
    std::lock_guard storeLock(store->mutex);
    store->services = nullptr;
  }

  /// The store, read when it is first asked for. Errors: see IPlugin::store.
  expected<std::shared_ptr<StoreCore>> store(const PluginServices& services) {
    std::lock_guard lock(mutex_);
    if (ended_) return isEnded("store");
    if (store_) return store_;
    boost::json::value values;
    Error error;
    if (services.readStore(services.self, &values, sinkInto(error)) != 0) return error;
    auto store = std::make_shared<StoreCore>();
    store->services = &services;
    store->values = std::move(values.as_object());
    return store_ = std::move(store);
  }

 private:
  struct Entry {
    bool initialized = false;  // begun since beginInitialize()
    std::function<void()> takeBack;  // or
    Timer timer;                     // or
    Subscription subscription;
  };
  struct Thread {
    PluginThread thread;
    bool initialized;
  };

  /// How long threads are waited for before the log says so.
  static constexpr std::chrono::seconds patience{2};

  static Error isEnded(const char* what) {
    return Error(Errc::PluginUnloaded, std::string(what) + ": the plugin is being unloaded");
  }

  expected<std::uint64_t> add(const char* what, std::function<void()> f = {}) {
    std::lock_guard lock(mutex_);
    if (ended_) return isEnded(what);
    entries_.try_emplace(++last_, Entry{initialized_, std::move(f), {}, {}});
    return last_;
  }

  template <class T>
  expected<void> keep(std::uint64_t key, T Entry::*place, expected<T> made) {
    if (!made) {
      (void)extract(key);
      return made.error();
    }
    std::lock_guard lock(mutex_);
    // Else it has called, or was taken back, meanwhile.
    if (const auto entry = entries_.find(key); entry != entries_.end()) entry->second.*place = std::move(*made);
    return {};
  }

  std::map<std::uint64_t, Entry>::node_type extract(std::uint64_t key) {
    std::lock_guard lock(mutex_);
    return entries_.extract(key);
  }

  void takeBack(bool initialized, const Logger& log) {
    std::vector<Entry> entries;
    std::vector<Thread> threads;
    {
      std::lock_guard lock(mutex_);
      for (auto& [key, entry] : entries_)
        if (entry.initialized == initialized) entries.push_back(std::move(entry));
      std::erase_if(entries_, [&](const auto& entry) { return entry.second.initialized == initialized; });
      for (auto& thread : threads_)
        if (thread.initialized == initialized) threads.push_back(std::move(thread));
      std::erase_if(threads_, [&](const auto& thread) { return thread.initialized == initialized; });
    }
    for (const auto& [thread, _] : threads) thread.requestStop();
    for (; !entries.empty(); entries.pop_back()) {
      auto& last = entries.back();
      last.timer.stop();
      last.subscription.unsubscribe();
      if (last.takeBack) call(last.takeBack, log);
    }
    for (const auto& [thread, _] : threads)
      if (!thread.waitFor(patience))
        log.warning("a thread that it started does not end, and is waited for: its function should return when its "
                    "StopSignal asks for it");
  }

  static void call(const std::function<void()>& f, const Logger& log) {
    Error error;
    const auto done = guarded(sinkInto(error), [&]() -> expected<void> {
      f();
      return {};
    });
    if (done != 0) log.error("a function of onUnload failed: " + error.message());
  }

  std::mutex mutex_;  // guards all below
  bool initialized_ = false, ended_ = false;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Entry> entries_;  // by age
  std::vector<Thread> threads_;
  std::shared_ptr<StoreCore> store_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
