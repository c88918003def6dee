"""What a plugin's manifest asks of the process it runs in: environment variables, and the packages of its own environment.

Both are the process's, so plugins that want different things of it are refused.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from qtforge import _requirements, logger
from qtforge._packaging import Error as NoRequirement
from qtforge.errors import Error, ErrorCode

__all__ = ["enter", "leave"]

# What makes and fills environments lies in every one of them, and no plugin imports it.
_INSTALLERS = {"pip", "setuptools", "wheel"}
_INSTALLERS_PTH = {"distutils-precedence.pth", "_virtualenv.pth"}

_lock = threading.Lock()  # guards all below
_variables: dict[str, _Shared] = {}
_folders: dict[str, _Shared] = {}
_plugins: dict[int, tuple[str, list[_Shared]]] = {}
_last = 0


@dataclass(eq=False)
class _Shared:
    """A variable, or a folder on `sys.path`, that plugins have put there."""

    name: str
    value: str
    known: dict[str, _Shared]  # in which it is
    plugins: list[str] = field(default_factory=list)
    before: _Shared | None = None  # what an earlier version of the same plugin, which may be there still, has set it to


def enter(plugin: str, folder: str, variables: Sequence[tuple[str, str]], environment: str, pth_files: bool) -> int:
    """Gives the plugin `plugin`, which lies in `folder`, what it needs, until `leave`.

    Args:
        variables: environment variables; those that the process has otherwise keep their values.
        environment: the folder of its own virtual environment, for this version of Python, or "".
        pth_files: whether that one's `.pth` files count, which may run code.

    Returns:
        A number for `leave`.

    Raises:
        qtforge.Error: PLUGIN_INCOMPATIBLE, another plugin has set a variable to another value; DEPENDENCY_VERSION, the
            environment has packages in other versions than those that would be imported; PYTHON_MISMATCH, it has none for
            this Python. Nothing is changed then.
    """
    global _last
    with _lock:
        folders = _packages_of(environment) if environment else []
        wanted = [(name, _resolved(name, value, folder)) for name, value in variables]
        _check_variables(plugin, wanted)
        _check_packages([folder for folder in folders if folder not in _folders])
        shared = [*(_set(*pair) for pair in wanted), *(_append(folder, pth_files) for folder in folders)]
        held = [one for one in shared if one is not None]
        for one in held:
            one.plugins.append(plugin)
        _last += 1
        _plugins[_last] = plugin, held
        return _last


def leave(number: int) -> None:
    """Takes back what only this one had: variables, and folders from which nothing has been imported."""
    with _lock:
        plugin, held = _plugins.pop(number)
        for shared in held:
            shared.plugins.remove(plugin)
            if not shared.plugins:
                _take_back(shared)


# ---- Variables ----------------------------------------------------------------------------------------------------------


def _resolved(name: str, value: str, folder: str) -> str:
    if name != "PYTHONPATH":
        return value
    return os.pathsep.join(os.path.normpath(os.path.join(folder, entry)) for entry in value.split(os.pathsep) if entry)


def _check_variables(plugin: str, wanted: Sequence[tuple[str, str]]) -> None:
    for name, value in wanted:
        shared = _variables.get(name)
        others = [other for other in shared.plugins if other != plugin] if shared is not None else []
        if shared is not None and shared.value != value and others:
            raise Error(
                f"plugin.json: /python_config/environment_variables/{name}: '{plugin}' wants {value!r}, "
                f"'{others[0]}', which is loaded, {shared.value!r}; the variables are those of the process",
                code=ErrorCode.PLUGIN_INCOMPATIBLE,
            )


def _set(name: str, value: str) -> _Shared | None:
    known = _variables.get(name)
    if known is not None:
        if known.value == value:
            return known
        os.environ[name] = value
        _variables[name] = _Shared(name, value, _variables, before=known)
        return _variables[name]
    if name in os.environ:  # the host's value, which wins
        if os.environ[name] != value:
            logger.info("the environment variable %s keeps its value, which is the host's", name)
        return None
    os.environ[name] = value
    return _variables.setdefault(name, _Shared(name, value, _variables))


# ---- Packages -----------------------------------------------------------------------------------------------------------


def _packages_of(environment: str) -> list[str]:
    where = {"base": environment, "platbase": environment}
    folders = [sysconfig.get_path(kind, "posix_prefix", where) for kind in ("purelib", "platlib")]
    there = [folder for folder in dict.fromkeys(map(os.path.realpath, folders)) if os.path.isdir(folder)]
    if not there:
        raise Error(
            f"plugin.json: /python_config/virtual_env: '{environment}' has no packages for Python "
            f"{sys.version.split()[0]}, which runs: there is no '{folders[0]}'",
            code=ErrorCode.PYTHON_MISMATCH,
        )
    return there


def _check_packages(folders: Sequence[str]) -> None:
    there = {name: found for name, found in _requirements.installed(folders).items() if name not in _INSTALLERS}
    same: dict[str, str] = {}  # requirement: where it is met
    wanted = []
    for name, distribution in there.items():
        with contextlib.suppress(NoRequirement):  # a version that cannot be compared
            wanted.append(_requirements.Requirement(f"{name}=={distribution.version}"))
            same[str(wanted[-1])] = _requirements.location(distribution)
    conflicts = [
        f"\n  {one.requirement} is in '{same[one.requirement]}', but {one.installed} in '{one.where}' would be imported"
        for one in _requirements.unmet(wanted, sys.path)
        if one.installed
    ]
    if conflicts:
        raise Error(
            "plugin.json: /python_config/virtual_env: packages are there in two versions, and the process can have one:"
            + "".join(conflicts),
            code=ErrorCode.DEPENDENCY_VERSION,
        )


def _append(folder: str, pth_files: bool) -> _Shared | None:
    if folder in _folders:
        return _folders[folder]
    if folder in map(os.path.realpath, sys.path):  # the process's own
        return None
    if pth_files:
        site.addsitedir(folder)
    else:
        ignored = sorted(name for name in os.listdir(folder) if name.endswith(".pth") and name not in _INSTALLERS_PTH)
        if ignored:
            logger.warning(
                "not read: %s in '%s'; the manifest may say so with /python_config/pth_files",
                ", ".join(ignored),
                folder,
            )
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    return _folders.setdefault(folder, _Shared(folder, folder, _folders))


def _take_back(shared: _Shared) -> None:
    if shared.known is _variables:
        current = _variables[shared.name]
        if current is not shared:  # another version has set it since
            current.before = None
            return
        if shared.before is not None:
            _variables[shared.name] = shared.before
            os.environ[shared.name] = shared.before.value
            return
        del _variables[shared.name]
        if os.environ.get(shared.name) == shared.value:
            del os.environ[shared.name]
        return
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    if any(isinstance(file, str) and os.path.realpath(file).startswith(shared.name + os.sep) for file in files):
        return  # what others have of it may import more
    del _folders[shared.name]
    if shared.name in sys.path:
        sys.path.remove(shared.name)
