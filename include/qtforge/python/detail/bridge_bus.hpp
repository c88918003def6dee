#pragma once
// qtforge/python/detail/bridge_bus.hpp: the bus for Python: publish, subscribe and what belongs to them.

#include <qtforge/python/bridge.hpp>
#include <qtforge/python/detail/python_handler.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline const qtforge::detail::Root& root() { return qtforge::detail::processRoot(); }

/// Python's subscriptions by number, and by owner.
class PythonSubscriptions {
 public:
  struct Entry {
    void* handle = nullptr;
    const void* owner = nullptr;
    const PluginContext* plugin = nullptr;
  };

  static PythonSubscriptions& instance() {
    static auto* subscriptions = new PythonSubscriptions();
    return *subscriptions;
  }

  std::uint64_t add(Entry entry) {
    std::lock_guard lock(mutex_);
    entries_.emplace(++last_, entry);
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

/// Lets a publisher's or waiter's GIL go while it waits.
struct GilYield {
  qtforge::detail::Yield yield{this, [](void* self) { static_cast<GilYield*>(self)->state = PyEval_SaveThread(); },
                               [](void* self) { orStay([&] { PyEval_RestoreThread(static_cast<GilYield*>(self)->state); }); },
                               [](void* self) { return static_cast<GilYield*>(self)->signalled(); }};
  PyThreadState* state = nullptr;

  // Whether a Python signal handler raised: Ctrl-C. The Python error is set then.
  bool signalled() {
    yield.acquire(this);
    const bool raised = PyErr_CheckSignals() != 0;
    yield.release(this);
    return raised;
  }
};

inline void PythonSubscriptions::end(const std::vector<Entry>& taken) {
  for (const auto& entry : taken) {
    GilYield gil;
    root().bus->unsubscribe(entry.handle, &gil.yield);
    root().bus->releaseSubscription(entry.handle);
  }
}

/// The plugin whose code runs, else the one whose module the running Python function belongs to; may be null.
inline std::shared_ptr<PluginContext> callingPlugin(const Gil&) {
  if (auto* context = PluginScope::current()) return context->shared_from_this();
  PyObject* globals = PyEval_GetGlobals();
  PyObject* name = globals ? PyDict_GetItemString(globals, "__name__") : nullptr;
  Py_ssize_t size = 0;
  const char* text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &size) : nullptr;
  if (text) return Interpreter::find()->pluginOfModule({text, static_cast<std::size_t>(size)});
  PyErr_Clear();
  return nullptr;
}

inline std::optional<std::string_view> textArgument(PyObject* object, const char* what) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_Check(object) ? PyUnicode_AsUTF8AndSize(object, &size) : nullptr;
  if (data) return std::string_view(data, static_cast<std::size_t>(size));
  if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "%s: str expected, not %s", what, Py_TYPE(object)->tp_name);
  return std::nullopt;
}

/// What Python publishes, ready for the bus.
struct Outgoing {
  boost::json::value json;
  BinaryMessage binary;
  Attachments attachments;
  bool isBinary = false;
};

// Reads a qtforge.BinaryMessage by its attributes. False with a Python error set.
inline bool readBinary(PyObject* object, BinaryMessage& out, const Gil& gil) {
  const Ref data = Ref::steal(PyObject_GetAttrString(object, "data"));
  const Ref type = Ref::steal(PyObject_GetAttrString(object, "content_type"));
  const Ref dtype = Ref::steal(PyObject_GetAttrString(object, "dtype"));
  const Ref shape = Ref::steal(PyObject_GetAttrString(object, "shape"));
  const Ref extents = Ref::steal(shape ? PySequence_Fast(shape.get(), "shape: a sequence of int expected") : nullptr);
  if (!data || !type || !dtype || !extents) return false;
  auto bytes = bufferOf(data.get(), gil);
  if (!bytes) return raise(bytes.error(), gil);
  const auto typeText = textArgument(type.get(), "content_type"), dtypeText = textArgument(dtype.get(), "dtype");
  if (!typeText || !dtypeText) return false;
  out.data = std::move(*bytes);
  out.contentType = *typeText;
  out.dtype = *dtypeText;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(extents.get()); ++i) {
    const auto extent = PyLong_AsSize_t(PySequence_Fast_GET_ITEM(extents.get(), i));
    if (PyErr_Occurred()) return false;
    out.shape.push_back(extent);
  }
  return true;
}

inline bool readPayload(PyObject* payload, Outgoing& out, const Gil& gil) {
  static PyObject *binaryType = nullptr, *messageType = nullptr;
  if (!PyDict_CheckExact(payload)) {
    if (!imported(binaryType, "qtforge.communication", "BinaryMessage", gil)) return false;
    if (!imported(messageType, "qtforge.communication", "Message", gil)) return false;
    const int message = PyObject_IsInstance(payload, messageType);
    if (message < 0) return false;
    if (message) {
      const Ref inner = Ref::steal(PyObject_GetAttrString(payload, "payload"));
      return inner && readPayload(inner.get(), out, gil);
    }
    const int binary = PyObject_IsInstance(payload, binaryType);
    if (binary < 0) return false;
    if (binary || (PyObject_CheckBuffer(payload) && (PySequence_Check(payload) || PyMemoryView_Check(payload)))) {
      const Ref made = binary ? Ref::borrow(payload) : Ref::steal(PyObject_CallFunctionObjArgs(binaryType, payload, nullptr));
      out.isBinary = true;
      return made && readBinary(made.get(), out.binary, gil);
    }
  }
  FromPython conversion(gil);
  if (!conversion.convert(payload, out.json)) {
    raise(Error(Errc::ConversionFailed, "message" + conversion.place + ": " + conversion.reason), gil);
    return false;
  }
  out.attachments = std::move(conversion.attachments);
  return true;
}

// For a publish that takes all of it.
inline qtforge::detail::PublishArgs publishArgs(std::string_view topic, Outgoing& outgoing) {
  qtforge::detail::PublishArgs args;
  args.topic = topic;
  if (outgoing.isBinary) args.binary = &outgoing.binary;
  else args.json = &outgoing.json;
  args.attachments = &outgoing.attachments;
  args.adopt = true;
  return args;
}

inline void* clientOf(const PluginContext* plugin) { return plugin ? plugin->client : root().client; }

inline PyObject* bridgePublish(PyObject* topic, PyObject* payload, PyObject* replyTo, PyObject* headers, int retain) {
  const Gil gil{GilHeld()};
  const auto name = textArgument(topic, "topic");
  if (!name) return nullptr;
  Outgoing outgoing;
  if (!readPayload(payload, outgoing, gil)) return nullptr;
  auto args = publishArgs(*name, outgoing);
  args.retain = retain != 0;
  if (replyTo && replyTo != Py_None) {
    const auto reply = textArgument(replyTo, "reply_to");
    if (!reply) return nullptr;
    args.replyTo = *reply;
  }
  Converted head;
  if (headers && headers != Py_None) {
    if (!PyDict_Check(headers)) return PyErr_Format(PyExc_TypeError, "headers: dict expected, not %s", Py_TYPE(headers)->tp_name);
    auto converted = fromPython(headers, "headers", gil);
    if (!converted) return raise(converted.error(), gil);
    if (!converted->attachments.empty())
      return PyErr_Format(PyExc_TypeError, "headers%s: bytes belong into the payload", converted->attachments[0].place.c_str());
    head = std::move(*converted);
    args.headers = &head.json.get_object();
  }
  GilYield yield;
  args.yield = &yield.yield;
  const auto plugin = callingPlugin(gil);
  Delivery delivery;
  Error error;
  if (root().bus->publish(root().busCore, clientOf(plugin.get()), &args, &delivery, qtforge::detail::sinkInto(error)) != 0)
    return raise(error, gil);
  return PyLong_FromUnsignedLong(delivery.receivers());
}

inline PyObject* bridgeRequest(PyObject* topic, PyObject* payload, double seconds, int envelope) {
  const Gil gil{GilHeld()};
  const auto name = textArgument(topic, "topic");
  if (!name) return nullptr;
  if (!(seconds >= 0 && seconds <= 1e6)) {
    PyErr_SetString(PyExc_ValueError, "timeout: 0 to 1e6 seconds expected");
    return nullptr;
  }
  Outgoing outgoing;
  if (!readPayload(payload, outgoing, gil)) return nullptr;
  auto args = publishArgs(*name, outgoing);
  GilYield yield;
  args.yield = &yield.yield;
  const auto plugin = callingPlugin(gil);
  qtforge::detail::MessageRecord* record = nullptr;
  Error error;
  const auto failed = root().bus->request(root().busCore, clientOf(plugin.get()), &args,
                                          static_cast<std::int64_t>(seconds * 1e9), &record, qtforge::detail::sinkInto(error));
  const Message answer = Message::adopt(record);
  if (PyErr_Occurred()) return nullptr;  // Ctrl-C
  if (failed != 0) return raise(error, gil);
  Arrival arrival{answer.topic(), answer.json(), answer.binary(), &answer.attachments(), record,
                  [](Arrival* a) { return static_cast<qtforge::detail::MessageRecord*>(a->context); }};
  return (envelope ? envelopeOf(arrival, gil) : payloadOf(arrival, gil)).release();
}

inline PyObject* bridgeClearRetained(PyObject* pattern) {
  const Gil gil{GilHeld()};
  const auto text = textArgument(pattern, "pattern");
  if (!text) return nullptr;
  std::uint64_t count = 0;
  Error error;
  if (root().bus->clearRetained(root().busCore, *text, &count, qtforge::detail::sinkInto(error)) != 0)
    return raise(error, gil);
  return PyLong_FromUnsignedLongLong(count);
}

/// The Answer of Python's responders.
inline expected<void> answerRequest(const Message& request, const expected<Ref>& result, const PluginContext* responder,
                                    const Gil& gil) {
  const auto answer = [&]() -> expected<void> {
    if (!result) return result.error();
    if (request.replyTo().empty()) return {};
    Outgoing outgoing;
    if (!readPayload(result->get(), outgoing, gil)) return takePythonError("answer", gil, Errc::HandlerFailed);
    auto args = publishArgs(request.replyTo(), outgoing);
    GilYield yield;
    args.yield = &yield.yield;
    Delivery delivery;
    Error error;
    if (root().bus->publish(root().busCore, clientOf(responder), &args, &delivery, qtforge::detail::sinkInto(error)) != 0)
      return error;
    return {};
  }();
  if (answer || request.correlation() == 0) return answer;  // only published: a failure is told as any handler's
  const Error& error = answer.error();
  const auto message = error.message(), type = error.pythonType(), traceback = error.traceback();
  root().bus->refuse(root().busCore, request.replyTo(), static_cast<std::int32_t>(error.code()),
                     std::string_view(message), std::string_view(type), std::string_view(traceback));
  return {};
}

// One entry of a dict of options; null if it is not there.
inline PyObject* option(PyObject* options, const char* name) {
  return options && options != Py_None ? PyDict_GetItemString(options, name) : nullptr;
}

// False with a Python error set; what is not there stays as it is.
inline bool readFlag(PyObject* options, const char* name, bool& out) {
  PyObject* given = option(options, name);
  const int truth = given ? PyObject_IsTrue(given) : out;
  out = truth == 1;
  return truth >= 0;
}

// Reads the options into `args`. False with a Python error set.
inline bool readSubscribeOptions(PyObject* options, qtforge::detail::SubscribeArgs& args) {
  const SubscribeOptions defaults;
  args.capacity = defaults.capacity;
  args.blockNanoseconds = defaults.blockTimeout.count();
  const auto choose = [&](const char* name, std::initializer_list<std::string_view> choices, std::int32_t& out) {
    PyObject* given = option(options, name);
    if (!given) return true;
    const auto text = textArgument(given, name);
    if (!text) return false;
    std::int32_t index = 0;
    for (const auto choice : choices) {
      if (*text == choice) {
        out = index;
        return true;
      }
      ++index;
    }
    std::string known;
    for (const auto choice : choices) known += (known.empty() ? "\"" : ", \"") + std::string(choice) + "\"";
    PyErr_Format(PyExc_ValueError, "%s: one of %s expected, not \"%.100s\"", name, known.c_str(),
                 std::string(*text).c_str());
    return false;
  };
  if (!choose("delivery", {"queued", "direct"}, args.delivery)) return false;
  if (!choose("policy", {"block", "drop_oldest", "drop_newest", "fail", "latest"}, args.policy)) return false;
  if (PyObject* group = option(options, "group")) {
    const auto text = textArgument(group, "group");
    if (!text) return false;
    args.group = *text;
  }
  if (!readFlag(options, "retained", args.retained) || !readFlag(options, "responds", args.responds)) return false;
  if (PyObject* capacity = option(options, "capacity")) {
    args.capacity = PyLong_AsSize_t(capacity);
    if (PyErr_Occurred()) return false;
  }
  if (PyObject* seconds = option(options, "block_timeout")) {
    const double value = PyFloat_AsDouble(seconds);
    if (PyErr_Occurred()) return false;
    if (!(value >= 0 && value <= 1e6)) {
      PyErr_SetString(PyExc_ValueError, "block_timeout: 0 to 1e6 seconds expected");
      return false;
    }
    args.blockNanoseconds = static_cast<std::int64_t>(value * 1e9);
  }
  return true;
}

inline PyObject* subscribeCallable(qtforge::detail::SubscribeArgs& args, PyObject* pattern, PyObject* handler,
                                   PyObject* options, bool envelope, const Gil& gil) {
  const auto text = textArgument(pattern, "pattern");
  if (!text) return nullptr;
  if (!PyCallable_Check(handler))
    return PyErr_Format(PyExc_TypeError, "handler: a callable expected, not %s", Py_TYPE(handler)->tp_name);
  args.pattern = *text;
  if (!readSubscribeOptions(options, args)) return nullptr;

  auto* interpreter = Interpreter::find();
  auto plugin = callingPlugin(gil);
  PyObject* self = PyMethod_Check(handler) ? PyMethod_GET_SELF(handler) : nullptr;
  if (!plugin && self) plugin = interpreter->pluginOf(self);
  PyObject* owner = option(options, "owner");
  if (!owner || owner == Py_None) owner = self ? self : plugin ? plugin->object.get() : nullptr;

  auto* held = new PythonHandler(handler, owner, envelope, args.responds ? &answerRequest : nullptr, plugin);
  args.handler = static_cast<DeliveryMode>(args.delivery) == DeliveryMode::Direct ? &PythonHandler::direct
                                                                                   : &PythonHandler::queued;
  args.self = held;
  args.executor = (plugin && plugin->lane ? *plugin->lane : interpreter->sharedLane()).executor();
  Error error;
  void* handle = root().bus->subscribe(root().busCore, clientOf(plugin.get()), &args, qtforge::detail::sinkInto(error));
  if (!handle) return raise(error, gil);
  return PyLong_FromUnsignedLongLong(PythonSubscriptions::instance().add({handle, owner, plugin.get()}));
}

inline PyObject* bridgeSubscribe(PyObject* pattern, PyObject* handler, PyObject* options) {
  const Gil gil{GilHeld()};
  qtforge::detail::SubscribeArgs args;
  bool envelope = false;
  if (!readFlag(options, "envelope", envelope)) return nullptr;
  return subscribeCallable(args, pattern, handler, options, envelope, gil);
}

inline PyObject* bridgeTap(PyObject* pattern, PyObject* handler, PyObject* options) {
  const Gil gil{GilHeld()};
  qtforge::detail::SubscribeArgs args;
  args.tap = true;
  args.retained = false;
  args.policy = static_cast<std::int32_t>(OverflowPolicy::DropOldest);
  if (PyObject* every = option(options, "every")) {
    args.every = PyLong_AsSize_t(every);
    if (PyErr_Occurred()) return nullptr;
  }
  return subscribeCallable(args, pattern, handler, options, true, gil);
}

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
