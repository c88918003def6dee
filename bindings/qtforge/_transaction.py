"""A change of an environment that is made as a whole, or undone."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtforge._child import Failed
from qtforge._environment import Environment, Snapshot
from qtforge._packaging import utils, version
from qtforge._requirements import location
from qtforge._tools import Call, Planned, Tool, told_by
from qtforge.errors import Error, ErrorCode, Timeout

__all__ = ["Change", "change", "of_its_own"]


@dataclass(frozen=True)
class Change:
    """What happened to a distribution: its versions, "" where it was not, or is not, there."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before or 'not there'} -> {self.after or 'not there'}"


def change(
    environment: Environment,
    call: Call,
    tool: Tool,
    names: Sequence[str],
    plan: Sequence[Planned],
    act: Callable[[], None],
) -> list[Change]:
    """Changes the distributions `names`, to those of `plan`, by `act`; or goes back to what was.

    Raises:
        qtforge.Error: what made it fail; the message says how the environment is now.
        BaseException: what else `act` raised.
    """
    new: dict[str, str] = {utils.canonicalize_name(one.name): one.version for one in plan}
    _require_unused(environment, call.what, names, new)
    snapshot = Snapshot(environment, tempfile.mkdtemp(dir=call.scratch))
    there = environment.distributions()
    snapshot.keep(there[name] for name in names if name in there)
    try:
        act()
        importlib.invalidate_caches()
        _require_done(environment, call.what, tool, names, new)
    except BaseException as error:
        state = _undo(environment, snapshot)
        if isinstance(error, Failed):
            told = told_by(tool, call.what, error)
            raise Error(f"{told.message}\n{state}", code=told.code) from None
        if isinstance(error, (Error, OSError)):
            code = error.code if isinstance(error, Error) else ErrorCode.INSTALL_FAILED
            kind = Timeout if code is ErrorCode.TIMED_OUT else Error
            raise kind(f"{error}; {state}", code=code) from error
        raise
    environment.make_importable(snapshot.files)
    return _changes(environment, snapshot)


def of_its_own(environment: Environment) -> dict[str, str]:
    """What is installed in the environment itself, not in one that it looks into: name and version."""
    found = environment.distributions().items()
    return {name: one.version for name, one in found if os.path.realpath(location(one)) in environment.folders}


def _changes(environment: Environment, snapshot: Snapshot) -> list[Change]:
    old = snapshot.distributions
    new = {name: one.version for name, one in environment.distributions().items()}
    differ = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return [Change(name, old.get(name, ""), new.get(name, "")) for name in differ]


def _undo(environment: Environment, snapshot: Snapshot) -> str:
    """Goes back, and says whether that was possible."""
    wrong = snapshot.restore()
    changed = [str(one) for one in _changes(environment, snapshot)]
    if not wrong and not changed:
        return f"'{environment.prefix}' is as it was"
    return f"'{environment.prefix}' HAS CHANGED: " + "; ".join([*changed, *wrong])


def _require_unused(environment: Environment, what: str, names: Sequence[str], new: dict[str, str]) -> None:
    there = environment.distributions()
    used = [name for name in names if name in there and environment.imported(there[name])]
    if used:
        told = ", ".join(f"{name} {there[name].version} (by {new.get(name, 'nothing')})" for name in used)
        raise Error(
            f"{what}: this process has imported what would be replaced: {told}; do it before anything imports it, or in "
            f"another process with {environment.python} -m pip",
            code=ErrorCode.DEPENDENCY_VERSION,
        )


def _require_done(environment: Environment, what: str, tool: Tool, names: Sequence[str], new: dict[str, str]) -> None:
    there = of_its_own(environment)
    for name in names:
        found, wanted = there.get(name, ""), new.get(name, "")
        if found != wanted and not (found and wanted and version.Version(found) == version.Version(wanted)):
            raise Error(
                f"{what}: {tool.name} says that it is done, but of {name} there is {found or 'nothing'} in place of "
                f"{wanted or 'nothing'}; is it configured for another folder?",
                code=ErrorCode.INSTALL_FAILED,
            )
