// dtype.cpp: see dtype.hpp.

#include "dtype.hpp"

#include <cstring>
#include <string_view>

namespace qtforge::bindings {

namespace {

constexpr std::size_t longestNumber = 9;  // digits: structures of 1 GB

// "4" of "<f4"; 0 for what is no such number.
Py_ssize_t numberIn(std::string_view digits) noexcept {
  if (digits.empty() || digits.size() > longestNumber) return 0;
  Py_ssize_t number = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return 0;
    number = 10 * number + (digit - '0');
  }
  return number;
}

// Of one type: numbers, times with their unit ("<M8[ns]"), text and plain memory.
Py_ssize_t plainSize(std::string_view type) noexcept {
  if (!type.empty() && std::strchr("<>|=", type[0])) type.remove_prefix(1);
  if (type.empty() || !std::strchr("biufcmMSUV", type[0])) return 0;
  const char kind = type[0];
  type.remove_prefix(1);
  if (kind == 'm' || kind == 'M') type = type.substr(0, type.find('['));
  return numberIn(type) * (kind == 'U' ? 4 : 1);
}

Py_ssize_t elementsOf(PyObject* shape) {
  if (!PyTuple_Check(shape)) return PyLong_Check(shape) ? PyLong_AsSsize_t(shape) : 0;
  Py_ssize_t elements = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(shape); ++i) {
    PyObject* extent = PyTuple_GET_ITEM(shape, i);
    const Py_ssize_t number = PyLong_Check(extent) ? PyLong_AsSsize_t(extent) : -1;
    if (number < 0 || __builtin_mul_overflow(elements, number, &elements)) return 0;
  }
  return elements;
}

// Of a list of (name, type) or (name, type, shape), where a type may be such a list again.
Py_ssize_t structureSize(PyObject* fields) {
  Py_ssize_t size = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(fields); ++i) {
    PyObject* field = PyList_GET_ITEM(fields, i);
    if (!PyTuple_Check(field) || PyTuple_GET_SIZE(field) < 2 || PyTuple_GET_SIZE(field) > 3) return 0;
    PyObject* type = PyTuple_GET_ITEM(field, 1);
    const char* text = PyUnicode_Check(type) ? PyUnicode_AsUTF8(type) : nullptr;
    Py_ssize_t one = text ? plainSize(text) : PyList_Check(type) ? structureSize(type) : 0;
    const Py_ssize_t elements = PyTuple_GET_SIZE(field) == 3 ? elementsOf(PyTuple_GET_ITEM(field, 2)) : 1;
    if (one == 0 || __builtin_mul_overflow(one, elements, &one) || one <= 0) return 0;
    if (__builtin_add_overflow(size, one, &size)) return 0;
  }
  return size;
}

bool isOfObjects(const char* type) noexcept { return type[0] == 'O' || (type[0] && type[1] == 'O'); }

// As structureSize takes it; what is no such list holds none.
bool fieldsHoldObjects(PyObject* fields) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(fields); ++i) {
    PyObject* field = PyList_GET_ITEM(fields, i);
    PyObject* type = PyTuple_Check(field) && PyTuple_GET_SIZE(field) > 1 ? PyTuple_GET_ITEM(field, 1) : nullptr;
    if (!type) continue;
    const char* text = PyUnicode_Check(type) ? PyUnicode_AsUTF8(type) : nullptr;
    if (text ? isOfObjects(text) : PyList_Check(type) && fieldsHoldObjects(type)) return true;
  }
  return false;
}

// The letter that numpy has for one of `struct`, or 0.
char kindOf(const char* format) noexcept {
  const bool complex = *format == 'Z';
  if (complex) ++format;
  if (!*format || format[1]) return 0;  // several, or a structure
  if (std::strchr("efdg", *format)) return complex ? 'c' : 'f';
  if (complex) return 0;
  if (std::strchr("bhilqn", *format)) return 'i';
  if (std::strchr("BHILQN", *format)) return 'u';
  return *format == '?' ? 'b' : *format == 'c' ? 'S' : *format == 'u' || *format == 'w' ? 'U' : 0;
}

}  // namespace

Py_ssize_t itemSize(PyObject* dtype) {
  Py_ssize_t length = 0;
  const char* text = PyUnicode_AsUTF8AndSize(dtype, &length);
  if (!text) return PyErr_Clear(), 0;
  if (length == 0) return 1;
  if (*text != '[') return plainSize({text, static_cast<std::size_t>(length)});
  const Ref fields = fieldsOf(dtype);
  const Py_ssize_t size = fields ? structureSize(fields.get()) : 0;
  PyErr_Clear();
  return size;
}

char nativeKind(PyObject* dtype) {
  const char* text = PyUnicode_AsUTF8(dtype);
  if (!text) return PyErr_Clear(), 0;
  const Py_ssize_t size = plainSize(text);
  if (size == 0) return 0;
  if (*text == (PY_LITTLE_ENDIAN ? '>' : '<') && size > 1) return 0;
  if (std::strchr("<>|=", *text)) ++text;
  return std::strchr("biufc", *text) ? *text : 0;
}

bool holdsObjects(PyObject* dtype) {
  const char* text = PyUnicode_AsUTF8(dtype);
  if (!text) return PyErr_Clear(), false;
  if (*text != '[') return isOfObjects(text);
  const Ref fields = fieldsOf(dtype);
  const bool found = fields && fieldsHoldObjects(fields.get());
  PyErr_Clear();
  return found;
}

PyObject* dtypeOfFormat(const char* format, Py_ssize_t itemSize) {
  char order = PY_LITTLE_ENDIAN ? '<' : '>';
  if (*format && std::strchr("@=<>!", *format)) {
    if (*format == '<') order = '<';
    if (*format == '>' || *format == '!') order = '>';
    ++format;
  }
  const char kind = kindOf(format);
  if (kind == 0 || (kind == 'U' && itemSize != 4)) return PyUnicode_InternFromString("");
  return PyUnicode_FromFormat("%c%c%zd", itemSize == 1 ? '|' : order, kind, kind == 'U' ? itemSize / 4 : itemSize);
}

PyObject* dtypeOfInterface(PyObject* type, PyObject* fields) {
  const char* text = PyUnicode_AsUTF8(type);
  if (!text) return nullptr;
  const bool structure = text[0] && text[1] == 'V' && fields && PyList_Check(fields) && PyList_GET_SIZE(fields) > 0;
  if (!structure) return retained(type);
  // numpy writes plain memory as one field without a name.
  PyObject* first = PyList_GET_ITEM(fields, 0);
  PyObject* name = PyTuple_Check(first) && PyTuple_GET_SIZE(first) ? PyTuple_GET_ITEM(first, 0) : nullptr;
  const bool plain = PyList_GET_SIZE(fields) == 1 && name && PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) == 0;
  return plain ? retained(type) : PyObject_Repr(fields);
}

Ref fieldsOf(PyObject* dtype) {
  if (PyUnicode_GET_LENGTH(dtype) == 0 || PyUnicode_READ_CHAR(dtype, 0) != '[') return Ref();
  const Ref ast(PyImport_ImportModule("ast"));
  Ref fields(ast ? PyObject_CallMethod(ast.get(), "literal_eval", "O", dtype) : nullptr);
  PyErr_Clear();  // then it is another text
  return fields && PyList_Check(fields.get()) ? std::move(fields) : Ref();
}

bool fits(Py_ssize_t size, PyObject* dtype, PyObject* shape) {
  const Py_ssize_t item = itemSize(dtype);
  const Py_ssize_t dimensions = PyTuple_GET_SIZE(shape);
  if (item == 0 || (dimensions == 0 && size % item == 0)) return true;
  if (dimensions == 0) {
    PyErr_Format(PyExc_ValueError, "BinaryMessage() argument 'data' has %zd bytes, but elements of dtype %.200R have %zd each",
                 size, dtype, item);
    return false;
  }
  Py_ssize_t needed = item;
  bool none = false, large = false;
  for (Py_ssize_t i = 0; i < dimensions; ++i) {
    const Py_ssize_t extent = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i));
    none = none || extent == 0;
    large = large || __builtin_mul_overflow(needed, extent, &needed);
  }
  if (none) needed = 0;
  if (needed == size && (none || !large)) return true;
  Ref taken(large && !none ? PyUnicode_FromString("more than memory can have") : PyUnicode_FromFormat("%zd", needed));
  if (taken)
    PyErr_Format(PyExc_ValueError, "BinaryMessage() argument 'data' has %zd bytes, but dtype %.200R and shape %.200R take %U", size,
                 dtype, shape, taken.get());
  return false;
}

}  // namespace qtforge::bindings
