#pragma once
// qtforge/communication/detail/thread_record.hpp: what a thread reads and calls, so that others know when it is safe to
// free what it could still see, and to end what it could still be calling.
//
// Readers mark their record with plain stores; the rare writers make those stores visible with membarrier(2) and look at
// all records (epoch-based reclamation, with hazard slots for the calls). Without membarrier readers pay a full fence.

#include <qtforge/communication/detail/message_clock.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__) && !defined(__SANITIZE_THREAD__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#define QTFORGE_DETAIL_MEMBARRIER 1
#endif

namespace qtforge::inline QTFORGE_ABI::detail {

class HandlerCalls;
class ThreadRecords;
struct MessageRecord;
class MessageBlock;
struct MessageBuild;

/// What waits until the thread calls fewer handlers.
struct Deferred {
  Deferred* next = nullptr;
  void (*resume)(Deferred* self) = nullptr;
};

/// How far a thread has filled its block of memory for messages; see message_block.hpp.
struct FilledBlock {
  MessageBlock* block = nullptr;
  std::uint32_t lines = 0, messages = 0;
  MessageBlock* spare = nullptr;  // the next ones
};

/// Handlers that call publish for Direct handlers, and so on: deeper is refused before the stack is.
inline constexpr std::size_t maxNestedCalls = 32;

/// One thread's marks. Written by that thread alone, read by those that free or end something.
struct alignas(64) ThreadRecord {
  std::atomic<std::uint64_t> epoch{0};  // 0: reads nothing
  std::uint32_t readDepth = 0;
  std::uint32_t callDepth = 0;
  std::uint32_t destroying = 0;  // handlers whose destructors run
  std::array<std::atomic<HandlerCalls*>, maxNestedCalls> calls{};
  Deferred* deferred = nullptr;  // turns that would nest too deeply
  std::uint64_t messages = 0;   // made by this thread
  MessageClock clock;           // of those
  std::atomic<std::uint64_t> nested{0};  // publishes from inside handlers
  std::uint64_t number = 0;     // of this record, unique
  bool fences = true;           // without membarrier
  std::atomic<bool> used{false};
  ThreadRecords* all = nullptr;               // that it is one of; immutable
  ThreadRecord* next = nullptr;               // immutable once linked
  HandlerCalls* waitingFor = nullptr;         // guarded by ThreadRecords::waitMutex()
  std::atomic<const void*> serves{nullptr};   // what this thread alone runs, see SubscribeArgs::servedBy
  MessageRecord* spare = nullptr;             // memory of dead messages, for the next ones
  std::uint32_t spareCount = 0;
  void (*freeSpare)(ThreadRecord& record) = nullptr;  // when the thread ends, once it has made a message
  FilledBlock filled;
  MessageBuild* build = nullptr;              // the message that it builds; see message_arena.hpp
  std::uint32_t buildSize = 256;              // bytes that such messages needed lately
  alignas(64)  // written by others
      std::atomic<MessageRecord*> returned{nullptr};  // dead messages that this thread made; see message_record.hpp
  std::atomic<std::uint32_t> returnedCount{0};    // about
  std::atomic<MessageBlock*> returnedBlocks{nullptr};
  std::atomic<std::uint32_t> returnedBlockCount{0};  // about

  /// Orders this thread's mark before its following reads, against heavyBarrier() of others.
  void lightBarrier() const noexcept;
};

/// All records of this binary and what waits to be freed. Lives as long as the process.
class ThreadRecords {
 public:
  static ThreadRecords& instance() {
    static auto* records = new ThreadRecords();  // never destroyed: threads may outlive static destructors
    return *records;
  }

  /// The calling thread's record.
  [[gnu::always_inline]] static ThreadRecord& mine() {
    if (current_) [[likely]]
      return *current_;
    return instance().attach();
  }

  /// Makes what all threads did before visible here, against lightBarrier() of theirs.
  void heavyBarrier() const noexcept {
#if defined(QTFORGE_DETAIL_MEMBARRIER)
    if (asymmetric_) {
      syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
      return;
    }
#endif
    fullFence();
  }

  void fullFence() const noexcept {
    fence_.fetch_add(0, std::memory_order_seq_cst);  // a fence that ThreadSanitizer understands
  }

  /// Calls `free(object)` once no thread reads what it could see now.
  void retire(void* object, void (*free)(void*)) {
    const auto epoch = epoch_.fetch_add(1, std::memory_order_acq_rel);
    std::lock_guard lock(retiredMutex_);
    retired_.push_back({object, free, epoch});
  }

  /// Frees what can be freed of the retired. Call without locks: frees run here.
  void reclaim() {
    std::vector<Retired> free;
    {
      std::lock_guard lock(retiredMutex_);
      if (retired_.empty()) return;
      heavyBarrier();
      std::uint64_t oldest = UINT64_MAX;
      forEach([&](ThreadRecord& record) {
        const auto epoch = record.epoch.load(std::memory_order_acquire);
        if (epoch != 0 && epoch < oldest) oldest = epoch;
      });
      std::erase_if(retired_, [&](const Retired& item) {
        if (item.epoch >= oldest) return false;
        free.push_back(item);
        return true;
      });
    }
    for (const auto& item : free) item.free(item.object);
  }

  /// Waits until all readers that are under way have left, the caller's own reading aside, then frees the retired. For
  /// code that goes away with its library; false, and some of it may still be needed, at the deadline.
  bool synchronize(const ThreadRecord& mine, std::chrono::steady_clock::time_point deadline) {
    const auto before = epoch_.fetch_add(1, std::memory_order_acq_rel);
    heavyBarrier();
    for (;;) {
      bool reading = false;
      forEach([&](ThreadRecord& record) {
        const auto epoch = record.epoch.load(std::memory_order_acquire);
        reading = reading || (&record != &mine && epoch != 0 && epoch <= before);
      });
      if (!reading) break;
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    reclaim();
    return true;
  }

  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

  template <class F>
  void forEach(F&& f) const {
    for (auto* record = head_.load(std::memory_order_acquire); record; record = record->next) f(*record);
  }

  /// Guards the waits for calls to end, and who waits for whom.
  std::mutex& waitMutex() noexcept { return waitMutex_; }

 private:
  struct Retired {
    void* object;
    void (*free)(void*);
    std::uint64_t epoch;
  };

  // Gives the record back when its thread ends.
  struct Lease {
    ThreadRecord* record;
    ~Lease() {
      ended_ = true;
      if (record && record->freeSpare) record->freeSpare(*record);
      if (record) record->used.store(false, std::memory_order_release);
      current_ = nullptr;
    }
  };

  ThreadRecords() {
#if defined(QTFORGE_DETAIL_MEMBARRIER)
    asymmetric_ = syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
  }

  [[gnu::cold, gnu::noinline]] ThreadRecord& attach() {
    ThreadRecord* record = nullptr;
    for (record = head_.load(std::memory_order_acquire); record; record = record->next) {
      bool free = false;
      if (record->used.compare_exchange_strong(free, true, std::memory_order_acq_rel)) break;
    }
    if (!record) {
      record = new ThreadRecord();
      record->all = this;
      record->used.store(true, std::memory_order_relaxed);
      record->fences = !asymmetric_;
      record->number = count_.fetch_add(1, std::memory_order_relaxed) + 1;
      record->next = head_.load(std::memory_order_relaxed);
      while (!head_.compare_exchange_weak(record->next, record, std::memory_order_acq_rel)) {}
    }
    current_ = record;
    // A thread that publishes from its last destructors keeps its record for good.
    if (!ended_) lease_.record = record;
    return *record;
  }

  static inline constinit thread_local ThreadRecord* current_ = nullptr;
  static inline constinit thread_local bool ended_ = false;
  static inline thread_local Lease lease_{nullptr};

  std::atomic<ThreadRecord*> head_{nullptr};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> epoch_{1};
  mutable std::atomic<std::uint64_t> fence_{0};
  bool asymmetric_ = false;
  std::mutex retiredMutex_;  // guards retired_
  std::vector<Retired> retired_;
  std::mutex waitMutex_;
};

[[gnu::always_inline]] inline void ThreadRecord::lightBarrier() const noexcept {
  if (fences) [[unlikely]]
    all->fullFence();
  else
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// While it lives, nothing that this thread finds in a shared structure is freed. Nests.
class ReadSection {
 public:
  explicit ReadSection(ThreadRecord& record) noexcept : record_(record) {
    if (record_.readDepth++ == 0) {
      record_.epoch.store(record_.all->epoch(), std::memory_order_release);
      record_.lightBarrier();
    }
  }
  ReadSection(const ReadSection&) = delete;
  ReadSection& operator=(const ReadSection&) = delete;
  ~ReadSection() {
    if (--record_.readDepth == 0) record_.epoch.store(0, std::memory_order_release);
  }

 private:
  ThreadRecord& record_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
