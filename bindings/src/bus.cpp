// bus.cpp: qtforge.MessageBus. publish and subscribe are METH_FASTCALL: they are called per message.

#include "types.hpp"

#include <cstddef>

namespace qtforge::bindings {

namespace {

Signature<5> publishSignature{"publish", {"topic", "payload", "reply_to", "headers", "retain"}, 2, 2};
using SubscribeSignature = Signature<11>;
constexpr std::array<const char*, 11> subscribeNames{"pattern",       "handler", "envelope", "delivery", "capacity", "policy",
                                                     "block_timeout", "owner",   "group",    "retained", "filter"};
SubscribeSignature subscribeSignature{"subscribe", subscribeNames, 2, 2};
SubscribeSignature respondSignature{"respond", subscribeNames, 2, 2};
Signature<9> receiverSignature{
    "receiver",
    {"pattern", "envelope", "capacity", "policy", "block_timeout", "owner", "group", "retained", "filter"},
    1,
    1};
Signature<4> requestSignature{"request", {"topic", "payload", "timeout", "envelope"}, 2, 2};
Signature<7> tapSignature{"tap", {"handler", "pattern", "every", "capacity", "policy", "owner", "filter"}, 2, 1};
Signature<1> drainSignature{"drain", {"timeout"}, 1, 0};

constexpr int failed = 1;  // qtforge::Errc::Failed
constexpr const char* noFilters =
    "this host was built with an older qtforge, whose subscriptions have no filters; build it anew";

PyObject* theBus = nullptr;  // for the life of the process

/// The host's table if it is that long, else null with a Python error set.
const python::Bridge* bridgeUpTo(std::size_t end, const char* missing) {
  const auto* table = bridge();
  if (!table || table->size >= end) return table;
  raise(failed, missing);
  return nullptr;
}

const python::Bridge* bridgeWithRequests() {
  return bridgeUpTo(offsetof(python::Bridge, clearRetained) + sizeof(python::Bridge::clearRetained),
                    "this host was built with an older qtforge, which has neither requests nor retained messages; "
                    "build it anew");
}

const python::Bridge* bridgeWithTaps() {
  return bridgeUpTo(offsetof(python::Bridge, tap) + sizeof(python::Bridge::tap),
                    "this host was built with an older qtforge, which has no taps; build it anew");
}

PyObject* publish(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 5> given;
  if (!publishSignature.bind(args, count, keywords, given)) return nullptr;
  auto [topic, payload, replyTo, headers, retain] = given;
  if (!PyUnicode_Check(topic)) return raiseType("publish", "topic", "str", topic), nullptr;
  if (replyTo == Py_None) replyTo = nullptr;
  if (headers == Py_None) headers = nullptr;
  if (replyTo && !PyUnicode_Check(replyTo)) return raiseType("publish", "reply_to", "str or None", replyTo), nullptr;
  if (headers && !PyDict_Check(headers)) return raiseType("publish", "headers", "dict or None", headers), nullptr;
  if (retain && !PyBool_Check(retain)) return raiseType("publish", "retain", "bool", retain), nullptr;
  const auto* table = bridge();
  return table ? orStay([&] { return table->publish(topic, payload, replyTo, headers, retain == Py_True); }) : nullptr;
}

PyObject* request(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 4> given;
  double seconds = 5.0;
  if (!requestSignature.bind(args, count, keywords, given)) return nullptr;
  auto [topic, payload, timeout, envelope] = given;
  if (!PyUnicode_Check(topic)) return raiseType("request", "topic", "str", topic), nullptr;
  if (timeout && !toSeconds("request", "timeout", timeout, seconds)) return nullptr;
  if (envelope && !PyBool_Check(envelope)) return raiseType("request", "envelope", "bool", envelope), nullptr;
  const auto* table = bridgeWithRequests();
  return table ? orStay([&] { return table->request(topic, payload, seconds, envelope == Py_True); }) : nullptr;
}

PyObject* clearRetained(PyObject*, PyObject* pattern) {
  if (!PyUnicode_Check(pattern)) return raiseType("clear_retained", "pattern", "str", pattern), nullptr;
  const auto* table = bridgeWithRequests();
  return table ? orStay([&] { return table->clearRetained(pattern); }) : nullptr;
}

// Whether the host reads the option `filter`, the last of `given`, if it is there; false with a Python error set.
template <std::size_t N>
bool hostTakesFilter(const std::array<PyObject*, N>& given) {
  if (!given.back() || given.back() == Py_None) return true;
  const auto* table = bridgeUpTo(offsetof(python::Bridge, knowsOption) + sizeof(python::Bridge::knowsOption), noFilters);
  if (!table) return false;
  if (table->knowsOption("filter")) return true;
  raise(failed, noFilters);
  return false;
}

/// What was given of the options of subscribe, respond, receiver or tap, from the one at `first` on, for the host to check.
/// Null with a Python error set.
template <std::size_t N>
Ref optionsOf(const Signature<N>& signature, const std::array<PyObject*, N>& given, std::size_t first = 2) {
  if (!hostTakesFilter(given)) return nullptr;
  Ref options(PyDict_New());
  for (std::size_t i = first; options && i < given.size(); ++i)
    if (given[i] && PyDict_SetItem(options.get(), signature.key(i), given[i]) != 0) options.reset();
  return options;
}

// The subscription of that number, which it takes; null for null.
PyObject* numbered(PyObject* number, PyObject* pattern) {
  const Ref owned(number);
  if (!owned) return nullptr;
  const auto id = PyLong_AsUnsignedLongLong(owned.get());
  if (id == static_cast<unsigned long long>(-1) && PyErr_Occurred()) return nullptr;
  return newSubscription(id, pattern);
}

PyObject* subscribeBy(const SubscribeSignature& signature, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 11> given;
  if (!signature.bind(args, count, keywords, given)) return nullptr;
  PyObject* pattern = given[0];
  PyObject* handler = given[1];
  if (!PyUnicode_Check(pattern)) return raiseType(signature.function(), "pattern", "str", pattern), nullptr;
  if (!PyCallable_Check(handler)) return raiseType(signature.function(), "handler", "callable", handler), nullptr;
  const Ref options = optionsOf(signature, given);
  if (!options) return nullptr;
  if (&signature == &respondSignature && PyDict_SetItemString(options.get(), "responds", Py_True) != 0) return nullptr;
  const auto* table = bridge();
  return table ? numbered(orStay([&] { return table->subscribe(pattern, handler, options.get()); }), pattern) : nullptr;
}

PyObject* subscribe(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return subscribeBy(subscribeSignature, args, count, keywords);
}

PyObject* respond(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return subscribeBy(respondSignature, args, count, keywords);
}

PyObject* receiver(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 9> given;
  if (!receiverSignature.bind(args, count, keywords, given)) return nullptr;
  PyObject* pattern = given[0];
  if (!PyUnicode_Check(pattern)) return raiseType("receiver", "pattern", "str", pattern), nullptr;
  if (!bridgeUpTo(offsetof(python::Bridge, awaitMessage) + sizeof(python::Bridge::awaitMessage),
                  "this host was built with an older qtforge, which has no receivers; build it anew"))
    return nullptr;
  const Ref options = optionsOf(receiverSignature, given, 1);
  return options ? newReceiver(pattern, options.get()) : nullptr;
}

PyObject* tap(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 7> given;
  if (!tapSignature.bind(args, count, keywords, given)) return nullptr;
  PyObject* handler = given[0];
  PyObject* pattern = given[1];
  if (!PyCallable_Check(handler)) return raiseType("tap", "handler", "callable", handler), nullptr;
  if (pattern && !PyUnicode_Check(pattern)) return raiseType("tap", "pattern", "str", pattern), nullptr;
  const Ref options = optionsOf(tapSignature, given);
  if (!options) return nullptr;
  const Ref all(pattern ? nullptr : PyUnicode_FromString(">"));
  if (!pattern) pattern = all.get();
  const auto* table = pattern ? bridgeWithTaps() : nullptr;
  return table ? numbered(orStay([&] { return table->tap(pattern, handler, options.get()); }), pattern) : nullptr;
}

PyObject* unsubscribeAll(PyObject*, PyObject* owner) {
  const auto* table = bridge();
  return table ? orStay([&] { return table->unsubscribeAll(owner); }) : nullptr;
}

PyObject* drain(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 1> given;
  double seconds = 5.0;
  if (!drainSignature.bind(args, count, keywords, given)) return nullptr;
  if (given[0] && !toSeconds("drain", "timeout", given[0], seconds)) return nullptr;
  const auto* table = bridge();
  return table ? orStay([&] { return table->drain(seconds); }) : nullptr;
}

PyObject* stats(PyObject*, PyObject*) {
  const auto* table = bridge();
  return table ? orStay([&] { return table->busStats(); }) : nullptr;
}

PyObject* instance(PyObject*, PyObject*) { return retained(theBus); }

// Copies and pickles of an object that holds the bus hold the bus of the process they end up in.
PyObject* reduce(PyObject* self, PyObject*) {
  Ref maker(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(self)), "instance"));
  return maker ? Py_BuildValue("(O())", maker.get()) : nullptr;
}

PyObject* refuse(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "MessageBus() makes no bus: the process has one, MessageBus.instance()");
  return nullptr;
}

PyObject* represent(PyObject*) { return PyUnicode_FromString("<qtforge.MessageBus of this process>"); }

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"instance", method(instance), METH_NOARGS | METH_CLASS,
     "instance()\n--\n\nThe bus of this process: always the same object.\n\n"
     "C++ code, plugins and Python of one process share it."},
    {"publish", method(publish), METH_FASTCALL | METH_KEYWORDS,
     "publish($self, topic, payload, *, reply_to=None, headers=None, retain=False)\n--\n\n"
     "Sends a payload to whoever subscribed a pattern that matches the topic.\n\n"
     "Args:\n"
     "    topic: dot-separated tokens, 1 to 255 bytes, no wildcards.\n"
     "    payload: dict, list, str, int, float, bool or None, with bytes anywhere inside; a BinaryMessage;\n"
     "        a Message, whose bytes are shared; or bytes-like.\n"
     "    reply_to: a topic on which an answer is expected.\n"
     "    headers: a dict of JSON values.\n"
     "    retain: keep it as the topic's last message: who subscribes later gets it.\n\n"
     "Returns:\n"
     "    How many subscriptions it reached.\n\n"
     "Raises:\n"
     "    TypeError, ValueError: a part of the payload has no counterpart; the message names its place.\n"
     "    TopicError: not a topic, with the offset of what is wrong; or a topic of the library.\n"
     "    BusError: a mailbox was full, waiting for it would never end, or the process is ending.\n"
     "    Error: with the code LIMIT_EXCEEDED, it was not retained, since 65,536 other topics have a message.\n"},
    {"subscribe", method(subscribe), METH_FASTCALL | METH_KEYWORDS,
     "subscribe($self, pattern, handler, *, envelope=False, delivery='queued', capacity=65536, policy='block', "
     "block_timeout=5.0, owner=None, group='', retained=True, filter=None)\n--\n\n"
     "Calls a handler for what is published to topics that match a pattern.\n\n"
     "The handler is held until it is unsubscribed, its plugin is unloaded or the process ends; dropping the\n"
     "returned object ends nothing.\n\n"
     "Args:\n"
     "    pattern: a topic in which `*` stands for one token and a last `>` for all that follow.\n"
     "    handler: called with the payload: what was published, bytes as BinaryMessage.\n"
     "    envelope: call it with the whole Message.\n"
     "    delivery: 'queued' (in order, one at a time, on the plugin's lane) or 'direct' (on the publisher's thread).\n"
     "    capacity: how many messages may wait, at least 1.\n"
     "    policy: what happens to a message that meets a full mailbox: 'block', 'drop_oldest', 'drop_newest', 'fail';\n"
     "        or 'latest': a message takes the place of the one of its topic that waits still.\n"
     "    block_timeout: seconds that 'block' waits before the publisher gets an error.\n"
     "    owner: what `unsubscribe_all` finds it by; else the plugin whose code subscribes.\n"
     "    group: each message goes to one of the matching subscriptions of that name.\n"
     "    retained: whether to get what is retained already.\n"
     "    filter: called with what the handler would get, on the publisher's thread, before the message is queued; what it\n"
     "        returns False for never takes a place. What it raises counts as a failure, and the message does not pass.\n\n"
     "Raises:\n"
     "    TypeError, ValueError: an argument is wrong; the message names it.\n"
     "    TopicError: not a pattern, with the offset of what is wrong.\n"},
    {"respond", method(respond), METH_FASTCALL | METH_KEYWORDS,
     "respond($self, pattern, handler, *, envelope=False, delivery='queued', capacity=65536, policy='block', "
     "block_timeout=5.0, owner=None, group='', retained=True, filter=None)\n--\n\n"
     "Answers requests on topics that match a pattern with what a function returns.\n\n"
     "What it raises is raised by the requester's `request`. Arguments and errors as `subscribe`.\n"},
    {"receiver", method(receiver), METH_FASTCALL | METH_KEYWORDS,
     "receiver($self, pattern, *, envelope=False, capacity=65536, policy='block', block_timeout=5.0, owner=None, "
     "group='', retained=True, filter=None)\n--\n\n"
     "Queues what is published to topics that match a pattern until it is received.\n\n"
     "Arguments and errors as `subscribe`; `envelope` has whole Messages received.\n\n"
     "Returns:\n"
     "    The Receiver. It ends when it is dropped, unlike a subscription with a handler.\n"},
    {"tap", method(tap), METH_FASTCALL | METH_KEYWORDS,
     "tap($self, handler, pattern='>', *, every=1, capacity=65536, policy='drop_oldest', owner=None, filter=None)\n--\n\n"
     "Shows a handler what is published, for tools that look on.\n\n"
     "It sees all, whoever receives it: the library's own messages below `qtforge` too, requests and their answers. It\n"
     "is no receiver, publishers wait for nothing of it but its filter, and what its own handler publishes is not shown\n"
     "to it.\n\n"
     "Args:\n"
     "    handler: called with the whole Message.\n"
     "    pattern: as `subscribe`, but `>` and a first `*` match the library's own topics too.\n"
     "    every: of what matches, show the first message and then each that many-th.\n"
     "    capacity: how many messages may wait, at least 1.\n"
     "    policy: what goes when more come: 'drop_oldest', 'drop_newest', or 'latest' as `subscribe`.\n"
     "    owner: what `unsubscribe_all` finds it by; else the plugin whose code calls.\n"
     "    filter: called with the Message on the publisher's thread, as `subscribe`; `every` counts what passes.\n\n"
     "Raises:\n"
     "    TypeError, ValueError: an argument is wrong; the message names it.\n"
     "    TopicError: not a pattern, with the offset of what is wrong.\n"},
    {"request", method(request), METH_FASTCALL | METH_KEYWORDS,
     "request($self, topic, payload, *, timeout=5.0, envelope=False)\n--\n\n"
     "Publishes a payload and waits for the first answer.\n\n"
     "Args:\n"
     "    topic, payload: as `publish`.\n"
     "    timeout: seconds.\n"
     "    envelope: return the whole Message.\n\n"
     "Returns:\n"
     "    The answer's payload.\n\n"
     "Raises:\n"
     "    BusError: at once, where nobody responds to that topic, or where the answer would have to wait for this thread:\n"
     "        to run on it, or for a responder that waits, directly or through others, for an answer from it.\n"
     "    Timeout: no answer came in time.\n"
     "    Error: what the responder gave or raised.\n"},
    {"clear_retained", method(clearRetained), METH_O,
     "clear_retained($self, pattern, /)\n--\n\n"
     "Lets go of the messages that were published with `retain` to topics that match a pattern.\n\n"
     "Returns:\n"
     "    How many there were.\n"},
    {"unsubscribe_all", method(unsubscribeAll), METH_O,
     "unsubscribe_all($self, owner, /)\n--\n\n"
     "Ends all subscriptions of an owner: a plugin, an object whose methods are handlers, or what was given as `owner`.\n\n"
     "Returns:\n"
     "    How many were ended.\n"},
    {"drain", method(drain), METH_FASTCALL | METH_KEYWORDS,
     "drain($self, timeout=5.0)\n--\n\n"
     "Waits until all that was published is handled.\n\n"
     "Args:\n"
     "    timeout: seconds.\n\n"
     "Raises:\n"
     "    Timeout: something is still not handled; the message names it.\n"
     "    BusError: called from inside a handler.\n"},
    {"stats", method(stats), METH_NOARGS,
     "stats($self)\n--\n\nCounters of the bus: what was published, delivered and lost, by sender and subscription."},
    {"__reduce__", method(reduce), METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

constexpr const char* documentation = "The message bus of the process: `MessageBus.instance()`. Any thread may use it.";

}  // namespace

PyObject* makeMessageBusType() {
  if (!publishSignature.intern() || !subscribeSignature.intern() || !drainSignature.intern() ||
      !respondSignature.intern() || !requestSignature.intern() || !tapSignature.intern() ||
      !receiverSignature.intern())
    return nullptr;
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, slot(refuse)},
      {Py_tp_dealloc, slot(destroy)},
      {Py_tp_repr, slot(represent)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  static PyType_Spec spec = {"qtforge.communication.MessageBus", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (type && !theBus) theBus = PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(type), 0);
  if (!theBus) Py_CLEAR(type);
  return type;
}

}  // namespace qtforge::bindings
