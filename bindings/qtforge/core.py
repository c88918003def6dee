"""What a plugin is: IPlugin, its states and its error."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from qtforge import _author, _qtforge
from qtforge._author import Store, Timer
from qtforge.errors import PluginError
from qtforge.logger import PluginLog

__all__ = ["IPlugin", "PluginError", "PluginState"]


T = TypeVar("T")


class _Given(Generic[T]):
    """An attribute that the host gives; one that the plugin sets itself stands before it."""

    def __init__(self, give: Callable[[Any], T]) -> None:
        self._give = give
        self.__doc__ = give.__doc__

    def __get__(self, plugin: object, owner: type[Any] | None = None) -> T:
        if plugin is None:
            return self  # type: ignore[return-value]
        return self._give(plugin)


class PluginState(enum.IntEnum):
    """UNLOADED -> LOADED -> INITIALIZED <-> ACTIVE; ERROR after a step that failed."""

    UNLOADED = 0
    LOADED = 1
    INITIALIZED = 2
    ACTIVE = 3
    ERROR = 4


class IPlugin:
    """A plugin. Override what you need, often only `initialize`.

    An ordinary class: `__init__` is yours and need not call this one's, and it goes together with ABC, Protocol,
    dataclass, mixins, copy and pickle. The host calls the steps one at a time, in the order of the states. A step that
    returns False or raises has failed; returning None counts as success.

    What the host gives (`log`, `path`, `data_dir`, `store`, `stopping`, `every`, `later`, `run_in_thread`, `on_unload`) is
    there from the constructor on, and raises PluginError in an instance that no host made. What was started with it from
    `initialize` on ends after `cleanup`, all else at the unload.

    A plugin that the host reloads while it runs is asked for its state, if it has a method `save_state(self)`, and the new
    version gets that, if it has `restore_state(self, state)`.

    The describing methods are asked after construction. Where you do not override them, or answer with nothing, the
    manifest answers.
    """

    def name(self) -> str:
        """Name among all plugins of the host: as the manifest says; outside a host the name of the class."""
        described = _qtforge.plugin_description(self)
        return described["name"] if described else type(self).__name__

    def version(self) -> str:
        """Version of the plugin (semver.org): as the manifest says; outside a host empty."""
        described = _qtforge.plugin_description(self)
        return described["version"] if described else ""

    def description(self) -> str:
        """One line for people: as the manifest says; outside a host empty."""
        described = _qtforge.plugin_description(self)
        return described["description"] if described else ""

    def author(self) -> str:
        """Who wrote it: as the manifest says; outside a host empty."""
        described = _qtforge.plugin_description(self)
        return described["author"] if described else ""

    def dependencies(self) -> list[str]:
        """Names of plugins that must be loaded before, with an optional range: "Core >= 1.0.0"."""
        described = _qtforge.plugin_description(self)
        return described["dependencies"] if described else []

    def initialize(self) -> bool | None:
        """LOADED to INITIALIZED: subscribe, open, start."""
        return True

    def activate(self) -> bool | None:
        """INITIALIZED to ACTIVE."""
        return True

    def deactivate(self) -> bool | None:
        """ACTIVE to INITIALIZED."""
        return True

    def cleanup(self) -> None:
        """INITIALIZED or ERROR to LOADED: let go of what `initialize` took."""

    def on_config_changed(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
        """Asked while INITIALIZED or ACTIVE, before the settings change: `config` still has those before.

        Returning False, or raising, refuses: nothing changes, and the host gets the reason.
        """
        return True

    def state(self) -> PluginState:
        """The state that the host holds for this plugin; UNLOADED for one that no host manages."""
        number = _qtforge.plugin_state(self)
        return PluginState.UNLOADED if number is None else PluginState(number)

    def is_compatible(self, version: str) -> bool:
        """Whether the plugin works with a version of the plugin interface, such as "1.0.0"."""
        return bool(version)

    @_Given
    def config(self) -> Mapping[str, Any]:
        """The values in force of the settings that the manifest declares, read-only and as they are at the moment.

        Settings without a default that nobody set are missing. Empty outside a host.
        """
        return MappingProxyType(_qtforge.plugin_config(self) or {})

    @_Given
    def log(self) -> PluginLog:
        """Writes to the host's log: `self.log.info("%d rows", count)`."""
        return _author.ledger_of(self).log

    @_Given
    def path(self) -> Path:
        """The plugin's folder."""
        return _author.ledger_of(self).folder

    @_Given
    def data_dir(self) -> Path:
        """A folder for the plugin's own files, which outlives it; made when it is first asked for."""
        return _author.ledger_of(self).data_dir()

    @_Given
    def store(self) -> Store:
        """A small persistent dict of JSON, in `data_dir`.

        Raises:
            PluginError: its file is broken: the message says how.
        """
        return _author.ledger_of(self).store()

    @_Given
    def stopping(self) -> threading.Event:
        """Set when the plugin is cleaned up or unloaded: functions in threads end then."""
        return _author.ledger_of(self).stopping

    def topic(self, name: str) -> str:
        """The topic or pattern `name` as this instance of the plugin uses it: behind the prefix that the host gave it.

        For plugins that may be loaded several times.
        """
        described = _qtforge.plugin_description(self)
        prefix = described.get("topic_prefix") if described else ""
        return f"{prefix}.{name}" if prefix else name

    def every(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Calls `function` on the plugin's lane at an interval of at least 1 ms, first after one.

        Calls are not made up for where one takes longer. What it raises is logged, and the calls go on.
        """
        return _author.start_timer(self, seconds, function, repeat=True)

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Calls `function` on the plugin's lane, once, after that time."""
        return _author.start_timer(self, seconds, function, repeat=False)

    def run_in_thread(self, function: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        """Calls `function` in a thread of its own.

        It should return once `self.stopping` is set: an unload waits 2 seconds, then names it in the log.

        Returns:
            What comes of it. An exception is logged too.
        """
        return _author.ledger_of(self).run_in_thread(function, args, kwargs)

    def offer(self, name: str, service: object) -> None:
        """Offers an object to others, who find it with `qtforge.find(name)` as they find a plugin, and in C++ by a typed
        interface that its methods implement. It is taken back like what is started.

        Raises:
            PluginError: a plugin or service is called like that, or almost; the plugin is being unloaded.
            ValueError: not a name.
        """
        ledger = _author.ledger_of(self)
        entry = ledger.add(lambda: _qtforge.withdraw(self, name))
        try:
            _qtforge.offer(self, name, service)
        except BaseException:
            ledger.remove(entry)
            raise

    def on_unload(self, function: Callable[[], object]) -> None:
        """Calls `function` when the plugin is unloaded, after `cleanup`, the last one first; if it was given since
        `initialize` began, after `cleanup` in any case."""
        _author.ledger_of(self).add(function)
