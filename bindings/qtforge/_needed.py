"""What a plugin's manifest needs of Python packages: checked, and installed where the host wants that, before it is loaded."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from qtforge import _requirements
from qtforge.errors import Error, ErrorCode

__all__ = ["ensure"]


def ensure(requirements: Sequence[str], folders: Sequence[str], install: Mapping[str, Any] | None) -> None:
    """Returns if what a plugin would import meets `requirements`.

    Args:
        requirements: `python_requirements` of its manifest.
        folders: in which its own modules lie, which are imported before those of the environment.
        install: arguments for a `PackageManager` that installs what is missing; None: nothing is installed.

    Raises:
        qtforge.Error: MANIFEST_INVALID, one is no requirement; DEPENDENCY_MISSING, DEPENDENCY_VERSION, naming all that are
            not met; and the errors of `PackageManager.install_named`.
    """
    wanted = _parsed(requirements)
    problems = _requirements.unmet(wanted, sys.path, own=folders)
    missing = [one.requirement for one in problems if not one.where]
    if missing and install is not None and len(missing) == len(problems):
        from qtforge.packages import PackageManager

        PackageManager(**install).install_named(missing)
        problems = _requirements.unmet(wanted, sys.path, own=folders)
    if problems:
        raise Error(_told(problems), code=_code(problems))


def _parsed(requirements: Sequence[str]) -> list[_requirements.Requirement]:
    parsed, wrong = [], []
    for index, text in enumerate(requirements):
        try:
            parsed.append(_requirements.from_manifest(text))
        except ValueError as error:
            wrong.append(f"plugin.json: /python_requirements/{index}: {text!r} is refused: {error}")
    if wrong:
        raise Error("\n".join(wrong), code=ErrorCode.MANIFEST_INVALID)
    return parsed


def _code(problems: Sequence[_requirements.Problem]) -> ErrorCode:
    missing = any(not one.where for one in problems)
    return ErrorCode.DEPENDENCY_MISSING if missing else ErrorCode.DEPENDENCY_VERSION


def _told(problems: Sequence[_requirements.Problem]) -> str:
    lines = "".join(f"\n  {one}" for one in problems)
    names = [one.requirement for one in problems]
    return (
        f"plugin.json: /python_requirements: not met by '{sys.executable}':{lines}\n"
        f"Install them with: {shlex.join([sys.executable, '-m', 'pip', 'install', *names])}\n"
        "or, before the load, by PackageManager::installPackages, in Python qtforge.packages.PackageManager().install. "
        "Where the host says PythonConfig::installMissing, what is missing is installed by itself."
    )
