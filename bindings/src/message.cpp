// message.cpp: qtforge.Message, the envelope. Made per message for handlers that ask for it, so through vectorcall.

#include "types.hpp"

#include <structmember.h>

namespace qtforge::bindings {

namespace {

struct MessageObject {
  PyObject_HEAD
  std::array<PyObject*, 7> fields;  // in the order of `signature`
};

enum Field : std::size_t { topicField, payloadField, senderField, idField, timeField, headersField, replyToField };

Signature<7> signature{"Message", {"topic", "payload", "sender", "id", "time", "headers", "reply_to"}, 7, 2};
PyObject* emptyText = nullptr;  // for the life of the process

MessageObject* cast(PyObject* self) noexcept { return reinterpret_cast<MessageObject*>(self); }

bool check(const std::array<PyObject*, 7>& given) {
  const auto expect = [&](Field field, bool ok, const char* expected) {
    if (!ok) raiseType(signature.function(), signature.name(field), expected, given[field]);
    return ok;
  };
  const auto text = [&](Field field) { return !given[field] || PyUnicode_Check(given[field]); };
  return expect(topicField, text(topicField), "str") && expect(senderField, text(senderField), "str") &&
         expect(idField, !given[idField] || PyLong_Check(given[idField]), "int") &&
         expect(timeField, !given[timeField] || PyFloat_Check(given[timeField]) || PyLong_Check(given[timeField]),
                "a number of seconds") &&
         expect(headersField, !given[headersField] || PyDict_Check(given[headersField]), "dict or None") &&
         expect(replyToField, text(replyToField), "str or None");
}

PyObject* construct(PyObject* type, PyObject* const* args, std::size_t count, PyObject* keywords) {
  std::array<PyObject*, 7> given;
  if (!signature.bind(args, PyVectorcall_NARGS(count), keywords, given)) return nullptr;
  if (given[headersField] == Py_None) given[headersField] = nullptr;
  if (given[replyToField] == Py_None) given[replyToField] = nullptr;
  if (!check(given)) return nullptr;
  if (given[replyToField] && PyUnicode_GET_LENGTH(given[replyToField]) == 0) given[replyToField] = nullptr;
  auto* types = reinterpret_cast<PyTypeObject*>(type);
  Ref self(types->tp_alloc(types, 0));
  if (!self) return nullptr;
  auto& fields = cast(self.get())->fields;
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i] = retained(given[i]);
  if (!fields[senderField]) fields[senderField] = retained(emptyText);
  if (!fields[idField] && !(fields[idField] = PyLong_FromLong(0))) return nullptr;
  if (!fields[timeField] && !(fields[timeField] = PyFloat_FromDouble(0.0))) return nullptr;
  if (!fields[headersField] && !(fields[headersField] = PyDict_New())) return nullptr;
  if (!fields[replyToField]) fields[replyToField] = retained(Py_None);
  return self.release();
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  return PyObject_Call(reinterpret_cast<PyObject*>(type), args, keywords);  // to `construct`
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  for (PyObject* field : cast(self)->fields) Py_VISIT(field);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  for (PyObject*& field : cast(self)->fields) Py_CLEAR(field);
  return 0;
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* compare(PyObject* self, PyObject* other, int operation) {
  return compareFields(self, other, operation, [](PyObject* message) { return std::span(cast(message)->fields); });
}

PyObject* represent(PyObject* self) {
  const int entered = Py_ReprEnter(self);
  if (entered != 0) return entered > 0 ? PyUnicode_FromString("Message(...)") : nullptr;
  Ref fields(representFields(signature.names(), cast(self)->fields));
  PyObject* text = fields ? PyUnicode_FromFormat("Message(%U)", fields.get()) : nullptr;
  Py_ReprLeave(self);
  return text;
}

PyObject* reduce(PyObject* self, PyObject*) {
  const auto& f = cast(self)->fields;
  return Py_BuildValue("(O(OOOOOOO))", Py_TYPE(self), f[0], f[1], f[2], f[3], f[4], f[5], f[6]);
}

PyMethodDef methods[] = {
    {"__reduce__", method(reduce), METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

constexpr Py_ssize_t offset(Field field) noexcept {
  return static_cast<Py_ssize_t>(offsetof(MessageObject, fields) + field * sizeof(PyObject*));
}

PyMemberDef members[] = {
    {"topic", T_OBJECT_EX, offset(topicField), READONLY, "The topic it was published to."},
    {"payload", T_OBJECT_EX, offset(payloadField), READONLY, "What was published; bytes as BinaryMessage."},
    {"sender", T_OBJECT_EX, offset(senderField), READONLY, "Name of the plugin that published it; 'host' for the application."},
    {"id", T_OBJECT_EX, offset(idField), READONLY, "Unique on its bus; grows with every message of one thread."},
    {"time", T_OBJECT_EX, offset(timeField), READONLY, "When it was published: seconds since the Unix epoch, UTC."},
    {"headers", T_OBJECT_EX, offset(headersField), READONLY, "A dict of JSON values; empty if none were given."},
    {"reply_to", T_OBJECT_EX, offset(replyToField), READONLY, "The topic on which an answer is expected, or None."},
    {nullptr, 0, 0, 0, nullptr},
};

constexpr const char* documentation =
    "Message(topic, payload, sender='', id=0, time=0.0, headers=None, reply_to=None)\n--\n\n"
    "A message with its envelope, as `subscribe(..., envelope=True)` delivers it. Its attributes cannot be set.";

}  // namespace

PyObject* makeMessageType() {
  if (!signature.intern() || !(emptyText = PyUnicode_InternFromString(""))) return nullptr;
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, slot(make)},
      {Py_tp_dealloc, slot(destroy)},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_richcompare, slot(compare)},
      {Py_tp_hash, slot(PyObject_HashNotImplemented)},
      {Py_tp_repr, slot(represent)},
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {0, nullptr},
  };
  static PyType_Spec spec = {"qtforge.communication.Message", sizeof(MessageObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
  Ref type(PyType_FromSpec(&spec));
  if (!type) return nullptr;
  reinterpret_cast<PyTypeObject*>(type.get())->tp_vectorcall = construct;
  Ref names(Py_BuildValue("(sssssss)", signature.name(0), signature.name(1), signature.name(2), signature.name(3),
                          signature.name(4), signature.name(5), signature.name(6)));
  if (!names || PyObject_SetAttrString(type.get(), "__match_args__", names.get()) != 0) return nullptr;
  return type.release();
}

}  // namespace qtforge::bindings
