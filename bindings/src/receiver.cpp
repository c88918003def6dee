// receiver.cpp: qtforge.Receiver: a number behind which the bus keeps messages, until it is dropped.

#include "numbered.hpp"

#include <structmember.h>

namespace qtforge::bindings {

namespace {

struct ReceiverObject : Numbered {
  PyObject* waiters;  // qtforge._receiving.Waiters
};

Signature<1> receiveSignature{"receive", {"timeout"}, 1, 0};
Signature<1> tryReceiveSignature{"try_receive", {"default"}, 1, 0};

constexpr double forEver = -1;

PyTypeObject* receiverType = nullptr;  // for the life of the process
PyObject* theEnd = nullptr;            // what the bus returns for it; likewise

ReceiverObject* cast(PyObject* self) noexcept { return reinterpret_cast<ReceiverObject*>(self); }

PyObject* receive(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 1> given;
  double seconds = forEver;
  if (!receiveSignature.bind(args, count, keywords, given)) return nullptr;
  if (given[0] && given[0] != Py_None && !toSeconds("receive", "timeout", given[0], seconds)) return nullptr;
  const auto* table = bridge();
  return table ? orStay([&] { return table->receive(cast(self)->number, seconds, nullptr); }) : nullptr;
}

PyObject* tryReceive(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, 1> given;
  if (!tryReceiveSignature.bind(args, count, keywords, given)) return nullptr;
  PyObject* none = given[0] ? given[0] : Py_None;
  const auto* table = bridge();
  return table ? orStay([&] { return table->tryReceive(cast(self)->number, none); }) : nullptr;
}

PyObject* next(PyObject* self) {
  const auto* table = bridge();
  if (!table) return nullptr;
  PyObject* message = orStay([&] { return table->receive(cast(self)->number, forEver, theEnd); });
  if (message != theEnd) return message;
  Py_DECREF(message);
  return nullptr;
}

PyObject* awaitMessage(PyObject* self, PyObject*) {
  const auto* table = bridge();
  return table ? orStay([&] { return table->awaitMessage(cast(self)->number); }) : nullptr;
}

// A coroutine of the package's.
PyObject* coroutine(PyObject* self, const char* name) {
  Ref module(PyImport_ImportModule("qtforge._receiving"));
  Ref function(module ? PyObject_GetAttrString(module.get(), name) : nullptr);
  return function ? PyObject_CallFunctionObjArgs(function.get(), self, cast(self)->waiters, nullptr) : nullptr;
}

PyObject* asyncReceive(PyObject* self, PyObject*) { return coroutine(self, "receive"); }
PyObject* asyncNext(PyObject* self) { return coroutine(self, "following"); }

PyObject* refuse(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "Receiver() receives nothing: call MessageBus.instance().receiver(...)");
  return nullptr;
}

PyObject* represent(PyObject* self) {
  return PyUnicode_FromFormat("<qtforge.Receiver %llu of %R>", static_cast<unsigned long long>(cast(self)->number),
                              cast(self)->pattern);
}

// Nobody can receive any more. An exception that is under way stays so.
void endOf(PyObject* self) {
  if (isForkedChild() || !cast(self)->pattern) return;
#if PY_VERSION_HEX >= 0x030C0000
  PyObject* underWay = PyErr_GetRaisedException();
#else
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
#endif
  if (!Ref(unsubscribe(self, nullptr))) PyErr_WriteUnraisable(nullptr);
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(underWay);
#else
  PyErr_Restore(type, value, traceback);
#endif
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  endOf(self);
  Py_XDECREF(cast(self)->pattern);
  Py_XDECREF(cast(self)->waiters);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"receive", method(receive), METH_FASTCALL | METH_KEYWORDS,
     "receive($self, timeout=None)\n--\n\n"
     "Waits for a message and takes it.\n\n"
     "Args:\n"
     "    timeout: seconds; None: as long as it takes.\n\n"
     "Returns:\n"
     "    The oldest message: its payload, or the Message.\n\n"
     "Raises:\n"
     "    Timeout: no message came in time.\n"
     "    BusError: the receiver has ended.\n"},
    {"try_receive", method(tryReceive), METH_FASTCALL | METH_KEYWORDS,
     "try_receive($self, default=None)\n--\n\n"
     "Takes a message if there is one.\n\n"
     "Returns:\n"
     "    The oldest message, `default` if there is none.\n\n"
     "Raises:\n"
     "    BusError: the receiver has ended.\n"},
    {"areceive", method(asyncReceive), METH_NOARGS,
     "areceive($self)\n--\n\n"
     "Waits for a message in a coroutine, on any asyncio loop, and takes it. Cancelled, it has taken none.\n\n"
     "Raises:\n"
     "    BusError: the receiver has ended.\n"},
    {"_await_message", method(awaitMessage), METH_NOARGS, nullptr},
    {"unsubscribe", method(unsubscribe), METH_NOARGS,
     "unsubscribe($self)\n--\n\n"
     "Ends it: what waits to be received is dropped, and who waits for a message gets a BusError.\n\n"
     "Returns:\n"
     "    True; False if it had ended before.\n"},
    {"stats", method(stats), METH_NOARGS,
     "stats($self)\n--\n\n"
     "Counters: delivered, dropped, mismatched, failed, pending, replaced. None once it has ended."},
    {"__enter__", method(enter), METH_NOARGS, nullptr},
    {"__exit__", method(exit), METH_VARARGS, nullptr},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"pattern", T_OBJECT_EX, offsetof(Numbered, pattern), READONLY, "What was subscribed to."},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"active", active, nullptr, "Whether it is still subscribed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

constexpr const char* documentation =
    "Messages that wait until they are received, made by `MessageBus.receiver`. Iterating over it, with `for` or\n"
    "`async for`, gives each message until it ends: by `unsubscribe`, at the exit of its `with` block, with its plugin, or\n"
    "when the object is dropped. Several threads and coroutines may receive; each message goes to one.";

}  // namespace

PyObject* makeReceiverType() {
  if (!receiveSignature.intern() || !tryReceiveSignature.intern()) return nullptr;
  if (!theEnd && !(theEnd = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type)))) return nullptr;
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, slot(refuse)},
      {Py_tp_dealloc, slot(destroy)},
      {Py_tp_repr, slot(represent)},
      {Py_tp_iter, slot(PyObject_SelfIter)},
      {Py_tp_iternext, slot(next)},
      {Py_am_aiter, slot(PyObject_SelfIter)},
      {Py_am_anext, slot(asyncNext)},
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {Py_tp_getset, properties},
      {0, nullptr},
  };
  static PyType_Spec spec = {"qtforge.communication.Receiver", sizeof(ReceiverObject), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpec(&spec);
  receiverType = reinterpret_cast<PyTypeObject*>(retained(type));
  return type;
}

PyObject* newReceiver(PyObject* pattern, PyObject* options) {
  const auto* table = bridge();
  Ref module(table ? PyImport_ImportModule("qtforge._receiving") : nullptr);
  Ref waiters(module ? PyObject_CallMethod(module.get(), "Waiters", nullptr) : nullptr);
  Ref wake(waiters ? PyObject_GetAttrString(waiters.get(), "wake") : nullptr);
  Ref self(wake ? receiverType->tp_alloc(receiverType, 0) : nullptr);
  Ref number(self ? orStay([&] { return table->receiver(pattern, wake.get(), options); }) : nullptr);
  if (!number) return nullptr;
  const auto id = PyLong_AsUnsignedLongLong(number.get());
  if (id == static_cast<unsigned long long>(-1) && PyErr_Occurred()) return nullptr;
  cast(self.get())->number = id;
  cast(self.get())->pattern = retained(pattern);  // from now on its end is the receiver's
  cast(self.get())->waiters = waiters.release();
  return self.release();
}

}  // namespace qtforge::bindings
