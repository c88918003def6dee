#pragma once
// qtforge/communication/detail/bus_operation.hpp: something that the bus has begun and that ends later.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/deadlines.hpp>
#include <qtforge/communication/detail/intrusive_list.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

class BusOperation;

/// The operations of a bus that have not ended.
///
/// @par Thread safety  any thread.
class BusOperations {
 public:
  void add(BusOperation& operation);
  void remove(BusOperation& operation);
  /// Ends those of `client` with `why`; all for null. Completions are called here.
  void endAll(const Client* client, const Error& why);

 private:
  std::mutex mutex_;  // guards all below; a leaf
  IntrusiveList<BusOperation> operations_;
};

/// Shared, by count, by who asked for it and by all that may end it.
///
/// @par Thread safety  any thread.
class BusOperation : public ListItem<BusOperation> {
 public:
  struct Outcome {
    Message answer = Message::adopt(nullptr);
    Delivery delivery;
    Error error;
  };

  BusOperation(const char* name, const Client& asker) : name_(name), client_(asker) {}

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

  /// Has `operations`, which lives as long as this, end it with its client or the bus. Once.
  void listIn(BusOperations& operations) {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    operations.add(*this);
    listedIn_ = &operations;
  }

  /// Ends it with `why`, unless it has ended.
  virtual void giveUp(const Error& why) = 0;
  void cancel() { giveUp(Error(Errc::Cancelled, std::string(name_) + ": cancelled")); }

  [[nodiscard]] const Client& client() const noexcept { return client_; }

 protected:
  virtual ~BusOperation() = default;

  /// Ends it; called without locks. False: it has ended.
  bool finish(Outcome outcome) {
    Completion completion;
    BusOperations* operations;
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(finished_, true)) return false;
      outcome_ = std::move(outcome);
      completion = completion_;
      operations = listedIn_;
    }
    if (operations) operations->remove(*this);
    if (completion.done) tell(completion);
    return true;
  }
  bool finish(Error error) { return finish(Outcome{Message::adopt(nullptr), {}, std::move(error)}); }

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

  const char* const name_;
  const Client& client_;
  std::atomic<std::uint32_t> references_{1};
  std::mutex mutex_;  // guards all below; taken before that of the operations
  BusOperations* listedIn_ = nullptr;
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

/// Calls `late()` of an operation, which keeps a share for it while it is listed, when a time has come.
template <class Operation>
struct OperationLimit : Deadlines::Entry {
  explicit OperationLimit(Operation& o)
      : Entry([](Entry* self) {
          const OperationPtr<Operation> share(&static_cast<OperationLimit&>(*self).operation);
          share->late();
        }),
        operation(o) {}
  Operation& operation;
};

inline void BusOperations::add(BusOperation& operation) {
  std::lock_guard lock(mutex_);
  operations_.add(operation);
}

inline void BusOperations::remove(BusOperation& operation) {
  std::lock_guard lock(mutex_);
  operations_.remove(operation);
}

inline void BusOperations::endAll(const Client* client, const Error& why) {
  std::vector<OperationPtr<BusOperation>> ended;
  {
    std::lock_guard lock(mutex_);
    for (auto* operation = operations_.first(); operation; operation = operation->next) {
      if (client && &operation->client() != client) continue;
      operation->retain();
      ended.emplace_back(operation);
    }
  }
  for (const auto& operation : ended) operation->giveUp(why);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
