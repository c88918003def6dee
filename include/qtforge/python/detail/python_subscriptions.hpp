#pragma once
// qtforge/python/detail/python_subscriptions.hpp: what Python has subscribed, by number, and its way from one version of a
// plugin to the next.

#include <qtforge/python/detail/bridge_publish.hpp>
#include <qtforge/python/detail/python_receiver.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What of a subscription the bus knows.
struct SubscriptionTerms {
  explicit SubscriptionTerms(const qtforge::detail::SubscribeArgs& args)
      : pattern(std::string_view(args.pattern)),
        group(std::string_view(args.group)),
        responds(args.responds),
        tap(args.tap),
        filters(args.handler->accepts != nullptr),
        delivery(args.delivery),
        policy(args.policy),
        capacity(args.capacity),
        blockNanoseconds(args.blockNanoseconds),
        every(args.every) {}

  const std::string pattern, group;
  const bool responds, tap, filters;
  const std::int32_t delivery, policy;
  const std::uint64_t capacity;
  const std::int64_t blockNanoseconds;
  const std::uint64_t every;

  friend bool operator==(const SubscriptionTerms&, const SubscriptionTerms&) = default;
};

/// Of a version that is loaded beside another: not on the bus yet.
struct HeldSubscription {
  qtforge::detail::SubscribeArgs args;  // without its texts, which are in the terms
  std::unique_ptr<PythonHandler> handler;
};

/// Python's subscriptions by number, and by owner.
class PythonSubscriptions {
 public:
  struct Entry {
    void* handle = nullptr;  // null while it is held
    const void* owner = nullptr;
    const PluginContext* plugin = nullptr;
    PythonReceiver::Share receiver = {};  // owns the handle; null for a subscription with a handler
    std::shared_ptr<const SubscriptionTerms> terms = {};  // null for a receiver, as what follows
    std::shared_ptr<HandlerPlace> place = {};
    std::string handlerName = {};
    std::shared_ptr<HeldSubscription> held = {};
  };

  static PythonSubscriptions& instance() {
    static auto* subscriptions = new PythonSubscriptions();
    return *subscriptions;
  }

  std::uint64_t add(Entry entry) {
    std::lock_guard lock(mutex_);
    entries_.emplace(++last_, std::move(entry));
    return last_;
  }

  /// Takes out what `wanted` accepts, to be ended by end().
  template <class Wanted>
  std::vector<Entry> take(Wanted&& wanted) {
    std::lock_guard lock(mutex_);
    std::vector<Entry> taken;
    for (auto at = entries_.begin(); at != entries_.end();) {
      if (wanted(at->first, at->second)) {
        taken.push_back(at->second);
        at = entries_.erase(at);
      } else {
        ++at;
      }
    }
    return taken;
  }

  std::vector<Entry> takeOne(std::uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return {};
    std::vector<Entry> taken{found->second};
    entries_.erase(found);
    return taken;
  }

  /// Null for one that has ended or has a handler.
  [[nodiscard]] PythonReceiver::Share receiver(std::uint64_t number) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    return found == entries_.end() ? nullptr : found->second.receiver;
  }

  /// Ends them; waits for running calls, the GIL released meanwhile, together not longer than `limit`. False if some run on.
  static bool end(const std::vector<Entry>& taken, std::chrono::nanoseconds limit = std::chrono::nanoseconds::max()) {
    bool ended = true;
    const auto deadline = qtforge::detail::deadlineAfter(limit);
    for (const bool receivers : {true, false})  // first: handlers may be waiting at them
      for (const auto& entry : taken) {
        if (!entry.handle || receivers != static_cast<bool>(entry.receiver)) continue;
        GilYield gil;
        const auto left = std::max(std::chrono::nanoseconds(0), deadline - std::chrono::steady_clock::now());
        ended &= root().bus->unsubscribe(entry.handle, &gil.yield, left.count());
        if (!receivers) root().bus->releaseSubscription(entry.handle);
      }
    return ended;
  }

  bool counters(std::uint64_t number, qtforge::detail::SubscriptionCounters& out) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return false;
    if (found->second.handle) root().bus->counters(found->second.handle, &out);
    return true;
  }

  // ---- From one version of a plugin to the next ----

  /// Puts what `next` has subscribed and `old` has not on the bus. Errors: of MessageBus::subscribe.
  expected<void> addMissing(const PluginContext& old, PluginContext& next, const Gil&) {
    for (const auto number : unmatched(old, next))
      if (auto done = begin(number, next); !done) return done;
    return {};
  }

  /// Has what `old` has subscribed, with all that is queued, go to the handlers of `next`. With the GIL, which it keeps.
  /// @return the old handlers
  [[nodiscard]] std::vector<std::shared_ptr<HeldSubscription>> handOver(const PluginContext& old, PluginContext& next, const Gil&) {
    std::vector<std::shared_ptr<HeldSubscription>> done;
    std::lock_guard lock(mutex_);
    for (const auto& [from, to] : matched(old, next)) {
      auto& entry = entries_.at(to);
      auto node = entries_.extract(from);
      auto& running = node.mapped();
      std::lock_guard place(running.place->mutex);
      if (!running.place->handler) continue;  // it has ended this moment
      running.place->handler->exchange(*entry.held->handler);
      done.push_back(std::move(entry.held));
      entry.handle = running.handle;
      entry.terms = std::move(running.terms);
      entry.place = std::move(running.place);
    }
    return done;
  }

  /// Puts what is still held on the bus. Where that fails the log says so.
  void beginHeld(PluginContext& next) {
    std::vector<std::uint64_t> numbers;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [number, entry] : entries_)
        if (entry.plugin == &next && entry.held) numbers.push_back(number);
    }
    for (const auto number : numbers)
      if (const auto done = begin(number, next); !done) Logger(next.name).error(done.error().message());
  }

  /// Waits until what is queued for `plugin` now is handled, the GIL released.
  void drain(const PluginContext& plugin, std::chrono::nanoseconds limit) const;

 private:
  using Pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

  // With mutex_ held: which running subscription is for which held one. What is the same but for its handler's name will do.
  [[nodiscard]] Pairs matched(const PluginContext& old, const PluginContext& next) const {
    Pairs pairs;
    const auto pass = [&](bool named) {
      for (const auto& [to, held] : entries_) {
        if (held.plugin != &next || !held.held || std::any_of(pairs.begin(), pairs.end(), [&](auto& p) { return p.second == to; }))
          continue;
        for (const auto& [from, running] : entries_) {
          if (running.plugin != &old || !running.handle || !running.place || !(*running.terms == *held.terms)) continue;
          if (named && running.handlerName != held.handlerName) continue;
          if (std::any_of(pairs.begin(), pairs.end(), [&](auto& p) { return p.first == from; })) continue;
          std::lock_guard place(running.place->mutex);
          if (!running.place->handler) continue;  // the bus has ended it
          pairs.emplace_back(from, to);
          break;
        }
      }
    };
    pass(true);
    pass(false);
    return pairs;
  }

  [[nodiscard]] std::vector<std::uint64_t> unmatched(const PluginContext& old, const PluginContext& next) const {
    std::vector<std::uint64_t> numbers;
    std::lock_guard lock(mutex_);
    const auto pairs = matched(old, next);
    for (const auto& [number, entry] : entries_)
      if (entry.plugin == &next && entry.held &&
          std::none_of(pairs.begin(), pairs.end(), [&](auto& p) { return p.second == number; }))
        numbers.push_back(number);
    return numbers;
  }

  expected<void> begin(std::uint64_t number, PluginContext& plugin) {
    std::shared_ptr<HeldSubscription> held;
    std::shared_ptr<const SubscriptionTerms> terms;
    {
      std::lock_guard lock(mutex_);
      const auto found = entries_.find(number);
      if (found == entries_.end()) return {};  // ended meanwhile
      held = std::move(found->second.held);
      terms = found->second.terms;
    }
    auto& args = held->args;
    args.pattern = std::string_view(terms->pattern);
    args.group = std::string_view(terms->group);
    args.self = held->handler.release();
    Error error;
    void* handle = root().bus->subscribe(root().busCore, clientOf(&plugin), &args, qtforge::detail::sinkInto(error));
    if (!handle) return error;
    std::unique_lock lock(mutex_);
    if (const auto found = entries_.find(number); found != entries_.end()) {
      found->second.handle = handle;
      return {};
    }
    lock.unlock();
    end({Entry{handle, nullptr, nullptr}});
    return {};
  }

  mutable std::mutex mutex_;  // guards all below; taken under it: a mailbox's, and that of a place
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Entry> entries_;
};

inline void PythonSubscriptions::drain(const PluginContext& plugin, std::chrono::nanoseconds limit) const {
  const GilRelease released;
  std::vector<void*> handles;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [_, entry] : entries_)
      if (entry.plugin == &plugin && entry.handle && entry.place) handles.push_back(entry.handle);
  }
  for (auto* handle : handles) {
    void* operation = nullptr;
    Error error;
    if (root().bus->drainSubscription(handle, limit.count(), &operation, qtforge::detail::sinkInto(error)) !=
        qtforge::detail::operationPending)
      continue;
    auto* done = new std::promise<void>();
    auto waited = done->get_future();
    root().bus->await(operation, {done, [](void* self, const qtforge::detail::AsyncOutcome*) {
                                    const std::unique_ptr<std::promise<void>> told(static_cast<std::promise<void>*>(self));
                                    told->set_value();
                                  }});
    waited.wait();
    root().bus->releaseOperation(operation);
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
