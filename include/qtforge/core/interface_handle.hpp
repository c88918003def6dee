#pragma once
// qtforge/core/interface_handle.hpp: a plugin as its callers see it: InterfaceHandle, InterfaceGuard, and call.

#include <qtforge/core/detail/interface_calls.hpp>
#include <qtforge/core/plugin_handle.hpp>

#include <utility>

namespace qtforge::inline QTFORGE_ABI {

/// Keeps a plugin from being unloaded while it lives, and calls an interface of it at the cost of one function pointer.
///
/// Made by InterfaceHandle::lock(). Keep it for some calls, not for long: unloading the plugin waits for it, within its
/// limit, and gives up then.
/// @par Thread safety  call: several threads at once; the rest: one at a time. It may end on another thread.
template <AnyInterface I>
class InterfaceGuard {
 public:
  InterfaceGuard(InterfaceGuard&&) noexcept = default;
  InterfaceGuard& operator=(InterfaceGuard&&) noexcept = default;

  /// Calls the method `Name`. Errors as InterfaceHandle::call, but never Errc::PluginUnloaded.
  template <FixedString Name, class... Arguments>
    requires detail::CallableMethod<I, Name, Arguments...>
  auto call(Arguments&&... arguments) const -> expected<detail::ResultOf<I, Name>> {
    return detail::callThunk<I, Name>(methods_, self_, plugin_->name(), std::forward<Arguments>(arguments)...);
  }

  [[nodiscard]] const InterfaceGuard* operator->() const noexcept { return this; }

 private:
  template <AnyInterface>
  friend class InterfaceHandle;
  InterfaceGuard(std::shared_ptr<LoadedPlugin> plugin, detail::CallGate::Pin pin, const detail::AnyThunk* methods, void* self) noexcept
      : plugin_(std::move(plugin)), pin_(std::move(pin)), methods_(methods), self_(self) {}

  std::shared_ptr<LoadedPlugin> plugin_;  // before pin_, which ends first
  detail::CallGate::Pin pin_;
  const detail::AnyThunk* methods_;
  void* self_;
};

/// An interface of a loaded plugin, in whatever language it is written. From PluginManager::find and findAll.
///
/// It does not keep the plugin loaded: after the unload, or a reload, calls give Errc::PluginUnloaded. Copies are cheap.
/// @par Thread safety  call, lock: any thread, several at once; whether they run beside each other in the plugin is up to
///                     it (a plugin in Python: one at a time, as the GIL goes). The rest: one thread at a time.
template <AnyInterface I>
class InterfaceHandle {
 public:
  /// Points to nothing: only for assignment, and for the question whether it does.
  InterfaceHandle() noexcept = default;

  /// Calls the method `Name` on this thread, with what converts to its parameters. The plugin stays loaded meanwhile.
  ///
  /// Python methods run under the GIL, those marked with `qtforge.on_lane` on their plugin's lane while this thread waits.
  /// @return expected<R>: the method's result, or
  ///   - Errc::PluginUnloaded    the plugin is gone, or going, or this handle points to nothing
  ///   - Errc::PythonError       it raised; pythonType() and traceback() say more
  ///   - Errc::HandlerFailed     it threw; for a qtforge::Exception and an expected<R> in C++, the error in it
  ///   - Errc::ConversionFailed  an argument or the result of a Python method does not go into the other language
  ///   - Errc::TimedOut, Errc::WouldDeadlock  the lane of a Python method did not answer, or waits for this thread's
  /// @par Blocking  for as long as the method runs.
  template <FixedString Name, class... Arguments>
    requires detail::CallableMethod<I, Name, Arguments...>
  auto call(Arguments&&... arguments) const -> expected<detail::ResultOf<I, Name>> {
    if (!plugin_) return detail::pointsToNothing(I::name);
    const detail::CallGate::Pin pin(plugin_->calls_, detail::callSite<I, Name>);
    if (!pin) return detail::isUnloaded(plugin_->name(), detail::MethodNamed<I, Name>::name);
    return detail::callThunk<I, Name>(methods_, self_, plugin_->name(), std::forward<Arguments>(arguments)...);
  }

  /// Keeps the plugin loaded for several calls.
  ///
  /// @return the guard, or
  ///   - Errc::PluginUnloaded
  [[nodiscard]] expected<InterfaceGuard<I>> lock() const {
    if (!plugin_) return detail::pointsToNothing(I::name);
    detail::CallGate::Pin pin(plugin_->calls_, detail::guardSite<I>);
    if (!pin) return detail::isUnloaded(plugin_->name(), "lock");
    return InterfaceGuard<I>(plugin_, std::move(pin), methods_, self_);
  }

  /// The plugin behind it.
  [[nodiscard]] PluginHandle plugin() const noexcept { return PluginHandle(plugin_); }

  /// For `(*filter)->call...` and `filter->call...` alike.
  [[nodiscard]] const InterfaceHandle* operator->() const noexcept { return this; }
  [[nodiscard]] explicit operator bool() const noexcept { return plugin_ != nullptr; }
  friend bool operator==(const InterfaceHandle&, const InterfaceHandle&) noexcept = default;

  /// An interface of a plugin that is there. Errors: see PluginManager::find.
  [[nodiscard]] static expected<InterfaceHandle> of(const PluginHandle& plugin) {
    if (!plugin) return detail::pointsToNothing(I::name);
    auto found = plugin->implementation(I::info);
    if (!found) return found.error();
    return InterfaceHandle(plugin.plugin_, *found);
  }

 private:
  InterfaceHandle(std::shared_ptr<LoadedPlugin> plugin, const detail::Implementation& found) noexcept
      : plugin_(std::move(plugin)),
        methods_(found.methods ? found.methods : detail::forwardersOf<I>()),
        self_(found.self) {}

  std::shared_ptr<LoadedPlugin> plugin_;
  const detail::AnyThunk* methods_ = nullptr;
  void* self_ = nullptr;
};

/// As `callee.call<Name>(arguments...)`, for templates, which would have to write `callee.template call<Name>(...)`.
template <FixedString Name, class Callee, class... Arguments>
auto call(const Callee& callee, Arguments&&... arguments)
  requires requires { callee.template call<Name>(std::forward<Arguments>(arguments)...); }
{
  return callee.template call<Name>(std::forward<Arguments>(arguments)...);
}

/// The same for what find() returned: its error is the call's.
template <FixedString Name, class Callee, class... Arguments>
auto call(const expected<Callee>& callee, Arguments&&... arguments)
    -> decltype(callee->template call<Name>(std::forward<Arguments>(arguments)...)) {
  if (!callee) return callee.error();
  return callee->template call<Name>(std::forward<Arguments>(arguments)...);
}

}  // namespace qtforge::inline QTFORGE_ABI
