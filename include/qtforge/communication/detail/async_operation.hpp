#pragma once
// qtforge/communication/detail/async_operation.hpp: the completion handler of an asynchronous operation: kept, called
// where it wants to be called, cancelled through its slot, and dropped with its execution context.

#include <qtforge/communication/detail/context_operations.hpp>
#include <qtforge/utils/detail/root.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/version.hpp>
#if BOOST_VERSION >= 108200
#include <boost/asio/associated_immediate_executor.hpp>
#endif

#include <atomic>
#include <memory>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The runtime's threads, for handlers without an executor; Asio's own where there is no runtime to tell that.
struct RuntimeExecutor {
  template <class F>
  void execute(F&& f) const {
    if (const auto* root = findRoot()) root->runtime->post(Task::of(std::forward<F>(f)));
    else boost::asio::post(boost::asio::system_executor(), std::forward<F>(f));
  }
  static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) noexcept {
    return boost::asio::execution::blocking.never;
  }
  friend bool operator==(const RuntimeExecutor&, const RuntimeExecutor&) noexcept = default;
};

/// A completion handler on its way, with its result.
template <class Handler, class Result, class Convert>
struct CompletionCall {
  OwnLease lease;
  Handler handler;
  Result result;

  void operator()() {
    auto slot = boost::asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) slot.clear();
    std::move(handler)(Convert()(std::move(result)));
  }
};

/// Completes at once, in the function that starts the operation: on the immediate executor that is associated with
/// `handler`; without one it is posted.
template <class Convert, class Handler, class Result>
void completeNow(Handler handler, Result result) {
  const auto executor = boost::asio::get_associated_executor(handler, RuntimeExecutor());
  const auto allocator = boost::asio::get_associated_allocator(handler);
#if BOOST_VERSION >= 108200
  const auto immediate = boost::asio::get_associated_immediate_executor(handler, executor);
  boost::asio::dispatch(immediate, boost::asio::bind_allocator(allocator, CompletionCall<Handler, Result, Convert>{
                                                                              {}, std::move(handler), std::move(result)}));
#else
  boost::asio::post(executor, boost::asio::bind_allocator(allocator, CompletionCall<Handler, Result, Convert>{
                                                                         {}, std::move(handler), std::move(result)}));
#endif
}

/// A completion handler that waits, in memory of its allocator, which is given back before it is called or dropped.
template <class Result>
struct HeldCompletion {
  void (*post)(HeldCompletion* self, Result& result);
  void (*drop)(HeldCompletion* self);
};

template <class Handler, class Result, class Convert>
class HeldCompletionOf final : public HeldCompletion<Result> {
 public:
  using Executor = boost::asio::associated_executor_t<Handler, RuntimeExecutor>;

  static HeldCompletion<Result>* make(Handler&& handler, const Executor& executor) {
    auto allocator = allocatorOf(handler);
    auto* memory = Traits::allocate(allocator, 1);
    try {
      return new (memory) HeldCompletionOf(std::move(handler), executor);
    } catch (...) {
      Traits::deallocate(allocator, memory, 1);
      throw;
    }
  }

 private:
  using Allocator = typename std::allocator_traits<
      boost::asio::associated_allocator_t<Handler>>::template rebind_alloc<HeldCompletionOf>;
  using Traits = std::allocator_traits<Allocator>;
  using Work = boost::asio::executor_work_guard<Executor>;

  HeldCompletionOf(Handler&& handler, const Executor& executor)
      : HeldCompletion<Result>{&postIt, &dropIt}, work_(executor), handler_(std::move(handler)) {}

  static Allocator allocatorOf(const Handler& handler) {
    return Allocator(boost::asio::get_associated_allocator(handler));
  }

  static void postIt(HeldCompletion<Result>* held, Result& result) {
    auto* self = static_cast<HeldCompletionOf*>(held);
    const auto allocator = boost::asio::get_associated_allocator(self->handler_);
    Work work(std::move(self->work_));
    CompletionCall<Handler, Result, Convert> call{{}, std::move(self->handler_), std::move(result)};
    free(self, Allocator(allocator));
    boost::asio::post(work.get_executor(), boost::asio::bind_allocator(allocator, std::move(call)));
  }

  static void dropIt(HeldCompletion<Result>* held) {
    auto* self = static_cast<HeldCompletionOf*>(held);
    const Work work(std::move(self->work_));
    const Handler handler(std::move(self->handler_));
    free(self, allocatorOf(handler));
  }

  static void free(HeldCompletionOf* self, Allocator allocator) {
    self->~HeldCompletionOf();
    Traits::deallocate(allocator, self, 1);
  }

  Work work_;  // keeps the executor's context running
  Handler handler_;
};

/// An operation that waits, as its starter, its cancellation slot, its execution context and who completes it see it.
///
/// @par Thread safety  any thread.
template <class Result>
class AsyncOperation : public ContextOperations::Member {
 public:
  AsyncOperation() = default;
  AsyncOperation(const AsyncOperation&) = delete;
  AsyncOperation& operator=(const AsyncOperation&) = delete;
  ~AsyncOperation() override {
    if (auto* held = held_.load(std::memory_order_acquire)) held->drop(held);
  }

  /// Makes `self` wait with `handler`. Once, before anything can complete it.
  ///
  /// @return false: the handler's context is ending, and the handler is gone
  template <class Convert, class Handler>
  static bool keep(const std::shared_ptr<AsyncOperation>& self, Handler handler) {
    using Held = HeldCompletionOf<Handler, Result, Convert>;
    const typename Held::Executor executor = boost::asio::get_associated_executor(handler, RuntimeExecutor());
    auto slot = boost::asio::get_associated_cancellation_slot(handler);
    self->held_.store(Held::make(std::move(handler), executor), std::memory_order_release);
    self->context_ = ContextOperations::of(executor);
    if (self->context_ && !self->context_->add(self)) {
      self->drop();
      return false;
    }
    if (slot.is_connected())
      slot.assign([self](boost::asio::cancellation_type type) {
        if (type != boost::asio::cancellation_type::none) self->cancel();
      });
    return true;
  }

  /// Posts the handler's call. False, and `result` as it was: it has been completed, or dropped with its context.
  bool complete(Result& result) {
    return completeWith([&]() -> Result&& { return std::move(result); });
  }

  /// As complete() with what `make()` returns, which is called only if that completes it.
  template <class Make>
  bool completeWith(Make&& make) {
    const ContextOperations::Claim claim(context_.get(), *this);
    if (!claim || !held_.load(std::memory_order_acquire)) return false;
    Result result = make();
    auto* held = held_.exchange(nullptr, std::memory_order_acq_rel);
    held->post(held, result);
    return true;
  }

  /// Completes it with Errc::Cancelled, unless it has ended.
  virtual void cancel() = 0;

 private:
  void drop() override {
    if (auto* held = held_.exchange(nullptr, std::memory_order_acq_rel)) held->drop(held);
    cancel();  // it completes nothing any more
  }

  const OwnLease lease_;  // its code is where its handler's is
  std::shared_ptr<ContextOperations> context_;
  std::atomic<HeldCompletion<Result>*> held_{nullptr};
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
