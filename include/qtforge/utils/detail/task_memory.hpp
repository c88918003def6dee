#pragma once
// qtforge/utils/detail/task_memory.hpp: memory for tasks that one thread posts and another runs.

#include <qtforge/utils/config.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <new>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Keeps some blocks for the next tasks of this binary, until its static destructors run: when the process or its library
/// ends. @par Thread safety  any thread, then too.
class TaskMemory {
 public:
  static void* take(std::size_t size) {
    if (size > blockSize) return ::operator new(size);
    for (auto& slot : spare()) {
      void* block = slot.load(std::memory_order_relaxed);
      if (block && slot.compare_exchange_strong(block, nullptr, std::memory_order_acq_rel, std::memory_order_relaxed))
        return block;
    }
    return ::operator new(blockSize);
  }

  static void give(void* block, std::size_t size) noexcept {
    static const End end;
    if (size <= blockSize && !ended().load(std::memory_order_relaxed))
      for (auto& slot : spare()) {
        void* none = nullptr;
        if (!slot.load(std::memory_order_relaxed) &&
            slot.compare_exchange_strong(none, block, std::memory_order_acq_rel, std::memory_order_relaxed))
          return;
      }
    ::operator delete(block);
  }

 private:
  static constexpr std::size_t blockSize = 128;  // what Asio needs for a Task, on an executor of any kind
  using Blocks = std::array<std::atomic<void*>, 16>;

  struct End {
    ~End() {
      ended().store(true, std::memory_order_relaxed);
      for (auto& slot : spare()) ::operator delete(slot.exchange(nullptr, std::memory_order_acq_rel));
    }
  };

  // Never destroyed: static destructors post too.
  static Blocks& spare() noexcept {
    static constinit Blocks blocks{};
    return blocks;
  }
  static std::atomic<bool>& ended() noexcept {
    static constinit std::atomic<bool> flag{false};
    return flag;
  }
};

/// An allocator over TaskMemory, for Asio's operations.
template <class T>
class TaskAllocator {
 public:
  using value_type = T;

  TaskAllocator() noexcept = default;
  template <class U>
  TaskAllocator(const TaskAllocator<U>&) noexcept {}

  T* allocate(std::size_t count) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return static_cast<T*>(TaskMemory::take(count * sizeof(T)));
  }
  void deallocate(T* block, std::size_t count) noexcept { TaskMemory::give(block, count * sizeof(T)); }

  friend bool operator==(TaskAllocator, TaskAllocator) noexcept { return true; }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
