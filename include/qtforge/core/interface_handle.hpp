#pragma once
// qtforge/core/interface_handle.hpp: a plugin as its callers see it: InterfaceHandle, InterfaceGuard, and call.

#include <qtforge/core/detail/callee.hpp>
#include <qtforge/core/detail/interface_calls.hpp>

#include <utility>

namespace qtforge::inline QTFORGE_ABI {

class PluginHandle;

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
  [[gnu::always_inline]] auto call(Arguments&&... arguments) const -> expected<detail::ResultOf<I, Name>> {
    return detail::callThunk<I, Name>(methods_, self_, callee_.get()->label(), std::forward<Arguments>(arguments)...);
  }

  [[nodiscard]] const InterfaceGuard* operator->() const noexcept { return this; }

 private:
  template <AnyInterface>
  friend class InterfaceHandle;
  InterfaceGuard(detail::CalleeRef callee, detail::CallGate::Pin pin, const detail::AnyThunk* methods, void* self) noexcept
      : callee_(std::move(callee)), pin_(std::move(pin)), methods_(methods), self_(self) {}

  detail::CalleeRef callee_;  // before pin_, which ends first
  detail::CallGate::Pin pin_;
  const detail::AnyThunk* methods_;
  void* self_;
};

/// An interface of a loaded plugin, in whatever language it is written. From PluginManager::find and findAll, from
/// PluginHandle::as, and for plugins from IPlugin::find.
///
/// It does not keep the plugin loaded: after the unload calls give Errc::PluginUnloaded, after PluginManager::reloadPlugin
/// they go to the new version. Copies are cheap.
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
    if (!callee_) return detail::pointsToNothing(I::name);
    const detail::CallGate::Pin pin(callee_->gate(), detail::callSite<I, Name>);
    if (!pin) return detail::isUnloaded(callee_->label(), detail::MethodNamed<I, Name>::name);
    return detail::callThunk<I, Name>(methods_, self_, callee_->label(), std::forward<Arguments>(arguments)...);
  }

  /// Keeps the plugin loaded for several calls.
  ///
  /// @return the guard, or
  ///   - Errc::PluginUnloaded
  [[nodiscard]] expected<InterfaceGuard<I>> lock() const {
    if (!callee_) return detail::pointsToNothing(I::name);
    detail::CallGate::Pin pin(callee_->gate(), detail::guardSite<I>);
    if (!pin) return detail::isUnloaded(callee_->label(), "lock");
    return InterfaceGuard<I>(callee_, std::move(pin), methods_, self_);
  }

  /// The plugin behind it, of a service the one that offers it. In hosts, which include core/plugin_manager.hpp.
  template <class Plugin = PluginHandle>
  [[nodiscard]] Plugin plugin() const {
    return Plugin::of(callee_.get());
  }

  /// For `(*filter)->call...` and `filter->call...` alike.
  [[nodiscard]] const InterfaceHandle* operator->() const noexcept { return this; }
  [[nodiscard]] explicit operator bool() const noexcept { return callee_ != nullptr; }
  friend bool operator==(const InterfaceHandle&, const InterfaceHandle&) noexcept = default;

  /// For the library's own use.
  InterfaceHandle(detail::CalleeRef callee, const detail::Implementation& found) noexcept
      : callee_(std::move(callee)),
        methods_(found.methods ? found.methods : detail::forwardersOf<I>()),
        self_(found.self) {}

 private:
  detail::CalleeRef callee_;
  const detail::AnyThunk* methods_ = nullptr;
  void* self_ = nullptr;
};

namespace detail {

/// Asks a callee how to call an interface. Errors: see PluginManager::find.
inline expected<Implementation> ask(const CalleeRef& callee, const InterfaceInfo& wanted) {
  const CallSite site{wanted.name, "find"};
  const Visit visit(callee, site);
  if (!visit) return isUnloaded(callee->label(), "find");
  Implementation found;
  Error error;
  const auto failed = guarded(sinkInto(error), [&]() -> expected<void> {
    auto asked = visit->implementation(wanted);
    if (!asked) return asked.error();
    found = *asked;
    return {};
  });
  if (failed != 0) return error.within(callee->label());
  return found;
}

template <AnyInterface I>
expected<InterfaceHandle<I>> interfaceOf(CalleeRef callee) {
  auto found = ask(callee, I::info);
  if (!found) return found.error();
  return InterfaceHandle<I>(std::move(callee), *found);
}

}  // namespace detail

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
