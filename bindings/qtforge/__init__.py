"""Plugins in C++ and Python on one message bus.

`qtforge.core` has what a plugin is, `qtforge.communication` the bus. In an application that embeds Python this package
talks to that application; in plain Python it is its own host.
"""

from qtforge import _hosting, communication, core, errors, logger, plugin, utils
from qtforge._author import subscribe
from qtforge._interfaces import on_lane
from qtforge._qtforge import __version__
from qtforge.communication import BinaryMessage, Message, MessageBus, Receiver, Subscription
from qtforge.core import IPlugin, PluginState
from qtforge.errors import (
    BusError,
    ConfigurationError,
    Error,
    ErrorCode,
    ExecutionTimeout,
    PluginError,
    Timeout,
    TopicError,
)
from qtforge.logger import set_debug_mode
from qtforge.plugin import Plugin, find, load

__all__ = [
    "BinaryMessage",
    "BusError",
    "ConfigurationError",
    "Error",
    "ErrorCode",
    "ExecutionTimeout",
    "IPlugin",
    "Message",
    "MessageBus",
    "Plugin",
    "PluginError",
    "PluginState",
    "Receiver",
    "Subscription",
    "Timeout",
    "TopicError",
    "__version__",
    "communication",
    "core",
    "errors",
    "find",
    "load",
    "logger",
    "on_lane",
    "plugin",
    "set_debug_mode",
    "subscribe",
    "utils",
]

_hosting.install()
