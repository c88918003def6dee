#pragma once
// qtforge/python/detail/python_handler.hpp: a Python callable as a subscription's handler: where it is called, with what.

#include <qtforge/communication/subscription.hpp>
#include <qtforge/python/convert.hpp>
#include <qtforge/python/detail/snapshot.hpp>
#include <qtforge/python/detail/watched_call.hpp>

#include <memory>
#include <mutex>
#include <string>

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
  if (PyObject* snapshot = Snapshot::in(arrival.shadow)) return Snapshot::copy(snapshot, gil);
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

  /// As HandlerTable::accepts. @param envelope  is read under the GIL: it changes with the version
  std::int32_t accepts(Arrival& arrival, const bool& envelope, bool& wanted, qtforge::detail::ErrorSink sink) const {
    wanted = false;
    const Gil gil;
    awaitReplacement(plugin_);
    if (plugin_ && plugin_->offences.load(std::memory_order_relaxed) >= mostOffences) return 0;
    const OutsideCall inside(plugin_.get());
    const PluginScope scope(plugin_.get());
    const Ref callable = Ref::borrow(callable_.get());
    return qtforge::detail::guarded(sink, [&]() -> expected<void> {
      const Ref argument = argumentOf(arrival, envelope, gil);
      WatchedCall watched("a filter of messages", arrival.topic);
      const Ref answer = Ref::steal(
          argument ? orStay([&] { return PyObject_CallOneArg(callable.get(), argument.get()); }) : nullptr);
      const int truth = answer ? orStay([&] { return PyObject_IsTrue(answer.get()); }) : -1;
      watched.end();
      if (truth < 0) return watched.takeError("Python filter", gil, Errc::HandlerFailed);
      wanted = truth == 1;
      return {};
    });
  }

  /// With the GIL.
  void exchange(HandlerFilter& other) noexcept {
    std::swap(callable_, other.callable_);
    plugin_.swap(other.plugin_);
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

class PythonHandler;

/// Where a subscription's handler is found, as long as the bus has it.
struct HandlerPlace {
  std::mutex mutex;  // guards handler; a leaf
  PythonHandler* handler = nullptr;
};

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
  PythonHandler(const PythonHandler&) = delete;
  PythonHandler& operator=(const PythonHandler&) = delete;
  ~PythonHandler() {
    if (!place_) return;
    std::lock_guard lock(place_->mutex);
    place_->handler = nullptr;
  }

  /// Before the bus has it.
  [[nodiscard]] std::shared_ptr<HandlerPlace> place() {
    place_ = std::make_shared<HandlerPlace>();
    place_->handler = this;
    return place_;
  }

  /// What its callable is called, for people.
  [[nodiscard]] std::string name(const Gil& gil) const {
    const Ref name = Ref::steal(PyObject_GetAttrString(callable_.get(), "__qualname__"));
    PyErr_Clear();
    return name ? textOf(name.get(), gil) : std::string();
  }

  /// Has each called in the place of the other. With the GIL.
  void exchange(PythonHandler& other) noexcept {
    std::swap(callable_, other.callable_);
    filter_.exchange(other.filter_);
    std::swap(owner_, other.owner_);
    std::swap(envelope_, other.envelope_);
    std::swap(answer_, other.answer_);
    plugin_.swap(other.plugin_);
  }

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
    auto& handler = *static_cast<PythonHandler*>(self);
    awaitReplacement(handler.plugin_);
    const OutsideCall inside(handler.plugin_.get());
    const PluginScope scope(handler.plugin_.get());
    return handler.guardedCall(*arrival, sink, gil);
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

  // Meanwhile another version of the plugin may take its place: all is the one's that was there before.
  expected<void> call(Arrival& arrival, const Gil& gil) {
    auto* plugin = plugin_.get();
    const auto answer = answer_;
    if (plugin && plugin->offences.load(std::memory_order_relaxed) >= mostOffences) [[unlikely]]
      return refuseFor(arrival, gil);
    const Ref callable = Ref::borrow(callable_.get());
    const Ref argument = argumentOf(arrival, envelope_, gil);
    Ref result;
    WatchedCall watched(answer ? "a responder" : "a handler", arrival.topic);
    if (argument)
      result = Ref::steal(orStay([&] { return PyObject_CallOneArg(callable.get(), argument.get()); }));
    watched.end();
    if (!answer) [[likely]] {
      if (result) return {};
      return watched.takeError("Python handler", gil, Errc::HandlerFailed);
    }
    const Message request = arrival.message();
    if (result) return answer(request, std::move(result), plugin, gil);
    return answer(request, watched.takeError("Python responder", gil, Errc::HandlerFailed), plugin, gil);
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
  bool envelope_;
  Answer answer_;
  std::shared_ptr<PluginContext> plugin_;
  std::shared_ptr<HandlerPlace> place_;
};

inline constexpr qtforge::detail::HandlerTable PythonHandler::tables[2][2]{
    {{&callInBatch, &batch, &destroy, true, letGo, takeBack},
     {&callInBatch, &batch, &destroy, true, letGo, takeBack, &accepts}},
    {{&callDirect, nullptr, &destroy, true, letGo, takeBack},
     {&callDirect, nullptr, &destroy, true, letGo, takeBack, &accepts}}};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
