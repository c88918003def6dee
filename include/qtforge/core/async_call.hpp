#pragma once
// qtforge/core/async_call.hpp: calls of interfaces for those who must not wait: with Asio's completion tokens.

#include <qtforge/communication/detail/async_operation.hpp>
#include <qtforge/core/interface_handle.hpp>

#include <boost/asio/async_result.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

/// What a parameter is kept as until the call.
template <class P>
using KeptArgument = std::conditional_t<std::is_same_v<std::remove_cvref_t<P>, std::string_view>, std::string, std::remove_cvref_t<P>>;

template <class Signature>
struct KeptArguments;
template <class R, class... P>
struct KeptArguments<R(P...)> {
  using Type = std::tuple<KeptArgument<P>...>;
};

/// A call that waits for a thread, or runs.
template <class R>
class CallOperation final : public AsyncOperation<expected<R>> {
 public:
  struct Convert {
    expected<R> operator()(expected<R>&& result) const { return std::move(result); }
  };

  /// False: it was cancelled.
  bool begin() noexcept { return !decided_.exchange(true); }

  /// Nothing once it has begun.
  void cancel() override {
    if (decided_.exchange(true)) return;
    expected<R> result = Error(Errc::Cancelled, "asyncCall: cancelled before it began");
    this->complete(result);
  }

 private:
  std::atomic<bool> decided_{false};
};

}  // namespace detail

/// Calls the method `Name` on a thread of the runtime, with copies of what converts to its parameters.
///
/// The token comes first, since the arguments are any number; its signature is void(expected<R>), and what is said in
/// communication/async.hpp of handlers, executors and allocators holds. Cancelled before it has begun it ends with
/// Errc::Cancelled; what has begun goes on and ends with its result.
/// @return what the token makes of expected<R>: the method's result, or errors as InterfaceHandle::call, and
///   - Errc::Cancelled
///   - Errc::NoRuntime  this binary has not been given the runtime
/// @par Thread safety  any thread.
template <FixedString Name, AnyInterface I, class Token, class... Arguments>
  requires detail::CallableMethod<I, Name, Arguments...>
auto asyncCall(const InterfaceHandle<I>& callee, Token&& token, Arguments&&... arguments) {
  using R = detail::ResultOf<I, Name>;
  using Kept = typename detail::KeptArguments<typename detail::MethodNamed<I, Name>::Type>::Type;
  using Operation = detail::CallOperation<R>;
  return boost::asio::async_initiate<Token, void(expected<R>)>(
      [](auto handler, InterfaceHandle<I> called, Kept kept) {
        const auto* root = detail::findRoot();
        if (!root)
          return detail::completeNow<typename Operation::Convert>(std::move(handler), expected<R>(detail::noRuntime()));
        const auto operation = std::make_shared<Operation>();
        if (!Operation::template keep<typename Operation::Convert>(operation, std::move(handler))) return;
        root->runtime->post(detail::Task::of([operation, called = std::move(called), kept = std::move(kept)]() mutable {
          if (!operation->begin()) return;
          auto result = std::apply([&](auto&... each) { return called.template call<Name>(std::move(each)...); }, kept);
          operation->complete(result);
        }));
      },
      token, callee, Kept(std::forward<Arguments>(arguments)...));
}

/// The same for what find() returned: its error is the call's.
template <FixedString Name, AnyInterface I, class Token, class... Arguments>
  requires detail::CallableMethod<I, Name, Arguments...>
auto asyncCall(const expected<InterfaceHandle<I>>& callee, Token&& token, Arguments&&... arguments) {
  if (callee) return asyncCall<Name>(*callee, std::forward<Token>(token), std::forward<Arguments>(arguments)...);
  using R = detail::ResultOf<I, Name>;
  return boost::asio::async_initiate<Token, void(expected<R>)>(
      [](auto handler, const Error& error) {
        detail::completeNow<typename detail::CallOperation<R>::Convert>(std::move(handler), expected<R>(error));
      },
      token, callee.error());
}

}  // namespace qtforge::inline QTFORGE_ABI
