"""Errors of qtforge: one root with a code, and subclasses to catch by kind.

Wrong arguments are TypeError and ValueError as everywhere in Python; all else that qtforge raises is an Error.
"""

from __future__ import annotations

import builtins
import contextlib
import enum
import sys
from typing import Any

__all__ = [
    "BusError",
    "ConfigurationError",
    "Error",
    "ErrorCode",
    "ExecutionTimeout",
    "PluginError",
    "Timeout",
    "TopicError",
    "make_error",
]


class ErrorCode(enum.IntEnum):
    """What went wrong, for programs; the same numbers as `qtforge::Errc` in C++."""

    OK = 0
    FAILED = 1
    INVALID_ARGUMENT = 2
    INVALID_TOPIC = 3
    INVALID_PATTERN = 4
    RESERVED_TOPIC = 5
    OVERFLOW = 6
    WOULD_DEADLOCK = 7
    TIMED_OUT = 8
    SHUTTING_DOWN = 9
    NO_RUNTIME = 10
    HANDLER_FAILED = 11
    PAYLOAD_MISMATCH = 12
    MANIFEST_NOT_FOUND = 13
    MANIFEST_INVALID = 14
    ENTRY_POINT_INVALID = 15
    PLUGIN_CLASS_MISSING = 16
    NOT_A_PLUGIN = 17
    IMPORT_FAILED = 18
    ABI_MISMATCH = 19
    DEPENDENCY_MISSING = 20
    DEPENDENCY_VERSION = 21
    DEPENDENCY_CYCLE = 22
    DUPLICATE_PLUGIN = 23
    PLUGIN_NOT_FOUND = 24
    PLUGIN_IN_USE = 25
    PLUGIN_UNLOADED = 26
    PLUGIN_INCOMPATIBLE = 27
    ILLEGAL_TRANSITION = 28
    HOOK_FAILED = 29
    NO_LOADER = 30
    PYTHON_NOT_INITIALIZED = 31
    PYTHON_NOT_FOUND = 32
    PYTHON_MISMATCH = 33
    PYTHON_ALREADY_INITIALIZED = 34
    PYTHON_ERROR = 35
    PACKAGE_MISSING = 36
    PACKAGE_MISMATCH = 37
    CONVERSION_FAILED = 38
    NAME_NOT_FOUND = 39
    LIMIT_EXCEEDED = 40
    NO_RESPONDER = 41
    CANCELLED = 42
    FILE_FAILED = 43
    RECORDING_INVALID = 44
    CONFIGURATION_INVALID = 45
    INTERFACE_MISSING = 46
    INTERFACE_MISMATCH = 47
    INSTALL_FAILED = 48


class Error(Exception):
    """Root of what qtforge raises.

    Attributes:
        code: what went wrong; FAILED unless something more precise is known.
        python_type: where the error began as a Python exception, the qualified name of its type, else "".
        traceback: and its traceback as Python prints it, else "".
    """

    code: ErrorCode
    python_type: str
    traceback: str

    def __init__(
        self,
        message: str = "",
        *,
        code: ErrorCode = ErrorCode.FAILED,
        python_type: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.python_type = python_type
        self.traceback = traceback

    @property
    def message(self) -> str:
        """What was tried, on what, and what to do."""
        return str(self.args[0]) if self.args else ""


class BusError(Error):
    """The bus did not do what was asked."""


class TopicError(BusError, ValueError):
    """Not a topic, not a pattern, or a topic that only the library publishes to."""


class Timeout(Error, TimeoutError):
    """A limit passed; the message names who was waited for."""


class ExecutionTimeout(BaseException):
    """Raised in code that runs for longer than the host allows one call (`executionTimeout`), to stop it.

    No `Exception`, so that `except Exception` does not catch it. Clean up and let it go on: it is raised again.
    """


class PluginError(Error):
    """A plugin could not be loaded or did not do a step. Plugins may raise it themselves."""


class ConfigurationError(PluginError, ValueError):
    """A plugin has no such setting, or the value does not fit what its manifest declares."""


_INTERFACE_CODES = frozenset({ErrorCode.INTERFACE_MISSING, ErrorCode.INTERFACE_MISMATCH})
_TOPIC_CODES = frozenset({ErrorCode.INVALID_TOPIC, ErrorCode.INVALID_PATTERN, ErrorCode.RESERVED_TOPIC})


def _class_of(code: ErrorCode) -> type[Error]:
    if code in _TOPIC_CODES:
        return TopicError
    if code is ErrorCode.TIMED_OUT:
        return Timeout
    if code is ErrorCode.CONFIGURATION_INVALID:
        return ConfigurationError
    if ErrorCode.OVERFLOW <= code <= ErrorCode.PAYLOAD_MISMATCH or code is ErrorCode.NO_RESPONDER:
        return BusError
    if ErrorCode.MANIFEST_NOT_FOUND <= code <= ErrorCode.NO_LOADER or code in _INTERFACE_CODES:
        return PluginError
    return Error


def make_error(code: int, message: str, python_type: str = "", traceback: str = "") -> Error:
    """Makes the exception for a failure that the library reports. Called by the host.

    Where it began as a Python exception it is an instance of that type too, as far as the type can be found and be
    combined, so that `except KeyError` catches what went through C++; of that type's own attributes it has none.

    Args:
        code: a number of `ErrorCode`; one that this version does not know becomes FAILED and is put into the message.
        message: what `str()` of the exception gives.
        python_type: qualified name of the exception type, where it began as one.
        traceback: formatted traceback, likewise; shown with the exception's own.
    """
    try:
        known = ErrorCode(code)
    except ValueError:
        known, message = ErrorCode.FAILED, f"{message} (code {code})"
    error = _make(_class_of(known), message, known, python_type, traceback)
    if traceback and hasattr(error, "add_note"):
        error.add_note(traceback)
    elif traceback:
        error.__cause__ = _ElsewhereRaised(traceback)
    return error


class _ElsewhereRaised(Exception):
    """Shows a traceback of elsewhere where Python is older than notes, 3.11."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Both:
    """Put in front of an Error class and the type of a Python exception."""

    def __init__(self, message: str, *, code: ErrorCode, python_type: str, traceback: str) -> None:
        Exception.__init__(self, message)  # type: ignore[arg-type]  # the other's may want anything
        self.code = code
        self.python_type = python_type
        self.traceback = traceback

    def __str__(self) -> str:
        return self.message  # type: ignore[attr-defined, no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return make_error, (int(self.code), str(self), self.python_type, self.traceback)


def _make(kind: type[Error], message: str, code: ErrorCode, python_type: str, traceback: str) -> Error:
    raised = _find_type(python_type)
    if raised is not None and not issubclass(kind, raised):
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        with contextlib.suppress(Exception):  # layouts or metaclasses that do not go together, a class that refuses
            bases = (_Both, raised) if issubclass(raised, kind) else (_Both, kind, raised)
            both: Any = type(kind.__name__, bases, names)
            made: Error = both(message, code=code, python_type=python_type, traceback=traceback)
            return made
    return kind(message, code=code, python_type=python_type, traceback=traceback)


def _find_type(name: str) -> type[Exception] | None:
    """The exception type of that qualified name, if its module is there; none of those that Python treats specially."""
    if not name:
        return None
    module, _, rest = name.rpartition(".")
    while module and module not in sys.modules:
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}"
    found: object = sys.modules[module] if module else builtins
    for part in rest.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Exception):
        return None if issubclass(found, (StopIteration, StopAsyncIteration, SyntaxError)) else found
    return None
