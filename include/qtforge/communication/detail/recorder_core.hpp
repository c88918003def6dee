#pragma once
// qtforge/communication/detail/recorder_core.hpp: takes messages from a tap of its own and gives them to a store.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/topic.hpp>
#include <qtforge/utils/log.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Where recorded messages go. Called by one thread at a time.
struct MessageStore {
  virtual ~MessageStore() = default;
  /// Messages that it does not keep go into `released`.
  virtual void add(Message message, std::vector<Message>& released) = 0;
  virtual void lost(std::uint64_t count) = 0;  // before what is added next
  /// After some were added. An error ends the recording.
  virtual expected<void> flush() { return {}; }
  /// The last call.
  virtual expected<void> close() { return {}; }
};

/// Messages are pulled from the tap's mailbox, by a task that its first message posts, or by who needs them at once: so
/// all that was published before close() is in the store after it, whatever the executor does.
///
/// @par Thread safety  any thread. Its lock is taken before the mailbox's; nothing of others is called or freed under it,
///                     but the conversions of C++ payloads to JSON.
class RecorderCore : public std::enable_shared_from_this<RecorderCore> {
 public:
  RecorderCore(std::vector<std::string> patterns, boost::asio::any_io_executor executor, std::unique_ptr<MessageStore> store)
      : patterns_(std::move(patterns)), executor_(std::move(executor)), store_(std::move(store)) {}

  /// Begins. @return nothing, or the errors of MessageBus::tap
  /// What start() would refuse: for what must not be done in vain before.
  static expected<void> check(const MessageBus& bus, const std::vector<std::string>& patterns, std::size_t capacity) {
    if (!bus.at().core) return noRuntime();
    if (patterns.empty()) return Error(Errc::InvalidArgument, "recorder: no pattern; `>` is all");
    if (capacity == 0) return Error(Errc::InvalidArgument, "recorder: a capacity of 0 messages; give at least 1");
    for (const auto& pattern : patterns)
      if (auto valid = checkPattern(pattern); !valid) return valid;
    return {};
  }

  expected<void> start(const MessageBus& bus, std::size_t capacity) {
    if (auto valid = check(bus, patterns_, capacity); !valid) return valid;
    const auto where = bus.at();
    table_ = where.table;
    SubscribeArgs args;
    args.pattern = patterns_.size() == 1 ? std::string_view(patterns_.front()) : ">";
    args.capacity = capacity;
    args.policy = static_cast<std::int32_t>(OverflowPolicy::DropOldest);
    args.retained = false;
    args.tap = true;
    args.handler = patterns_.size() == 1 ? &takesAll : &asksPatterns;
    args.self = new Share(shared_from_this());
    Error error;
    void* handle = table_->subscribe(where.core, where.client, &args, sinkInto(error));
    if (!handle) return error;
    {
      std::lock_guard lock(mutex_);
      tap_ = Subscription::adopt(handle, table_);
    }
    schedule();  // for what came before tap_ was there
    return {};
  }

  /// Puts all that was published before into the store, and calls `f(store)` while nothing is added to it.
  template <class F>
  auto withStore(F&& f) {
    After after;
    std::lock_guard lock(mutex_);
    takePending(after);
    return f(*store_);
  }

  /// As withStore, of what is in the store already.
  template <class F>
  auto withStored(F&& f) const {
    std::lock_guard lock(mutex_);
    return f(*store_);
  }

  /// Ends, with all that was published before in the store. A second call returns what the first did.
  /// @return nothing, or the store's error, or Errc::ShuttingDown if the bus ended before
  expected<void> close() {
    After after;
    std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return result();
    takePending(after);
    take(0, after);  // tells what was lost meanwhile
    if (tap_) after.ended = std::move(tap_);
    if (auto done = store_->close(); !done && error_.code() == Errc::Ok) fail(done.error(), after);
    if (endedByBus_ && error_.code() == Errc::Ok)
      error_ = Error(Errc::ShuttingDown, "recorder: the bus ended first; messages that were queued then are missing");
    return result();
  }

 private:
  using Share = std::shared_ptr<RecorderCore>;

  // What is done without the lock, since it may run the code of others.
  struct After {
    After() = default;
    After(const After&) = delete;
    After& operator=(const After&) = delete;
    ~After() {
      if (!problem.empty()) Logger("qtforge.recorder").error(problem);
    }
    std::vector<Message> batch, released;
    Subscription ended;
    std::string problem;
  };

  // ---- The tap's handler ----

  static std::int32_t unused(void*, Arrival*, ErrorSink) { return 0; }

  static void destroy(void* self) {
    const std::unique_ptr<Share> share(static_cast<Share*>(self));
    std::lock_guard lock((*share)->mutex_);
    (*share)->endedByBus_ = static_cast<bool>((*share)->tap_);
  }

  static void readable(void* self) { (*static_cast<Share*>(self))->schedule(); }

  static std::int32_t accepts(void* self, Arrival* arrival, bool* wanted, ErrorSink) {
    const auto& patterns = (*static_cast<Share*>(self))->patterns_;
    *wanted = std::any_of(patterns.begin(), patterns.end(),
                          [&](const std::string& pattern) { return matchesTokens(pattern, arrival->topic); });
    return 0;
  }

  static constexpr HandlerTable makeTable(decltype(HandlerTable::accepts) accepts) {
    HandlerTable table{&unused, nullptr, &destroy};
    table.accepts = accepts;
    table.readable = &readable;
    return table;
  }
  static const HandlerTable takesAll, asksPatterns;

  // ---- Taking ----

  static constexpr std::size_t mostPerTask = 1024;  // before others on the executor have their turn
  static constexpr std::size_t mostPerTake = 64;

  void schedule() {
    auto task = [lease = OwnLease(), self = shared_from_this()] { self->run(); };
    if (executor_) boost::asio::post(executor_, std::move(task));
    else if (const auto* root = findRoot()) root->runtime->post(Task::of(std::move(task)));
  }

  void run() {
    bool more;
    {
      After after;
      std::lock_guard lock(mutex_);
      more = take(mostPerTask, after);
    }
    if (more) schedule();
  }

  void takePending(After& after) {
    SubscriptionCounters counters{};
    if (tap_) table_->counters(tap_.handle(), &counters);
    take(static_cast<std::size_t>(counters.pending), after);
  }

  // False when the mailbox is empty: it will tell when it is not.
  bool take(std::size_t most, After& after) {
    if (!tap_) return false;
    std::size_t taken = 0, last = 1;
    Error error;
    const auto failed = guarded(sinkInto(error), [&]() -> expected<void> {
      after.batch.reserve(mostPerTake);
      tellLost();
      while (taken < most && last > 0) {
        MessageRecord* records[mostPerTake];
        last = table_->receive(tap_.handle(), records, std::min(mostPerTake, most - taken));
        taken += last;
        after.batch.clear();  // they were moved from
        for (std::size_t i = 0; i < last; ++i) after.batch.push_back(Message::adopt(records[i]));
        for (auto& message : after.batch) store_->add(std::move(message), after.released);
      }
      return store_->flush();
    });
    if (failed != 0) fail(error, after);
    return tap_ && last > 0;
  }

  void tellLost() {
    SubscriptionCounters counters{};
    if (tap_) table_->counters(tap_.handle(), &counters);
    if (counters.dropped <= toldLost_) return;
    store_->lost(counters.dropped - toldLost_);
    toldLost_ = counters.dropped;
  }

  void fail(const Error& error, After& after) {
    error_ = error;
    after.problem = error.message() + "; the recording ends here";
    if (tap_) after.ended = std::move(tap_);
  }

  [[nodiscard]] expected<void> result() const {
    if (error_.code() != Errc::Ok) return error_;
    return {};
  }

  const std::vector<std::string> patterns_;
  const boost::asio::any_io_executor executor_;  // none: the runtime's
  const BusTable* table_ = nullptr;
  mutable std::mutex mutex_;  // guards all below
  std::unique_ptr<MessageStore> store_;
  Subscription tap_;
  std::uint64_t toldLost_ = 0;
  Error error_;
  bool closed_ = false;
  bool endedByBus_ = false;
};

inline constexpr HandlerTable RecorderCore::takesAll = RecorderCore::makeTable(nullptr);
inline constexpr HandlerTable RecorderCore::asksPatterns = RecorderCore::makeTable(&RecorderCore::accepts);

}  // namespace qtforge::inline QTFORGE_ABI::detail
