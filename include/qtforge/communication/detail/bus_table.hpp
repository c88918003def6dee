#pragma once
// qtforge/communication/detail/bus_table.hpp: the bus as other binaries see it: functions over plain data.

#include <qtforge/communication/message.hpp>
#include <qtforge/utils/detail/abi.hpp>

#include <chrono>
#include <cstddef>

namespace qtforge::inline QTFORGE_ABI {

/// How many subscriptions a published message reached.
struct Delivery {
  std::uint32_t queued = 0;   ///< put into a mailbox
  std::uint32_t called = 0;   ///< called on the publisher's thread
  std::uint32_t dropped = 0;  ///< not taken: full mailbox (or an older message went for it)

  [[nodiscard]] std::uint32_t receivers() const noexcept { return queued + called; }
};

namespace detail {

class AnswerWait;  // detail/answer_wait.hpp
struct PutLater;   // detail/subscription_core.hpp

/// What a publisher holds that must be let go while it waits or calls others: Python's GIL.
struct Yield {
  void* self = nullptr;
  void (*release)(void* self) = nullptr;
  void (*acquire)(void* self) = nullptr;
  bool (*interrupted)(void* self) = nullptr;  // after release, asked now and then: whether to wait no longer; may be null
};

/// Lets go of it while it lives.
class Yielding {
 public:
  /// @param yield  may be null
  explicit Yielding(const Yield* yield) : yield_(yield) {
    if (yield_) yield_->release(yield_->self);
  }
  Yielding(const Yielding&) = delete;
  Yielding& operator=(const Yielding&) = delete;
  ~Yielding() {
    if (yield_) yield_->acquire(yield_->self);
  }

 private:
  const Yield* yield_;
};

/// What most publishes do not need.
struct PublishExtras {
  Text replyTo;
  const boost::json::object* headers = nullptr;
  Attachments* attachments = nullptr;
  bool attachmentsOfCaller = false;  // not to be moved from, and their places are to be looked at
  const Yield* yield = nullptr;
  bool retain = false;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();  // for a place
  std::uint64_t correlation = 0;  // of the request that this is, or answers
  std::uint32_t responders = 0;   // out: subscriptions that respond and have it
  PutLater* later = nullptr;      // the bus's own: takes what would have to wait for a place
  AnswerWait* wait = nullptr;     // likewise: of the publisher's thread, where it waits for an answer
  PayloadShadow shadow;           // goes into the message, if one is made
};

/// A message on its way into a handler. `message` makes the shared record at the first call.
struct Arrival {
  Text topic;
  PayloadView payload;
  const Attachments* attachments = nullptr;
  const PayloadShadow* shadow = nullptr;  // may be null, or hold nothing
  void* context = nullptr;
  MessageRecord* (*record)(Arrival* self) = nullptr;  // borrowed

  Message message() {
    MessageRecord* shared = record(this);
    shared->references.fetch_add(1, std::memory_order_relaxed);
    return Message::adopt(shared);
  }
  [[nodiscard]] const BinaryMessage* binary() const noexcept {
    return payload.kind == PayloadKind::Binary ? static_cast<const BinaryMessage*>(payload.object) : nullptr;
  }
  /// The JSON payload or JSON form; null for others.
  expected<const boost::json::value*> json() {
    if (payload.kind == PayloadKind::Json) [[likely]]
      return static_cast<const boost::json::value*>(payload.object);
    if (payload.kind != PayloadKind::Typed) return static_cast<const boost::json::value*>(nullptr);
    return record(this)->json();
  }

  static Arrival of(const Message& message) noexcept {
    Arrival made;
    made.topic = message.topic();
    made.payload = message.record()->view();
    made.attachments = &message.attachments();
    if (const auto* extras = message.record()->extras) made.shadow = &extras->shadow;
    made.context = message.record();
    made.record = [](Arrival* a) { return static_cast<MessageRecord*>(a->context); };
    return made;
  }
};

/// A message whose JSON a thread builds where it lies. Ends on that thread, and before what was begun earlier.
struct MessageBuild {
  MessageRecord* record = nullptr;      // until somebody has the message
  boost::json::value* value = nullptr;  // to be filled
  // The bus's own:
  std::byte *at = nullptr, *end = nullptr;  // the memory that is left
  std::size_t size = 0;                     // of the message's own memory
  std::uint32_t callDepth = 0;
  bool active = false;
  MessageBuild* outer = nullptr;
};

/// What is published, as Direct handlers see it.
struct PublishArgs : Arrival {
  PublishArgs() noexcept {}  // not constexpr: compilers would clear all of it at once, which takes longer

  void* publisher = nullptr;          // from makePublisher: then `topic` is not read
  MessageRecord* source = nullptr;    // a message whose payload is shared; then `payload` is its
  bool adopt = false;                 // payload and attachments may be moved from
  MessageBuild* build = nullptr;      // a message that was built, and whose payload is published
  PublishExtras* extras = nullptr;    // may be null
};

/// Queued messages of one subscription, ready to be handled now; `next` handles one, false when there is none left.
struct Batch {
  void* context;
  bool (*next)(Batch* self);
};

struct HandlerTable {
  std::int32_t (*call)(void* self, Arrival* arrival, ErrorSink sink);  // 0, or the Errc
  void (*batch)(void* self, Batch* batch);                             // wraps the handling of a batch; may be null
  void (*destroy)(void* self);
  bool underGil = false;  // runs Python: a publisher that holds the GIL keeps it for a direct call
  void* (*letGo)() = nullptr;            // lets go what the handler's thread may hold, the GIL, while a failure is told
  void (*takeBack)(void* held) = nullptr;
  std::int32_t (*accepts)(void* self, Arrival* arrival, bool* wanted, ErrorSink sink) = nullptr;  // null: all
  void (*readable)(void* self) = nullptr;  // not null: messages are received by BusTable::receive, not handled
};

struct SubscribeArgs {
  Text pattern;
  const HandlerTable* handler = nullptr;
  void* self = nullptr;    // owned by the bus from the call on, even if it fails
  ExecutorRef executor;    // likewise; none: the runtime's
  std::uint64_t capacity = 0;
  std::int64_t blockNanoseconds = 0;
  std::int32_t delivery = 0;  // DeliveryMode
  std::int32_t policy = 0;    // OverflowPolicy
  Text group;
  bool retained = true;
  bool responds = false;
  std::int64_t spinNanoseconds = 0;
  bool tap = false;         // sees all that is published, and is no receiver; see MessageBus::tap
  std::uint64_t every = 1;  // for a tap: of what matches, each that many-th
  const void* servedBy = nullptr;  // the same for all that one thread alone runs, which says so in ThreadRecord::serves
};

struct SubscriptionCounters {
  std::uint64_t delivered, dropped, mismatched, failed, pending, replaced;
};

/// How an operation of the bus has ended. Good during the call.
struct AsyncOutcome {
  MessageRecord* answer = nullptr;  // of a request: a reference for the callee
  Delivery delivery;                // of a publish
  std::int32_t code = 0;            // 0, or the Errc with its texts
  Text message, pythonType, traceback;
};

/// Who is told of it, once: on any thread, without a lock.
struct Completion {
  void* self = nullptr;
  void (*done)(void* self, const AsyncOutcome* outcome) = nullptr;
};

/// What asyncPublish and the like return when they have not ended yet.
inline constexpr std::int32_t operationPending = -1;

/// Append-only.
struct BusTable {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(BusTable);
  std::int32_t (*publish)(void* core, void* client, PublishArgs* args, Delivery* delivery, ErrorSink sink);
  void* (*makePublisher)(void* core, Text topic, ErrorSink sink);
  void (*retainPublisher)(void* publisher);
  void (*releasePublisher)(void* publisher);
  void* (*subscribe)(void* core, void* client, const SubscribeArgs* args, ErrorSink sink);
  /// Ends it; the handle stays valid. Waits for its handler that long, INT64_MAX: without limit. @return whether it ended
  bool (*unsubscribe)(void* subscription, const Yield* yield, std::int64_t nanoseconds);
  void (*releaseSubscription)(void* subscription);  // gives the handle back
  void (*counters)(void* subscription, SubscriptionCounters* out);
  std::int32_t (*drain)(void* core, std::int64_t nanoseconds, const Yield* yield, ErrorSink sink);
  void (*stats)(void* core, boost::json::value* out);
  void (*destroy)(void* core);
  std::int32_t (*clearRetained)(void* core, Text pattern, std::uint64_t* count, ErrorSink sink);
  /// Waits for the answer, which is the caller's.
  std::int32_t (*request)(void* core, void* client, PublishArgs* args, std::int64_t nanoseconds,
                          MessageRecord** answer, ErrorSink sink);
  /// Takes messages from the mailbox of a subscription with HandlerTable::readable, which is called when there are some
  /// again after it returned 0. @return how many
  std::size_t (*receive)(void* subscription, MessageRecord** out, std::size_t most);
  /// Answers a request with an error.
  void (*refuse)(void* core, Text replyTo, std::int32_t code, Text message, Text pythonType, Text traceback);
  /// As publish, request and drain; where they would wait: operationPending, with the caller's share of an `operation`,
  /// which is then passed to await once and to releaseOperation at last.
  std::int32_t (*asyncPublish)(void* core, void* client, PublishArgs* args, Delivery* delivery, void** operation,
                               ErrorSink sink);
  std::int32_t (*asyncRequest)(void* core, void* client, PublishArgs* args, std::int64_t nanoseconds,
                               MessageRecord** answer, void** operation, ErrorSink sink);
  std::int32_t (*asyncDrain)(void* core, void* client, std::int64_t nanoseconds, void** operation, ErrorSink sink);
  /// `completion` is told when it ends; before this returns, if it has ended.
  void (*await)(void* operation, Completion completion);
  /// Ends it with Errc::Cancelled, unless it has ended.
  void (*cancel)(void* operation);
  void (*releaseOperation)(void* operation);
  /// A bus of one's own, for `destroy`, or null. Owns the executor.
  void* (*make)(ExecutorRef executor, ErrorSink sink);
  /// Whether `receive` would find a message; false as when it returned 0.
  bool (*receivable)(void* subscription);
  /// As asyncDrain, for what was put into one subscription's mailbox: until it is handled, or received, or dropped.
  std::int32_t (*drainSubscription)(void* subscription, std::int64_t nanoseconds, void** operation, ErrorSink sink);
  /// Begins a message whose payload is built in its memory, on `topic` or that of `publisher`.
  std::int32_t (*beginBuild)(Text topic, void* publisher, MessageBuild* build, ErrorSink sink);
  /// The payload is complete; it is published with PublishArgs::build.
  /// @param trusted  as MessageBuilding::end
  std::int32_t (*endBuild)(MessageBuild* build, bool trusted, ErrorSink sink);
  /// For every build at last.
  void (*abandonBuild)(MessageBuild* build);
};

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI
