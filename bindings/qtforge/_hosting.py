"""Leads to the host's log what a Python that the host started would write to stderr.

That is warnings, the standard logging, and exceptions that nobody could be given: in `__del__`, in threads, of coroutines.
A Python that runs without the library, a program's own or one that a host has joined, stays as it is.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import TextIO

from qtforge import _qtforge, _speakers
from qtforge._log_handler import LEVELS, Handler
from qtforge.logger import follow_debug_mode

_WARNING, _ERROR = 3, 4  # qtforge::LogLevel

_root_level = logging.WARNING  # that this module has given, at first Python's own


def install() -> None:
    """Once, when the package is imported. What somebody has replaced already is left to them."""
    if not _qtforge.owns_python():
        return
    if warnings.showwarning.__module__ in ("warnings", "_py_warnings"):  # Python's own, in 3.14 the second
        warnings.showwarning = _show_warning
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable
    if threading.excepthook is _thread._excepthook:
        threading.excepthook = _log_of_thread
    root = logging.getLogger()
    for handler in list(root.handlers):
        if _is_ours(handler) or _is_of_basic_config(handler):
            root.removeHandler(handler)
    root.addHandler(Handler())
    _qtforge.follow_log(_follow)
    _follow()


def _follow() -> None:
    """The root logger lets through what the host's log does, unless somebody has given it another level."""
    global _root_level
    root = logging.getLogger()
    if root.level == _root_level:
        _root_level = LEVELS[_qtforge.log_level()]
        root.setLevel(_root_level)
    follow_debug_mode()


def _is_ours(handler: logging.Handler) -> bool:
    """Of a package that was imported before this one, too."""
    return type(handler).__qualname__ == Handler.__qualname__ and type(handler).__module__ == Handler.__module__


def _is_of_basic_config(handler: logging.Handler) -> bool:
    """It would write once more what the host's log has."""
    return type(handler) is logging.StreamHandler and handler.stream in (sys.stderr, sys.__stderr__)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    speaker = _speakers.of_file(filename) or _speakers.of_frame(sys._getframe(1)) or "py.warnings"
    _qtforge.log(_WARNING, speaker, f"{category.__name__}: {message}", filename, lineno)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    try:
        text = unraisable.err_msg or "Exception ignored in"
        if unraisable.object is not None:
            text += f": {_shown(unraisable.object)}"
        speaker = _speakers.of_object(unraisable.object) or _speakers.of_traceback(unraisable.exc_traceback)
        speaker = speaker or _speakers.of_frame(sys._getframe(1)) or "py.unraisable"
        _log_exception(speaker, text, unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)
    except BaseException:  # noqa: BLE001  the interpreter may be ending, and this is the last place
        sys.__unraisablehook__(unraisable)


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:  # which ends the thread, as in the hook that this one stands for
        return
    name = args.thread.name if args.thread is not None else threading.get_ident()
    speaker = _speakers.of_traceback(args.exc_traceback) or _speakers.of_object(args.thread) or "py.threading"
    _log_exception(speaker, f"Exception in thread {name}", args.exc_type, args.exc_value, args.exc_traceback)


def _log_exception(
    speaker: str, text: str, kind: type[BaseException], value: BaseException | None, trace: TracebackType | None
) -> None:
    lines = "".join(traceback.format_exception(kind, value, trace)).rstrip()
    file, line = "", 0
    while trace is not None:
        file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    _qtforge.log(_ERROR, speaker, f"{text}\n{lines}", file, line)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  half of it may be gone
        return f"<{type(value).__qualname__} object>"
