"""The host's log: writing to it, under the name of the plugin that calls, and seeing it.

Example:
    from qtforge import logger
    logger.info("%d rows", count)

Messages take %-arguments as in the standard library's logging; they are put together only if somebody reads them.
Levels are the numbers of `logging`, and 5 for the host's trace.
"""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple, final

from qtforge import _qtforge
from qtforge._log_handler import FORWARDED, LEVELS, Handler, host_level, text_of

__all__ = [
    "Handler",
    "LogRecord",
    "LogSubscription",
    "PluginLog",
    "debug",
    "error",
    "exception",
    "info",
    "set_debug_mode",
    "subscribe",
    "to_logging",
    "warning",
]

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
        _write(_ERROR, f"{text_of(msg, args)}\n{traceback.format_exc().rstrip()}", ())


def set_debug_mode(enabled: bool) -> None:
    """Shows debug messages of all plugins and of the host, and how long each hook and handler takes, and turns asyncio's
    debug mode on for event loops that are made from then on; or takes all of that back."""
    if _qtforge.set_debug_mode(bool(enabled)):
        follow_debug_mode()
    else:
        _set_level_of_debug_mode(enabled)


def _set_level_of_debug_mode(enabled: bool) -> None:
    """For hosts that were built with an older qtforge, which have no debug mode of their own."""
    global _level_before_debug
    if enabled and _level_before_debug is None:
        level = _qtforge.log_level()
        _qtforge.set_log_level(min(level, _DEBUG))
        _level_before_debug = level
    elif not enabled and _level_before_debug is not None:
        _qtforge.set_log_level(_level_before_debug)
        _level_before_debug = None


def follow_debug_mode() -> None:
    """Does what there is to do in Python when the mode has changed."""
    enabled = _qtforge.debug_mode()
    if enabled or "qtforge._asyncio_debug" in sys.modules:
        from qtforge import _asyncio_debug  # asyncio is not small

        _asyncio_debug.set_enabled(enabled)


class LogRecord(NamedTuple):
    """One line of the host's log.

    Attributes:
        level: as in `logging`.
        logger: the plugin, or who else speaks.
        message: the text.
        file: where, if that is known, else "".
        line: likewise, else 0.
        time: seconds since 1970.
        from_logging: whether the standard logging had it first, and a `Handler` led it here.
    """

    level: int
    logger: str
    message: str
    file: str
    line: int
    time: float
    from_logging: bool


@final
class LogSubscription:
    """A function that sees the log. Made by `subscribe`."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def unsubscribe(self) -> bool:
        """No call begins any more; one that runs on another thread is not waited for.

        Returns:
            Whether it had not ended before.
        """
        return _qtforge.log_unsubscribe(self._number)

    def __enter__(self) -> LogSubscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.unsubscribe()


def subscribe(function: Callable[[LogRecord], object], level: int | str = 0) -> LogSubscription:
    """Shows `function` what the host, the library and all plugins log: what the log's own level lets through.

    It is called on the lane of the plugin that calls this, one line after the other, and nobody who logs waits for it:
    of what it does not keep up with 10,000 lines wait, and the others are counted in a line of their own. What it logs
    itself is shown to nobody here. What it raises is logged. It ends with its plugin.

    Args:
        function: takes a `LogRecord`.
        level: the least one, as a number or name of `logging`.

    Example:
        qtforge.logger.subscribe(qtforge.logger.to_logging)
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise TypeError(f"a plain function that takes a LogRecord expected, not {function!r}")
    least = _level_named(level) if isinstance(level, str) else level

    def show(level: int, logger: str, message: str, file: str, line: int, time: float, from_logging: bool) -> None:
        function(LogRecord(LEVELS[level], logger, message, file, line, time, from_logging))

    return LogSubscription(_qtforge.log_subscribe(show, host_level(least)))


def to_logging(record: LogRecord) -> None:
    """Hands a line to the standard logging: to the logger `qtforge.` and the name of who speaks.

    No line comes twice: those that the standard logging had first are not handed over, and a `Handler` passes over those
    that were.
    """
    if record.from_logging:
        return
    name = record.logger if record.logger.split(".", 1)[0] == "qtforge" else f"qtforge.{record.logger}"
    target = logging.getLogger(name)
    if not target.isEnabledFor(record.level):
        return
    made = target.makeRecord(
        name, record.level, record.file, record.line, record.message, (), None, extra={FORWARDED: True}
    )
    made.created = record.time
    made.msecs = record.time % 1 * 1000
    target.handle(made)


def _level_named(name: str) -> int:
    level: object = logging.getLevelName(name.upper())
    if isinstance(level, int):
        return level
    raise ValueError(f"level: a level of logging expected, not {name!r}")


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
            _write(_ERROR, f"{text_of(msg, args)}\n{traceback.format_exc().rstrip()}", (), self._name)


def _write(level: int, msg: object, args: tuple[object, ...], name: str = "") -> None:
    if _qtforge.log_level() > level:
        return
    frame = sys._getframe(2)
    speaker = name or str(frame.f_globals.get("__name__", ""))
    _qtforge.log(level, speaker, text_of(msg, args), frame.f_code.co_filename, frame.f_lineno)
