"""Imports plugins' code, each plugin's folder as a package of its own: ``qtforge_plugins.<name>``.

Modules of a plugin see the other modules of its folders under their plain names, before those of the environment, and
no other plugin sees them. Processes that a plugin starts find them by the same names: see `adopt`.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

from qtforge._leaks import Watch

PACKAGE = "qtforge_plugins"
FOLDERS = "QTFORGE_PLUGIN_FOLDERS"  # the environment variable that tells children {package: its folders}
KEY = "__qtforge_plugin__"  # in the builtins of a plugin's modules: the host's number of the version that they belong to
_telling = threading.Lock()  # guards that variable


class _Loader(SourceFileLoader):
    """Compiles from source, as it is now, and gives the module imports that look into its plugin first."""

    def __init__(self, fullname: str, path: str, package: str, key: int) -> None:
        super().__init__(fullname, path)
        self._package = package
        self._key = key

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        extension = sys.modules.get("qtforge._qtforge")  # None in a child that only finds modules by it
        if extension is None:
            return compile(source, path, "exec", dont_inherit=True)
        return cast("CodeType", extension.compile_module(source, path))

    def get_data(self, path: str | bytes) -> bytes:
        """The bytes of a file in the plugin's folders, which is opened once and must not be a link that leaves them."""
        name = os.fsdecode(path)
        package = sys.modules.get(self._package)
        if package is None:
            raise ImportError(f"'{name}': its plugin has been unloaded", path=name)
        with open(name, "rb") as file:
            real = os.path.realpath(_opened(file.fileno(), name))
            folders = [os.path.realpath(folder) for folder in package.__path__]
            if not any(os.path.commonpath([folder, real]) == folder for folder in folders):
                raise ImportError(f"'{name}' is a link that leads out of the plugin's folder, to '{real}'", path=name)
            return file.read()

    def exec_module(self, module: ModuleType) -> None:
        private = dict(vars(builtins))
        private["__import__"] = _importer(self._package)
        private[KEY] = self._key
        module.__dict__["__builtins__"] = private
        super().exec_module(module)


def _opened(file: int, name: str) -> str:
    """The path of an open file: as it is now, not as a link might say a moment later."""
    try:
        return os.readlink(f"/proc/self/fd/{file}")
    except OSError:  # not on Linux
        return name


class _Finder(MetaPathFinder):
    """Finds the modules of plugins in their own folders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PACKAGE + ".") or path is None:
            return None
        if fullname.count(".") == 1:
            return _inherited(fullname)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader and spec.origin is not None:
            package = ".".join(fullname.split(".")[:2])
            spec.loader = _Loader(fullname, spec.origin, package, getattr(sys.modules.get(package), KEY, 0))
        return spec


def _told() -> dict[str, list[str]]:
    """What `FOLDERS` says; nothing where somebody else has set it."""
    try:
        told = json.loads(os.environ.get(FOLDERS, "{}"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _tell(package: str, folders: list[str] | None) -> None:
    with _telling:
        told = {name: there for name, there in _told().items() if name != package}
        if folders is not None:
            told[package] = folders
        if told:
            os.environ[FOLDERS] = json.dumps(told)
        else:
            os.environ.pop(FOLDERS, None)


def _inherited(package: str) -> ModuleSpec | None:
    """The package of a plugin that the parent process has loaded."""
    folders = _told().get(package)
    if not folders:
        return None
    spec = ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec


def adopt() -> None:
    """Lets a process that a plugin has started import the plugin's modules, as what it unpickles asks for."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _importer(package: str) -> Any:
    def private_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not _is_private(package, top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        # With a list of names the import system returns the innermost module and imports submodules among them.
        module = builtins.__import__(f"{package}.{name}", None, None, fromlist or ("__name__",), 0)
        return module if fromlist else sys.modules[f"{package}.{top}"]

    return private_import


def _is_private(package: str, top: str) -> bool:
    if f"{package}.{top}" in sys.modules:
        return True
    owner = sys.modules.get(package)
    return owner is not None and PathFinder.find_spec(f"{package}.{top}", owner.__path__) is not None


def _package_name(name: str) -> str:
    return f"{PACKAGE}.{name.replace('.', '_')}"


def load(name: str, folders: Sequence[str], entry: str, key: int = 0) -> ModuleType:
    """Imports the file ``entry`` of the plugin ``name``, whose modules lie in ``folders``.

    Args:
        key: see `KEY`.

    Raises:
        Whatever the plugin's code raises; then nothing of it stays in ``sys.modules``.
    """
    adopt()
    if PACKAGE not in sys.modules:
        root = ModuleType(PACKAGE)
        root.__path__ = []
        sys.modules[PACKAGE] = root
    package = ModuleType(_package_name(name))
    package.__path__ = list(dict.fromkeys(folders))
    setattr(package, KEY, key)
    sys.modules[package.__name__] = package
    _tell(package.__name__, package.__path__)
    fullname = f"{package.__name__}.{Path(entry).stem}"
    try:
        spec = importlib.util.spec_from_file_location(
            fullname, entry, loader=_Loader(fullname, entry, package.__name__, key)
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{entry} cannot be imported", path=entry)
        module = importlib.util.module_from_spec(spec)
        sys.modules[fullname] = module
        spec.loader.exec_module(module)
    except BaseException:
        unload(name)
        raise
    return module


def watch(name: str, plugin: object, modules: dict[str, ModuleType] | None) -> Watch:
    """To be asked, after the unload of the plugin ``name``, what of it is alive.

    Args:
        modules: its own, where those in ``sys.modules`` are another version's.
    """
    return Watch(plugin, _package_name(name), modules)


def unload(name: str) -> None:
    """Forgets the modules of the plugin ``name``."""
    _tell(_package_name(name), None)
    take(name)


def take(name: str) -> dict[str, ModuleType]:
    """Takes the modules of the plugin ``name`` out of ``sys.modules``, for `put`: two versions have the same names."""
    package = _package_name(name)
    names = [key for key in list(sys.modules) if key == package or key.startswith(package + ".")]
    return {known: sys.modules.pop(known) for known in names}


def put(modules: dict[str, ModuleType]) -> None:
    """Puts back what `take` has taken."""
    sys.modules.update(modules)
    for package in modules.values():
        if hasattr(package, KEY):
            _tell(package.__name__, list(package.__path__))
