"""A host's bridge made of Python functions: what the extension does with a host's table can be seen without one."""

from __future__ import annotations

import ctypes
import sys

object_ = ctypes.py_object
maybe = ctypes.c_void_p  # a PyObject* that may be null
number = ctypes.c_uint64
VERSION = 1

FUNCTIONS = [
    ("publish", (object_, object_, object_, maybe, maybe, ctypes.c_int)),
    ("subscribe", (object_, object_, object_, maybe)),
    ("unsubscribe", (object_, number)),
    ("unsubscribe_all", (object_, object_)),
    ("subscription_stats", (object_, number)),
    ("drain", (object_, ctypes.c_double)),
    ("bus_stats", (object_,)),
    ("log", (object_, ctypes.c_int, object_, object_, object_, ctypes.c_uint)),
    ("log_level", (ctypes.c_int,)),
    ("set_log_level", (None, ctypes.c_int)),
    ("plugin_state", (object_, object_)),
    ("plugin_load", (object_, object_)),
    ("plugin_step", (object_, number, ctypes.c_char_p)),
    ("plugin_info", (object_, number)),
    ("shutdown", (object_,)),
    ("plugin_description", (object_, object_)),
    ("request", (object_, object_, object_, ctypes.c_double, ctypes.c_int)),
    ("clear_retained", (object_, object_)),
    ("tap", (object_, object_, object_, object_)),
    ("knows_option", (ctypes.c_int, ctypes.c_char_p)),
    ("receiver", (object_, object_, object_, object_)),
    ("receive", (object_, number, ctypes.c_double, maybe)),
    ("try_receive", (object_, number, object_)),
    ("await_message", (object_, number)),
    ("plugin_config", (object_, object_)),
    ("plugin_configuration", (object_, number)),
    ("plugin_configure", (object_, number, object_)),
    ("plugin_keep_configuration", (object_, number, object_)),
]
PROTOTYPES = [(name, ctypes.PYFUNCTYPE(*types)) for name, types in FUNCTIONS]


class Bridge(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("size", ctypes.c_uint32), ("build", ctypes.c_char_p), *PROTOTYPES]


RESULTS = {
    "publish": 7,
    "subscribe": 42,
    "unsubscribe": True,
    "unsubscribe_all": 0,
    "log_level": 2,
    "request": {"answer": 42},
    "clear_retained": 2,
    "tap": 43,
    "knows_option": 1,
    "receiver": 44,
    "receive": "received",
    "try_receive": "there",
    "await_message": True,
    "plugin_state": 3,
    "plugin_load": 1,
    "plugin_config": {"timeout": 30},
    "plugin_configuration": {"timeout": 31},
    "plugin_info": {"name": "n", "version": "1", "description": "", "author": "", "state": 2, "object": None},
    "plugin_description": {"name": "told", "version": "2", "description": "", "author": "", "dependencies": []},
}


def host(*, version: int = VERSION, size: int | None = None, name: bytes = b"qtforge.bridge.v1") -> dict[str, list]:
    """Puts a table into `sys`; returns what each of its functions is called with."""
    calls: dict[str, list] = {name: [] for name, _ in FUNCTIONS}

    def function(which):
        def called(*args):
            calls[which].append(args)
            return RESULTS.get(which)

        return called

    table = Bridge(version, ctypes.sizeof(Bridge) if size is None else size, b"a made-up host")
    for which, prototype in PROTOTYPES:
        setattr(table, which, prototype(function(which)))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = object_, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    host.kept = (table, name)  # type: ignore[attr-defined]
    sys._qtforge_bridge = new(ctypes.addressof(table), name, None)  # type: ignore[attr-defined]
    return calls
