#pragma once
// qtforge/communication/detail/bus_functions.hpp: a BusCore behind the table that other binaries call.

#include <qtforge/communication/detail/async_request.hpp>
#include <qtforge/communication/detail/bus_drain.hpp>
#include <qtforge/communication/detail/bus_reports.hpp>
#include <qtforge/communication/detail/bus_stats.hpp>
#include <qtforge/communication/detail/bus_taps.hpp>
#include <qtforge/communication/detail/request.hpp>
#include <qtforge/utils/log.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

struct BusFunctions {
  // A bus's handle is a shared_ptr on the heap; subscriptions and publishers keep the core alive by themselves.
  using Handle = std::shared_ptr<BusCore>;

  struct SubscriptionHandle {
    Handle bus;
    SubscriptionCore* core;
  };

  static BusCore& core(void* handle) { return **static_cast<Handle*>(handle); }

  // As guarded(), but nothing in a forked child, where locks may be held by threads that are not there.
  template <class F>
  static std::int32_t guardedHere(ErrorSink sink, F&& f) noexcept {
    if (forked()) [[unlikely]]
      return fail(sink, forkedError());
    return guarded(sink, std::forward<F>(f));
  }

  static Client& clientOr(void* client, BusCore& bus) { return client ? *static_cast<Client*>(client) : bus.host(); }

  static std::int32_t publish(void* bus, void* client, PublishArgs* args, Delivery* delivery, ErrorSink sink) {
    if (forked()) [[unlikely]]
      return fail(sink, forkedError());
    Error failure;
    try {
      // A publisher may outlive the handle of its bus, not the core.
      auto& target = args->publisher ? *static_cast<BusCore::PublisherCore*>(args->publisher)->bus : core(bus);
      if (target.publish(clientOr(client, target), *args, *delivery, BusCore::Authority::User, failure)) [[likely]]
        return 0;
    } catch (...) {
      failure = caughtError();
    }
    return fail(sink, std::move(failure));
  }

  static void* makePublisher(void* bus, Text topic, ErrorSink sink) {
    void* made = nullptr;
    guardedHere(sink, [&]() -> expected<void> {
      auto publisher = core(bus).makePublisher(topic);
      if (!publisher) return publisher.error();
      made = *publisher;
      return {};
    });
    return made;
  }

  static void retainPublisher(void* publisher) {
    static_cast<BusCore::PublisherCore*>(publisher)->references.fetch_add(1, std::memory_order_relaxed);
  }
  static void releasePublisher(void* publisher) {
    if (forked()) return;
    BusCore::releasePublisher(static_cast<BusCore::PublisherCore*>(publisher));
  }

  static void* subscribe(void* bus, void* client, const SubscribeArgs* args, ErrorSink sink) {
    void* made = nullptr;
    guardedHere(sink, [&]() -> expected<void> {
      auto subscription = core(bus).subscribe(clientOr(client, core(bus)), *args);
      if (!subscription) return subscription.error();
      made = new SubscriptionHandle{*static_cast<Handle*>(bus), *subscription};
      return {};
    });
    return made;
  }

  static bool unsubscribe(void* subscription, const Yield* yield, std::int64_t nanoseconds) {
    if (forked()) return true;
    auto* handle = static_cast<SubscriptionHandle*>(subscription);
    return handle->bus->unsubscribe(*handle->core, yield, deadlineAfter(std::chrono::nanoseconds(nanoseconds)));
  }
  static void releaseSubscription(void* subscription) {
    if (forked()) return;
    auto* handle = static_cast<SubscriptionHandle*>(subscription);
    handle->core->release();
    delete handle;
  }
  static void counters(void* subscription, SubscriptionCounters* out) {
    if (forked()) return;
    static_cast<SubscriptionHandle*>(subscription)->core->counters(*out);
  }

  static std::int32_t drain(void* bus, std::int64_t nanoseconds, const Yield* yield, ErrorSink sink) {
    return guardedHere(sink, [&] { return core(bus).drain(std::chrono::nanoseconds(nanoseconds), yield); });
  }

  static void stats(void* bus, boost::json::value* out) {
    guardedHere({}, [&]() -> expected<void> {
      core(bus).stats(*out);
      return {};
    });
  }

  static std::int32_t clearRetained(void* bus, Text pattern, std::uint64_t* count, ErrorSink sink) {
    return guardedHere(sink, [&]() -> expected<void> {
      const auto cleared = core(bus).clearRetained(pattern);
      if (!cleared) return cleared.error();
      *count = *cleared;
      return {};
    });
  }

  static std::int32_t request(void* bus, void* client, PublishArgs* args, std::int64_t nanoseconds,
                              MessageRecord** answer, ErrorSink sink) {
    return guardedHere(sink, [&]() -> expected<void> {
      auto result = AwaitedReply::request(core(bus), clientOr(client, core(bus)), *args,
                                          std::chrono::nanoseconds(nanoseconds));
      if (!result) return result.error();
      *answer = result->release();
      return {};
    });
  }

  static std::size_t receive(void* subscription, MessageRecord** out, std::size_t most) {
    if (forked()) return 0;
    return static_cast<SubscriptionHandle*>(subscription)->core->receive(out, most);
  }

  static void refuse(void* bus, Text replyTo, std::int32_t code, Text message, Text pythonType, Text traceback) {
    if (forked()) return;
    core(bus).failRequest(RequestTable::numberOf(replyTo),
                          Error(static_cast<Errc>(code), std::string(std::string_view(message)),
                                std::string(std::string_view(pythonType)), std::string(std::string_view(traceback))));
  }

  static std::int32_t asyncPublish(void* bus, void* client, PublishArgs* args, Delivery* delivery, void** operation,
                                   ErrorSink sink) {
    auto& target = args->publisher ? *static_cast<BusCore::PublisherCore*>(args->publisher)->bus : core(bus);
    return started(target, operation, sink, [&] {
      return PublishOperation::start(target.shared_from_this(), clientOr(client, target), *args, *delivery);
    });
  }

  static std::int32_t asyncRequest(void* bus, void* client, PublishArgs* args, std::int64_t nanoseconds,
                                   MessageRecord** answer, void** operation, ErrorSink sink) {
    return started(core(bus), operation, sink, [&]() -> expected<OperationPtr<RequestOperation>> {
      auto asked = RequestOperation::start(*static_cast<Handle*>(bus), clientOr(client, core(bus)), *args,
                                           std::chrono::nanoseconds(nanoseconds));
      if (BusOperation::Outcome outcome; asked && (*asked)->take(outcome)) {
        if (outcome.error.code() != Errc::Ok) return outcome.error;
        *answer = outcome.answer.release();
        asked->reset();
      }
      return asked;
    });
  }

  static std::int32_t asyncDrain(void* bus, void* client, std::int64_t nanoseconds, void** operation, ErrorSink sink) {
    return started(core(bus), operation, sink, [&] {
      return DrainOperation::start(*static_cast<Handle*>(bus), clientOr(client, core(bus)),
                                   deadlineAfter(std::chrono::nanoseconds(nanoseconds)));
    });
  }

  static void await(void* operation, Completion completion) {
    if (!forked()) static_cast<BusOperation*>(operation)->await(completion);
  }
  static void cancel(void* operation) {
    if (!forked()) static_cast<BusOperation*>(operation)->cancel();
  }
  static void releaseOperation(void* operation) {
    if (!forked()) static_cast<BusOperation*>(operation)->release();
  }

  static void* make(ExecutorRef executor, ErrorSink sink) {
    void* made = nullptr;
    guardedHere(sink, [&]() -> expected<void> {
      made = new Handle(std::make_shared<BusCore>(executor, [](std::int32_t level, const std::string& text) {
        Logger("qtforge.bus").write(static_cast<LogLevel>(level), text);
      }));
      return {};
    });
    return made;
  }

  static void destroy(void* bus) {
    if (forked()) return;
    std::unique_ptr<Handle> handle(static_cast<Handle*>(bus));
    (*handle)->close();
  }

  static bool receivable(void* subscription) {
    return !forked() && static_cast<SubscriptionHandle*>(subscription)->core->mailbox().receivable();
  }

  static std::int32_t drainSubscription(void* subscription, std::int64_t nanoseconds, void** operation, ErrorSink sink) {
    auto& handle = *static_cast<SubscriptionHandle*>(subscription);
    return started(*handle.bus, operation, sink, [&] {
      return SubscriptionDrain::start(handle.bus, *handle.core, deadlineAfter(std::chrono::nanoseconds(nanoseconds)));
    });
  }

  static std::int32_t beginBuild(Text topic, void* publisher, MessageBuild* build, ErrorSink sink) {
    return guardedHere(sink, [&]() -> expected<void> {
      std::string_view name = topic;
      if (publisher) name = static_cast<BusCore::PublisherCore*>(publisher)->entry->name;
      else if (name.size() > maxTopicLength) return checkTopic(name);
      MessageBuilding::begin(name, *build);
      return {};
    });
  }
  static std::int32_t endBuild(MessageBuild* build, bool trusted, ErrorSink sink) {
    return guardedHere(sink, [&] { return MessageBuilding::end(*build, trusted); });
  }
  static void abandonBuild(MessageBuild* build) { MessageBuilding::abandon(*build); }

  static constexpr BusTable table{1,
                                  sizeof(BusTable),
                                  &publish,
                                  &makePublisher,
                                  &retainPublisher,
                                  &releasePublisher,
                                  &subscribe,
                                  &unsubscribe,
                                  &releaseSubscription,
                                  &counters,
                                  &drain,
                                  &stats,
                                  &destroy,
                                  &clearRetained,
                                  &request,
                                  &receive,
                                  &refuse,
                                  &asyncPublish,
                                  &asyncRequest,
                                  &asyncDrain,
                                  &await,
                                  &cancel,
                                  &releaseOperation,
                                  &make,
                                  &receivable,
                                  &drainSubscription,
                                  &beginBuild,
                                  &endBuild,
                                  &abandonBuild};

 private:
  // What `start` returns, for another binary: the operation, if it gives one.
  template <class Start>
  static std::int32_t started(BusCore& bus, void** operation, ErrorSink sink, Start&& start) {
    bool pending = false;
    const auto code = guardedHere(sink, [&]() -> expected<void> {
      auto made = start();
      if (!made) return made.error();
      if (BusOperation* begun = made->release()) {
        begun->listIn(bus.operations());
        if (bus.ended()) begun->giveUp(BusCore::endedError());  // it may have ended before it was listed
        *operation = begun;
        pending = true;
      }
      return {};
    });
    return pending ? operationPending : code;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
