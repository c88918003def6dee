"""Loads plugins from Python, as a host does."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, final

from qtforge import _interfaces, _qtforge
from qtforge.core import PluginState
from qtforge.errors import ErrorCode, PluginError

__all__ = ["FoundPlugin", "Plugin", "find", "load"]


@final
class Plugin:
    """A loaded plugin, in Python or native. Made by `load`.

    As a context manager it is unloaded at the exit of the block; dropping the object unloads nothing.
    """

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    @property
    def name(self) -> str:
        return _qtforge.plugin_info(self._number)["name"]

    @property
    def version(self) -> str:
        return _qtforge.plugin_info(self._number)["version"]

    @property
    def description(self) -> str:
        return _qtforge.plugin_info(self._number)["description"]

    @property
    def author(self) -> str:
        return _qtforge.plugin_info(self._number)["author"]

    @property
    def state(self) -> PluginState:
        """UNLOADED once it has been unloaded."""
        try:
            return PluginState(_qtforge.plugin_info(self._number)["state"])
        except PluginError as error:
            if error.code is ErrorCode.PLUGIN_UNLOADED:
                return PluginState.UNLOADED
            raise

    @property
    def object(self) -> object:
        """The plugin's own instance if it is written in Python, else None."""
        return _qtforge.plugin_info(self._number)["object"]

    @property
    def configuration(self) -> dict[str, Any]:
        """The values in force of its settings: what `configure` set, else the environment variables
        QTFORGE_<PLUGIN>_<KEY> at the time of the load, else the file of `keep_configuration`, else the defaults."""
        return _qtforge.plugin_configuration(self._number)

    def configure(self, values: Mapping[str, Any]) -> None:
        """Sets settings. What `values` does not name stays; None takes a setting back to what it was without this.

        All are set or none. While INITIALIZED or ACTIVE the plugin is asked by its `on_config_changed`.

        Raises:
            ConfigurationError: no such setting, or not a value for it; the message has JSON pointers.
            PluginError: the plugin refused (`code` HOOK_FAILED), a step of it runs, or it is unloaded.
            Error: the values could not be kept in the file (`code` FILE_FAILED).
            TypeError: what does not go into JSON.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"configure() argument 'values' must be a mapping, not {type(values).__name__}")
        _qtforge.plugin_configure(self._number, dict(values))

    def keep_configuration(self, path: str | os.PathLike[str]) -> None:
        """Sets what is in a JSON file, if it is there, and keeps in it from then on what `configure` sets.

        Raises:
            ConfigurationError: what is in the file is no JSON object, or does not fit; it stays as it is.
            Error: it cannot be read (`code` FILE_FAILED). Else as `configure`.
        """
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(
                f"keep_configuration() argument 'path' must be str or os.PathLike[str], not {type(path).__name__}"
            )
        _qtforge.plugin_keep_configuration(self._number, text)

    def initialize(self) -> None:
        """LOADED to INITIALIZED; from ERROR another try, for which the plugin cleans up first.

        Raises:
            PluginError: not possible in its state, or the plugin refused or raised.
        """
        _qtforge.plugin_step(self._number, "initialize")

    def activate(self) -> None:
        """INITIALIZED to ACTIVE. Raises as `initialize`."""
        _qtforge.plugin_step(self._number, "activate")

    def deactivate(self) -> None:
        """ACTIVE to INITIALIZED. Raises as `initialize`."""
        _qtforge.plugin_step(self._number, "deactivate")

    def cleanup(self) -> None:
        """INITIALIZED or ERROR to LOADED. Raises as `initialize`."""
        _qtforge.plugin_step(self._number, "cleanup")

    def reload(self) -> None:
        """Puts what lies in its folder now in its place, while it runs: with its state, its subscriptions and all that is
        queued in them. Where anything fails it goes on as it was.

        Raises:
            PluginError: the new version cannot be loaded, or refused; this is called from the plugin's own code; it is
                written in C++.
        """
        _qtforge.plugin_step(self._number, "reload")

    def unload(self) -> None:
        """Deactivates, cleans up and removes it; nothing if that was done before.

        Raises:
            PluginError: others depend on it.
        """
        if self.state is not PluginState.UNLOADED:
            _qtforge.plugin_step(self._number, "unload")

    def __enter__(self) -> Plugin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, where: TracebackType | None
    ) -> None:
        self.unload()

    def __repr__(self) -> str:
        return f"<qtforge.Plugin {self._number}>"


def load(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    topic_prefix: str = "",
    configuration: Mapping[str, Any] | None = None,
) -> Plugin:
    """Loads a plugin: its code is imported and its class constructed; the steps are yours to call.

    A plugin can be loaded several times, each under a name of its own: with its own modules, state, data and settings.

    Args:
        path: a folder with `plugin.json`, or the shared object of a native plugin.
        name: what it is called; without it what it calls itself.
        topic_prefix: a topic that its `topic()` puts before others.
        configuration: settings, as for `configure`, in force from its constructor on.

    Raises:
        PluginError: there is no plugin or it cannot be loaded; `code` says why, `traceback` where.
        ValueError: a name or prefix that is none.
        ConfigurationError: settings that the plugin does not have, or values that do not fit.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"load() argument 'path' must be str or os.PathLike[str], not {type(path).__name__}")
    if not name and not topic_prefix and not configuration:
        return Plugin(_qtforge.plugin_load(text))
    return Plugin(_qtforge.plugin_load_as(text, name, topic_prefix, dict(configuration or {})))


@final
class FoundPlugin:
    """A plugin, or a service of one, as its callers see it. Made by `find`.

    In C++ it has the methods of its typed interfaces, with their signatures; in Python what the object has. It does not
    keep the plugin loaded: afterwards calls raise.
    """

    def __init__(self, name: str) -> None:
        number, own, methods = _qtforge.plugin_find(name)
        self._name = name
        self._number = number
        self._is_python = own is not None
        for interface, spelled, (method, parameters, result) in reversed(methods):  # of two of a name the first
            setattr(self, method, _interfaces.make_method(number, interface, spelled, method, parameters, result))

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") or not self._is_python:
            raise AttributeError(f"plugin '{self._name}' has no method '{attribute}' in a typed interface")
        value = getattr(_qtforge.plugin_found(self._number), attribute)
        return _interfaces.guarded(self._number, attribute, value) if inspect.isroutine(value) else value

    def __repr__(self) -> str:
        return f"<qtforge.FoundPlugin {self._name}>"


def find(name: str) -> FoundPlugin:
    """A loaded plugin, or a service that one offers, to call its methods: `find("Blur").apply(image, 0.5)`.

    Methods of a plugin in C++ are called on this thread, the GIL released. `help()` shows their signatures.

    Args:
        name: as the plugin or service is called, among all of the process.

    Raises:
        PluginError: there is none. Methods raise it after the unload; TypeError for arguments that do not
            fit; what the plugin threw as `qtforge.Error`.
    """
    return FoundPlugin(name)
