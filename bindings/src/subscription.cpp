// subscription.cpp: qtforge.Subscription: a number behind which the bus holds the handler. It owns nothing there.

#include "numbered.hpp"

#include <structmember.h>

namespace qtforge::bindings {

namespace {

PyTypeObject* subscriptionType = nullptr;  // for the life of the process

Numbered* cast(PyObject* self) noexcept { return reinterpret_cast<Numbered*>(self); }

PyObject* refuse(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "Subscription() subscribes nothing: call MessageBus.instance().subscribe(...)");
  return nullptr;
}

PyObject* represent(PyObject* self) {
  return PyUnicode_FromFormat("<qtforge.Subscription %llu to %R>",
                              static_cast<unsigned long long>(cast(self)->number), cast(self)->pattern);
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(cast(self)->pattern);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"unsubscribe", method(unsubscribe), METH_NOARGS,
     "unsubscribe($self)\n--\n\n"
     "Ends the subscription and waits for a call of the handler that runs on another thread.\n\n"
     "From inside a handler it does not wait for that handler's own call.\n\n"
     "Returns:\n"
     "    True; False if it had ended before.\n"},
    {"stats", method(stats), METH_NOARGS,
     "stats($self)\n--\n\n"
     "Counters: delivered, dropped, mismatched, failed, pending, replaced. None once the subscription has ended."},
    {"__enter__", method(enter), METH_NOARGS, nullptr},
    {"__exit__", method(exit), METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"pattern", T_OBJECT_EX, offsetof(Numbered, pattern), READONLY, "What was subscribed to."},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"active", active, nullptr, "Whether the handler is still subscribed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

constexpr const char* documentation =
    "One subscription, made by `MessageBus.subscribe`. As a context manager it ends at the exit of the block;\n"
    "dropping the object ends nothing.";

}  // namespace

PyObject* makeSubscriptionType() {
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, slot(refuse)},
      {Py_tp_dealloc, slot(destroy)},
      {Py_tp_repr, slot(represent)},
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {Py_tp_getset, properties},
      {0, nullptr},
  };
  static PyType_Spec spec = {"qtforge.communication.Subscription", sizeof(Numbered), 0, Py_TPFLAGS_DEFAULT,
                             slots};
  PyObject* type = PyType_FromSpec(&spec);
  subscriptionType = reinterpret_cast<PyTypeObject*>(retained(type));
  return type;
}

PyObject* newSubscription(std::uint64_t number, PyObject* pattern) {
  PyObject* self = subscriptionType->tp_alloc(subscriptionType, 0);
  if (!self) return nullptr;
  cast(self)->number = number;
  cast(self)->pattern = retained(pattern);
  return self;
}

}  // namespace qtforge::bindings
