#pragma once
// qtforge/core/detail/reload_turns.hpp: who reloads a plugin, and who waits for it, when several ask at once.

#include <qtforge/utils/error.hpp>

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One reload at a time. Who asks while one runs, which may have read the files already, gets what comes of the next, which is
/// one for all who wait for it.
///
/// @par Thread safety  any thread; nothing is called with the lock.
class ReloadTurns {
 public:
  /// @param reload   `expected<void>()`
  /// @param mayWait  `expected<void>()`: asked before it waits; an error is returned at once
  template <class Reload, class MayWait>
  expected<void> run(Reload&& reload, MayWait&& mayWait) {
    std::unique_lock lock(mutex_);
    const auto wanted = begun_ + 1;
    if (running_) {
      lock.unlock();
      if (auto may = mayWait(); !may) return may;
      lock.lock();
    }
    changed_.wait(lock, [&] { return !running_ || done_ >= wanted; });
    if (done_ >= wanted) return result_;
    running_ = true;
    const auto mine = ++begun_;
    lock.unlock();
    auto result = reload();
    lock.lock();
    result_ = result;
    done_ = mine;
    running_ = false;
    changed_.notify_all();
    return result;
  }

  [[nodiscard]] bool running() const {
    std::lock_guard lock(mutex_);
    return running_;
  }

 private:
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool running_ = false;
  std::uint64_t begun_ = 0, done_ = 0;  // reloads
  expected<void> result_;               // of the last
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
