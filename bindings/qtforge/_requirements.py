"""Requirements: which texts are taken for one, and whether what would be imported meets them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from importlib.metadata import Distribution, distributions

from qtforge._packaging import Error, requirements, utils, version

__all__ = ["Problem", "from_host", "from_manifest", "installed", "location", "modules", "name_of", "unmet", "unmet_of_all"]

Requirement = requirements.Requirement
_ARCHIVE = re.compile(r"\.(whl|zip|egg|tar|tgz|tbz|txz|tlz|tar\.(gz|bz2|xz|lz|lzma|zst))$", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """A requirement that is not met.

    Attributes:
        requirement: what is needed, as `numpy>=2`.
        installed: the version that would be imported instead; "" where there is none.
        needed_by: the distribution whose metadata says so; "" for a requirement of the caller.
        where: the folder or file from which it would be imported; "" where nothing would.
    """

    requirement: str
    installed: str = ""
    needed_by: str = ""
    where: str = ""

    def __str__(self) -> str:
        asker = f" (needed by {self.needed_by})" if self.needed_by else ""
        if self.where and not self.installed:
            return f"{self.requirement}{asker}: hidden by '{self.where}', whose version is not known"
        found = f"{self.installed} is there, in '{self.where}'" if self.installed else "not installed"
        return f"{self.requirement}{asker}: {found}"


# ---- Texts --------------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """What holds for all that goes on a command line. Raises ValueError."""
    stripped = text.strip()
    if not stripped:
        raise ValueError("it is empty")
    if stripped.startswith("-"):
        raise ValueError("it begins with '-', as options do")
    if any(ord(character) < 32 or ord(character) == 127 for character in stripped):
        raise ValueError("it has a line break or another control character")
    if "${" in stripped:
        raise ValueError("it refers to an environment variable, and none is put in")
    return stripped


def from_host(text: str) -> str:
    """A requirement of the host's: a name with versions, but also a path or URL, as pip and uv take them.

    Raises:
        ValueError: it could be taken for something else than a requirement; the reason alone.
    """
    return _plain(text)


def from_manifest(text: str) -> Requirement:
    """A requirement that anybody may have written: a name with versions, extras and markers, and nothing else.

    Raises:
        ValueError: it is anything else; the reason alone.
    """
    stripped = _plain(text)
    try:
        requirement = Requirement(stripped)
    except Error as error:
        looks = re.match(r"[a-z]+\+|[a-z]+:/|[./~]", stripped, re.IGNORECASE)
        reason = "it is a URL or a path" if looks else "it is no requirement: " + str(error).split("\n", 1)[0]
        raise ValueError(f"{reason}; only names with versions are taken") from None
    if requirement.url:
        raise ValueError("it names a URL; only names with versions are taken")
    if _ARCHIVE.search(requirement.name):
        raise ValueError("it could be taken for a file; only names with versions are taken")
    return requirement


def name_of(text: str) -> str:
    """A distribution's name in its one spelling: `Foo.Bar` is `foo-bar`.

    Raises:
        ValueError: it is no name.
    """
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        raise ValueError(f"{text!r} is no name of a distribution")
    return utils.canonicalize_name(text)


# ---- What is there ------------------------------------------------------------------------------------------------------


def installed(path: Sequence[str]) -> dict[str, Distribution]:
    """The distributions on `path` by name; of two with one name the first, as an import would find it."""
    found: dict[str, Distribution] = {}
    for distribution in distributions(path=list(path)):
        try:
            metadata = distribution.metadata
            complete = metadata is not None and "Name" in metadata and "Version" in metadata
        except (OSError, TypeError, ValueError):  # what an interrupted installation leaves behind
            complete = False
        if complete:
            found.setdefault(utils.canonicalize_name(metadata["Name"]), distribution)
    return found


def location(distribution: Distribution) -> str:
    """The folder in which it is installed."""
    return os.path.normpath(str(distribution.locate_file("")))


def modules(distribution: Distribution) -> Iterator[str]:
    """Its files that can be imported, relative to its folder."""
    for line in (distribution.read_text("RECORD") or "").splitlines():
        file = line.split(",", 1)[0]
        if file.endswith((".py", *EXTENSION_SUFFIXES)) and not file.startswith(("../", "/")):
            yield file


def _top_levels(distribution: Distribution) -> dict[str, str]:
    """{module: its file} of what it puts beside others; not for namespaces, nor for what is installed editable."""
    tops = {}
    for file in modules(distribution):
        folder, _, base = file.rpartition("/")
        name = base.split(".", 1)[0]
        if not folder:
            tops[name] = file
        elif name == "__init__" and "/" not in folder:
            tops[folder] = file
    return tops


class _Search:
    """Finds what an import would, on a path, with what is imported already."""

    def __init__(self, path: Sequence[str], own: Sequence[str], process: bool) -> None:
        self._path, self._own, self._process = [*own, *path], list(own), process
        self.found = installed(self._path)

    def copy(self, name: str) -> tuple[str, str]:
        """(version, where) of what would be imported; ("", "") if nothing would, ("", file) if nobody knows its version."""
        distribution = self.found.get(name)
        if distribution is None:
            return "", ""
        home, tops = location(distribution), _top_levels(distribution)
        # Others may have modules such as `tests` too: what counts is the one of its name, else all of them.
        main = {module: file for module, file in tops.items() if utils.canonicalize_name(module) == name} or tops
        origins = {module: self._origin(module) for module in main}
        hidden = [o for module, o in origins.items() if o and not _same(o, os.path.join(home, main[module]))]
        if not hidden or len(hidden) < len(main):
            return distribution.version, home
        folder = os.path.dirname(hidden[0])
        if os.path.basename(hidden[0]).startswith("__init__."):
            folder = os.path.dirname(folder)
        other = installed([folder]).get(name)
        return (other.version, folder) if other is not None else ("", hidden[0])

    def _origin(self, module: str) -> str:
        """The file that `import module` gives; "" if that cannot be said."""
        spec = PathFinder.find_spec(module, self._own) if self._own else None
        if spec is None and self._process and module in sys.modules:
            return getattr(sys.modules[module], "__file__", None) or ""
        spec = spec or PathFinder.find_spec(module, self._path)
        return (spec.origin or "") if spec is not None and spec.has_location else ""


def _same(one: str, other: str) -> bool:
    # Sources and what is compiled from them are one module.
    return os.path.realpath(one) == os.path.realpath(other) or not os.path.exists(other)


# ---- Whether it will do -------------------------------------------------------------------------------------------------


def _unmet(
    wanted: Iterable[tuple[Requirement, str]], search: _Search, markers: Mapping[str, str] | None
) -> Iterator[Problem]:
    todo, seen = list(wanted), set()
    while todo:
        requirement, asker = todo.pop(0)
        if (str(requirement), asker) in seen or not _applies(requirement, "", markers):
            continue
        seen.add((str(requirement), asker))
        name = utils.canonicalize_name(requirement.name)
        found, where = search.copy(name)
        without = Requirement(str(requirement))
        without.marker = None
        if not found or not _fits(requirement, found):
            yield Problem(str(without), found, asker, where)
            continue
        for extra in sorted(requirement.extras):
            for needed in _needs(search.found[name]):
                if needed.marker and not _applies(needed, "", markers) and _applies(needed, extra, markers):
                    needed.marker = None
                    todo.append((needed, f"{requirement.name}[{extra}]"))


def _needs(distribution: Distribution) -> Iterator[Requirement]:
    for text in distribution.requires or []:
        with contextlib.suppress(Error):  # of before PEP 508: pip says so when it is installed
            yield Requirement(text)


def _fits(requirement: Requirement, found: str) -> bool:
    try:
        return requirement.specifier.contains(version.Version(found), prereleases=True)
    except version.InvalidVersion:
        return not requirement.specifier


def _applies(requirement: Requirement, extra: str, markers: Mapping[str, str] | None) -> bool:
    if requirement.marker is None:
        return True
    return requirement.marker.evaluate({**(markers or {}), "extra": extra})


def unmet(
    wanted: Iterable[Requirement],
    path: Sequence[str],
    *,
    own: Sequence[str] = (),
    process: bool = True,
    markers: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Those of `wanted` that what would be imported does not meet, extras included.

    Args:
        path: folders as in `sys.path`.
        own: folders that come before it, and before what is imported already: a plugin's own.
        process: whether it is this process that would import.
        markers: of the environment, where it is another Python than this one.
    """
    return list(_unmet(((one, "") for one in wanted), _Search(path, own, process), markers))


def unmet_of_all(
    path: Sequence[str], *, process: bool = True, markers: Mapping[str, str] | None = None
) -> list[Problem]:
    """What the distributions on `path` need of each other and do not find."""
    search = _Search(path, (), process)
    wanted = [
        (needed, distribution.metadata["Name"])
        for distribution in search.found.values()
        for needed in _needs(distribution)
    ]
    return list(_unmet(wanted, search, markers))
