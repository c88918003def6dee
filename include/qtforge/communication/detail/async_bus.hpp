#pragma once
// qtforge/communication/detail/async_bus.hpp: asynchronous functions of a bus, in the binary that calls them.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/detail/async_operation.hpp>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What a payload of type T is kept as: as it is published, JSON in a memory resource of the caller's own being copied.
template <class T>
struct KeptAs : std::type_identity<boost::json::value> {};
template <class T>
  requires std::is_same_v<T, BinaryMessage> || std::is_same_v<T, Message> || SharedAsItself<T>
struct KeptAs<T> : std::type_identity<T> {};
template <HasPayloadForm T>
struct KeptAs<T> : std::type_identity<expected<typename PayloadForm<T>::Form>> {};

/// What is to be published: a lazy token (boost::asio::deferred, use_awaitable) begins when its caller's arguments are gone.
template <class Kept>
class KeptMessage {
 public:
  template <class T>
  KeptMessage(std::string_view topic, T&& payload, const PublishOptions& options)
      : topic_(topic), payload_(keep(std::forward<T>(payload))), replyTo_(options.replyTo), retain_(options.retain) {
    if (options.headers) headers_.emplace(*options.headers, boost::json::storage_ptr());
    if (options.attachments) attachments_ = *options.attachments;
  }

  /// Calls `f(args)`, once: `args` may take the payload, and is good during the call. If there is none `sink` is told why.
  template <class F>
  std::int32_t withArgs(ErrorSink sink, F&& f) {
    PublishExtras extras;
    extras.replyTo = std::string_view(replyTo_);
    extras.headers = headers_ ? &*headers_ : nullptr;
    extras.retain = retain_;
    extras.attachments = attachments_.empty() ? nullptr : &attachments_;
    extras.attachmentsOfCaller = extras.attachments != nullptr;
    PublishArgs args;
    args.topic = std::string_view(topic_);
    args.extras = &extras;
    if constexpr (isExpected<Kept>) {
      if (!payload_) return fail(sink, payload_.error());
      return withPublishArgs(args, std::move(*payload_), f);
    } else {
      return withPublishArgs(args, std::move(payload_), f);
    }
  }

 private:
  template <class T>
  static Kept keep(T&& payload) {
    using Plain = std::remove_cvref_t<T>;
    if constexpr (std::is_same_v<Plain, boost::json::value>)
      return boost::json::value(std::forward<T>(payload), boost::json::storage_ptr());
    else if constexpr (std::is_same_v<Plain, Kept>)
      return std::forward<T>(payload);
    else if constexpr (HasPayloadForm<Plain>)
      return PayloadForm<Plain>::make(payload);
    else
      return boost::json::value(boost::json::value_from(std::forward<T>(payload)), boost::json::storage_ptr());
  }

  std::string topic_;
  Kept payload_;
  std::string replyTo_;
  std::optional<boost::json::object> headers_;
  Attachments attachments_;
  bool retain_;
};

/// @return the KeptMessage for `payload`
template <class T>
auto keepMessage(std::string_view topic, T&& payload, const PublishOptions& options) {
  return KeptMessage<typename KeptAs<std::remove_cvref_t<T>>::type>(topic, std::forward<T>(payload), options);
}

template <class T>
expected<T> resultOf(const AsyncOutcome& outcome) {
  if (outcome.code != 0)
    return Error(static_cast<Errc>(outcome.code), std::string(std::string_view(outcome.message)),
                 std::string(std::string_view(outcome.pythonType)), std::string(std::string_view(outcome.traceback)));
  if constexpr (std::is_same_v<T, Message>) return Message::adopt(outcome.answer);
  else if constexpr (std::is_same_v<T, Delivery>) return outcome.delivery;
  else return {};
}

/// An operation of the bus that waits, and whom it completes.
template <class T>
class AwaitedOperation final : public AsyncOperation<expected<T>> {
 public:
  AwaitedOperation(const BusTable* table, void* operation) : table_(table), operation_(operation) {}
  ~AwaitedOperation() override { table_->releaseOperation(operation_); }

  void cancel() override { table_->cancel(operation_); }

  /// Begins to wait; once.
  static void await(std::shared_ptr<AwaitedOperation> self) {
    auto& operation = *self;
    operation.awaited_ = std::move(self);
    operation.table_->await(operation.operation_, {&operation, &done});
  }

 private:
  static void done(void* self, const AsyncOutcome* outcome) {
    const auto share = std::move(static_cast<AwaitedOperation*>(self)->awaited_);
    auto result = resultOf<T>(*outcome);
    share->complete(result);
  }

  const BusTable* const table_;
  void* const operation_;
  std::shared_ptr<AwaitedOperation> awaited_;  // until it is told
};

struct Unchanged {
  template <class Result>
  Result operator()(Result&& result) const {
    return std::move(result);
  }
};

/// Begins an operation and completes `handler` with its end.
///
/// @param begin  `begin(outcome, operation, sink)` calls the bus; returns what that returned
template <class T, class Handler, class Begin>
void beginInto(const BusTable* table, Handler handler, Begin&& begin) {
  using Result = expected<T>;
  if (!table) return completeNow<Unchanged>(std::move(handler), Result(noRuntime()));
  AsyncOutcome outcome;
  Error error;
  void* operation = nullptr;
  const std::int32_t code = begin(outcome, operation, sinkInto(error));
  if (code != operationPending)
    return completeNow<Unchanged>(std::move(handler), code == 0 ? resultOf<T>(outcome) : Result(error));
  const auto awaited = std::make_shared<AwaitedOperation<T>>(table, operation);
  const bool kept = AwaitedOperation<T>::template keep<Unchanged>(awaited, std::move(handler));
  if (kept) AwaitedOperation<T>::await(awaited);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
