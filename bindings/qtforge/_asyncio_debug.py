"""asyncio's debug mode for the event loops that are made while the library's debug mode is on."""

from __future__ import annotations

import threading
import weakref
from asyncio import base_events
from typing import Any

_plain_init = base_events.BaseEventLoop.__init__
_lock = threading.Lock()  # guards all below
_enabled = False
_loops: weakref.WeakSet[base_events.BaseEventLoop] = weakref.WeakSet()  # whose debug mode is from here


def set_enabled(enabled: bool) -> None:
    """Off: also for the loops that were made meanwhile."""
    global _enabled
    with _lock:
        if enabled == _enabled:
            return
        _enabled = enabled
        setattr(base_events.BaseEventLoop, "__init__", _init if enabled else _plain_init)  # noqa: B010
        made = [] if enabled else list(_loops)
        _loops.clear()
    for loop in made:
        if not loop.is_closed():
            loop.set_debug(False)


def _init(self: base_events.BaseEventLoop, *args: Any, **kwargs: Any) -> None:
    _plain_init(self, *args, **kwargs)
    if not self.get_debug():
        self.set_debug(True)
        with _lock:
            _loops.add(self)
