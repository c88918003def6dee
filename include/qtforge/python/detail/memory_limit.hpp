#pragma once
// qtforge/python/detail/memory_limit.hpp: how much memory Python's allocators may hold.

#include <qtforge/python/detail/memory_reserve.hpp>
#include <qtforge/python/gil.hpp>
#include <qtforge/utils/log.hpp>
#include <qtforge/utils/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iterator>
#include <malloc.h>
#include <string>
#include <unistd.h>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// "12.5 MiB"
inline std::string shownBytes(double bytes) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g %s", bytes, units[unit]);
  return text;
}

/// Counts what Python's allocators take from those of C, and refuses what would go over the limit: whoever asks gets a
/// MemoryError.
///
/// It is behind the allocators of arenas and of what does not fit in one; small objects are made in arenas, and cost
/// nothing. There are three reserves: one for small objects, since Python itself copes best with the refusal of large ones,
/// the next for all once something was refused, so that who handles the MemoryError finds memory, and one more for
/// those who hold a MemoryReserve.
/// @par Thread safety  any thread, with or without the GIL.
class MemoryLimit {
 public:
  /// Python takes more than half of that for itself.
  static constexpr std::int64_t least = std::int64_t(16) << 20;

  /// Who is to blame for what this thread asks for: a plugin's name, or null.
  using Asker = const char* (*)();

  /// Counts from now on. Between Py_PreInitialize, with an allocator over malloc, and Py_InitializeFromConfig, once; it is
  /// there for good then.
  explicit MemoryLimit(Asker asker) : asker_(asker) {
    PyMemAllocatorEx objects;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw_);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &objects);
    PyObject_GetArenaAllocator(&arenas_);
    PyMemAllocatorEx ours{this, &MemoryLimit::allocate, &MemoryLimit::allocateZeroed, &MemoryLimit::resize, &MemoryLimit::release};
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &ours);
    if (objects.malloc == raw_.malloc)  // without arenas
      for (const auto domain : {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ}) PyMem_SetAllocator(domain, &ours);
    PyObjectArenaAllocator ourArenas{this, &MemoryLimit::allocateArena, &MemoryLimit::releaseArena};
    PyObject_SetArenaAllocator(&ourArenas);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

  /// Refuses from now on: not before Python runs, which would end the process for lack of memory.
  void set(std::int64_t bytes) noexcept {
    reserve_ = std::clamp(bytes / 16, std::int64_t(1) << 20, std::int64_t(16) << 20);
    limit_.store(bytes, std::memory_order_release);
  }

  /// Refuses nothing any more: for the end, whose code must run.
  void lift() noexcept { limit_.store(INT64_MAX / 2, std::memory_order_release); }

  [[nodiscard]] std::int64_t used() const noexcept { return std::max<std::int64_t>(used_.load(std::memory_order_relaxed), 0); }

 private:
  static MemoryLimit& of(void* self) noexcept { return *static_cast<MemoryLimit*>(self); }
  static std::int64_t sizeOf(void* block) noexcept { return static_cast<std::int64_t>(malloc_usable_size(block)); }

  static void* allocate(void* self, std::size_t size) noexcept {
    auto& limit = of(self);
    if (!limit.admits(size)) return nullptr;
    return limit.taken(limit.raw_.malloc(limit.raw_.ctx, size));
  }

  static void* allocateZeroed(void* self, std::size_t count, std::size_t size) noexcept {
    auto& limit = of(self);
    if (size != 0 && count > SIZE_MAX / size) return nullptr;
    if (!limit.admits(count * size)) return nullptr;
    return limit.taken(limit.raw_.calloc(limit.raw_.ctx, count, size));
  }

  static void* resize(void* self, void* block, std::size_t size) noexcept {
    auto& limit = of(self);
    const auto before = block ? sizeOf(block) : 0;
    if (size > static_cast<std::size_t>(before) && !limit.admits(size - static_cast<std::size_t>(before))) return nullptr;
    void* const resized = limit.raw_.realloc(limit.raw_.ctx, block, size);
    if (!resized) return nullptr;
    const auto grown = sizeOf(resized) - before;
    if (grown >= 0) limit.used_.fetch_add(grown, std::memory_order_relaxed);
    else limit.given(-grown);
    return resized;
  }

  static void release(void* self, void* block) noexcept {
    auto& limit = of(self);
    if (block) limit.given(sizeOf(block));
    limit.raw_.free(limit.raw_.ctx, block);
  }

  static void* allocateArena(void* self, std::size_t size) noexcept {
    auto& limit = of(self);
    if (!limit.hasRoom(size)) return nullptr;  // no refusal: the object is asked for by itself then
    void* const arena = limit.arenas_.alloc(limit.arenas_.ctx, size);
    if (arena) limit.used_.fetch_add(static_cast<std::int64_t>(size), std::memory_order_relaxed);
    return arena;
  }

  static void releaseArena(void* self, void* arena, std::size_t size) noexcept {
    auto& limit = of(self);
    limit.arenas_.free(limit.arenas_.ctx, arena, size);
    limit.given(static_cast<std::int64_t>(size));
  }

  void* taken(void* block) noexcept {
    if (block) used_.fetch_add(sizeOf(block), std::memory_order_relaxed);
    return block;
  }

  void given(std::int64_t size) noexcept {
    const auto left = used_.fetch_sub(size, std::memory_order_relaxed) - size;
    if (refused_.load(std::memory_order_relaxed) && left < limit_.load(std::memory_order_relaxed) - reserve_) [[unlikely]]
      refused_.store(false, std::memory_order_relaxed);
  }

  [[nodiscard]] bool hasRoom(std::size_t more, std::int64_t reserve = 0) const noexcept {
    const auto left = limit_.load(std::memory_order_acquire) + reserve - used_.load(std::memory_order_relaxed);
    return left >= 0 && more <= static_cast<std::size_t>(left);
  }

  [[nodiscard]] bool admits(std::size_t more) noexcept {
    if (hasRoom(more)) [[likely]]
      return true;
    return admitsFromReserves(more);
  }

  [[gnu::cold, gnu::noinline]] bool admitsFromReserves(std::size_t more) noexcept {
    constexpr std::size_t small = 512;  // what Python makes in arenas
    const int reserves = (refused_.load(std::memory_order_relaxed) ? 2 : more <= small ? 1 : 0) + (MemoryReserve::isOpen() ? 1 : 0);
    if (hasRoom(more, reserves * reserve_)) return true;
    refused_.store(true, std::memory_order_relaxed);
    const auto times = refusals_.fetch_add(1, std::memory_order_relaxed) + 1;
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    auto last = lastTold_.load(std::memory_order_relaxed);
    constexpr std::chrono::steady_clock::duration pause = std::chrono::seconds(1);
    if ((times == 1 || now - last >= pause.count()) && lastTold_.compare_exchange_strong(last, now, std::memory_order_relaxed))
      tell(more, times);
    return false;
  }

  // Later, on a thread of the runtime: this one may hold whatever there is to hold.
  void tell(std::size_t more, std::uint64_t times) noexcept {
    const auto* root = qtforge::detail::findRoot();
    if (!root || getpid() != process_) return;
    try {
      const char* plugin = asker_();
      root->runtime->post(qtforge::detail::Task::of(
          [plugin, more, times, used = used(), limit = limit_.load(std::memory_order_relaxed)] {
            Logger("qtforge.python")
                .error((plugin ? "plugin '" + std::string(plugin) + "'" : std::string("Python code")) + " asked for " +
                       shownBytes(static_cast<double>(more)) + " more while Python has " + shownBytes(static_cast<double>(used)) +
                       " of the " + shownBytes(static_cast<double>(limit)) + " that it may have (maxMemoryUsage): a MemoryError was raised, " + std::to_string(times) +
                       " so far");
          }));
    } catch (const std::exception&) {
      // No memory in C++ either: whoever asked still gets the MemoryError.
    }
  }

  const Asker asker_;
  const pid_t process_ = getpid();  // a child after fork has no runtime
  PyMemAllocatorEx raw_{};
  PyObjectArenaAllocator arenas_{};
  std::int64_t reserve_ = 0;
  std::atomic<std::int64_t> limit_{INT64_MAX / 2};
  std::atomic<std::int64_t> used_{0};  // what was taken before it was there is not in it
  std::atomic<bool> refused_{false};  // since there was enough
  std::atomic<std::uint64_t> refusals_{0};
  std::atomic<std::chrono::steady_clock::rep> lastTold_{0};
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
