#pragma once
// qtforge/communication/detail/deadlines.hpp: the times at which operations give up: one timer for all of a bus.

#include <qtforge/utils/detail/root.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// `timeout` from now; never, where the clock does not reach that far.
inline std::chrono::steady_clock::time_point deadlineAfter(std::chrono::nanoseconds timeout) {
  using Time = std::chrono::steady_clock::time_point;
  const auto now = std::chrono::steady_clock::now();
  return timeout > Time::max() - now ? Time::max() : now + timeout;
}

/// Calls back when a time has come, on a thread of the runtime. Where there is no runtime, or none any more, never.
///
/// @par Thread safety  any thread. Called back without its lock.
class Deadlines : public std::enable_shared_from_this<Deadlines> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Entry;
  using Entries = std::multimap<Time, Entry*>;

  struct Entry {
    /// @param passed  may end the entry's life
    explicit Entry(void (*passed)(Entry* self)) : expired(passed) {}
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    void (*const expired)(Entry* self);

   private:
    friend class Deadlines;
    Entries::iterator place_;  // guarded by the list, as the next
    bool listed_ = false;
  };

  /// Calls `entry` at `when`, unless it is removed before.
  void add(Entry& entry, Time when) {
    std::uintptr_t superseded = 0;
    {
      std::lock_guard lock(mutex_);
      entry.place_ = entries_.emplace(when, &entry);
      entry.listed_ = true;
      if (entry.place_ == entries_.begin() && (!timer_ || when < armedFor_)) superseded = arm();
    }
    stopTimer(superseded);
  }

  /// False: it was not there, or is or will be called.
  bool remove(Entry& entry) {
    std::lock_guard lock(mutex_);
    if (!entry.listed_) return false;
    entry.listed_ = false;
    entries_.erase(entry.place_);
    return true;
  }

  /// Calls none any more.
  void stop() {
    std::uintptr_t last;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      ++generation_;
      last = std::exchange(timer_, 0);
    }
    stopTimer(last);
  }

 private:
  struct Tick {
    std::shared_ptr<Deadlines> owner;
    std::uint64_t generation;
  };

  // For the earliest. @return the timer before, to be stopped without the lock: that waits for its tick
  std::uintptr_t arm() {
    const auto before = std::exchange(timer_, 0);
    ++generation_;
    const auto* root = findRoot();
    if (stopped_ || !root || entries_.empty()) return before;
    armedFor_ = entries_.begin()->first;
    const auto left = std::max(armedFor_ - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration(1));
    const Callback tick{new Tick{shared_from_this(), generation_},
                        [](void* self) {
                          const Tick mine = *static_cast<Tick*>(self);  // its timer is stopped here
                          mine.owner->tick(mine.generation);
                        },
                        [](void* self) { delete static_cast<Tick*>(self); }};
    timer_ = root->runtime->startTimer(nullptr, std::chrono::nanoseconds(left).count(), false, tick);
    if (!timer_) tick.destroy(tick.self);
    return before;
  }

  static void stopTimer(std::uintptr_t timer) {
    if (timer) findRoot()->runtime->stopTimer(timer);
  }

  void tick(std::uint64_t generation) {
    std::vector<Entry*> due;
    std::uintptr_t mine = 0;
    {
      std::lock_guard lock(mutex_);
      if (generation != generation_) return;  // superseded
      const auto end = entries_.upper_bound(std::chrono::steady_clock::now());
      for (auto at = entries_.begin(); at != end; ++at) {
        at->second->listed_ = false;
        due.push_back(at->second);
      }
      entries_.erase(entries_.begin(), end);
      mine = arm();
    }
    stopTimer(mine);
    for (auto* entry : due) entry->expired(entry);
  }

  std::mutex mutex_;  // guards all below
  Entries entries_;
  std::uintptr_t timer_ = 0;  // the runtime's, of the present generation
  Time armedFor_;
  std::uint64_t generation_ = 0;
  bool stopped_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
