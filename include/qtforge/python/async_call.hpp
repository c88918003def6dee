#pragma once
// qtforge/python/async_call.hpp: calls of Python functions that nobody waits for: with Asio's completion tokens.

#include <qtforge/communication/detail/async_bus.hpp>
#include <qtforge/python/python_executor.hpp>

#include <boost/asio/async_result.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python {

namespace detail {

/// What an argument is kept as until the call.
template <class T>
struct KeptAs : std::conditional<IsText<T>, std::string, T> {
  static_assert(!isSpan<T>, "asyncCall takes no spans, whose memory would have to wait for the call: pass a Buffer, a "
                            "BinaryMessage or a vector");
};

template <class T>
struct KeptKeyword {
  std::string name;
  T value;
};

template <class T>
auto keepArgument(T&& argument) {
  using Plain = std::decay_t<T>;
  if constexpr (isKeyword<Plain>) {
    using Value = typename KeptAs<std::decay_t<decltype(argument.value)>>::type;
    return KeptKeyword<Value>{std::string(argument.name), Value(std::forward<T>(argument).value)};
  } else {
    return typename KeptAs<Plain>::type(std::forward<T>(argument));
  }
}

template <class T>
const T& passed(const T& argument) {
  return argument;
}
template <class T>
KeywordArgument<const T&> passed(const KeptKeyword<T>& argument) {
  return {argument.name, argument.value};
}

/// A call that waits for its thread, and whom it completes.
///
/// @par Thread safety  any thread.
template <class R, class... Kept>
class PythonCallOperation final : public qtforge::detail::AsyncOperation<expected<R>> {
 public:
  PythonCallOperation(PythonHandle executor, std::string name, Kept&&... arguments)
      : executor_(std::move(executor)), name_(std::move(name)), arguments_(std::move(arguments)...) {}

  void cancel() override { endUncalled(Errc::Cancelled, "it has been cancelled before it began"); }

  /// Lets the thread for such calls have it.
  static void start(std::shared_ptr<PythonCallOperation> self) {
    const auto* table = &self->executor_.table();
    table->post({new std::shared_ptr<PythonCallOperation>(std::move(self)),
                 [](void* held) { take(held)->run(); },
                 [](void* held) { take(held)->endUncalled(Errc::ShuttingDown, "Python has ended before it began"); }});
  }

 private:
  static std::shared_ptr<PythonCallOperation> take(void* held) {
    const std::unique_ptr<std::shared_ptr<PythonCallOperation>> owner(
        static_cast<std::shared_ptr<PythonCallOperation>*>(held));
    return std::move(*owner);
  }

  void run() {
    if (begun_.exchange(true, std::memory_order_acq_rel)) return;
    auto result = std::apply([this](const Kept&... arguments) {
      return withCall<R>(CallerHolds::Nothing, [this](const qtforge::detail::PythonCall& call, qtforge::detail::ErrorSink sink) {
        return executor_.table().callNamed(executor_.get(), std::string_view(name_), &call, sink);
      }, passed(arguments)...);
    }, arguments_);
    this->complete(result);
  }

  void endUncalled(Errc code, const char* why) {
    if (begun_.exchange(true, std::memory_order_acq_rel)) return;
    expected<R> result = Error(code, name_ + "(): " + why);
    this->complete(result);
  }

  const PythonHandle executor_;
  const std::string name_;
  const std::tuple<Kept...> arguments_;
  std::atomic<bool> begun_{false};  // or ended without a call
};

}  // namespace detail

template <class R, class Token, class... Args>
auto PythonExecutor::asyncCall(std::string_view name, Token&& token, Args&&... arguments) {
  static_assert(detail::inOrder<std::decay_t<Args>...>(), "positional arguments come before those with keywords");
  return boost::asio::async_initiate<Token, void(expected<R>)>(
      []<class Handler, class... Kept>(Handler handler, detail::PythonHandle executor, Error error, std::string function,
                                       Kept... kept) {
        using Operation = detail::PythonCallOperation<R, Kept...>;
        if (!executor)
          return qtforge::detail::completeNow<qtforge::detail::Unchanged>(std::move(handler), expected<R>(error));
        const auto operation = std::make_shared<Operation>(std::move(executor), std::move(function), std::move(kept)...);
        if (Operation::template keep<qtforge::detail::Unchanged>(operation, std::move(handler))) Operation::start(operation);
      },
      token, handle_, handle_ ? Error() : broken(), std::string(name), detail::keepArgument(std::forward<Args>(arguments))...);
}

}  // namespace qtforge::inline QTFORGE_ABI::python
