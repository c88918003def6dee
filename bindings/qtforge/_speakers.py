"""Which plugin speaks: finds the plugin's module behind a frame, a traceback, an object or a file.

All of it gives the module's name, ``qtforge_plugins.<name>...``, which the host knows its plugin by, or "" for none.
"""

from __future__ import annotations

import sys
from types import FrameType, TracebackType

from qtforge._plugins import PACKAGE

_PREFIX = PACKAGE + "."


def is_plugin(module: object) -> bool:
    """Whether a name is that of a plugin's module."""
    return isinstance(module, str) and module.startswith(_PREFIX)


def of_frame(frame: FrameType | None) -> str:
    """The innermost plugin among a frame and its callers."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if is_plugin(name):
            return str(name)
        frame = frame.f_back
    return ""


def of_traceback(traceback: TracebackType | None) -> str:
    """The innermost plugin that an exception went through."""
    found = ""
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__")
        if is_plugin(name):
            found = str(name)
        traceback = traceback.tb_next
    return found


def of_object(value: object) -> str:
    """The plugin whose function, method, class or instance it is."""
    try:
        name = getattr(value, "__module__", None)
    except Exception:  # noqa: BLE001  a proxy's attributes may raise anything
        name = None
    if not is_plugin(name):
        name = type(value).__module__
    return str(name) if is_plugin(name) else ""


def of_file(path: str) -> str:
    """The plugin whose code a file is."""
    for name, module in list(sys.modules.items()):
        if is_plugin(name) and getattr(module, "__file__", None) == path:
            return name
    return ""
