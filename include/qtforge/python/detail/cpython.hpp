#pragma once
// qtforge/python/detail/cpython.hpp: CPython's header, in a form that may also come behind Qt's.

// Qt calls a macro what Python has for members' names; no other of its keywords is one there.
#pragma push_macro("slots")
#undef slots
#include <Python.h>
#pragma pop_macro("slots")
