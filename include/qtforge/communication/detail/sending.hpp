#pragma once
// qtforge/communication/detail/sending.hpp: from what users publish to what the bus's table takes.

#include <qtforge/communication/detail/built_message.hpp>
#include <qtforge/utils/detail/root.hpp>

#include <boost/json/value_from.hpp>

#include <concepts>
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

struct PublishOptions {
  std::string_view replyTo = {};                 ///< a topic on which an answer is expected
  const boost::json::object* headers = nullptr;  ///< copied into the message
  /// Keeps the message as its topic's last: who subscribes later gets it. At most maxRetainedTopics topics have one; see
  /// MessageBus::clearRetained.
  bool retain = false;
  /// Bytes for a JSON payload, which must have null at each of their places; shared, not copied. In Python they are bytes
  /// there. A Message that is published again keeps its own instead.
  const Attachments* attachments = nullptr;
};

namespace detail {

/// Where a bus is, and who speaks; no core: there is no runtime.
struct BusAt {
  const BusTable* table = nullptr;
  void* core = nullptr;
  void* client = nullptr;
};

/// Calls `f(args)` with the payload in `value`, where PublishArgs wants it. `args` is good during the call.
template <class T, class F>
[[gnu::always_inline]] inline decltype(auto) withPublishArgs(PublishArgs& args, T&& value, F&& f) {
  using Plain = std::remove_cvref_t<T>;
  args.adopt = !std::is_lvalue_reference_v<T> && !std::is_const_v<std::remove_reference_t<T>>;
  if constexpr (std::is_same_v<Plain, boost::json::value>) {
    args.payload = {PayloadKind::Json, &value, nullptr};
    return f(args);
  } else if constexpr (std::is_same_v<Plain, BinaryMessage>) {
    args.payload = {PayloadKind::Binary, &value, nullptr};
    return f(args);
  } else if constexpr (std::is_same_v<Plain, Message>) {
    PublishExtras extras;
    if (!args.extras) args.extras = &extras;
    args.extras->attachments = const_cast<Attachments*>(&value.attachments());  // copied
    args.adopt = false;
    const auto* record = value.record();
    args.payload = record->view();
    args.source = record->extras && record->extras->source ? record->extras->source : value.record();
    return f(args);
  } else if constexpr (std::is_same_v<Plain, JsonWithBytes>) {
    PublishExtras extras;
    if (!args.extras) args.extras = &extras;
    args.extras->attachments = const_cast<Attachments*>(&value.attachments);  // copied where `value` is an lvalue
    args.payload = {PayloadKind::Json, &value.json, nullptr};
    return f(args);
  } else if constexpr (HasPayloadForm<Plain>) {
    auto form = PayloadForm<Plain>::make(value);
    if (!form) return decltype(f(args))(form.error());
    return withPublishArgs(args, std::move(*form), std::forward<F>(f));
  } else if constexpr (SharedAsItself<Plain>) {
    static_assert(std::copy_constructible<Plain> || !std::is_lvalue_reference_v<T>,
                  "this type cannot be copied: move it into the message");
    args.payload = {PayloadKind::Typed, &value, &PayloadTypeOf<Plain>::table()};
    return f(args);
  } else {
    auto json = boost::json::value_from(std::forward<T>(value));
    args.payload = {PayloadKind::Json, &json, nullptr};
    args.adopt = true;
    return f(args);
  }
}

[[gnu::always_inline]] inline expected<Delivery> send(const BusAt& where, PublishArgs& args) {
  if (!where.core) return noRuntime();
  Delivery delivery;
  Error error;
  if (where.table->publish(where.core, where.client, &args, &delivery, sinkInto(error)) != 0) return error;
  return delivery;
}

/// @param extras  where they are kept, if there are any
inline void addOptions(PublishArgs& args, const PublishOptions& options, std::optional<PublishExtras>& extras) {
  if (options.replyTo.empty() && !options.headers && !options.retain && !options.attachments) return;
  args.extras = &extras.emplace();
  extras->replyTo = options.replyTo;
  extras->headers = options.headers;
  extras->retain = options.retain;
  extras->attachments = const_cast<Attachments*>(options.attachments);  // copied, since they are the caller's
  extras->attachmentsOfCaller = options.attachments != nullptr;
}

/// `f` builds the payload, as MessageBus::build says.
template <class F>
expected<Delivery> sendBuilt(const BusAt& where, PublishArgs& args, F&& f, const PublishOptions& options) {
  if (!where.core) return noRuntime();
  std::optional<PublishExtras> extras;
  addOptions(args, options, extras);
  BuiltMessage message(*where.table);
  if (auto begun = message.begin(args); !begun) return begun.error();
  std::invoke(f, message.json());
  if (auto ended = message.end(args, false); !ended) return ended.error();
  return send(where, args);
}

template <class T>
[[gnu::always_inline]] inline expected<Delivery> sendPayload(const BusAt& where, PublishArgs& args, T&& payload, const PublishOptions& options) {
  std::optional<PublishExtras> extras;
  addOptions(args, options, extras);
  return withPublishArgs(args, std::forward<T>(payload), [&](auto& ready) { return send(where, ready); });
}

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI
