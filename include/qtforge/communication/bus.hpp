#pragma once
// qtforge/communication/bus.hpp: MessageBus as users hold it: a handle over a table.

#include <qtforge/communication/detail/handler.hpp>
#include <qtforge/communication/detail/responder.hpp>
#include <qtforge/communication/publisher.hpp>
#include <qtforge/communication/subscription.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace qtforge::inline QTFORGE_ABI {

class Receiver;

/// The bus: publishes to topics, subscribes to patterns. See topic.hpp for both.
///
/// @par Thread safety  any thread, handlers included.
class MessageBus {
 public:
  /// The process's bus, one for the program, its libraries, its plugins and the Python in it.
  ///
  /// A program has one if one of its files includes qtforge/host.hpp or qtforge/qtforge.hpp. In a plugin's static
  /// initialisers there is none yet; every call then returns Errc::NoRuntime.
  [[nodiscard]] static MessageBus& instance() noexcept {
    static MessageBus process;
    return process;
  }

  /// A bus of its own whose handlers run on `executor` unless they bring one. Needs communication/message_bus.hpp.
  ///
  /// @throws qtforge::Exception  with Errc::NoRuntime, see instance()
  template <class Executor>
    requires requires(const Executor& e) { e.context(); }
  explicit MessageBus(Executor executor);

  MessageBus(const MessageBus&) = delete;
  MessageBus& operator=(const MessageBus&) = delete;
  /// Ends all subscriptions of a bus of one's own; messages in flight are dropped, calls waited for.
  ~MessageBus() {
    if (core_) table_->destroy(core_);
  }

  /// Sends `payload` to whoever subscribed a pattern that matches `topic`.
  ///
  /// @param payload  boost::json::value, object, array, a BinaryMessage, a Message (its payload is shared), a class
  ///                 described with Boost.Describe or with a tag_invoke of its own for value_from (handlers get it as
  ///                 it is, or as JSON), or anything else value_from takes, as JSON. Rvalues are moved, not copied.
  /// @return whom it reached, or
  ///   - Errc::InvalidTopic     with the offset of what is wrong
  ///   - Errc::ReservedTopic    below `qtforge`
  ///   - Errc::Overflow         a mailbox with OverflowPolicy::Fail was full, or Block ran out of time
  ///   - Errc::WouldDeadlock    Block from the thread that would have to empty the mailbox, or from a handler for which
  ///                            the handler that would have to waits itself
  ///   - Errc::LimitExceeded    JSON nested deeper than maxPayloadDepth, Direct handlers that publish to each other deeper
  ///                            than the stack allows, or a message that is not retained since maxRetainedTopics other
  ///                            topics have one
  ///   - Errc::ShuttingDown     the bus is ending
  ///   - Errc::InvalidArgument  `options` attach bytes where the payload has no null
  ///   - Errc::NoRuntime        see instance()
  ///   With an error from one mailbox, or of retaining, all other receivers still got the message.
  /// @par Blocking  only for Direct handlers and for OverflowPolicy::Block.
  template <class T>
  expected<Delivery> publish(std::string_view topic, T&& payload, const PublishOptions& options = {}) const {
    detail::PublishArgs args;
    args.topic = topic;
    return detail::sendPayload(at(), args, std::forward<T>(payload), options);
  }

  /// As publish, of JSON that `f` builds in the message's own memory: one allocation while it fits, which messages of the
  /// same size before have seen to, and freed at once with the message.
  ///
  /// @param f  called once, before this returns, with a `boost::json::value&` that is null; what it throws is the caller's.
  ///           Values that take over that value's storage must end with the call; elsewhere copies are as any others.
  /// @return as publish
  template <class F>
    requires std::is_invocable_v<F&, boost::json::value&>
  expected<Delivery> build(std::string_view topic, F&& f, const PublishOptions& options = {}) const {
    detail::PublishArgs args;
    args.topic = topic;
    return detail::sendBuilt(at(), args, f, options);
  }

  /// As publish, without ever blocking: where a mailbox with OverflowPolicy::Block is full the message waits for a place,
  /// in line with blocked publishers. It completes when all such mailboxes have it or their `blockTimeout` is up. Direct
  /// handlers are called before this returns. May be called wherever publish may, also by the handler that empties the
  /// mailbox. Needs communication/async.hpp, which says how completion handlers are called.
  ///
  /// What a thread publishes, with publish or this, reaches a mailbox in the order of the calls, what waits included. Of a
  /// group whose members are all full, one has the message wait.
  /// @param payload  moved or copied before this returns
  /// @param token    for the signature `void(expected<Delivery>)`; errors: those of publish but Errc::WouldDeadlock, and
  ///   - Errc::Cancelled     what has its place keeps it; what waited is dropped and counted so
  ///   - Errc::ShuttingDown  also where the bus ends while it waits
  template <class T, class Token>
  auto asyncPublish(std::string_view topic, T&& payload, const PublishOptions& options, Token&& token) const;

  /// A handle that publishes to `topic` without looking it up.
  ///
  /// @return the publisher, or
  ///   - Errc::InvalidTopic, Errc::ReservedTopic, Errc::NoRuntime
  [[nodiscard]] expected<Publisher> publisher(std::string_view topic) const;

  /// Calls `handler` for what is published to topics that match `pattern`.
  ///
  /// @param handler  takes `const boost::json::value&`, `const BinaryMessage&`, `const Message&`, or any T with
  ///                 boost::json::try_value_to<T>; a generic one says `subscribe<T>`. What it throws is counted, logged
  ///                 and published on `qtforge.errors`; it stays subscribed.
  /// @return the subscription, whose end ends the calls, or
  ///   - Errc::InvalidPattern   with the offset of what is wrong
  ///   - Errc::InvalidArgument  for a capacity of 0
  ///   - Errc::ShuttingDown, Errc::NoRuntime
  template <class T = detail::DeducePayload, class Handler>
    requires(!std::is_same_v<std::remove_cvref_t<Handler>, SubscribeOptions>)
  [[nodiscard]] expected<Subscription> subscribe(std::string_view pattern, Handler&& handler,
                                                 const SubscribeOptions& options = {}) const {
    using Held = detail::HeldHandler<detail::PayloadOf<T, std::decay_t<Handler>>, std::decay_t<Handler>>;
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    auto args = subscribeArgs(pattern, options);
    args.executor = detail::associatedExecutor(handler);
    args.handler = &Held::table;
    args.self = new Held(std::forward<Handler>(handler));
    return subscribeWith(where, args);
  }

  /// Queues what is published to topics that match `pattern` until it is received. Needs communication/receiver.hpp.
  ///
  /// @return the receiver, or
  ///   - Errc::InvalidArgument  for Direct delivery
  ///   - the errors of subscribe with a handler
  [[nodiscard]] expected<Receiver> subscribe(std::string_view pattern, const SubscribeOptions& options = {}) const;

  /// Shows `handler` what is published, to whatever receivers, for tools that look on: a tap is no receiver in Delivery
  /// and no responder, and never holds a publisher up.
  ///
  /// It sees all messages that the bus takes, also those that nobody receives, the library's own below `qtforge.`,
  /// requests, and answers to requests (on the request's reply topic). It does not see errors that are given as answers,
  /// and messages that were retained before. What its handler publishes while it runs, or fails with, is shown to other
  /// taps, not to this one; what others publish in answer to that is shown, so do not answer each message.
  /// @param handler  takes `const Message&`; called in order, never two calls at a time, on its associated executor,
  ///                 else the runtime's. filter() before it is asked on the publishers' threads.
  /// @return the subscription, whose end ends the calls, or
  ///   - Errc::InvalidPattern   with the offset of what is wrong
  ///   - Errc::InvalidArgument  for a capacity or `every` of 0, and for OverflowPolicy::Block and Fail
  ///   - Errc::ShuttingDown, Errc::NoRuntime
  template <class Handler>
    requires std::is_invocable_v<std::decay_t<Handler>&, const Message&>
  [[nodiscard]] expected<Subscription> tap(Handler&& handler, const TapOptions& options = {}) const {
    using Held = detail::HeldHandler<Message, std::decay_t<Handler>>;
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    detail::SubscribeArgs args;
    args.pattern = options.pattern;
    args.capacity = options.capacity;
    args.policy = static_cast<std::int32_t>(options.policy);
    args.retained = false;
    args.tap = true;
    args.every = options.every;
    args.executor = detail::associatedExecutor(handler);
    args.handler = &Held::table;
    args.self = new Held(std::forward<Handler>(handler));
    return subscribeWith(where, args);
  }

  /// Answers requests on topics that match `pattern` with what `function` returns.
  ///
  /// @param function  takes what a handler takes; returns a payload, expected<payload>, or nothing, which answers null.
  ///                  Its errors and what it throws are the requester's. What is only published is handled too.
  /// @param options   with a `group`, each request goes to one member
  /// @return as subscribe
  template <class T = detail::DeducePayload, class Function>
  [[nodiscard]] expected<Subscription> respond(std::string_view pattern, Function&& function,
                                               const SubscribeOptions& options = {}) const {
    using Held = detail::HeldResponder<detail::PayloadOf<T, std::decay_t<Function>>, std::decay_t<Function>>;
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    auto args = subscribeArgs(pattern, options);
    args.responds = true;
    args.executor = detail::associatedExecutor(function);
    args.handler = &Held::table;
    args.self = new Held(std::forward<Function>(function), where.table, where.core, where.client);
    return subscribeWith(where, args);
  }

  /// Publishes `payload` and waits for the first answer. Other subscribers of the topic get the message too.
  ///
  /// @return the answer, or
  ///   - Errc::NoResponder   at once, when nobody responds to that topic, or the last who has the request ends
  ///   - Errc::TimedOut      no answer came in time; a later one is dropped
  ///   - Errc::WouldDeadlock the responder would have to run on this thread, this is one of its handlers, or it waits,
  ///                         directly or through others, for an answer of the handler that asks. In a circle of requests
  ///                         one gets this at once; who had it already may handle it still. Not seen are circles through
  ///                         several responders, and those that close through another handler of a C++ thread
  ///   - Errc::Overflow      also when newer messages went for it in the mailbox of the last who has it
  ///   - Errc::ShuttingDown, and the errors of publish
  ///   - what the responder gave: its Error, or Errc::HandlerFailed with what it threw
  /// @par Blocking  until the answer, at most `timeout`.
  template <class T>
  [[nodiscard]] expected<Message> request(std::string_view topic, T&& payload,
                                          std::chrono::nanoseconds timeout = std::chrono::seconds(5)) const {
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    detail::PublishArgs args;
    detail::PublishExtras extras;
    args.topic = topic;
    args.extras = &extras;
    return detail::withPublishArgs(args, std::forward<T>(payload), [&](auto& ready) -> expected<Message> {
      detail::MessageRecord* answer = nullptr;
      Error error;
      if (where.table->request(where.core, where.client, &ready, timeout.count(), &answer, detail::sinkInto(error)) != 0)
        return error;
      return Message::adopt(answer);
    });
  }

  /// As request, without ever blocking, see asyncPublish: also the handler that is to answer may call it. Needs
  /// communication/async.hpp.
  ///
  /// @param token  for the signature `void(expected<Message>)`; errors: those of request but Errc::WouldDeadlock, and
  ///   - Errc::NoResponder  also where the last responder ended while the request waited for a place with it
  ///   - Errc::TimedOut     or Errc::Overflow, where `timeout` ends while it waits for a place
  ///   - Errc::Cancelled    an answer that comes later is dropped
  template <class T, class Token>
  auto asyncRequest(std::string_view topic, T&& payload, std::chrono::nanoseconds timeout, Token&& token) const;

  /// Lets go of the messages that were published with PublishOptions::retain to topics that match `pattern`.
  ///
  /// @return how many there were, or Errc::InvalidPattern, Errc::NoRuntime
  expected<std::size_t> clearRetained(std::string_view pattern) const {
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    std::uint64_t count = 0;
    Error error;
    if (where.table->clearRetained(where.core, pattern, &count, detail::sinkInto(error)) != 0) return error;
    return static_cast<std::size_t>(count);
  }

  /// Waits until all that was published before is handled, with what its handlers published meanwhile.
  ///
  /// @return nothing, or
  ///   - Errc::TimedOut       naming who is not done
  ///   - Errc::WouldDeadlock  from inside a handler
  ///   - Errc::ShuttingDown, Errc::NoRuntime
  expected<void> drain(std::chrono::nanoseconds timeout = std::chrono::seconds(5)) const {
    const auto where = at();
    if (!where.core) return detail::noRuntime();
    Error error;
    if (where.table->drain(where.core, timeout.count(), nullptr, detail::sinkInto(error)) != 0) return error;
    return {};
  }

  /// As drain, without blocking. Inside a handler too: the message it handles counts as handled when it returns. What waits
  /// for a place by asyncPublish counts as published. Needs communication/async.hpp.
  ///
  /// @param token  for the signature `void(expected<void>)`; errors: those of drain but Errc::WouldDeadlock, and
  ///   - Errc::Cancelled
  template <class Token>
  auto asyncDrain(std::chrono::nanoseconds timeout, Token&& token) const;

  /// Counters of the bus: `published`, per sender and subscription what they sent, handled and lost, and per topic that is
  /// subscribed or has a publisher what was published to it. An empty object where there is no runtime.
  [[nodiscard]] boost::json::value stats() const {
    boost::json::value out = boost::json::object();
    if (const auto where = at(); where.core) where.table->stats(where.core, &out);
    return out;
  }

  using At = detail::BusAt;
  /// For the library's own use: the core behind this handle, null when there is no runtime.
  [[nodiscard]] At at() const noexcept {
    if (core_) return {table_, core_, nullptr};
    const detail::Root* root = detail::findRoot();
    return root ? At{root->bus, root->busCore, root->client} : At{};
  }

 private:
  MessageBus() noexcept = default;  // the process's: looked up at each call

  static detail::SubscribeArgs subscribeArgs(std::string_view pattern, const SubscribeOptions& options) {
    detail::SubscribeArgs args;
    args.pattern = pattern;
    args.capacity = options.capacity;
    args.blockNanoseconds = options.blockTimeout.count();
    args.delivery = static_cast<std::int32_t>(options.delivery);
    args.policy = static_cast<std::int32_t>(options.policy);
    args.group = options.group;
    constexpr std::chrono::microseconds longest = std::chrono::seconds(1);
    args.spinNanoseconds = std::chrono::nanoseconds(std::clamp(options.spin, {}, longest)).count();
    args.retained = options.retained;
    return args;
  }

  static expected<Subscription> subscribeWith(const At& where, const detail::SubscribeArgs& args) {
    Error error;
    void* handle = where.table->subscribe(where.core, where.client, &args, detail::sinkInto(error));
    if (!handle) return error;
    return Subscription::adopt(handle, where.table);
  }

  const detail::BusTable* table_ = nullptr;
  void* core_ = nullptr;  // of a bus of one's own
};

inline expected<Publisher> MessageBus::publisher(std::string_view topic) const {
  const auto where = at();
  if (!where.core) return detail::noRuntime();
  Error error;
  void* handle = where.table->makePublisher(where.core, topic, detail::sinkInto(error));
  if (!handle) return error;
  return Publisher(where, handle);
}

}  // namespace qtforge::inline QTFORGE_ABI
