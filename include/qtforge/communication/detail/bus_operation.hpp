#pragma once
// qtforge/communication/detail/bus_operation.hpp: something that the bus has begun and that ends later.

#include <qtforge/communication/detail/bus_table.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Shared, by count, by who asked for it and by all that may end it.
///
/// @par Thread safety  any thread.
class BusOperation {
 public:
  struct Outcome {
    Message answer = Message::adopt(nullptr);
    Delivery delivery;
    Error error;
  };

  BusOperation() = default;
  BusOperation(const BusOperation&) = delete;
  BusOperation& operator=(const BusOperation&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// Tells `completion` the outcome, now or when there is one. Once.
  void await(Completion completion) {
    {
      std::lock_guard lock(mutex_);
      if (!finished_) {
        completion_ = completion;
        return;
      }
    }
    tell(completion);
  }

  /// The outcome, instead of await(), if it has ended.
  [[nodiscard]] bool take(Outcome& outcome) {
    std::lock_guard lock(mutex_);
    if (finished_) outcome = std::move(outcome_);
    return finished_;
  }

  /// Ends it with Errc::Cancelled, unless it has ended.
  virtual void cancel() = 0;

 protected:
  virtual ~BusOperation() = default;

  /// Ends it; called without locks. False: it has ended.
  bool finish(Outcome outcome) {
    Completion completion;
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(finished_, true)) return false;
      outcome_ = std::move(outcome);
      completion = completion_;
    }
    if (completion.done) tell(completion);
    return true;
  }
  bool finish(Error error) { return finish(Outcome{Message::adopt(nullptr), {}, std::move(error)}); }

  [[nodiscard]] bool finished() const {
    std::lock_guard lock(mutex_);
    return finished_;
  }

 private:
  // The outcome no longer changes.
  void tell(const Completion& completion) {
    const auto message = outcome_.error.message(), type = outcome_.error.pythonType(),
               traceback = outcome_.error.traceback();
    AsyncOutcome told;
    told.answer = outcome_.answer.release();
    told.delivery = outcome_.delivery;
    told.code = static_cast<std::int32_t>(outcome_.error.code());
    told.message = std::string_view(message);
    told.pythonType = std::string_view(type);
    told.traceback = std::string_view(traceback);
    completion.done(completion.self, &told);
  }

  std::atomic<std::uint32_t> references_{1};
  mutable std::mutex mutex_;  // guards all below; a leaf
  bool finished_ = false;
  Completion completion_;
  Outcome outcome_;
};

struct ReleaseOperation {
  void operator()(BusOperation* operation) const noexcept { operation->release(); }
};
/// A share of an operation.
template <class Operation>
using OperationPtr = std::unique_ptr<Operation, ReleaseOperation>;

}  // namespace qtforge::inline QTFORGE_ABI::detail
