#pragma once
// qtforge/python/detail/python_handler.hpp: a Python callable as a subscription's handler: where it is called, with what.

#include <qtforge/communication/subscription.hpp>
#include <qtforge/python/convert.hpp>
#include <qtforge/python/detail/watched_call.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

using qtforge::detail::Arrival;

/// A qtforge.BinaryMessage. Null with a Python error set.
inline Ref binaryToPython(const BinaryMessage& binary, const Gil& gil) {
  static PyObject* type = nullptr;
  if (!imported(type, "qtforge.communication", "BinaryMessage", gil)) return {};
  const Ref view = viewOf(binary.data, gil);
  const Ref shape = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(binary.shape.size())));
  if (!view || !shape) return {};
  for (std::size_t i = 0; i < binary.shape.size(); ++i)
    PyTuple_SET_ITEM(shape.get(), static_cast<Py_ssize_t>(i), PyLong_FromSize_t(binary.shape[i]));
  return Ref::steal(PyObject_CallFunction(type, "OssO", view.get(), binary.contentType.c_str(), binary.dtype.c_str(),
                                          shape.get()));
}

/// A payload as handlers get it: dict, list, scalar, or a BinaryMessage. Null with a Python error set.
inline Ref payloadOf(Arrival& arrival, const Gil& gil) {
  const auto json = arrival.json();
  if (!json) {
    raise(json.error(), gil);
    return {};
  }
  if (*json) return toPython(**json, arrival.attachments ? *arrival.attachments : Attachments(), gil);
  return binaryToPython(*arrival.binary(), gil);
}

/// The whole message, for handlers with `envelope=True`.
inline Ref envelopeOf(Arrival& arrival, const Gil& gil) {
  static PyObject* type = nullptr;
  if (!imported(type, "qtforge.communication", "Message", gil)) return {};
  const Ref payload = payloadOf(arrival, gil);
  const Message message = arrival.message();
  const Ref headers = objectToPython(message.headers(), gil);
  if (!payload || !headers) return {};
  const double time = std::chrono::duration<double>(message.time().time_since_epoch()).count();
  const Ref topic = textToPython(message.topic()), sender = textToPython(message.sender()),
            reply = textToPython(message.replyTo());
  if (!topic || !sender || !reply) return {};
  return Ref::steal(PyObject_CallFunction(type, "OOOKdOO", topic.get(), payload.get(), sender.get(),
                                          static_cast<unsigned long long>(message.id()), time, headers.get(),
                                          reply.get()));
}

/// What a handler or filter is called with. Null with a Python error set.
inline Ref argumentOf(Arrival& arrival, bool envelope, const Gil& gil) {
  return envelope ? envelopeOf(arrival, gil) : payloadOf(arrival, gil);
}

/// Which messages a subscription gets, said by a Python callable on the publisher's thread.
class HandlerFilter {
 public:
  /// @param callable  null: all
  /// @param plugin    whose code it is; may be null
  HandlerFilter(PyObject* callable, std::shared_ptr<PluginContext> plugin)
      : callable_(Ref::borrow(callable)), plugin_(std::move(plugin)) {}

  [[nodiscard]] bool present() const noexcept { return callable_.get() != nullptr; }

  /// As HandlerTable::accepts.
  std::int32_t accepts(Arrival& arrival, bool envelope, bool& wanted, qtforge::detail::ErrorSink sink) const {
    wanted = false;
    if (plugin_ && plugin_->offences.load(std::memory_order_relaxed) >= mostOffences) return 0;
    const Gil gil;
    const PluginScope scope(plugin_.get());
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const Ref argument = argumentOf(arrival, envelope, gil);
      WatchedCall watched("a filter of messages", arrival.topic);
      const Ref answer = Ref::steal(
          argument ? orStay([&] { return PyObject_CallOneArg(callable_.get(), argument.get()); }) : nullptr);
      const int truth = answer ? orStay([&] { return PyObject_IsTrue(answer.get()); }) : -1;
      watched.end();
      if (truth < 0) return watched.takeError("Python filter", gil, Errc::HandlerFailed);
      wanted = truth == 1;
      return {};
    });
  }

  // HandlerTable's, of whatever runs Python.
  static void* letGo() { return PyGILState_Check() ? PyEval_SaveThread() : nullptr; }
  static void takeBack(void* held) {
    orStay([&] { PyEval_RestoreThread(static_cast<PyThreadState*>(held)); });
  }

 private:
  SharedRef callable_;
  std::shared_ptr<PluginContext> plugin_;
};

/// What becomes of a responder's result, or of its error, which is the requester's.
using Answer = expected<void> (*)(const Message& request, const expected<Ref>& result, const PluginContext* responder,
                                  const Gil& gil);

/// A Python callable as the handler of a subscription.
class PythonHandler {
 public:
  /// @param filter  what says which messages the callable gets; null: all
  /// @param answer  for a responder, else null
  PythonHandler(PyObject* callable, PyObject* filter, PyObject* owner, bool envelope, Answer answer,
                std::shared_ptr<PluginContext> plugin)
      : callable_(Ref::borrow(callable)),
        filter_(filter, plugin),
        owner_(Ref::borrow(owner)),
        envelope_(envelope),
        answer_(answer),
        plugin_(std::move(plugin)) {}

  /// How the bus calls this one.
  [[nodiscard]] const qtforge::detail::HandlerTable& table(DeliveryMode delivery) const noexcept {
    return tables[delivery == DeliveryMode::Direct][filter_.present()];
  }

 private:
  static const qtforge::detail::HandlerTable tables[2][2];  // whether Direct, whether filtered

  static void destroy(void* self) { delete static_cast<PythonHandler*>(self); }

  // Queued: the GIL and the plugin's mark are taken once for a batch.
  static void batch(void* self, qtforge::detail::Batch* messages) {
    const Gil gil;
    const PluginScope scope(static_cast<PythonHandler*>(self)->plugin_.get());
    while (messages->next(messages)) {}
  }
  static std::int32_t callInBatch(void* self, Arrival* arrival, qtforge::detail::ErrorSink sink) {
    return static_cast<PythonHandler*>(self)->guardedCall(*arrival, sink, Gil(GilHeld()));
  }
  static std::int32_t callDirect(void* self, Arrival* arrival, qtforge::detail::ErrorSink sink) {
    const Gil gil;
    const PluginScope scope(static_cast<PythonHandler*>(self)->plugin_.get());
    return static_cast<PythonHandler*>(self)->guardedCall(*arrival, sink, gil);
  }

  static std::int32_t accepts(void* self, Arrival* arrival, bool* wanted, qtforge::detail::ErrorSink sink) {
    auto& handler = *static_cast<PythonHandler*>(self);
    return handler.filter_.accepts(*arrival, handler.envelope_, *wanted, sink);
  }

  static constexpr auto letGo = &HandlerFilter::letGo;
  static constexpr auto takeBack = &HandlerFilter::takeBack;

  std::int32_t guardedCall(Arrival& arrival, qtforge::detail::ErrorSink sink, const Gil& gil) {
    return qtforge::detail::guarded(sink, [&]() -> expected<void> { return call(arrival, gil); });
  }

  expected<void> call(Arrival& arrival, const Gil& gil) {
    if (plugin_ && plugin_->offences.load(std::memory_order_relaxed) >= mostOffences) [[unlikely]]
      return refuseFor(arrival, gil);
    const Ref argument = argumentOf(arrival, envelope_, gil);
    Ref result;
    WatchedCall watched(answer_ ? "a responder" : "a handler", arrival.topic);
    if (argument)
      result = Ref::steal(orStay([&] { return PyObject_CallOneArg(callable_.get(), argument.get()); }));
    watched.end();
    if (!answer_) [[likely]] {
      if (result) return {};
      return watched.takeError("Python handler", gil, Errc::HandlerFailed);
    }
    const Message request = arrival.message();
    if (result) return answer_(request, std::move(result), plugin_.get(), gil);
    return answer_(request, watched.takeError("Python responder", gil, Errc::HandlerFailed), plugin_.get(), gil);
  }

  // Of a plugin that went over the limit too often.
  [[gnu::cold]] expected<void> refuseFor(Arrival& arrival, const Gil& gil) {
    if (!answer_) return {};
    return answer_(arrival.message(), Error(Errc::TimedOut, "plugin '" + plugin_->texts.name + "' was stopped too often"),
                   plugin_.get(), gil);
  }

  SharedRef callable_;
  HandlerFilter filter_;
  SharedRef owner_;  // keeps its address from being another's
  const bool envelope_;
  const Answer answer_;
  std::shared_ptr<PluginContext> plugin_;
};

inline constexpr qtforge::detail::HandlerTable PythonHandler::tables[2][2]{
    {{&callInBatch, &batch, &destroy, true, letGo, takeBack},
     {&callInBatch, &batch, &destroy, true, letGo, takeBack, &accepts}},
    {{&callDirect, nullptr, &destroy, true, letGo, takeBack},
     {&callDirect, nullptr, &destroy, true, letGo, takeBack, &accepts}}};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
