"""Says what of a plugin is still alive after its unload, and who holds it."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

MOST = 5  # lines of one report


class Watch:
    """Weak references to the object of a plugin, its modules, and the classes and functions in them.

    Args:
        modules: those of the plugin, where others of their names are in `sys.modules`.
    """

    def __init__(self, plugin: object, package: str, modules: dict[str, ModuleType] | None = None) -> None:
        self._package = package
        self._seen: list[tuple[str, weakref.ref[Any]]] = []
        self._see(f"its object of class {type(plugin).__name__}", plugin)
        known = modules if modules is not None else dict(sys.modules)
        own = [module for name, module in known.items() if name.startswith(package + ".")]
        for module in own:
            for name, value in list(vars(module).items()):
                if isinstance(value, (type, FunctionType)) and value.__module__ == module.__name__:
                    self._see(f"{'class' if isinstance(value, type) else 'function'} {name}", value)
        for module in own:
            self._see(f"module {module.__name__}", module)

    def _see(self, what: str, thing: object) -> None:
        try:
            self._seen.append((what, weakref.ref(thing)))
        except TypeError:  # of a class with __slots__
            pass

    def report(self) -> list[str]:
        """A line for each of them that somebody else holds, at most `MOST`; empty once all are gone."""
        lines = self._lines()
        if lines == [self._unseen()]:  # of whom the last holder has just gone, maybe
            gc.collect()
            lines = self._lines()
        return lines[:MOST] + ([f"and {len(lines) - MOST} more"] if len(lines) > MOST else [])

    def _unseen(self) -> str | None:
        """The line for something that is there and that nobody seems to hold."""
        what = next((what for what, reference in self._seen if reference() is not None), None)
        return None if what is None else f"{what}, held by something that cannot be seen from Python"

    def _lines(self) -> list[str]:
        lines = [f"{name} runs {place}" for name, place in self._threads()]
        alive = [pair for what, reference in self._seen if (pair := (what, reference()))[1] is not None]
        own = {id(pair) for pair in alive} | self._inside([thing for _, thing in alive])
        for what, thing in alive:
            lines += [f"{what}, held by {holder}" for holder in self._holders(thing, own)]
        unseen = self._unseen()
        if unseen is not None and not lines:
            lines.append(unseen)
        return lines

    def _threads(self) -> Iterator[tuple[str, str]]:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, top in sys._current_frames().items():
            frame: FrameType | None = top
            while frame is not None:
                if self._is_own(frame.f_globals):
                    code = frame.f_code
                    yield f"thread '{names.get(ident, ident)}'", f"{code.co_name} ({code.co_filename}:{frame.f_lineno})"
                    break
                frame = frame.f_back

    def _is_own(self, names: dict[str, Any]) -> bool:
        """Whether they are of a module of the plugin, and not of the version that has taken its place."""
        module = str(names.get("__name__", ""))
        return module.startswith(self._package + ".") and names is not getattr(sys.modules.get(module), "__dict__", None)

    def _inside(self, roots: list[object]) -> set[int]:
        """What is reached from them without leaving the plugin's modules: that holds nothing from outside."""
        inside: set[int] = set()
        waiting = list(roots)
        while waiting:
            thing = waiting.pop()
            if id(thing) in inside or self._is_foreign(thing):
                continue
            inside.add(id(thing))
            waiting += gc.get_referents(thing)
        return inside

    def _is_foreign(self, thing: object) -> bool:
        if isinstance(thing, ModuleType):
            return not thing.__name__.startswith(self._package + ".")
        if isinstance(thing, (type, FunctionType)):
            return not str(thing.__module__).startswith(self._package + ".")
        if isinstance(thing, dict):
            name = thing.get("__name__")
            return "__builtins__" in thing and not str(name).startswith(self._package + ".")
        return not gc.is_tracked(thing)

    @staticmethod
    def _holders(thing: object, own: set[int]) -> list[str]:
        holders = [
            holder
            for holder in gc.get_referrers(thing)
            if id(holder) not in own and not (isinstance(holder, FrameType) and holder.f_code.co_filename == __file__)
        ]
        return list(dict.fromkeys(_described(holder) for holder in holders))


def _described(holder: object) -> str:
    if isinstance(holder, dict):
        for owner in gc.get_referrers(holder):
            if isinstance(owner, ModuleType):
                return f"module {owner.__name__}"
            if getattr(owner, "__dict__", None) is holder:
                return f"an attribute of an object of class {_qualified(type(owner))}"
        return f"a dict of {len(holder)}"
    if isinstance(holder, FrameType):
        return f"a frame of {holder.f_code.co_name} ({holder.f_code.co_filename}:{holder.f_lineno})"
    if isinstance(holder, MethodType):
        return f"a bound method {holder.__qualname__}"
    if isinstance(holder, FunctionType):
        return f"function {holder.__module__}.{holder.__qualname__}"
    if isinstance(holder, (list, tuple, set, frozenset)):
        return f"a {type(holder).__name__} of {len(holder)}"
    return f"an object of class {_qualified(type(holder))}"


def _qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
