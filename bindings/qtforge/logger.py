"""Writes to the host's log, under the name of the plugin that calls.

Example:
    from qtforge import logger
    logger.info("%d rows", count)

Messages take %-arguments as in the standard library's logging; they are put together only if somebody reads them.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping

from qtforge import _qtforge

__all__ = ["PluginLog", "debug", "error", "exception", "info", "set_debug_mode", "warning"]

_DEBUG, _INFO, _WARNING, _ERROR = 1, 2, 3, 4  # qtforge::LogLevel

_level_before_debug: int | None = None


def debug(msg: object, *args: object) -> None:
    """For the author of the plugin; shown in debug mode."""
    _write(_DEBUG, msg, args)


def info(msg: object, *args: object) -> None:
    """What happens in good order."""
    _write(_INFO, msg, args)


def warning(msg: object, *args: object) -> None:
    """Something to look after; the work goes on."""
    _write(_WARNING, msg, args)


def error(msg: object, *args: object) -> None:
    """Something was not done."""
    _write(_ERROR, msg, args)


def exception(msg: object, *args: object) -> None:
    """As `error`, with the traceback of the exception that is being handled."""
    if _qtforge.log_level() <= _ERROR:
        _write(_ERROR, f"{_text(msg, args)}\n{traceback.format_exc().rstrip()}", ())


def set_debug_mode(enabled: bool) -> None:
    """Shows debug messages of all plugins and of the host, or goes back to the level of before."""
    global _level_before_debug
    if enabled and _level_before_debug is None:
        level = _qtforge.log_level()
        _qtforge.set_log_level(min(level, _DEBUG))
        _level_before_debug = level
    elif not enabled and _level_before_debug is not None:
        _qtforge.set_log_level(_level_before_debug)
        _level_before_debug = None


class PluginLog:
    """The log under a plugin's name; its methods are the functions of this module. `IPlugin.log` is one."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, msg: object, *args: object) -> None:
        _write(_DEBUG, msg, args, self._name)

    def info(self, msg: object, *args: object) -> None:
        _write(_INFO, msg, args, self._name)

    def warning(self, msg: object, *args: object) -> None:
        _write(_WARNING, msg, args, self._name)

    def error(self, msg: object, *args: object) -> None:
        _write(_ERROR, msg, args, self._name)

    def exception(self, msg: object, *args: object) -> None:
        if _qtforge.log_level() <= _ERROR:
            _write(_ERROR, f"{_text(msg, args)}\n{traceback.format_exc().rstrip()}", (), self._name)


def _write(level: int, msg: object, args: tuple[object, ...], name: str = "") -> None:
    if _qtforge.log_level() > level:
        return
    frame = sys._getframe(2)
    speaker = name or str(frame.f_globals.get("__name__", ""))
    _qtforge.log(level, speaker, _text(msg, args), frame.f_code.co_filename, frame.f_lineno)


def _text(msg: object, args: tuple[object, ...]) -> str:
    text = str(msg)
    if not args:
        return text
    values: object = args
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        values = args[0]
    try:
        return text % values
    except (TypeError, ValueError, KeyError) as wrong:  # a log line must not end its plugin
        return f"{text} {args!r} ({wrong})"
