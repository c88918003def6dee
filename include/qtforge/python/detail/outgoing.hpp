#pragma once
// qtforge/python/detail/outgoing.hpp: what Python publishes, on its way to the bus.

#include <qtforge/communication/detail/built_message.hpp>
#include <qtforge/python/convert.hpp>
#include <qtforge/python/detail/interpreter.hpp>
#include <qtforge/python/detail/snapshot.hpp>

#include <optional>

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

inline std::optional<std::string_view> textArgument(PyObject* object, const char* what) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_Check(object) ? PyUnicode_AsUTF8AndSize(object, &size) : nullptr;
  if (data) return std::string_view(data, static_cast<std::size_t>(size));
  if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "%s: str expected, not %s", what, Py_TYPE(object)->tp_name);
  return std::nullopt;
}

/// What Python publishes. With the GIL.
class Outgoing {
 public:
  explicit Outgoing(std::string_view topic) {
    args.topic = topic;
    args.adopt = true;
    args.extras = &extras;
    extras.attachments = &attachments;
    extras.yield = &yield_;
  }
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;
  ~Outgoing() {
    if (extras.shadow.object) extras.shadow.destroy(extras.shadow.object);
  }

  /// `object` as JSON, now. False with a Python error set.
  bool takeJson(PyObject* object, const Gil& gil) {
    auto built = buildJson(object, gil);
    if (!built) raise(built.error(), gil);
    return built.has_value();
  }

  /// What `snapshot` is a copy of: direct handlers in Python get copies of it, and it becomes JSON for others.
  void take(Ref snapshot) noexcept {
    extras.shadow = Snapshot::shadow(std::move(snapshot));
    args.payload = {qtforge::detail::PayloadKind::Typed, this, &becomesJson};
  }

  qtforge::detail::PublishArgs args;
  qtforge::detail::PublishExtras extras;
  BinaryMessage binary;
  Attachments attachments;

 private:
  static std::int32_t build(void* self, qtforge::detail::ErrorSink sink) {
    auto& out = *static_cast<Outgoing*>(self);
    if (out.failed_.code() != Errc::Ok) return qtforge::detail::fail(sink, out.failed_);
    const Gil gil;
    return qtforge::detail::guarded(sink, [&] { return out.buildJson(Snapshot::in(&out.extras.shadow), gil); });
  }

  expected<void> buildJson(PyObject* object, const Gil& gil) {
    qtforge::detail::guarded(qtforge::detail::sinkInto(failed_), [&] { return tryBuild(object, gil); });
    if (failed_.code() == Errc::Ok) return {};
    built_.abandon();
    return failed_;
  }

  expected<void> tryBuild(PyObject* object, const Gil& gil) {
    if (auto begun = built_.begin(args); !begun) return begun;
    FromPython conversion(gil);
    if (!conversion.convert(object, built_.json()))
      return Error(Errc::ConversionFailed, "message" + conversion.place + ": " + conversion.reason);
    attachments = std::move(conversion.attachments);
    return built_.end(args, true);
  }

  // Who runs without the GIL is to find JSON: nobody waits for the GIL inside another's publish.
  static void letGo(void* self) {
    auto& out = *static_cast<Outgoing*>(self);
    Error told;  // once more, to who needs the JSON
    if (out.args.payload.type == &becomesJson) (void)build(self, qtforge::detail::sinkInto(told));
    out.gil_.yield.release(&out.gil_);
  }
  static void takeBack(void* self) {
    auto& out = *static_cast<Outgoing*>(self);
    out.gil_.yield.acquire(&out.gil_);
  }
  static bool interrupted(void* self) {
    auto& out = *static_cast<Outgoing*>(self);
    return out.gil_.yield.interrupted(&out.gil_);
  }

  static constexpr qtforge::detail::PayloadType becomesJson{
      0, std::string_view("JSON"), 0, 1, false, nullptr, nullptr, nullptr, nullptr, &build};

  qtforge::detail::BuiltMessage built_{*root().bus};
  GilYield gil_;
  Error failed_;  // of building the JSON
  qtforge::detail::Yield yield_{this, &letGo, &takeBack, &interrupted};
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
  return out.takeJson(payload, gil);
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
