#pragma once
// qtforge/core/detail/plugin_ledger.hpp: what a plugin wants to have done when it ends, and its store.

#include <qtforge/core/store.hpp>
#include <qtforge/utils/log.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// @par Thread safety  any thread; nothing is called with its lock.
class PluginLedger {
 public:
  /// Has `f` called when what was begun since beginInitialize(), or everything, is taken back. False after the latter.
  bool add(std::function<void()> f) {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    (initialized_ ? atCleanup_ : atEnd_).push_back(std::move(f));
    return true;
  }

  void beginInitialize() {
    std::lock_guard lock(mutex_);
    initialized_ = true;
  }

  /// Calls what was added since beginInitialize(), the last first. What one throws is logged, and the others follow.
  void endCleanup(const Logger& log) {
    std::unique_lock lock(mutex_);
    initialized_ = false;
    auto functions = std::exchange(atCleanup_, {});
    lock.unlock();
    callAll(functions, log);
  }

  /// Calls all that is left likewise, and ends the store.
  void end(const Logger& log) {
    std::unique_lock lock(mutex_);
    ended_ = true;
    auto first = std::exchange(atCleanup_, {}), then = std::exchange(atEnd_, {});
    lock.unlock();
    callAll(first, log);
    callAll(then, log);
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
    if (ended_) return Error(Errc::PluginUnloaded, "store: the plugin is being unloaded");
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
  static void callAll(std::vector<std::function<void()>>& functions, const Logger& log) {
    for (; !functions.empty(); functions.pop_back()) {
      Error error;
      const auto done = guarded(sinkInto(error), [&]() -> expected<void> {
        functions.back()();
        return {};
      });
      if (done != 0) log.error("a function of onUnload failed: " + error.message());
    }
  }

  std::mutex mutex_;  // guards all below
  bool initialized_ = false, ended_ = false;
  std::vector<std::function<void()>> atCleanup_, atEnd_;
  std::shared_ptr<StoreCore> store_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
