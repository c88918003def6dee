#pragma once
// qtforge/python/detail/bridge_bus.hpp: the bus for Python: subscriptions, and what is asked of the bus itself.

#include <qtforge/python/detail/python_subscriptions.hpp>
#include <qtforge/python/detail/subscribe_options.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

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

  auto made = std::make_unique<PythonHandler>(handler, filter, owner, envelope, args.responds ? &answerRequest : nullptr, plugin);
  args.handler = &made->table(static_cast<DeliveryMode>(args.delivery));
  PythonSubscriptions::Entry entry{nullptr, owner, plugin.get()};
  entry.terms = std::make_shared<const SubscriptionTerms>(args);
  entry.place = made->place();
  entry.handlerName = made->name(gil);
  Lane& lane = plugin && plugin->lane ? *plugin->lane : interpreter->sharedLane();
  args.executor = lane.executor();
  if (static_cast<DeliveryMode>(args.delivery) == DeliveryMode::Queued) args.servedBy = &lane;
  if (plugin && plugin->held.load(std::memory_order_relaxed)) {
    if (auto fine = checkPattern(*text); !fine) return raise(fine.error(), gil);
    entry.held = std::make_shared<HeldSubscription>(HeldSubscription{args, std::move(made)});
    return PyLong_FromUnsignedLongLong(PythonSubscriptions::instance().add(std::move(entry)));
  }
  args.self = made.release();
  Error error;
  entry.handle = root().bus->subscribe(root().busCore, clientOf(plugin.get()), &args, qtforge::detail::sinkInto(error));
  if (!entry.handle) return raise(error, gil);
  return PyLong_FromUnsignedLongLong(PythonSubscriptions::instance().add(std::move(entry)));
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
