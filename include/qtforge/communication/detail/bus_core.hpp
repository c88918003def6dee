#pragma once
// qtforge/communication/detail/bus_core.hpp: the bus itself: its subscriptions, its end. What it does with a message
// is in bus_publish.hpp.

#include <qtforge/communication/detail/backlog.hpp>
#include <qtforge/communication/detail/bus_operation.hpp>
#include <qtforge/communication/detail/forked.hpp>
#include <qtforge/communication/detail/group.hpp>
#include <qtforge/communication/detail/passage.hpp>
#include <qtforge/communication/detail/request_table.hpp>
#include <qtforge/communication/detail/retained.hpp>
#include <qtforge/communication/detail/topic_index.hpp>

#include <boost/json/array.hpp>

#include <map>
#include <set>
#include <unordered_set>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Shared by the MessageBus, its publishers and its subscriptions' handles; closed when the first goes.
class BusCore final : public BusReports, public std::enable_shared_from_this<BusCore> {
 public:
  using Time = std::chrono::steady_clock::time_point;

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
  bool publish(Client& client, PublishArgs& args, Delivery& delivery, Authority authority, Error& failure);

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
    const auto backlog = args.group.size == 0 && !args.tap && !args.responds ? client.backlog() : nullptr;
    // What a direct handler is given from here on, once it is seen, it may have been called with.
    if (backlog && subscription->delivery == DeliveryMode::Direct) first = backlog->matching(subscription->pattern);
    bool added;
    if (args.retained && args.group.size == 0) {
      // What is retained before this is given by start(), what is retained later by its publisher.
      std::lock_guard lock(retained_.mutex());
      addMissing(first, retained_.matching(subscription->pattern));
      subscription->retainedUpTo = retained_.count();
      added = add(*subscription, args.group);
    } else {
      added = add(*subscription, args.group);
    }
    if (!added) {
      subscription->release();
      return endedError();
    }
    if (backlog && subscription->delivery == DeliveryMode::Queued) {
      // Who does not see it yet has published to the backlog by then. Who does, and has too, has by the second time put the
      // message into the mailbox, which keeps what has come to both once.
      auto& records = ThreadRecords::instance();
      const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      records.synchronize(ThreadRecords::mine(), soon);
      const auto before = backlog->matching(subscription->pattern);
      records.synchronize(ThreadRecords::mine(), soon);
      addMissing(first, before);
    }
    subscription->start(std::move(first));
    return subscription;
  }

  /// @return false if its handler still runs at the deadline
  bool unsubscribe(SubscriptionCore& subscription, const Yield* yield, Time deadline = Time::max()) {
    const bool first = removeFromIndex(subscription);
    const bool ended = subscription.close(ThreadRecords::mine(), yield, deadline);
    if (first) {
      SubscriptionCounters c{};
      subscription.counters(c);
      subscription.client().addEnded({c.delivered, c.dropped, c.mismatched, c.failed}, subscription.latency());
      // Publishers may still see it: the index's reference goes when none does.
      ThreadRecords::instance().retire(&subscription, [](void* s) { static_cast<SubscriptionCore*>(s)->release(); });
    }
    noteUnended(subscription);
    ThreadRecords::instance().reclaim();
    return ended;
  }

  /// Ends all that `client` subscribed and asked for. @return what still runs at the deadline, as do the next
  std::vector<std::string> unsubscribeAll(const Client& client, Time deadline) {
    const Error ended(Errc::ShuttingDown, std::string(client.name()) + " has ended");
    requests_.failAll(&client, ended);
    operations_.endAll(&client, ended);
    return unsubscribeEach([&](const SubscriptionCore& s) { return &s.client() == &client; }, deadline);
  }

  /// Ends the subscriptions that the client made while it was initialized.
  std::vector<std::string> unsubscribeInitialized(const Client& client, Time deadline) {
    return unsubscribeEach([&](const SubscriptionCore& s) { return &s.client() == &client && s.ofInitialized; }, deadline);
  }

  /// Ends all subscriptions and refuses what comes.
  void close() {
    {
      std::lock_guard lock(mutex_);
      state_.fetch_or(isClosed, std::memory_order_seq_cst);
    }
    endRequests();
    unsubscribeEach([](const SubscriptionCore&) { return true; }, Time::max());
    std::unordered_set<SubscriptionCore*> running;  // the handlers that close it, which nobody waits for
    {
      std::lock_guard lock(mutex_);
      running.swap(unended_);
    }
    for (auto* each : running) each->release();
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
  ///   - Errc::WouldDeadlock  PublishExtras::wait, and this thread would have to go on for the answer to come
  ///   - the errors of publish
  expected<std::uint64_t> request(Client& client, PublishArgs& args, Reply reply);

  /// Ends a request with an error. False if it has its answer.
  bool failRequest(std::uint64_t number, const Error& error) { return requests_.fail(number, error); }
  /// One of its responders will not answer.
  void lostRequest(std::uint64_t number, const Error& error) { requests_.lost(number, error); }
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
  void handlerTook(const SubscriptionCore& subscription, std::string_view topic, std::chrono::nanoseconds time) override;
  void mismatch(const SubscriptionCore& subscription, const Error& error) override;
  void overflow(const SubscriptionCore& subscription) override;
  void unanswered(const SubscriptionCore& subscription, const Message& request) override;

  /// Ends what `wanted` accepts, with what was ended before, maybe by itself, and still runs.
  template <class Wanted>
  std::vector<std::string> unsubscribeEach(Wanted&& wanted, Time deadline) {
    std::vector<std::string> running;
    auto ending = list(wanted);
    addThose(unended_, wanted, ending);
    for (auto* subscription : ending) {
      if (!unsubscribe(*subscription, nullptr, deadline)) running.push_back(subscription->describe());
      subscription->release();
    }
    return running;
  }

  /// Retained pointers to the subscriptions that `wanted` accepts; the caller releases them.
  template <class Wanted>
  [[nodiscard]] std::vector<SubscriptionCore*> list(Wanted&& wanted) const {
    std::vector<SubscriptionCore*> found;
    addThose(subscriptions_, wanted, found);
    return found;
  }

  void addClient(Client* client) {
    std::lock_guard lock(mutex_);
    clients_.push_back(client);
  }

 private:
  // Keeps account of a handler that runs on, and of those that did before and do no more.
  void noteUnended(SubscriptionCore& subscription) {
    const bool runs = !subscription.calls().gone();
    std::vector<SubscriptionCore*> over;  // released without the lock
    {
      std::lock_guard lock(mutex_);
      if (!runs && unended_.empty()) return;
      for (auto at = unended_.begin(); at != unended_.end();) {
        const auto known = at++;
        if (!(*known)->calls().gone()) continue;
        over.push_back(*known);
        unended_.erase(known);
      }
      if (runs && !ended() && unended_.insert(&subscription).second) subscription.retain();
    }
    for (auto* each : over) each->release();
  }

  template <class Wanted>
  void addThose(const std::unordered_set<SubscriptionCore*>& known, Wanted&& wanted, std::vector<SubscriptionCore*>& to) const {
    std::lock_guard lock(mutex_);
    for (auto* subscription : known) {
      if (!wanted(*subscription)) continue;
      subscription->retain();
      to.push_back(subscription);
    }
  }

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

  // What publish() does, and what its parts do. See bus_publish.hpp.
  bool publishReading(Passage& passage, Authority authority, Error& failure, bool& refreshed);
  bool publishToAny(Passage& passage, const TopicEntry* entry, Authority authority, Error& failure, bool& refreshed);

  // What comes before the message goes to the subscriptions. False if it does not; `ok` is then what publish() returns.
  bool begin(Passage& passage, const TopicEntry*& entry, Authority authority, Error& failure, bool& ok);

  static expected<void> checkTap(const SubscribeArgs& args);
  // Queues the message for the taps that want it. See bus_taps.hpp.
  [[gnu::cold]] void showTaps(Passage& passage);

  // Its topic is that of a request's answer.
  void answer(Passage& passage, std::uint64_t request);

  bool deliver(SubscriptionCore& subscription, Passage& passage, Error& failure);

  static void countPublished(const Passage& passage, const TopicEntry* entry) {
    passage.client.sent.add(1, passage.thread.number);
    if (entry) entry->published.add(1, passage.thread.number);
  }
  // A publish from inside a handler, after it was queued: drain() looks at the count first, then at the mailboxes.
  static void countNested(ThreadRecord& thread) noexcept {
    thread.nested.store(thread.nested.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  // Anybody's code is called without the GIL, unless it is Python's.
  static const Yield* yieldFor(const SubscriptionCore& subscription, const PublishArgs& args) noexcept {
    return args.extras && !subscription.underGil() ? args.extras->yield : nullptr;
  }

  static bool wants(SubscriptionCore& subscription, Passage& passage);

  // One member of each group.
  bool deliverToGroups(Passage& passage, const TopicEntry* entry, Error& failure);

  bool handOver(SubscriptionCore& subscription, Passage& passage, Error& failure);

  [[gnu::cold]] static bool refuseNested(SubscriptionCore& subscription, Delivery& delivery, Error& failure);

  bool refresh(const TopicEntry& entry) {
    std::unique_lock lock(mutex_, std::try_to_lock);  // publishers never wait for it
    if (lock) index_.refresh(const_cast<TopicEntry&>(entry));
    return lock.owns_lock();
  }

  bool retain(const Message& message, Error& failure) {
    std::optional<Message> before;  // freed after the lock
    {
      std::lock_guard lock(retained_.mutex());
      before = retained_.keep(message);
    }
    return before || keepFirst(failure, notRetainedError(message.topic()));
  }

  // False if the bus has ended.
  static void addMissing(std::vector<Message>& to, const std::vector<Message>& more) {
    std::set<const MessageRecord*> there;
    for (const auto& message : to) there.insert(message.record());
    for (const auto& message : more)
      if (!there.contains(message.record())) to.push_back(message);
  }

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

  static Error notRetainedError(std::string_view topic) {
    return Error(Errc::LimitExceeded, "topic \"" + std::string(topic) + "\": its message is not retained, since " +
                                          std::to_string(maxRetainedTopics) +
                                          " others are; let some go with clearRetained");
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
  std::unordered_set<SubscriptionCore*> unended_;  // gone from the index, but their handlers still ran; each retained
  std::vector<Client*> clients_;
  std::map<std::string, std::weak_ptr<Group>, std::less<>> groups_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
