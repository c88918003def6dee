#pragma once
// qtforge/communication/detail/message_block.hpp: memory for small messages: one thread fills a block of it in order, so
// that publisher and consumer go through lines that follow each other; it is used again when all in it are dead.

#include <qtforge/communication/detail/thread_record.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::size_t cacheLine = 64;

// Only a hint: any address may be given.
inline void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

inline void prefetchToWrite(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address, 1);
#else
  (void)address;
#endif
}

/// A page for some dozens of messages. One that lives long keeps it from being used again: at most `mostLines` lines are
/// given to one message, and what a message holds beyond them is freed with it.
///
/// @par Thread safety  take and trim by the owner of `maker` alone, letGo on any thread.
class MessageBlock {
 public:
  static constexpr std::size_t mostLines = 16;  // for one message

  /// Memory of `count` cache lines, at most mostLines, for one message.
  static void* take(std::size_t count, ThreadRecord& maker) {
    auto& filled = maker.filled;
    if (!filled.block || filled.lines + count > lines) [[unlikely]]
      beginNext(maker);
    auto* place = filled.block->memory_ + filled.lines * cacheLine;
    for (std::size_t ahead = 0; ahead < 2; ++ahead) prefetchToWrite(place + (linesAhead + ahead) * cacheLine);
    filled.lines += static_cast<std::uint32_t>(count);
    ++filled.messages;
    return place;
  }

  /// Gives back the lines from `used` on of what was taken last, which ends at `end`; nothing if it was not the last.
  static void trim(ThreadRecord& maker, const void* end, const void* used) noexcept {
    auto& filled = maker.filled;
    const auto lineOf = [](const void* at) { return (reinterpret_cast<std::uintptr_t>(at) + cacheLine - 1) / cacheLine; };
    if (!filled.block || lineOf(end) != lineOf(filled.block->memory_) + filled.lines) return;
    filled.lines -= static_cast<std::uint32_t>(lineOf(end) - lineOf(used));
  }

  /// The block of what take() gave.
  static MessageBlock& of(void* message) noexcept {
    return *reinterpret_cast<MessageBlock*>(reinterpret_cast<std::uintptr_t>(message) & ~(size - 1));
  }

  /// `count` messages in it are dead.
  void letGo(std::int32_t count) {
    if (alive_.fetch_sub(count, std::memory_order_acq_rel) == count) giveBack();
  }

  /// Frees what the thread keeps. @return how many blocks
  static std::size_t freeSpare(ThreadRecord& maker) {
    if (auto* block = maker.filled.block) block->letGo(beingFilled - static_cast<std::int32_t>(maker.filled.messages));
    std::size_t count = 0;
    for (auto* block : {maker.filled.spare, maker.returnedBlocks.exchange(nullptr, std::memory_order_acquire)})
      for (; block; ++count) delete std::exchange(block, block->next_);
    maker.returnedBlockCount.store(0, std::memory_order_relaxed);
    maker.filled = {};
    return count;
  }

 private:
  static constexpr std::uintptr_t size = 4096;
  static constexpr std::size_t lines = size / cacheLine - 1;
  static constexpr std::size_t linesAhead = 6;
  static constexpr std::uint32_t mostSpare = 32;           // blocks of one thread
  static constexpr std::int32_t beingFilled = 1 << 30;     // counts as messages

  explicit MessageBlock(ThreadRecord& maker) : maker_(maker) {}

  static void beginNext(ThreadRecord& maker) {
    auto& filled = maker.filled;
    if (filled.block) filled.block->letGo(beingFilled - static_cast<std::int32_t>(filled.messages));
    if (!filled.spare && maker.returnedBlocks.load(std::memory_order_relaxed)) {
      maker.returnedBlockCount.store(0, std::memory_order_relaxed);
      filled.spare = maker.returnedBlocks.exchange(nullptr, std::memory_order_acquire);
    }
    if (auto* spare = filled.spare) {
      filled.spare = spare->next_;
      spare->alive_.store(beingFilled, std::memory_order_relaxed);
      filled.block = spare;
    } else {
      filled.block = nullptr;  // if there is no memory
      filled.block = new MessageBlock(maker);
    }
    filled.lines = filled.messages = 0;
  }

  void giveBack() {
    const bool wanted = maker_.used.load(std::memory_order_relaxed) &&
                        maker_.returnedBlockCount.fetch_add(1, std::memory_order_relaxed) < mostSpare;
    if (!wanted) {
      delete this;
      return;
    }
    auto& returned = maker_.returnedBlocks;
    next_ = returned.load(std::memory_order_relaxed);
    while (!returned.compare_exchange_weak(next_, this, std::memory_order_release, std::memory_order_relaxed)) {}
  }

  static void* operator new(std::size_t) { return ::operator new(size, std::align_val_t(size)); }
  static void operator delete(void* memory) { ::operator delete(memory, std::align_val_t(size)); }

  std::atomic<std::int32_t> alive_{beingFilled};
  ThreadRecord& maker_;
  MessageBlock* next_ = nullptr;  // of those that are not in use
  alignas(cacheLine) std::byte memory_[lines * cacheLine];
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
