#pragma once
// qtforge/python/detail/bridge_publish.hpp: the bus for Python: publishing, requests and their answers.

#include <qtforge/python/bridge.hpp>
#include <qtforge/python/detail/outgoing.hpp>
#include <qtforge/python/detail/python_handler.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

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

inline void* clientOf(const PluginContext* plugin) { return plugin ? plugin->client : root().client; }

inline PyObject* bridgePublish(PyObject* topic, PyObject* payload, PyObject* replyTo, PyObject* headers, int retain) {
  const Gil gil{GilHeld()};
  const auto name = textArgument(topic, "topic");
  if (!name) return nullptr;
  Outgoing outgoing(*name);
  if (Ref snapshot = Snapshot::of(payload, gil)) outgoing.take(std::move(snapshot));
  else if (!readPayload(payload, outgoing, gil)) return nullptr;
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
