#pragma once
// qtforge/python/detail/bridge_publish.hpp: the bus for Python: publishing, requests and their answers.

#include <qtforge/communication/detail/built_message.hpp>
#include <qtforge/python/bridge.hpp>
#include <qtforge/python/detail/python_handler.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline const qtforge::detail::Root& root() { return qtforge::detail::processRoot(); }

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

// The number of the plugin's context that a module belongs to, as the package's _plugins.py has noted it; 0: none.
inline std::uint64_t versionOf(PyObject* globals) {
  PyObject* builtins = PyDict_GetItemString(globals, "__builtins__");
  PyObject* key = builtins && PyDict_Check(builtins) ? PyDict_GetItemString(builtins, "__qtforge_plugin__") : nullptr;
  return key && PyLong_Check(key) ? PyLong_AsUnsignedLongLong(key) : 0;
}

/// The plugin whose code runs, else the one whose module the running Python function belongs to; may be null.
inline std::shared_ptr<PluginContext> callingPlugin(const Gil&) {
  if (auto* context = PluginScope::current()) return context->shared_from_this();
  static PyObject* const key = PyUnicode_InternFromString("__name__");
  PyObject* globals = PyEval_GetGlobals();
  PyObject* name = globals && key ? PyDict_GetItemWithError(globals, key) : nullptr;
  Py_ssize_t size = 0;
  const char* text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &size) : nullptr;
  const std::string_view module(text ? text : "", static_cast<std::size_t>(size));
  if (Interpreter::isOfPlugin(module)) return Interpreter::find()->pluginOfModule(module, versionOf(globals));
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

/// What Python publishes.
struct Outgoing {
  explicit Outgoing(std::string_view topic) {
    args.topic = topic;
    args.adopt = true;
    args.extras = &extras;
    extras.attachments = &attachments;
    extras.yield = &yield.yield;
  }
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  qtforge::detail::PublishArgs args;
  qtforge::detail::PublishExtras extras;
  qtforge::detail::BuiltMessage built{*root().bus};  // JSON
  BinaryMessage binary;
  Attachments attachments;
  GilYield yield;
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

// Of the types that are JSON's own: it is no message and nothing binary.
inline bool isPlainJson(PyObject* object) noexcept {
  const auto* type = Py_TYPE(object);
  return type == &PyDict_Type || type == &PyList_Type || type == &PyUnicode_Type || type == &PyLong_Type ||
         type == &PyFloat_Type || type == &PyBool_Type || type == &PyTuple_Type || object == Py_None;
}

inline bool readPayload(PyObject* payload, Outgoing& out, const Gil& gil) {
  static PyObject *binaryType = nullptr, *messageType = nullptr;
  if (!isPlainJson(payload)) {
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
      if (!made || !readBinary(made.get(), out.binary, gil)) return false;
      out.args.payload = {qtforge::detail::PayloadKind::Binary, &out.binary, nullptr};
      return true;
    }
  }
  if (auto begun = out.built.begin(out.args); !begun) return raise(begun.error(), gil);
  FromPython conversion(gil);
  if (!conversion.convert(payload, out.built.json())) {
    raise(Error(Errc::ConversionFailed, "message" + conversion.place + ": " + conversion.reason), gil);
    return false;
  }
  out.attachments = std::move(conversion.attachments);
  if (auto ended = out.built.end(out.args, true); !ended) return raise(ended.error(), gil);
  return true;
}

inline void* clientOf(const PluginContext* plugin) { return plugin ? plugin->client : root().client; }

inline PyObject* bridgePublish(PyObject* topic, PyObject* payload, PyObject* replyTo, PyObject* headers, int retain) {
  const Gil gil{GilHeld()};
  const auto name = textArgument(topic, "topic");
  if (!name) return nullptr;
  Outgoing outgoing(*name);
  if (!readPayload(payload, outgoing, gil)) return nullptr;
  outgoing.extras.retain = retain != 0;
  if (replyTo && replyTo != Py_None) {
    const auto reply = textArgument(replyTo, "reply_to");
    if (!reply) return nullptr;
    outgoing.extras.replyTo = *reply;
  }
  Converted head;
  if (headers && headers != Py_None) {
    if (!PyDict_Check(headers)) return PyErr_Format(PyExc_TypeError, "headers: dict expected, not %s", Py_TYPE(headers)->tp_name);
    auto converted = fromPython(headers, "headers", gil);
    if (!converted) return raise(converted.error(), gil);
    if (!converted->attachments.empty())
      return PyErr_Format(PyExc_TypeError, "headers%s: bytes belong into the payload", converted->attachments[0].place.c_str());
    head = std::move(*converted);
    outgoing.extras.headers = &head.json.get_object();
  }
  const auto plugin = callingPlugin(gil);
  Delivery delivery;
  Error error;
  if (root().bus->publish(root().busCore, clientOf(plugin.get()), &outgoing.args, &delivery, qtforge::detail::sinkInto(error)) != 0)
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
  Outgoing outgoing(*name);
  if (!readPayload(payload, outgoing, gil)) return nullptr;
  const auto plugin = callingPlugin(gil);
  qtforge::detail::MessageRecord* record = nullptr;
  Error error;
  const auto failed = root().bus->request(root().busCore, clientOf(plugin.get()), &outgoing.args,
                                          static_cast<std::int64_t>(seconds * 1e9), &record, qtforge::detail::sinkInto(error));
  const Message answer = Message::adopt(record);
  if (PyErr_Occurred()) return nullptr;  // Ctrl-C
  if (failed != 0) return raise(error, gil);
  Arrival arrival = Arrival::of(answer);
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
    Outgoing outgoing(request.replyTo());
    if (!readPayload(result->get(), outgoing, gil)) return takePythonError("answer", gil, Errc::HandlerFailed);
    Delivery delivery;
    Error error;
    if (root().bus->publish(root().busCore, clientOf(responder), &outgoing.args, &delivery, qtforge::detail::sinkInto(error)) != 0)
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

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
