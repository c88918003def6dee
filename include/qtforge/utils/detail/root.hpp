#pragma once
// qtforge/utils/detail/root.hpp: the one pointer of a binary through which it sees the process's runtime and bus.

#include <qtforge/utils/detail/abi.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

struct BusTable;     // communication/detail/bus_table.hpp
struct PythonTable;  // python/detail/python_table.hpp

/// The runtime's services.
struct RuntimeTable {
  void (*post)(Task task);
  /// Calls `tick` every `nanoseconds` on a runtime thread, never two at a time; or once, and destroys it then. `client`
  /// owns it. Its number; 0, the tick left to the caller, when the process is ending.
  std::uintptr_t (*startTimer)(void* client, std::int64_t nanoseconds, bool repeats, Callback tick);
  /// Ends it, waits for a call that runs on another thread and destroys the tick. Nothing for one that was stopped.
  void (*stopTimer)(std::uintptr_t timer);
};

/// The log's entry and its current threshold.
struct LogTable {
  void (*write)(void* client, std::int32_t level, Text logger, Text message, Text file, std::uint32_t line);
  bool (*enabled)(std::int32_t level);
};

/// Append-only: `size` tells what is there. Every native plugin gets a copy of its own, with its own `client`.
struct Root {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(Root);
  const char* abiTag = QTFORGE_ABI_TAG;
  void* client = nullptr;  // identity: the sender of what is published, the owner of what is subscribed
  const RuntimeTable* runtime = nullptr;
  const LogTable* log = nullptr;
  const BusTable* bus = nullptr;
  void* busCore = nullptr;
  const PythonTable* (*python)() = nullptr;  // null while there is no interpreter
};

}  // namespace qtforge::inline QTFORGE_ABI::detail

extern "C" {
// One per binary, merged by the linker only where a program and its own shared libraries export it and are built alike:
// for the linker it has the settings in its name. A plugin's stays local and is filled by its entry. Read with __atomic
// builtins: the first creator wins.
extern qtforge::detail::Root* qtforge_root_v1 __asm__(
    "qtforge_root_v1.boost" QTFORGE_DETAIL_TEXT(BOOST_VERSION) "." QTFORGE_DETAIL_DEBUG "." QTFORGE_DETAIL_SANITIZER);
__attribute__((weak, visibility("default"))) qtforge::detail::Root* qtforge_root_v1 = nullptr;

// Defined by the host headers (qtforge/host.hpp); absent in a plugin, which never makes a root.
__attribute__((weak, visibility("hidden"))) qtforge::detail::Root* qtforge_make_root_v1();
}

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

/// The root if there is one or this binary may make it, else null.
inline Root* findRoot() noexcept {
  Root* root = __atomic_load_n(&qtforge_root_v1, __ATOMIC_ACQUIRE);
  if (root) [[likely]]
    return root;
  return qtforge_make_root_v1 ? qtforge_make_root_v1() : nullptr;
}

inline Error noRuntime() {
  return Error(Errc::NoRuntime,
               "this binary has no qtforge runtime yet: a plugin gets the host's when it is loaded (not in static "
               "initialisers), a shared library by qtforge::join(root), a program by including qtforge/qtforge.hpp or "
               "qtforge/host.hpp in one of its files");
}

}  // namespace detail

/// Gives this shared library the runtime of `root`, which the host got from qtforge::root(). For libraries that the
/// application loads with dlopen; plugins and libraries linked to the program need no call.
///
/// @return nothing, or
///   - Errc::InvalidArgument  for null
///   - Errc::AbiMismatch      if the host was built with other settings: both are named
/// @par Thread safety  any thread; a second call with the same root does nothing.
inline expected<void> join(void* root) {
  auto* given = static_cast<detail::Root*>(root);
  if (!given) return Error(Errc::InvalidArgument, "join: the root is null; pass what the host got from qtforge::root()");
  if (std::string_view(given->abiTag) != QTFORGE_ABI_TAG)
    return Error(Errc::AbiMismatch, std::string("join: the host was built as \"") + given->abiTag +
                                        "\", this library as \"" QTFORGE_ABI_TAG "\": build both alike");
  detail::Root* none = nullptr;
  if (!__atomic_compare_exchange_n(&qtforge_root_v1, &none, given, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
      none != given)
    return Error(Errc::InvalidArgument, "join: this library belongs to another runtime already");
  return {};
}

/// What a library loaded by the application passes to qtforge::join; null in a binary that has no runtime.
[[nodiscard]] inline void* root() noexcept { return detail::findRoot(); }

}  // namespace qtforge::inline QTFORGE_ABI
