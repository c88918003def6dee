"""The standard logging on its way to the host's log: its levels, its texts, and the handler."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping

from qtforge import _qtforge, _speakers

# Of `logging`, by qtforge::LogLevel; the last lets nothing through.
LEVELS = (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL + 10)

FORWARDED = "_qtforge_forwarded"  # marks records that come from the host's log

_PLAIN = logging.Formatter()

_thread = threading.local()  # `emitting`: whether it is inside Handler.emit


def host_level(level: int) -> int:
    """As qtforge::LogLevel."""
    return next((at for at in (4, 3, 2, 1) if level >= LEVELS[at]), 0)


def text_of(msg: object, args: object) -> str:
    """A message with its %-arguments in it; what does not go together, or raises, stands beside each other."""
    try:
        text = str(msg)
        if not args:
            return text
        values = args[0] if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], Mapping) else args
        return text % (values or args)
    except Exception as wrong:  # noqa: BLE001  a log line must not end its plugin
        return f"{_shown(msg)} {_shown(args)} ({type(wrong).__name__}: {_shown(wrong)})"


def _shown(value: object) -> str:
    try:
        return str(value) if isinstance(value, (str, Exception)) else repr(value)
    except Exception:  # noqa: BLE001  anybody's __repr__
        return f"<{type(value).__qualname__} object>"


class Handler(logging.Handler):
    """Leads the standard logging to the host's log, with level, file, line, and the name of the plugin that speaks.

    In a Python that its host has started there is one at the root logger. Elsewhere a program adds it itself:

        logging.getLogger().addHandler(qtforge.logger.Handler())

    The plugin is that of the logger's name, if it is a module's, else the one whose code has called; then the logger's
    name stands before the text.
    """

    def createLock(self) -> None:
        """None: the host's sinks take several threads at once, and may wait."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        if _qtforge.log_level() > host_level(record.levelno):
            return False
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, FORWARDED, False) or getattr(_thread, "emitting", False):  # a sink that logs in Python
            return
        _thread.emitting = True
        try:
            speaker, text = self._speaker(record), self._format(record)
            if record.name not in (speaker, "root"):
                text = f"{record.name}: {text}"
            _qtforge.log_of_logging(host_level(record.levelno), speaker, text, record.pathname, record.lineno)
        except Exception:  # noqa: BLE001  as the handlers of logging
            self.handleError(record)
        finally:
            _thread.emitting = False

    def _speaker(self, record: logging.LogRecord) -> str:
        """The plugin's module; the logger's name where there is none."""
        if _speakers.is_plugin(record.name):
            return record.name
        raised = record.exc_info[2] if record.exc_info else None
        return _speakers.of_frame(sys._getframe(1)) or _speakers.of_traceback(raised) or record.name

    def _format(self, record: logging.LogRecord) -> str:
        if self.formatter is not None:
            return self.format(record)
        parts = [text_of(record.msg, record.args)]
        if record.exc_info:
            parts.append(_PLAIN.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts)
