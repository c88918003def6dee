#pragma once
// qtforge/python/detail/thread_watch.hpp: which call of foreign Python a thread runs, for those that look on.

#include <qtforge/python/gil.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// `text` for as long as the process lives: for names that are read without the GIL.
inline const char* lastingText(const std::string& text) {
  static auto* mutex = new std::mutex();  // guards texts; a leaf
  static auto* texts = new std::set<std::string>();
  std::lock_guard lock(*mutex);
  return texts->insert(text).first->c_str();
}

/// A call that runs. Those of one thread are a list, the innermost first.
struct RunningCall {
  const RunningCall* outer = nullptr;
  const char* kind = nullptr;  // a literal
  std::string_view name;       // may be empty
};

/// One thread's mark. What is no atomic is touched under the GIL alone, except what says otherwise.
struct ThreadWatch {
  using Milliseconds = std::chrono::milliseconds;

  /// Who looks on.
  enum class Looks : std::uint8_t { Watchdog = 1, Debugger = 2 };
  static inline std::atomic<std::uint8_t> lookers{0};
  static void add(Looks who) noexcept { lookers.fetch_or(static_cast<std::uint8_t>(who), std::memory_order_relaxed); }
  static void remove(Looks who) noexcept {
    lookers.fetch_and(static_cast<std::uint8_t>(~static_cast<unsigned>(who)), std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t> running{0};      // number of the outermost call; 0: none, or it waits for another lane
  std::atomic<const char*> kind{nullptr};     // of the outermost call
  std::atomic<const char*> plugin{nullptr};   // lasting; null: the host
  std::atomic<const char*> lane{nullptr};     // lasting; null: no lane's thread
  std::atomic<std::uint64_t> told{0};         // the call that the log knows of
  std::uint64_t last = 0;                     // this thread's alone
  const RunningCall* top = nullptr;
  unsigned long ident = 0;                    // as Python counts threads
  bool shown = false;                         // to the debugger, for good
  Milliseconds fired{0};                      // how long the outermost call had run when it was stopped; 0: it was not

  struct Seen {  // the watchdog's alone
    std::uint64_t number = 0;
    std::chrono::steady_clock::time_point since, next;
    Milliseconds pause{0};
    bool asked = false;  // for its stack
  } seen;

  std::atomic<bool> used{false};
  ThreadWatch* next = nullptr;  // immutable once linked

  /// The calling thread's.
  [[gnu::always_inline]] static ThreadWatch& mine() {
    if (current_) [[likely]]
      return *current_;
    return attach();
  }
  /// The same, null if it has none yet.
  [[nodiscard]] static ThreadWatch* existing() noexcept { return current_; }

  template <class F>
  static void forEach(F&& f) {
    for (auto* watch = head().load(std::memory_order_acquire); watch; watch = watch->next) f(*watch);
  }

  void begin() noexcept { running.store(++last, std::memory_order_release); }
  void end() noexcept { running.store(0, std::memory_order_release); }

 private:
  // Gives the mark back when its thread ends.
  struct Lease {
    ThreadWatch* watch;
    ~Lease() {
      ended_ = true;
      current_ = nullptr;
      if (!watch) return;
      watch->shown = false;
      watch->lane.store(nullptr, std::memory_order_relaxed);
      watch->used.store(false, std::memory_order_release);
    }
  };

  static std::atomic<ThreadWatch*>& head() noexcept {
    static constinit std::atomic<ThreadWatch*> first{nullptr};
    return first;
  }

  [[gnu::cold, gnu::noinline]] static ThreadWatch& attach() {
    ThreadWatch* watch = nullptr;
    for (watch = head().load(std::memory_order_acquire); watch; watch = watch->next) {
      bool free = false;
      if (watch->used.compare_exchange_strong(free, true, std::memory_order_acq_rel)) break;
    }
    if (!watch) {
      watch = new ThreadWatch();  // for good: the watchdog may look at it at any time
      watch->used.store(true, std::memory_order_relaxed);
      watch->next = head().load(std::memory_order_relaxed);
      while (!head().compare_exchange_weak(watch->next, watch, std::memory_order_acq_rel)) {}
    }
    watch->ident = PyThread_get_thread_ident();
    current_ = watch;
    if (!ended_) lease_.watch = watch;
    return *watch;
  }

  static inline constinit thread_local ThreadWatch* current_ = nullptr;
  static inline constinit thread_local bool ended_ = false;
  static inline thread_local Lease lease_{nullptr};
};

/// While it lives, the thread waits for another lane, whose time is counted there; its own call's time begins anew after it.
class WaitsElsewhere {
 public:
  WaitsElsewhere() noexcept : watch_(ThreadWatch::existing()) {
    if (watch_ && watch_->running.load(std::memory_order_relaxed) == 0) watch_ = nullptr;
    if (watch_) watch_->end();
  }
  WaitsElsewhere(const WaitsElsewhere&) = delete;
  WaitsElsewhere& operator=(const WaitsElsewhere&) = delete;
  ~WaitsElsewhere() {
    if (watch_) watch_->begin();
  }

 private:
  ThreadWatch* watch_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
