"""Installs packages into Python environments: this process's own, or another.

Example:
    from qtforge.packages import PackageManager
    PackageManager().install(["numpy>=1.26"])
    import numpy
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qtforge import _lockfile, _requirements
from qtforge._child import Cancellation, Failed, Limits, run, without_passwords
from qtforge._environment import Environment, clean_variables
from qtforge._packaging import requirements, utils
from qtforge._requirements import Problem
from qtforge._tools import Call, Planned, Settings, Tool, choose, told_by
from qtforge._transaction import Change, change, of_its_own
from qtforge.errors import Error, ErrorCode

__all__ = ["Cancellation", "Change", "Package", "PackageManager", "Problem"]

_SCHEMES = ("https://", "http://", "file://")
_STAYS = frozenset({"packaging", "pip", "qtforge", "setuptools", "uv", "wheel"})  # with sync(remove_others=True)


@dataclass(frozen=True)
class Package:
    """A distribution that is installed, and the folder that it is in."""

    name: str
    version: str
    location: str


Packages = list[Package]
Changes = list[Change]
Problems = list[Problem]


class PackageManager:
    """Installs, lists, checks and removes the packages of one environment.

    Changes are all or nothing: a call that fails, is cancelled or runs out of time leaves the environment as it was, or
    says what of it has changed. What is installed into the environment of this process can be imported at once. The work
    is done by `uv` where it is on PATH, else by pip, as programs without a shell.

    Every method may be called from any thread, and waits; changes of one environment are made one after the other, by
    whatever process. Methods raise `ValueError` for arguments that could be taken for options, and `qtforge.Error` with
    the codes INSTALL_FAILED (with the tool's last lines), FILE_FAILED (the environment cannot be written),
    DEPENDENCY_VERSION (a distribution is in use in another version), CANCELLED; and `qtforge.Timeout`.

    Args:
        target: the environment's folder, or its interpreter; None for that of this process.
        index_url: the package index, and the only one; None for those that pip or uv are configured for on this machine.
        wheel_folders: folders of wheels, which are looked at too.
        offline: takes from `wheel_folders` only. As with `index_url` the configuration of pip and uv does not count then.
        wheels_only: runs no code of a package to build it.
        tool: "uv", "pip" or "auto".
        timeout: seconds for one call.
        on_progress: called with a step ("plan", "install", "uninstall", "create") and a line that the tool wrote, ""
            when the step begins; on the calling thread. What it raises ends the call.
        cancellation: ends calls from another thread.

    Raises:
        ValueError: `index_url`, `wheel_folders` or `tool` are wrong.
        qtforge.Error: PYTHON_NOT_FOUND: `target` is no environment.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        index_url: str | None = None,
        wheel_folders: Iterable[str | os.PathLike[str]] = (),
        offline: bool = False,
        wheels_only: bool = False,
        tool: str = "auto",
        timeout: float = 600.0,
        on_progress: Callable[[str, str], object] | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        if index_url and not index_url.startswith(_SCHEMES):
            raise ValueError(f"index_url: {index_url!r} does not begin with one of {', '.join(_SCHEMES)}")
        if tool not in ("auto", "uv", "pip"):
            raise ValueError(f"tool: {tool!r} is none of 'auto', 'uv', 'pip'")
        folders = tuple(os.path.abspath(folder) for folder in wheel_folders)
        for folder in folders:
            if not os.path.isdir(folder):
                raise ValueError(f"wheel_folders: '{folder}' is no folder")
        self._settings = Settings(index_url or "", folders, offline, wheels_only)
        self._tool, self._timeout = tool, timeout
        self._on_progress, self._cancellation = on_progress, cancellation
        self._environment = Environment(target)

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return self._environment.python

    # ---- Looking

    def list(self) -> Packages:
        """What is installed, as it would be imported, by name."""
        found = self._environment.distributions()
        return [
            Package(one.metadata["Name"], one.version, _requirements.location(one)) for _, one in sorted(found.items())
        ]

    def check(self, requirements: Sequence[str] | None = None) -> Problems:
        """Which requirements are not met by what would be imported; without any: of all that is installed, of each other.

        Raises:
            ValueError: one of them is not a name with versions, extras and markers.
        """
        where = self._environment
        if requirements is None:
            return _requirements.unmet_of_all(where.path, process=where.own, markers=where.markers)
        wanted = [_named(text) for text in _texts(requirements)]
        return _requirements.unmet(wanted, where.path, process=where.own, markers=where.markers)

    # ---- Changing

    def install(self, requirements: Sequence[str]) -> Changes:
        """Installs what the caller names: as pip and uv take it, also paths and URLs, but no options.

        Returns:
            What has changed: nothing where all is met already.
        """
        wanted = [_checked(text, _requirements.from_host) for text in _texts(requirements)]
        return self._install(wanted, self._settings, names_only=False)

    def install_named(self, requirements: Sequence[str]) -> Changes:
        """Installs what a manifest names, which may be anybody's: by name only, from wheels, so that no code of a package
        runs. The index is `index_url`, else PyPI; variables and files that configure pip and uv do not count. Nothing that
        is installed is replaced.

        Raises:
            qtforge.Error: also DEPENDENCY_VERSION: another version of something is installed; both are named.
        """
        wanted = [str(_named(text)) for text in _texts(requirements)]
        return self._install(wanted, replace(self._settings, wheels_only=True, machine=False), names_only=True)

    def uninstall(self, names: Sequence[str]) -> Changes:
        """Takes distributions away, whoever needs them; `check` tells.

        Raises:
            qtforge.Error: also NAME_NOT_FOUND: one is not installed in the environment, and nothing has changed.
        """
        wanted = [_checked(text, _requirements.name_of) for text in _texts(names)]
        if not wanted:
            return []
        with self._call("uninstall", wanted, self._settings) as (call, tool):
            self._require_there(call.what, wanted)
            doing = replace(call, on_line=self._tell("uninstall"))
            doing.on_line("")
            return change(self._environment, doing, tool, wanted, [], lambda: tool.uninstall(doing, wanted))

    def sync(self, file: str | os.PathLike[str], *, remove_others: bool = False) -> Changes:
        """Installs exactly what a file that `lock` wrote names: a file of another sha256 is refused.

        Args:
            remove_others: takes away what it does not name, but for pip, uv, setuptools, wheel, packaging and qtforge.

        Raises:
            ValueError: it is no such file.
            OSError
        """
        locked = _lockfile.read(Path(file))
        applying = {one.name for one in locked if one.applies(self._environment.markers)}
        with self._call("sync", [str(file)], self._settings) as (call, tool):
            pinned = call.file("locked.txt", _lockfile.text_of(locked))
            call.on_line("")
            plan = _planning(tool, call.what, lambda: tool.plan_locked(call, pinned)) if locked else []
            others = [name for name in of_its_own(self._environment) if name not in applying | _STAYS] if remove_others else []
            touched = [*(utils.canonicalize_name(one.name) for one in plan), *others]
            if not touched:
                return []
            doing = replace(call, on_line=self._tell("install"))
            doing.on_line("")

            def act() -> None:
                if plan:
                    tool.install_locked(doing, pinned)
                if others:
                    tool.uninstall(doing, others)

            return change(self._environment, doing, tool, touched, plan, act)

    # ---- Files and folders

    def lock(self, requirements: Sequence[str], file: str | os.PathLike[str]) -> None:
        """Writes what `requirements` need into `file`: exact versions and sha256, to be installed by `sync`.

        With pip the file is for this Python and kind of machine; with uv the hashes are those of all files of a version.
        Nothing is installed.

        Raises:
            OSError: it cannot be written; it is as it was.
        """
        wanted = [_checked(text, _requirements.from_host) for text in _texts(requirements)]
        with self._call("lock", wanted, self._settings, changes=False) as (call, tool):
            call.on_line("")
            try:
                resolved = tool.resolve(call, wanted) if wanted else []
            except Failed as failed:
                raise told_by(tool, call.what, failed) from None
            for name, number, hashes in resolved:
                if not hashes:
                    raise Error(f"{call.what}: nobody told the sha256 of {name} {number}", code=ErrorCode.INSTALL_FAILED)
            comment = (
                f"# Made by qtforge with {tool.name} for Python {self._environment.version} on {platform.system()} "
                f"{platform.machine()}.\n# Install with qtforge.packages.PackageManager().sync, or pip's --require-hashes.\n"
            )
            _lockfile.write(Path(file), comment, [_pinned(*one) for one in resolved])

    def create_environment(self, folder: str | os.PathLike[str], *, with_pip: bool = True) -> Path:
        """Makes a virtual environment of the same Python; a call that fails leaves none.

        Returns:
            Its folder, to be a `target`.

        Raises:
            qtforge.Error: also FILE_FAILED: there is something already.
        """
        path = Path(folder).absolute()
        what = f"create_environment('{path}')"
        was_there = path.is_dir()
        if path.exists() and (not was_there or any(path.iterdir())):
            raise Error(f"{what}: there is something already", code=ErrorCode.FILE_FAILED)
        command = [self.python, "-I", "-m", "venv", *([] if with_pip else ["--without-pip"]), str(path)]
        tell = self._tell("create")
        tell("")
        try:
            run(command, what=what, limits=self._limits(), env=clean_variables(), on_line=tell)
        except BaseException as error:
            for made in path.iterdir() if was_there else ():
                shutil.rmtree(made) if made.is_dir() and not made.is_symlink() else made.unlink()
            if not was_there:
                shutil.rmtree(path, ignore_errors=True)
            if isinstance(error, Failed):
                raise Error(f"{what}: `python -m venv` failed:\n{error.tail()}", code=ErrorCode.INSTALL_FAILED) from None
            raise
        return path

    # ---- The machinery

    def _limits(self) -> Limits:
        return Limits(self._timeout, self._cancellation)

    def _tell(self, step: str) -> Callable[[str], object]:
        return lambda line: self._on_progress(step, line) if self._on_progress is not None else None

    @contextlib.contextmanager
    def _call(
        self, verb: str, names: Sequence[str], settings: Settings, *, changes: bool = True
    ) -> Iterator[tuple[Call, Tool]]:
        what = f"{verb}({without_passwords(', '.join(names))}) in '{self._environment.prefix}'"
        limits = self._limits()
        limits.check(what)
        held = self._environment.locked(what, limits) if changes else contextlib.nullcontext()
        with held:
            scratch = tempfile.mkdtemp(prefix="qtforge-")
            try:
                yield Call(what, settings, limits, scratch, self._tell("plan")), choose(self._tool, self._environment)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _install(self, wanted: Sequence[str], settings: Settings, *, names_only: bool) -> Changes:
        with self._call("install", wanted, settings) as (call, tool):
            call.on_line("")
            plan = _planning(tool, call.what, lambda: tool.plan(call, wanted)) if wanted else []
            if not plan:
                return []
            if names_only:
                self._require_new(call.what, plan)
            doing = replace(call, on_line=self._tell("install"))
            doing.on_line("")
            touched = [utils.canonicalize_name(one.name) for one in plan]
            return change(self._environment, doing, tool, touched, plan, lambda: tool.install(doing, wanted, plan))

    def _require_there(self, what: str, names: Sequence[str]) -> None:
        there = of_its_own(self._environment)
        missing = [name for name in names if name not in there]
        if missing:
            raise Error(f"{what}: not installed in it: {', '.join(missing)}", code=ErrorCode.NAME_NOT_FOUND)

    def _require_new(self, what: str, plan: Sequence[Planned]) -> None:
        there = self._environment.distributions()
        for one in plan:
            old = there.get(utils.canonicalize_name(one.name))
            if old is not None:
                raise Error(
                    f"{what}: {one.name} {one.version} would replace {old.version}, which is installed in "
                    f"'{_requirements.location(old)}'; if nothing else needs that, install the new one yourself",
                    code=ErrorCode.DEPENDENCY_VERSION,
                )
            if one.direct:
                raise Error(f"{what}: {one.name} would come from a URL", code=ErrorCode.INSTALL_FAILED)


def _texts(given: Sequence[str]) -> Sequence[str]:
    if isinstance(given, str):
        raise TypeError(f"a list of texts is expected, not the text {given!r}")
    return list(given)


def _checked(text: str, check: Callable[[str], str]) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is refused: {error}") from None


def _named(text: str) -> requirements.Requirement:
    try:
        return _requirements.from_manifest(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is refused: {error}") from None


def _pinned(name: str, number: str, hashes: Sequence[str]) -> _lockfile.Locked:
    return _lockfile.Locked(requirements.Requirement(f"{name}=={number}"), tuple(hashes))


def _planning(tool: Tool, what: str, plan: Callable[[], Sequence[Planned]]) -> Sequence[Planned]:
    try:
        return plan()
    except Failed as failed:
        told = told_by(tool, what, failed)
        raise Error(f"{told.message}\nnothing has been changed", code=told.code) from None
