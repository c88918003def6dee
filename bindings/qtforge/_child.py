"""Programs that are run without a shell, within a time, and of which nothing is left when they are cancelled."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from qtforge.errors import Error, ErrorCode, Timeout

__all__ = ["Cancellation", "Failed", "Limits", "run", "without_passwords"]

_PATIENCE = 3.0  # seconds for a child to end by itself when it is asked to
_LINGER = 1.0  # seconds for output of what a child that ended has left running


def without_passwords(text: str) -> str:
    """A text, as people read it, without who is named in the URLs in it."""
    return re.sub(r"(?<=//)[^/@\s]+@", "***@", text)


class Cancellation:
    """Ends the calls that it was given to, from any thread: `cancel()` once and for all.

    Args:
        fileno: a file of somebody else's that becomes readable to cancel, in place of `cancel()`.
    """

    def __init__(self, fileno: int | None = None) -> None:
        self._lock = threading.Lock()  # guards the two below
        self._ends = os.pipe() if fileno is None else ()
        self._cancelled = False
        self._read = self._ends[0] if self._ends else fileno

    def __del__(self) -> None:
        for end in getattr(self, "_ends", ())[: 1 if self._cancelled else 2]:
            os.close(end)

    def cancel(self) -> None:
        """Does not wait for the calls."""
        with self._lock:
            if self._ends and not self._cancelled:
                os.close(self._ends[1])
            self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether somebody did."""
        if not self._cancelled and self._read is not None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._read, selectors.EVENT_READ)
                return bool(selector.select(0))
        return self._cancelled

    def fileno(self) -> int:
        """Readable once cancelled."""
        assert self._read is not None
        return self._read


class Limits:
    """How long a call and all its children may take, and who may end it before."""

    def __init__(self, timeout: float, cancellation: Cancellation | None) -> None:
        self.timeout = timeout
        self.cancellation = cancellation
        self._until = time.monotonic() + timeout

    def left(self) -> float:
        """Seconds; not below 0."""
        return max(0.0, self._until - time.monotonic())

    def check(self, what: str) -> None:
        """Raises if the call must end now."""
        if self.cancellation is not None and self.cancellation.cancelled:
            raise Error(f"{what}: cancelled", code=ErrorCode.CANCELLED)
        if not self.left():
            raise Timeout(f"{what}: not done within {self.timeout:g} s", code=ErrorCode.TIMED_OUT)


class Failed(Exception):
    """A child ended with an error.

    Attributes:
        code: its exit code, negative for a signal.
        lines: what it wrote.
    """

    def __init__(self, code: int, lines: list[str]) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.lines = lines

    def tail(self, count: int = 12) -> str:
        """Its last lines, indented, without passwords."""
        told = [without_passwords(line) for line in self.lines if line.strip()][-count:]
        return "\n".join(f"  {line}" for line in told) or "  (it wrote nothing)"


def run(
    command: Sequence[str],
    *,
    what: str,
    limits: Limits,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    on_line: Callable[[str], object] = lambda line: None,
) -> list[str]:
    """Runs a program in a session of its own, with nothing to read, and gives the lines that it writes.

    Args:
        what: begins the messages of errors.
        on_line: is called with each line, without passwords, when it comes, on this thread; what it raises ends the program.

    Raises:
        Failed: the program did not end with 0.
        qtforge.Error: CANCELLED.
        qtforge.Timeout: the time of `limits` is over.
        OSError: it could not be started.
    """
    limits.check(what)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    lines: list[str] = []
    try:
        for line in _lines(child, what, limits):
            lines.append(line)
            on_line(without_passwords(line))
        while not _has_ended(child):  # it closed its output and goes on
            limits.check(what)
            time.sleep(0.02)
    except BaseException:
        _ask_to_end(child)
        raise
    finally:
        _sweep(child)
    if child.returncode:
        raise Failed(child.returncode, lines)
    return lines


def _lines(child: subprocess.Popen[bytes], what: str, limits: Limits) -> Iterator[str]:
    assert child.stdout is not None
    output, rest, ended = child.stdout.fileno(), b"", 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        if limits.cancellation is not None:
            selector.register(limits.cancellation, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(min(0.2, limits.left()))}
            limits.check(what)
            if output in ready:
                read = os.read(output, 65536)
                if not read:
                    break
                *whole, rest = (rest + read).replace(b"\r", b"\n").replace(b"\0", b"").split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            elif _has_ended(child):  # but something that it started still holds its output
                ended = ended or time.monotonic()
                if time.monotonic() - ended > _LINGER:
                    break
    if rest:
        yield rest.decode(errors="replace")


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it has, without taking its exit code: until then its number is not given to another process."""
    if child.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # the application collects exit codes itself
        return True


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _ask_to_end(child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    _signal_group(child, signal.SIGTERM)
    while not _has_ended(child) and time.monotonic() < until:
        time.sleep(0.02)


def _sweep(child: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the child's session, and takes its exit code."""
    _signal_group(child, signal.SIGKILL)
    assert child.stdout is not None
    child.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=_PATIENCE)
