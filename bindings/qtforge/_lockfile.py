"""Lock files: exact versions with their sha256, as pip's requirement files have them, and nothing else of those."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qtforge._packaging import Error, requirements, utils

__all__ = ["Locked", "read", "text_of", "write"]

_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})$")


@dataclass(frozen=True)
class Locked:
    """One distribution: `sha256` are those of the files that may be taken."""

    requirement: requirements.Requirement
    sha256: tuple[str, ...]

    @property
    def name(self) -> str:
        return utils.canonicalize_name(self.requirement.name)

    def applies(self, markers: dict[str, str]) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate(dict(markers))


def text_of(locked: Iterable[Locked]) -> str:
    """As a lock file has it."""
    entries = sorted(locked, key=lambda one: one.name)
    return "".join(
        " \\\n    ".join([str(one.requirement), *(f"--hash=sha256:{sha}" for sha in sorted(one.sha256))]) + "\n"
        for one in entries
    )


def write(file: Path, comment: str, locked: Iterable[Locked]) -> None:
    """Replaces `file` as a whole. Raises OSError."""
    handle, beside = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(comment + text_of(locked))
            out.flush()
            os.fsync(out.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, file)
    except BaseException:
        os.unlink(beside)
        raise


def read(file: Path) -> list[Locked]:
    """What a lock file names.

    Raises:
        ValueError: a line is anything else than an exact version with hashes.
        OSError
    """
    text = re.sub(r"\\\r?\n", " ", file.read_text(encoding="utf-8"))
    found = []
    for line in text.splitlines():
        plain = re.sub(r"(^|\s)#.*", "", line).strip()
        if plain:
            found.append(_locked(plain, str(file)))
    return found


def _locked(line: str, file: str) -> Locked:
    entry, *options = re.split(r"\s+(?=--)", line)
    hashes = [_HASH.match(option.strip()) for option in options]
    try:
        requirement = requirements.Requirement(entry)
    except Error as error:
        raise ValueError(f"'{file}': {entry!r} is no requirement: {error}") from None
    exact = [one.operator for one in requirement.specifier] in (["=="], ["==="]) and "*" not in str(requirement.specifier)
    if requirement.url or not exact or not hashes or None in hashes:
        raise ValueError(f"'{file}': {line!r}: an exact version with --hash=sha256:... is expected, as `lock` writes it")
    return Locked(requirement, tuple(one[1] for one in hashes if one))
