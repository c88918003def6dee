"""What a plugin's author reaches for through `self`, and how it is all taken back.

One ledger per plugin says what the plugin started: timers, threads, subscriptions of its methods, functions to call at
the end. What came after `initialize` began goes with `cleanup`, the rest with the unload, the newest first.
"""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, final

from qtforge import _qtforge
from qtforge.errors import ErrorCode, PluginError
from qtforge.logger import PluginLog

__all__ = ["Store", "Timer", "subscribe"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_THREAD_LIMIT = 2.0  # seconds that an unload waits for a plugin's threads
_MARK = "_qtforge_subscriptions"


@final
class Timer:
    """Calls a function on its plugin's lane. Made by `IPlugin.every` and `IPlugin.later`."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0  # none yet

    def stop(self) -> None:
        """No call begins any more; one that runs on another thread is not waited for. Nothing the second time."""
        _qtforge.stop_timer(self._number)

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Store(MutableMapping[str, Any]):
    """A small dict of JSON in a file, which is written whole at every change and is never half there.

    What is inside a value is written when the value is assigned again, or by `save`. From one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = self._read()

    @property
    def path(self) -> Path:
        return self._path

    def save(self) -> None:
        """Writes the file.

        Raises:
            TypeError, ValueError: something in it is no JSON.
            OSError: it cannot be written; the file is as it was.
        """
        self._write(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a key of the store must be str, not {type(key).__name__}")
        changed = {**self._values, key: value}
        self._write(changed)
        self._values = changed

    def __delitem__(self, key: str) -> None:
        changed = {known: value for known, value in self._values.items() if known != key}
        if len(changed) == len(self._values):
            raise KeyError(key)
        self._write(changed)
        self._values = changed

    def update(self, *args: Any, **values: Any) -> None:
        """As dict.update, with one write."""
        added = dict(*args, **values)
        for key in added:
            if not isinstance(key, str):
                raise TypeError(f"a key of the store must be str, not {type(key).__name__}")
        changed = {**self._values, **added}
        self._write(changed)
        self._values = changed

    def clear(self) -> None:
        self._write({})
        self._values = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Store({self._values!r})"

    def _read(self) -> dict[str, Any]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            values = json.loads(text)
        except ValueError as wrong:
            raise self._broken(str(wrong)) from wrong
        if not isinstance(values, dict):
            raise self._broken("it holds no JSON object")
        return values

    def _broken(self, why: str) -> PluginError:
        return PluginError(f"{self._path}: {why}; mend the file, or remove it to begin anew")

    def _write(self, values: dict[str, Any]) -> None:
        text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self._path.parent, prefix=self._path.name, suffix=".new", delete=False
        ) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._path)
            except BaseException:
                os.unlink(file.name)
                raise


class Ledger:
    """What one plugin has from the library, for the time from its construction to its unload."""

    def __init__(self, name: str, folder: str, data: str) -> None:
        self.name = name
        self.folder = Path(folder)
        self.data = data
        self.log = PluginLog(name)
        self.stopping = threading.Event()
        self._store: Store | None = None
        self._lock = threading.Lock()  # guards all below
        self._entries: dict[int, tuple[Callable[[], object], bool]] = {}  # and whether it goes with `cleanup`
        self._last = 0
        self._threads: list[threading.Thread] = []
        self._initialized = False
        self._ended = False

    def data_dir(self) -> Path:
        if not self.data:
            raise PluginError(
                f"plugin '{self.name}' has no place for data: the host set none, and neither HOME nor XDG_DATA_HOME is set"
            )
        path = Path(self.data)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def store(self) -> Store:
        if self._store is None:
            # In a reload both versions are there, with one file.
            ledgers = [ledger for ledger in list(_ledgers.values()) if ledger is not None and ledger.data == self.data]
            known = [ledger._store for ledger in ledgers if ledger._store is not None]
            self._store = known[0] if known else Store(self.data_dir() / "store.json")
        return self._store

    def add(self, take_back: Callable[[], object]) -> int:
        with self._lock:
            self._check_open()
            self._last += 1
            self._entries[self._last] = (take_back, self._initialized)
            return self._last

    def remove(self, entry: int) -> None:
        with self._lock:
            self._entries.pop(entry, None)

    def run_in_thread(
        self, function: Callable[..., T], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Future[T]:
        result: Future[T] = Future()
        name = f"{self.name}: {getattr(function, '__qualname__', function)}"

        def run() -> None:
            try:
                value = function(*args, **kwargs)
            except BaseException as raised:  # a thread of a plugin ends no program
                self.log.exception("%s", name)
                result.set_exception(raised)
            else:
                result.set_result(value)

        thread = threading.Thread(target=run, name=name, daemon=True)
        result.set_running_or_notify_cancel()
        with self._lock:
            self._check_open()
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            thread.start()
        return result

    def begin_initialize(self) -> None:
        with self._lock:
            self._initialized = True
        self.stopping.clear()

    def take_back(self, *, all_of_it: bool) -> None:
        """The newest first; what fails is logged, and the rest goes on. After all of it nothing more is taken."""
        self.stopping.set()
        with self._lock:
            self._ended = all_of_it
            self._initialized = False
            wanted = {key: entry for key, entry in self._entries.items() if all_of_it or entry[1]}
            for key in wanted:
                del self._entries[key]
        for take_back, _ in reversed(list(wanted.values())):
            try:
                take_back()
            except BaseException:
                self.log.exception("while it was taken back")
        self._await_threads()

    def _check_open(self) -> None:
        if self._ended:
            raise _unloaded(self.name)

    def _await_threads(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, []  # one that does not end is waited for and named once
        threads = [thread for thread in threads if thread is not threading.current_thread()]
        limit = _THREAD_LIMIT
        for thread in threads:
            begin = time.monotonic()
            thread.join(max(0.0, limit))
            limit -= time.monotonic() - begin
        still = [thread.name for thread in threads if thread.is_alive()]
        if still:
            self.log.warning(
                "still running, and left to themselves: thread %s; such functions should end once `stopping` is set",
                ", ".join(f"'{name}'" for name in still),
            )


def _unloaded(plugin: str) -> PluginError:
    return PluginError(f"plugin '{plugin}' has been unloaded, or is being unloaded", code=ErrorCode.PLUGIN_UNLOADED)


# By the host's key, from before the plugin's code runs until it is unloaded; None until it is asked for.
_ledgers: dict[int, Ledger | None] = {}
_ledgers_by_id: dict[int, Ledger] = {}  # of plugins that a host holds, for speed
_ledgers_lock = threading.Lock()


def ledger_of(plugin: object) -> Ledger:
    """The ledger of a plugin that a host made or is making.

    Raises:
        PluginError: no host manages it, or not any more.
    """
    known = _ledgers_by_id.get(id(plugin))
    if known is not None:
        return known
    described = _qtforge.plugin_description(plugin)
    if described is None or "key" not in described:
        raise PluginError(
            f"this {type(plugin).__name__} was not made by a host: load its folder, with qtforge.load() or in a C++ host",
            code=ErrorCode.PLUGIN_NOT_FOUND,
        )
    key = described["key"]
    with _ledgers_lock:
        if key not in _ledgers:
            raise _unloaded(described["name"])
        ledger = _ledgers[key]
        if ledger is None:
            ledger = _ledgers[key] = Ledger(described["name"], described["folder"], described["data_dir"])
        return ledger


def start_timer(plugin: object, seconds: float, function: Callable[[], object], *, repeat: bool) -> Timer:
    ledger = ledger_of(plugin)
    if not callable(function):
        raise TypeError(f"a function without parameters expected, not {type(function).__name__}")
    timer = Timer()
    entry = ledger.add(timer.stop)

    def call_once() -> object:
        ledger.remove(entry)
        return function()

    try:
        timer._number = _qtforge.start_timer(plugin, seconds, function if repeat else call_once, repeat)
    except BaseException:
        ledger.remove(entry)
        raise
    return timer


def subscribe(pattern: str, **options: Any) -> Callable[[F], F]:
    """Marks a method of a plugin as a handler: it is subscribed once `initialize` has succeeded, until `cleanup`.

    Args:
        pattern: as for `MessageBus.subscribe`, whose options follow by name.

    Example:
        class Monitor(IPlugin):
            @subscribe("sensor.>", envelope=True)
            def on_sensor(self, message): ...
    """
    if not isinstance(pattern, str):
        raise TypeError(f"@subscribe takes a pattern: @subscribe('sensor.>'), not {type(pattern).__name__}")

    def mark(function: F) -> F:
        function.__dict__.setdefault(_MARK, []).append((pattern, options))
        return function

    return mark


def begin_initialize(plugin: object) -> None:
    """Called by the host before the hook."""
    ledger = ledger_of(plugin)
    with _ledgers_lock:
        _ledgers_by_id[id(plugin)] = ledger
    ledger.begin_initialize()


def end_initialize(plugin: object) -> None:
    """Called by the host when the hook has succeeded.

    Raises:
        What subscribing raises; nothing of this plugin's methods is subscribed then.
    """
    ledger = ledger_of(plugin)
    bus = _qtforge.MessageBus.instance()
    made = []
    try:
        for name in dir(type(plugin)):
            function = inspect.getattr_static(type(plugin), name)
            marks = getattr(getattr(function, "__func__", function), "__dict__", {}).get(_MARK, ())
            for pattern, options in marks:
                made.append(bus.subscribe(pattern, getattr(plugin, name), **{"owner": plugin, **options}))
    except BaseException:
        for subscription in made:
            subscription.unsubscribe()
        raise
    for subscription in made:
        ledger.add(subscription.unsubscribe)


def end_cleanup(plugin: object) -> None:
    """Called by the host after the hook, however that ended."""
    ledger_of(plugin).take_back(all_of_it=False)


def load(key: int) -> None:
    """Called by the host before code of the plugin runs."""
    with _ledgers_lock:
        _ledgers[key] = None


def unload(key: int) -> None:
    """Called by the host when the plugin goes, also where its load has failed."""
    with _ledgers_lock:
        ledger = _ledgers.get(key)
    if ledger:
        ledger.take_back(all_of_it=True)
    with _ledgers_lock:
        _ledgers.pop(key, None)
        for plugin in [known for known, its in _ledgers_by_id.items() if its is ledger]:
            del _ledgers_by_id[plugin]
