"""What a plugin is: IPlugin, its states and its error."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, overload

from qtforge import _qtforge
from qtforge.errors import PluginError

__all__ = ["IPlugin", "PluginError", "PluginState"]


class PluginState(enum.IntEnum):
    """UNLOADED -> LOADED -> INITIALIZED <-> ACTIVE; ERROR after a step that failed."""

    UNLOADED = 0
    LOADED = 1
    INITIALIZED = 2
    ACTIVE = 3
    ERROR = 4


class _Config:
    """Asks the host. Has no `__set__`, so that a plugin may have an attribute `config` of its own."""

    @overload
    def __get__(self, plugin: None, owner: type | None = None) -> _Config: ...
    @overload
    def __get__(self, plugin: object, owner: type | None = None) -> Mapping[str, Any]: ...
    def __get__(self, plugin: object | None, owner: type | None = None) -> _Config | Mapping[str, Any]:
        if plugin is None:
            return self
        return MappingProxyType(_qtforge.plugin_config(plugin) or {})


class IPlugin:
    """A plugin. Override what you need, often only `initialize`.

    An ordinary class: `__init__` is yours and need not call this one's, and it goes together with ABC, Protocol,
    dataclass, mixins, copy and pickle. The host calls the steps one at a time, in the order of the states. A step that
    returns False or raises has failed; returning None counts as success.

    The describing methods are asked after construction. Where you do not override them, or answer with nothing, the
    manifest answers.

    Attributes:
        config: the values in force of the settings that the manifest declares, read-only and as they are at the moment;
            also in `__init__`. Settings without a default that nobody set are missing. Empty outside a host.
    """

    config = _Config()

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
