#pragma once
// qtforge/communication/detail/bus_core.hpp: the bus itself: where publish happens.

#include <qtforge/communication/detail/bus_operation.hpp>
#include <qtforge/communication/detail/forked.hpp>
#include <qtforge/communication/detail/group.hpp>
#include <qtforge/communication/detail/passage.hpp>
#include <qtforge/communication/detail/request_table.hpp>
#include <qtforge/communication/detail/retained.hpp>
#include <qtforge/communication/detail/topic_index.hpp>

#include <boost/json/array.hpp>

#include <map>
#include <unordered_set>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Shared by the MessageBus, its publishers and its subscriptions' handles; closed when the first goes.
class BusCore final : public BusReports, public std::enable_shared_from_this<BusCore> {
 public:
  /// @param executor  where handlers without one run; owned
  /// @param log       takes level and text
  BusCore(ExecutorRef executor, std::function<void(std::int32_t, const std::string&)> log)
      : executor_(executor), log_(std::move(log)), clients_{&host_} {
    watchForks();
  }

  BusCore(const BusCore&) = delete;
  BusCore& operator=(const BusCore&) = delete;
  ~BusCore() override { deadlines_->stop(); }

  struct PublisherCore {
    std::shared_ptr<BusCore> bus;
    TopicEntry* entry;
    std::atomic<std::uint32_t> references{1};
  };

  /// Who publishes and subscribes when nobody else is named.
  [[nodiscard]] Client& host() noexcept { return host_; }

  /// Who may publish below `qtforge.`
  enum class Authority { User, Library };

  /// @param failure  set to what goes wrong first: then false. The other receivers have the message.
  bool publish(Client& client, PublishArgs& args, Delivery& delivery, Authority authority, Error& failure) {
    bool refreshed = false;
    const bool sent = publishReading(client, args, delivery, authority, failure, refreshed);
    if (refreshed) [[unlikely]]
      ThreadRecords::instance().reclaim();  // what was refreshed left something to free
    return sent;
  }

  expected<SubscriptionCore*> subscribe(Client& client, const SubscribeArgs& args) {
    Rejected rejected(args);
    if (auto valid = checkPattern(args.pattern); !valid) return valid.error();
    if (args.capacity == 0)
      return Error(Errc::InvalidArgument, "subscribe: a capacity of 0 messages; give at least 1");
    if (args.tap)
      if (auto valid = checkTap(args); !valid) return valid.error();
    rejected.accept();
    auto executor = args.executor.table ? args.executor : ExecutorRef{&borrowed, this};
    auto* subscription = new SubscriptionCore(args, client, executor, shared_from_this());
    std::vector<Message> first;
    bool added;
    if (args.retained && args.group.size == 0) {
      // What is retained before this is given by start(), what is retained later by its publisher.
      std::lock_guard lock(retained_.mutex());
      first = retained_.matching(subscription->pattern);
      subscription->retainedUpTo = retained_.count();
      added = add(*subscription, args.group);
    } else {
      added = add(*subscription, args.group);
    }
    if (!added) {
      subscription->release();
      return endedError();
    }
    subscription->start(std::move(first));
    return subscription;
  }

  void unsubscribe(SubscriptionCore& subscription, const Yield* yield) {
    const bool first = removeFromIndex(subscription);
    subscription.close(ThreadRecords::mine(), yield);
    if (first) {
      SubscriptionCounters c{};
      subscription.counters(c);
      subscription.client().addEnded({c.delivered, c.dropped, c.mismatched, c.failed}, subscription.latency());
      // Publishers may still see it: the index's reference goes when none does.
      ThreadRecords::instance().retire(&subscription, [](void* s) { static_cast<SubscriptionCore*>(s)->release(); });
    }
    ThreadRecords::instance().reclaim();
  }

  /// Ends all that `client` subscribed and asked for.
  void unsubscribeAll(const Client& client, const Yield* yield) {
    const Error ended(Errc::ShuttingDown, std::string(client.name()) + " has ended");
    requests_.failAll(&client, ended);
    operations_.endAll(&client, ended);
    for (auto* subscription : list([&](const SubscriptionCore& s) { return &s.client() == &client; })) {
      unsubscribe(*subscription, yield);
      subscription->release();
    }
  }

  /// Ends all subscriptions and refuses what comes.
  void close() {
    {
      std::lock_guard lock(mutex_);
      state_.fetch_or(isClosed, std::memory_order_seq_cst);
    }
    endRequests();
    for (auto* subscription : list([](const SubscriptionCore&) { return true; })) {
      unsubscribe(*subscription, nullptr);
      subscription->release();
    }
  }

  /// Refuses what comes, without waiting for what runs: for the end of the process.
  void refuse() {
    state_.fetch_or(isClosed, std::memory_order_seq_cst);
    endRequests();
    operations_.endAll(nullptr, endedError());
  }
  /// Who waits for an answer gets Errc::ShuttingDown.
  void endRequests() { requests_.failAll(nullptr, endedError()); }

  expected<PublisherCore*> makePublisher(std::string_view topic) {
    if (auto valid = checkTopic(topic); !valid) return valid.error();
    if (isReservedTopic(topic)) return reservedError(topic);
    std::lock_guard lock(mutex_);
    auto* publisher = new PublisherCore{shared_from_this(), nullptr, {}};
    publisher->references.store(1, std::memory_order_relaxed);
    publisher->entry = &index_.use(topic);
    return publisher;
  }

  static void releasePublisher(PublisherCore* publisher) {
    if (publisher->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    {
      std::lock_guard lock(publisher->bus->mutex_);
      publisher->bus->index_.unuse(*publisher->entry);
    }
    delete publisher;
    ThreadRecords::instance().reclaim();
  }

  /// Publishes `args`, which has extras, as a request. `reply` is called once, unless there is an error: that is returned.
  ///
  /// @return the request's number, or
  ///   - Errc::NoResponder    nobody that responds has subscribed the topic
  ///   - Errc::WouldDeadlock  `waits`, and this thread would have to go on for the answer to come
  ///   - the errors of publish
  expected<std::uint64_t> request(Client& client, PublishArgs& args, bool waits, Reply reply) {
    const auto number = requests_.add(client, reply);
    const auto topic = RequestTable::topicOf(number);
    auto& extras = *args.extras;
    extras.replyTo = std::string_view(topic);
    extras.correlation = number;
    extras.waits = waits;
    Delivery delivery;
    Error failure;
    bool sent = false;
    try {
      sent = publish(client, args, delivery, Authority::User, failure);
    } catch (...) {  // its reply must not stay in the table
      keepFirst(failure, caughtError());
    }
    if (extras.responders > 0) return number;  // one has it, or has answered already
    if (sent && delivery.dropped > 0)
      failure = Error(Errc::Overflow, "request: a mailbox on \"" + std::string(std::string_view(args.topic)) +
                                          "\" is full and did not take it");
    else if (sent)
      failure = Error(Errc::NoResponder,
                      "request: nobody responds to \"" + std::string(std::string_view(args.topic)) + "\"");
    if (!requests_.forget(number)) return number;  // somebody answered by publishing to its reply topic
    return failure;
  }

  /// Ends a request with an error. False if it has its answer.
  bool failRequest(std::uint64_t number, const Error& error) { return requests_.fail(number, error); }
  /// Its reply will not be called; false if it was or is about to be.
  bool forgetRequest(std::uint64_t number) { return requests_.forget(number); }

  /// Lets go of the last messages of the topics that match. @return how many, or Errc::InvalidPattern
  expected<std::uint64_t> clearRetained(std::string_view pattern) {
    if (auto valid = checkPattern(pattern); !valid) return valid.error();
    std::vector<Message> cleared;  // freed after the lock
    std::lock_guard lock(retained_.mutex());
    cleared = retained_.clear(pattern);
    return cleared.size();
  }

  /// Waits until all that was published before is handled, with what its handlers published. See bus_drain.hpp.
  expected<void> drain(std::chrono::nanoseconds timeout, const Yield* yield);

  /// Whether it refuses what comes.
  [[nodiscard]] bool ended() const noexcept { return state_.load(std::memory_order_relaxed) & isClosed; }
  static Error endedError() { return Error(Errc::ShuttingDown, "the message bus has ended"); }
  /// When operations of this bus give up.
  [[nodiscard]] Deadlines& deadlines() noexcept { return *deadlines_; }
  /// Those that have not ended.
  [[nodiscard]] BusOperations& operations() noexcept { return operations_; }
  /// See bus_stats.hpp.
  void stats(boost::json::value& out) const;

  // Reports, to the log and as messages below `qtforge.`. See bus_reports.hpp.
  void publishInternal(std::string_view topic, boost::json::value payload);
  void handlerFailed(const SubscriptionCore& subscription, std::string_view topic, const Error& error) override;
  void mismatch(const SubscriptionCore& subscription, const Error& error) override;
  void overflow(const SubscriptionCore& subscription) override;

  /// Calls `f` for a retained pointer to each subscription that `wanted` accepts; the caller releases them.
  template <class Wanted>
  [[nodiscard]] std::vector<SubscriptionCore*> list(Wanted&& wanted) const {
    std::lock_guard lock(mutex_);
    std::vector<SubscriptionCore*> found;
    for (auto* subscription : subscriptions_) {
      if (!wanted(*subscription)) continue;
      subscription->retain();
      found.push_back(subscription);
    }
    return found;
  }

  void addClient(Client* client) {
    std::lock_guard lock(mutex_);
    clients_.push_back(client);
  }

 private:
  // Ends handler and executor of a subscription that is not made.
  struct Rejected {
    explicit Rejected(const SubscribeArgs& a) : args(&a) {}
    Rejected(const Rejected&) = delete;
    Rejected& operator=(const Rejected&) = delete;
    void accept() noexcept { args = nullptr; }
    ~Rejected() {
      if (!args) return;
      args->handler->destroy(args->self);
      const OwnedExecutor ended(args->executor);
    }
    const SubscribeArgs* args;
  };

  bool publishReading(Client& client, PublishArgs& args, Delivery& delivery, Authority authority, Error& failure,
                      bool& refreshed) {
    const auto state = state_.load(std::memory_order_relaxed);
    if (state & isClosed) return keepFirst(failure, endedError());
    ThreadRecord& record = ThreadRecords::mine();
    ReadSection reading(record);
    const TopicEntry* entry = args.publisher ? static_cast<PublisherCore*>(args.publisher)->entry
                                             : index_.find(args.topic);
    const std::string_view topic = entry ? std::string_view(entry->name) : std::string_view(args.topic);
    if (!entry) [[unlikely]]
      if (auto valid = checkTopic(topic); !valid) return keepFirst(failure, valid.error());
    if (authority == Authority::User && (entry ? entry->reserved : isReservedTopic(topic))) [[unlikely]]
      return answer(client, topic, args, record, delivery, failure);

    Passage passage(client, topic, args, record);
    client.sent.add(1, record.number);
    if (entry) entry->published.add(1, record.number);
    if (state & isTapped) [[unlikely]]
      showTaps(passage, record, args);
    if (args.extras && args.extras->replyTo.size > 0) passage.message();  // if it cannot be made, nobody is to answer it
    if (args.extras && args.extras->retain) {
      retain(passage.message());
      entry = index_.find(topic);  // who subscribed before that counts on this publisher
    }
    bool ok = true, grouped = false;
    index_.forEachMatch(topic, entry, [&](SubscriptionCore& subscription) {
      if (subscription.group) [[unlikely]]
        grouped = true;
      else ok &= deliver(subscription, passage, record, args, delivery, failure);
    });
    if (grouped) [[unlikely]]
      ok &= deliverToGroups(topic, entry, passage, record, args, delivery, failure);
    if (record.callDepth > 0)  // after it was queued: drain() looks at the count first, then at the mailboxes
      record.nested.store(record.nested.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    if (entry && index_.stale(*entry)) [[unlikely]]
      refreshed = refresh(*entry);
    return ok;
  }

  static expected<void> checkTap(const SubscribeArgs& args);
  // Queues the message for the taps that want it. See bus_taps.hpp.
  [[gnu::cold]] void showTaps(Passage& passage, ThreadRecord& record, const PublishArgs& args);

  // The topic is that of a request's answer, or nobody's to publish to.
  bool answer(Client& client, std::string_view topic, PublishArgs& args, ThreadRecord& record, Delivery& delivery,
              Error& failure) {
    const auto request = RequestTable::numberOf(topic);
    if (request == 0) return keepFirst(failure, reservedError(topic));
    client.sent.add(1, record.number);
    PublishExtras extras;
    if (!args.extras) args.extras = &extras;
    args.extras->correlation = request;
    Passage passage(client, topic, args, record);
    if (state_.load(std::memory_order_relaxed) & isTapped) [[unlikely]]
      showTaps(passage, record, args);
    delivery.called += requests_.answer(request, passage.message());
    return true;
  }

  bool deliver(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record, PublishArgs& args,
               Delivery& delivery, Error& failure) {
    auto* extras = args.extras;
    if (extras && extras->retain && passage.message().record()->extras->retainedAs <= subscription.retainedUpTo) return true;
    if (record.callDepth == maxNestedCalls && subscription.calledByPublishers()) [[unlikely]]
      return refuseNested(subscription, delivery, failure);
    if (subscription.filters() && !wants(subscription, passage, record, args)) return true;
    if (!subscription.responds) return handOver(subscription, passage, record, args, delivery, failure);
    if (extras && extras->waits && subscription.delivery == DeliveryMode::Queued && subscription.waitsFor(record))
      return keepFirst(failure, Error(Errc::WouldDeadlock, "request: " + subscription.describe() +
                                                            " would answer on this thread, which waits for the answer"));
    const auto before = delivery.receivers();
    const bool done = handOver(subscription, passage, record, args, delivery, failure);
    if (extras) extras->responders += delivery.receivers() - before;
    return done;
  }

  // Anybody's code is called without the GIL, unless it is Python's.
  static const Yield* yieldFor(const SubscriptionCore& subscription, const PublishArgs& args) noexcept {
    return args.extras && !subscription.underGil() ? args.extras->yield : nullptr;
  }

  static bool wants(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record, const PublishArgs& args) {
    const Yield* yield = yieldFor(subscription, args);
    if (yield) yield->release(yield->self);
    const bool wanted = subscription.wants(record, passage.arrival);
    if (yield) yield->acquire(yield->self);
    return wanted;
  }

  // One member of each group.
  bool deliverToGroups(std::string_view topic, const TopicEntry* entry, Passage& passage, ThreadRecord& record,
                       PublishArgs& args, Delivery& delivery, Error& failure) {
    MatchedMembers members;
    index_.forEachMatch(topic, entry, [&](SubscriptionCore& subscription) {
      if (subscription.group) members.add(subscription);
    });
    bool ok = true;
    Error refused;  // by a member; it does not matter once another takes the message
    members.offerToEach(
        [&](SubscriptionCore& member) {
          const auto before = delivery.receivers();
          deliver(member, passage, record, args, delivery, refused);
          return delivery.receivers() != before;
        },
        [&](bool taken) {
          if (!taken && refused.code() != Errc::Ok) ok = keepFirst(failure, refused);
          refused = Error();
        });
    return ok;
  }

  bool handOver(SubscriptionCore& subscription, Passage& passage, ThreadRecord& record, PublishArgs& args,
                Delivery& delivery, Error& failure) {
    if (subscription.delivery == DeliveryMode::Queued)
      return subscription.enqueue(record, passage.message(), args, delivery, failure);
    const Yield* yield = yieldFor(subscription, args);
    if (yield) yield->release(yield->self);
    if (subscription.callDirect(record, passage.arrival)) ++delivery.called;
    if (yield) yield->acquire(yield->self);
    return true;
  }

  [[gnu::cold]] static bool refuseNested(SubscriptionCore& subscription, Delivery& delivery, Error& failure) {
    subscription.refused.fetch_add(1, std::memory_order_relaxed);
    ++delivery.dropped;
    return keepFirst(failure, Error(Errc::LimitExceeded, subscription.describe() +
                                                             ": direct handlers publish to each other " +
                                                             std::to_string(maxNestedCalls) +
                                                             " calls deep; make one of them Queued"));
  }

  bool refresh(const TopicEntry& entry) {
    std::unique_lock lock(mutex_, std::try_to_lock);  // publishers never wait for it
    if (lock) index_.refresh(const_cast<TopicEntry&>(entry));
    return lock.owns_lock();
  }

  void retain(const Message& message) {
    Message before = Message::adopt(nullptr);  // freed after the lock
    std::lock_guard lock(retained_.mutex());
    before = retained_.keep(message);
  }

  // False if the bus has ended.
  bool add(SubscriptionCore& subscription, std::string_view group) {
    std::lock_guard lock(mutex_);
    if (ended()) return false;
    if (!group.empty()) subscription.group = groupNamed(group);
    if (subscription.tap) {
      taps_.add(&subscription);
      state_.fetch_or(isTapped, std::memory_order_release);
    } else {
      index_.add(subscription.pattern, &subscription);
    }
    subscriptions_.insert(&subscription);
    subscription.retain();  // the index's
    return true;
  }

  std::shared_ptr<Group> groupNamed(std::string_view name) {
    std::erase_if(groups_, [](const auto& known) { return known.second.expired(); });
    auto& known = groups_[std::string(name)];
    auto group = known.lock();
    if (!group) known = group = std::make_shared<Group>();
    return group;
  }

  bool removeFromIndex(SubscriptionCore& subscription) {
    std::lock_guard lock(mutex_);
    if (subscriptions_.erase(&subscription) == 0) return false;
    if (subscription.tap) {
      taps_.remove(&subscription);
      if (taps_.size() == 0) state_.fetch_and(~isTapped, std::memory_order_relaxed);
    } else {
      index_.remove(subscription.pattern, &subscription);
    }
    return true;
  }

  static Error reservedError(std::string_view topic) {
    return Error(Errc::ReservedTopic, "topic \"" + std::string(topic) +
                                          "\": qtforge and what is below it belong to the library; use another name");
  }

  expected<void> drainUntil(std::chrono::steady_clock::time_point deadline);

  // The bus's executor on behalf of a subscription, which does not own it.
  static void postBorrowed(void* self, Task task) {
    const auto& executor = static_cast<BusCore*>(self)->executor_;
    executor.table->post(executor.self, task);
  }
  static bool waitsBorrowed(void* self) {
    const auto& executor = static_cast<BusCore*>(self)->executor_;
    return executor.table->waitsForCaller && executor.table->waitsForCaller(executor.self);
  }
  static inline const ExecutorTable borrowed{&postBorrowed, nullptr, &waitsBorrowed};

  const OwnedExecutor executor_;
  std::function<void(std::int32_t, const std::string&)> log_;
  static constexpr std::uint32_t isClosed = 1, isTapped = 2;
  std::atomic<std::uint32_t> state_{0};  // one word, so that a publish without taps looks at nothing more
  Client library_{"qtforge"};
  Client host_{"host"};
  RetainedMessages retained_;  // its mutex is taken before mutex_
  RequestTable requests_;
  BusOperations operations_;
  const std::shared_ptr<Deadlines> deadlines_ = std::make_shared<Deadlines>();
  mutable std::mutex mutex_;  // guards the index's writing and all below
  TopicIndex index_;
  SubscriberList taps_;
  std::unordered_set<SubscriptionCore*> subscriptions_;
  std::vector<Client*> clients_;
  std::map<std::string, std::weak_ptr<Group>, std::less<>> groups_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
