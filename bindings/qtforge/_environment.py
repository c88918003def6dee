"""A Python environment that packages are installed into: where it keeps them, and the state of it to go back to."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import shutil
import site
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

from qtforge._child import Limits
from qtforge._packaging import markers
from qtforge._requirements import installed, location, modules
from qtforge.errors import Error, ErrorCode

__all__ = ["Environment", "Snapshot", "clean_variables"]

# Asked of the environment's own interpreter, which may be another version than this one.
_QUESTION = """
import json, os, platform, sys, sysconfig
bundled = ""
try:
    import ensurepip
    for folder in (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")):
        for name in sorted(os.listdir(folder)) if folder and os.path.isdir(folder) else ():
            if name.startswith("pip-") and name.endswith(".whl"):
                bundled = os.path.join(folder, name)
except ImportError:
    pass
release = sys.implementation.version
print(json.dumps({
    "prefix": sys.prefix, "virtual": sys.prefix != sys.base_prefix, "version": platform.python_version(), "path": sys.path, "bundled_pip": bundled,
    "folders": [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")], "scripts": sysconfig.get_path("scripts"),
    "markers": {
        "python_version": "%d.%d" % sys.version_info[:2], "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name,
        "implementation_version": "%d.%d.%d" % (release.major, release.minor, release.micro),
        "platform_python_implementation": platform.python_implementation()}}))
"""


def clean_variables() -> dict[str, str]:
    """The process's environment variables without those that make another Python of one."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "__PYVENV"))}


class Environment:
    """The environment of an interpreter.

    Args:
        target: its folder or its interpreter; None for the one that this process runs in.

    Attributes:
        python: its interpreter.
        folders: where it keeps packages; they need not exist yet.
        path: where it imports from.
        markers: its values for markers in requirements.
        scripts: where it keeps programs.
        virtual: whether it is a virtual environment, whose folders are nobody else's.
        bundled_pip: the wheel of pip that came with its Python, or "".
        own: whether this process runs in it.

    Raises:
        qtforge.Error: PYTHON_NOT_FOUND.
    """

    def __init__(self, target: str | os.PathLike[str] | None) -> None:
        self.python = _interpreter(target)
        try:
            told = subprocess.run(
                [self.python, "-I", "-c", _QUESTION],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                text=True,
                timeout=60,
                env=clean_variables(),
            ).stdout
            facts = json.loads(told)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise Error(f"'{self.python}' does not run as Python: {error}", code=ErrorCode.PYTHON_NOT_FOUND) from None
        self.prefix: str = facts["prefix"]
        self.version: str = facts["version"]
        self.folders: list[str] = list(dict.fromkeys(map(os.path.realpath, facts["folders"])))
        self.scripts: str = os.path.realpath(facts["scripts"])
        self.virtual: bool = facts["virtual"]
        self.bundled_pip: str = facts["bundled_pip"]
        self.markers: dict[str, str] = {**{k: str(v) for k, v in markers.default_environment().items()}, **facts["markers"]}
        self.own = os.path.realpath(self.prefix) == os.path.realpath(sys.prefix)
        self._path: list[str] = facts["path"]

    @property
    def path(self) -> list[str]:
        path = sys.path if self.own else self._path
        known = set(map(os.path.realpath, path))
        return [*path, *(folder for folder in self.folders if folder not in known)]

    def distributions(self) -> dict[str, Distribution]:
        """What is installed, by name, as it is imported."""
        return installed(self.path)

    def imported(self, distribution: Distribution) -> bool:
        """Whether this process has imported some of it."""
        if not self.own:
            return False
        home = location(distribution)
        files = {os.path.realpath(os.path.join(home, file)) for file in modules(distribution)}
        known = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        return any(isinstance(file, str) and os.path.realpath(file) in files for file in known)

    @contextlib.contextmanager
    def locked(self, what: str, limits: Limits) -> Iterator[None]:
        """Nobody else changes it through this package meanwhile: no thread, and no process.

        Raises:
            qtforge.Error: FILE_FAILED, it cannot be written; CANCELLED.
            qtforge.Timeout
        """
        for folder in self.folders:
            there = next(parent for parent in (Path(folder), *Path(folder).parents) if parent.exists())
            if not os.access(there, os.W_OK):
                raise Error(
                    f"{what}: '{there}' cannot be written by this user; make an environment of your own, with "
                    "PackageManager.create_environment or `python -m venv`",
                    code=ErrorCode.FILE_FAILED,
                )
        held = os.open(self.prefix, os.O_RDONLY)
        try:
            while True:
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    limits.check(f"{what}: somebody else changes '{self.prefix}'")
                    time.sleep(min(0.05, limits.left()))
            yield
        finally:
            os.close(held)

    def make_importable(self, before: Iterable[str] = ()) -> None:
        """Lets this process import what is new in its environment.

        Args:
            before: the paths of what was there.
        """
        if not self.own:
            return
        known, had = set(map(os.path.realpath, sys.path)), set(before)
        for folder in filter(os.path.isdir, self.folders):
            if folder not in known:  # Python took only folders that were there when it started
                site.addsitedir(folder)
                continue
            for file in sorted(Path(folder).glob("*.pth")):
                if str(file) not in had:
                    site.addpackage(folder, file.name, None)
        importlib.invalidate_caches()


def _interpreter(target: str | os.PathLike[str] | None) -> str:
    path = Path(sys.executable or "") if target is None else Path(target).absolute()
    named = f"'{path}'"
    if target is not None and path.is_dir():
        path = path / "bin" / "python"
    if not path.is_file():
        raise Error(
            f"{named} is no Python environment and no interpreter; make one with: python -m venv {named}",
            code=ErrorCode.PYTHON_NOT_FOUND,
        )
    return str(path)


class _Mark(NamedTuple):
    kind: int
    inode: int
    size: int
    changed: int


class Snapshot:
    """What an environment was before a change, to go back to.

    Args:
        scratch: a folder for copies, which stays as long as the object.
    """

    def __init__(self, environment: Environment, scratch: str) -> None:
        self._environment = environment
        self._scratch = Path(scratch)
        self._kept: dict[str, Path] = {}
        self.distributions = {name: found.version for name, found in environment.distributions().items()}
        self.files = dict(self._scan())

    def keep(self, replaced: Iterable[Distribution]) -> None:
        """Copies the files of distributions that the change takes away."""
        folders = tuple(folder + os.sep for folder in self._environment.folders)
        for distribution in replaced:
            if not (location(distribution) + os.sep).startswith(folders):
                continue  # of another environment, which stays
            for file in distribution.files or []:
                self._keep(os.path.normpath(str(distribution.locate_file(file))))
            self._keep_metadata(distribution)

    def _keep_metadata(self, distribution: Distribution) -> None:
        metadata = getattr(distribution, "_path", None)  # also what no RECORD lists
        if metadata is not None and os.path.isdir(str(metadata)):
            for path, _ in _walk(str(metadata)):
                self._keep(path)

    def _keep(self, path: str) -> None:
        if path in self._kept or not os.path.lexists(path) or (os.path.isdir(path) and not os.path.islink(path)):
            return
        copy = self._scratch / str(len(self._kept))
        shutil.copy2(path, copy, follow_symlinks=False)
        self._kept[path] = copy

    def _scan(self) -> Iterator[tuple[str, _Mark]]:
        scripts = [self._environment.scripts] if self._environment.virtual else []
        for folder in (*self._environment.folders, *scripts):
            yield from _walk(folder)

    def restore(self) -> list[str]:
        """Takes away what is new and puts back what was kept. @return what could not be put back, a line each"""
        wrong = []
        now = dict(self._scan())
        for path in sorted(now.keys() - self.files.keys(), reverse=True):  # what is inside first
            try:
                os.rmdir(path) if stat.S_ISDIR(now[path].kind) else os.unlink(path)
            except OSError as error:
                wrong.append(f"'{path}' is left: {error.strerror}")
        for path, mark in sorted(self.files.items()):
            if stat.S_ISDIR(mark.kind):
                os.makedirs(path, exist_ok=True)
            elif now.get(path) != mark and path not in self._kept and "__pycache__" not in path:
                wrong.append(f"'{path}' is {'changed' if path in now else 'gone'}")
        for path, copy in self._kept.items():
            try:
                if now.get(path) is None or now[path] != self.files.get(path):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                    shutil.copy2(copy, path, follow_symlinks=False)
            except OSError as error:
                wrong.append(f"'{path}' is not put back: {error.strerror}")
        importlib.invalidate_caches()
        return wrong


def _walk(folder: str) -> Iterator[tuple[str, _Mark]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            about = entry.stat(follow_symlinks=False)
            inside = entry.is_dir(follow_symlinks=False)
            # Of a folder only that it is there.
            yield entry.path, _Mark(about.st_mode, 0, 0, 0) if inside else _Mark(
                about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns
            )
            if inside:
                yield from _walk(entry.path)
