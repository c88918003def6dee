#pragma once
// qtforge/core/lifecycle.hpp: which hook of a plugin may run when. A plain state machine: the manager drives it.

#include <qtforge/core/iplugin.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI {

/// What can be asked of a plugin. After `Unload` nothing can.
enum class LifecycleStep : std::uint8_t { None, Initialize, Activate, Deactivate, Cleanup, Unload, Configure, Reload };

/// What a step calls in the plugin, one or several of them.
enum class LifecycleHook : std::uint8_t { Initialize, Activate, Deactivate, Cleanup };

[[nodiscard]] inline std::string_view toString(LifecycleStep step) noexcept {
  constexpr std::string_view names[] = {"nothing", "initialize", "activate",  "deactivate",
                                        "cleanup", "unload",     "configure", "reload"};
  return names[static_cast<std::size_t>(step)];
}

[[nodiscard]] inline std::string_view toString(LifecycleHook hook) noexcept {
  constexpr std::string_view names[] = {"initialize", "activate", "deactivate", "cleanup"};
  return names[static_cast<std::size_t>(hook)];
}

/// The states of one plugin and the steps between them:
///
///     step        from                        hooks                                to
///     Initialize  Loaded                      initialize                           Initialized
///                 Error                       cleanup if needed, initialize        Initialized
///     Activate    Initialized                 activate                             Active
///     Deactivate  Active                      deactivate                           Initialized
///     Cleanup     Initialized, Active, Error  (deactivate if Active,) cleanup      Loaded
///                 Loaded                      none                                 Loaded
///     Unload      any but Unloaded            what Cleanup would call, if needed   Unloaded
///     Configure   any but Unloaded            none: its winner asks the plugin     the same
///     Reload      any but Unloaded            none: its winner calls another one's the same, or see `replaced`
///
/// A hook that fails leads to Error. In Initialize no other follows it; Cleanup and Unload go on. One step runs at a time: whoever wins
/// `begin` calls `next`, the hook, `done`, until `next` has nothing more, then `finish`; or at once `abandon`. Between steps
/// `fail` leads to Error.
/// @par Thread safety  `state`, `running`, `begin`, `fail`: any thread; the rest: the winner of `begin`. Nothing waits.
class Lifecycle {
 public:
  /// The state; while a hook runs, the one before it.
  [[nodiscard]] PluginState state() const noexcept { return unpack(word_.load(std::memory_order_acquire)).state; }

  /// The step that runs now, or None.
  [[nodiscard]] LifecycleStep running() const noexcept { return unpack(word_.load(std::memory_order_acquire)).step; }

  /// Claims the machine for `step`.
  ///
  /// @return nothing, or
  ///   - Errc::PluginUnloaded     after Unload
  ///   - Errc::IllegalTransition  naming the state that does not allow it, or the step that runs now
  expected<void> begin(LifecycleStep step) {
    auto word = word_.load(std::memory_order_acquire);
    for (;;) {
      auto now = unpack(word);
      if (now.step != LifecycleStep::None)
        return illegal(step, "not possible while " + std::string(toString(now.step)) + " runs");
      if (now.state == PluginState::Unloaded)
        return Error(Errc::PluginUnloaded, std::string(toString(step)) + ": the plugin has been unloaded");
      if (!allowed(step, now.state))
        return illegal(step, "not possible in state " + std::string(toString(now.state)) + hint(step, now.state));
      now.step = step;
      if (step == LifecycleStep::Cleanup && now.state == PluginState::Error) now.mustClean = true;  // asked for again
      if (word_.compare_exchange_weak(word, pack(now), std::memory_order_acq_rel, std::memory_order_acquire)) return {};
    }
  }

  /// The hook to call now; none when the step has called all it needs.
  [[nodiscard]] std::optional<LifecycleHook> next() const noexcept {
    const auto now = unpack(word_.load(std::memory_order_relaxed));
    switch (now.step) {
      case LifecycleStep::None:
      case LifecycleStep::Configure:
      case LifecycleStep::Reload: return std::nullopt;
      case LifecycleStep::Initialize:
        if (now.over || now.state == PluginState::Initialized) return std::nullopt;
        return now.mustClean ? LifecycleHook::Cleanup : LifecycleHook::Initialize;
      case LifecycleStep::Activate:
        if (now.state == PluginState::Initialized) return LifecycleHook::Activate;
        return std::nullopt;
      case LifecycleStep::Deactivate:
        if (now.state == PluginState::Active) return LifecycleHook::Deactivate;
        return std::nullopt;
      case LifecycleStep::Cleanup:
      case LifecycleStep::Unload:
        if (now.state == PluginState::Active) return LifecycleHook::Deactivate;
        if (now.mustClean) return LifecycleHook::Cleanup;
        return std::nullopt;
    }
    return std::nullopt;
  }

  /// From Initialized and Active to Error, outside of any step. @return whether it did
  bool fail() noexcept {
    auto word = word_.load(std::memory_order_acquire);
    for (;;) {
      auto now = unpack(word);
      const bool up = now.state == PluginState::Initialized || now.state == PluginState::Active;
      if (now.step != LifecycleStep::None || !up) return false;
      now.state = PluginState::Error;
      now.mustClean = true;
      if (word_.compare_exchange_weak(word, pack(now), std::memory_order_acq_rel, std::memory_order_acquire)) return true;
    }
  }

  enum class Outcome { Succeeded, Failed };

  /// Tells how the hook went; the new state is visible from here on.
  void done(LifecycleHook hook, Outcome outcome) noexcept {
    auto now = unpack(word_.load(std::memory_order_relaxed));
    constexpr PluginState after[] = {PluginState::Initialized, PluginState::Active, PluginState::Initialized,
                                     PluginState::Loaded};
    now.state = outcome == Outcome::Failed ? PluginState::Error : after[static_cast<std::size_t>(hook)];
    now.mustClean = hook != LifecycleHook::Cleanup;  // also after an `initialize` that failed
    now.over = outcome == Outcome::Failed;
    word_.store(pack(now), std::memory_order_release);
  }

  /// In Reload: another plugin is there, in state Loaded, Initialized or Active.
  void replaced(PluginState state) noexcept {
    auto now = unpack(word_.load(std::memory_order_relaxed));
    now.state = state;
    now.mustClean = state != PluginState::Loaded;
    word_.store(pack(now), std::memory_order_release);
  }

  /// Lets the machine go as it was, before `next` was asked.
  void abandon() noexcept {
    auto now = unpack(word_.load(std::memory_order_relaxed));
    now.step = LifecycleStep::None;
    word_.store(pack(now), std::memory_order_release);
  }

  /// In Unload: it cannot go. Lets the machine go, in Error.
  void stay() noexcept {
    auto now = unpack(word_.load(std::memory_order_relaxed));
    now.state = PluginState::Error;
    now.step = LifecycleStep::None;
    now.over = false;
    word_.store(pack(now), std::memory_order_release);
  }

  /// Lets the machine go.
  void finish() noexcept {
    auto now = unpack(word_.load(std::memory_order_relaxed));
    if (now.step == LifecycleStep::Unload) now.state = PluginState::Unloaded;
    now.step = LifecycleStep::None;
    now.over = false;
    word_.store(pack(now), std::memory_order_release);
  }

 private:
  struct Now {
    PluginState state = PluginState::Loaded;
    LifecycleStep step = LifecycleStep::None;
    bool mustClean = false;  // initialize was called, cleanup not since
    bool over = false;       // a hook of this step has failed
  };

  static constexpr std::uint32_t pack(Now now) noexcept {
    return static_cast<std::uint32_t>(now.state) | static_cast<std::uint32_t>(now.step) << 8 |
           static_cast<std::uint32_t>(now.mustClean) << 16 | static_cast<std::uint32_t>(now.over) << 17;
  }
  static constexpr Now unpack(std::uint32_t word) noexcept {
    return {static_cast<PluginState>(word & 0xFF), static_cast<LifecycleStep>(word >> 8 & 0xFF), (word >> 16 & 1) != 0,
            (word >> 17 & 1) != 0};
  }

  static constexpr bool allowed(LifecycleStep step, PluginState state) noexcept {
    switch (step) {
      case LifecycleStep::None: return false;
      case LifecycleStep::Initialize: return state == PluginState::Loaded || state == PluginState::Error;
      case LifecycleStep::Activate: return state == PluginState::Initialized;
      case LifecycleStep::Deactivate: return state == PluginState::Active;
      case LifecycleStep::Cleanup:
      case LifecycleStep::Unload:
      case LifecycleStep::Configure:
      case LifecycleStep::Reload: return true;
    }
    return false;
  }

  static std::string hint(LifecycleStep step, PluginState state) {
    if (state == PluginState::Error) return ": initialize or clean up first";
    if (step == LifecycleStep::Activate && state == PluginState::Loaded) return ": initialize first";
    return {};
  }

  static Error illegal(LifecycleStep step, const std::string& reason) {
    return Error(Errc::IllegalTransition, std::string(toString(step)) + ": " + reason);
  }

  std::atomic<std::uint32_t> word_{pack({})};
};

}  // namespace qtforge::inline QTFORGE_ABI
