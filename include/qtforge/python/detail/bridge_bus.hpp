#pragma once
// qtforge/python/detail/bridge_bus.hpp: the bus for Python: subscriptions, and what is asked of the bus itself.

#include <qtforge/python/detail/bridge_publish.hpp>
#include <qtforge/python/detail/python_receiver.hpp>
#include <qtforge/python/detail/subscribe_options.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Python's subscriptions by number, and by owner.
class PythonSubscriptions {
 public:
  struct Entry {
    void* handle = nullptr;
    const void* owner = nullptr;
    const PluginContext* plugin = nullptr;
    PythonReceiver::Share receiver = {};  // owns the handle; null for a subscription with a handler
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

  /// Ends them; waits for running calls, the GIL released meanwhile.
  static void end(const std::vector<Entry>& taken);

  bool counters(std::uint64_t number, qtforge::detail::SubscriptionCounters& out) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return false;
    root().bus->counters(found->second.handle, &out);
    return true;
  }

 private:
  mutable std::mutex mutex_;  // guards all below; taken under it: a mailbox's
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Entry> entries_;
};

inline void PythonSubscriptions::end(const std::vector<Entry>& taken) {
  for (const bool receivers : {true, false})  // first: handlers may be waiting at them
    for (const auto& entry : taken) {
      if (receivers != static_cast<bool>(entry.receiver)) continue;
      GilYield gil;
      root().bus->unsubscribe(entry.handle, &gil.yield);
      if (!receivers) root().bus->releaseSubscription(entry.handle);
    }
}

inline PyObject* subscribeCallable(qtforge::detail::SubscribeArgs& args, PyObject* pattern, PyObject* handler,
                                   const OptionReader& given, bool envelope, const Gil& gil) {
  const auto text = textArgument(pattern, "pattern");
  if (!text) return nullptr;
  if (!PyCallable_Check(handler))
    return PyErr_Format(PyExc_TypeError, "handler: a callable expected, not %s", Py_TYPE(handler)->tp_name);
  args.pattern = *text;
  PyObject* filter = nullptr;
  if (!given.callable("filter", filter)) return nullptr;

  auto* interpreter = Interpreter::find();
  auto plugin = callingPlugin(gil);
  PyObject* self = PyMethod_Check(handler) ? PyMethod_GET_SELF(handler) : nullptr;
  if (!plugin && self) plugin = interpreter->pluginOf(self);
  PyObject* owner = given.find("owner");
  if (!owner || owner == Py_None) owner = self ? self : plugin ? plugin->object.get() : nullptr;

  auto* held = new PythonHandler(handler, filter, owner, envelope, args.responds ? &answerRequest : nullptr, plugin);
  args.handler = &held->table(static_cast<DeliveryMode>(args.delivery));
  args.self = held;
  Lane& lane = plugin && plugin->lane ? *plugin->lane : interpreter->sharedLane();
  args.executor = lane.executor();
  if (static_cast<DeliveryMode>(args.delivery) == DeliveryMode::Queued) args.servedBy = &lane;
  Error error;
  void* handle = root().bus->subscribe(root().busCore, clientOf(plugin.get()), &args, qtforge::detail::sinkInto(error));
  if (!handle) return raise(error, gil);
  return PyLong_FromUnsignedLongLong(PythonSubscriptions::instance().add({handle, owner, plugin.get()}));
}

inline PyObject* bridgeSubscribe(PyObject* pattern, PyObject* handler, PyObject* options) {
  const Gil gil{GilHeld()};
  const OptionReader given(options);
  qtforge::detail::SubscribeArgs args;
  bool envelope = false;
  if (!readSubscribeOptions(given, args) || !given.flag("envelope", envelope)) return nullptr;
  return subscribeCallable(args, pattern, handler, given, envelope, gil);
}

inline PyObject* bridgeTap(PyObject* pattern, PyObject* handler, PyObject* options) {
  const Gil gil{GilHeld()};
  const OptionReader given(options, "tap");
  qtforge::detail::SubscribeArgs args;
  if (!readTapOptions(given, args)) return nullptr;
  return subscribeCallable(args, pattern, handler, given, true, gil);
}

inline int bridgeKnowsOption(const char* name) { return std::string_view(name) == "filter"; }

inline PyObject* bridgeUnsubscribe(std::uint64_t subscription) {
  const auto taken = PythonSubscriptions::instance().takeOne(subscription);
  PythonSubscriptions::end(taken);
  return PyBool_FromLong(!taken.empty());
}

inline PyObject* bridgeUnsubscribeAll(PyObject* owner) {
  const auto plugin = Interpreter::find()->pluginOf(owner);
  const auto taken = PythonSubscriptions::instance().take([&](std::uint64_t, const PythonSubscriptions::Entry& entry) {
    return entry.owner == owner || (plugin && entry.plugin == plugin.get());
  });
  PythonSubscriptions::end(taken);
  return PyLong_FromSize_t(taken.size());
}

inline PyObject* bridgeSubscriptionStats(std::uint64_t subscription) {
  qtforge::detail::SubscriptionCounters c{};
  if (!PythonSubscriptions::instance().counters(subscription, c)) Py_RETURN_NONE;
  return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K}", "delivered", c.delivered, "dropped", c.dropped, "mismatched",
                       c.mismatched, "failed", c.failed, "pending", c.pending, "replaced", c.replaced);
}

inline PyObject* bridgeDrain(double seconds) {
  const Gil gil{GilHeld()};
  if (!(seconds >= 0 && seconds <= 1e6)) {
    PyErr_SetString(PyExc_ValueError, "timeout: 0 to 1e6 seconds expected");
    return nullptr;
  }
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  constexpr std::chrono::nanoseconds slice = std::chrono::milliseconds(50);  // then Ctrl-C is looked at
  for (;;) {
    GilYield yield;
    Error error;
    const auto left = std::min<std::chrono::nanoseconds>(slice, deadline - Clock::now());
    if (root().bus->drain(root().busCore, left.count(), &yield.yield, qtforge::detail::sinkInto(error)) == 0)
      Py_RETURN_NONE;
    if (!(error == Errc::TimedOut) || Clock::now() >= deadline) return raise(error, gil);
    if (PyErr_CheckSignals() != 0) return nullptr;
  }
}

inline PyObject* bridgeBusStats() {
  const Gil gil{GilHeld()};
  boost::json::value stats;
  root().bus->stats(root().busCore, &stats);
  return toPythonValue(stats, gil).release();
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
