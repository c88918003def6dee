"""The programs that install packages: uv, and the pip of an environment, as command lines."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qtforge._child import Failed, Limits, run
from qtforge._environment import Environment, clean_variables
from qtforge._packaging import version
from qtforge.errors import Error, ErrorCode

__all__ = ["Call", "Pip", "Planned", "Settings", "Tool", "Uv", "choose", "told_by"]

_OLDEST_PIP = "22.2"  # the first that tells what it would install
# These would install elsewhere than into the environment.
_ELSEWHERE = ("TARGET", "PREFIX", "ROOT", "USER", "PYTHON", "SYSTEM_PYTHON", "DRY_RUN", "REPORT", "REQUIREMENT")


@dataclass(frozen=True)
class Settings:
    """Where packages come from, and in which form."""

    index_url: str = ""
    wheel_folders: tuple[str, ...] = ()
    offline: bool = False
    wheels_only: bool = False
    machine: bool = True  # whether variables and configuration files of pip and uv count, where they are not contradicted


@dataclass(frozen=True)
class Planned:
    """A distribution that a tool would install."""

    name: str
    version: str
    sha256: str = ""
    direct: bool = False  # from a URL, not from an index


@dataclass(frozen=True)
class Call:
    """What all calls of a tool share."""

    what: str
    settings: Settings
    limits: Limits
    scratch: str
    on_line: Callable[[str], object]

    def run(self, command: Sequence[str]) -> list[str]:
        """Runs a tool in an environment without what could lead it astray. Raises as `_child.run`."""
        env, settings = clean_variables(), self.settings
        configured = settings.machine and not settings.offline and not settings.index_url
        for name in [n for n in env if n.startswith(("PIP_", "UV_"))]:
            if not configured or name.split("_", 1)[1] in _ELSEWHERE:
                del env[name]
        if not configured:
            env.update(PIP_CONFIG_FILE=os.devnull, UV_NO_CONFIG="1")
        if settings.index_url and not settings.offline:  # which may have a password: not on a command line, that all can see
            env.update(PIP_INDEX_URL=settings.index_url, UV_DEFAULT_INDEX=settings.index_url)
        env.update(TMPDIR=self.scratch, NO_COLOR="1", UV_PYTHON_DOWNLOADS="never")
        # A requirement of a manifest must not become the name of a file in whatever the current folder is.
        cwd = None if settings.machine else self.scratch
        if not os.access(command[0], os.X_OK):
            raise Error(f"{self.what}: '{command[0]}' is no program that may run", code=ErrorCode.INSTALL_FAILED)
        return run(command, what=self.what, limits=self.limits, env=env, cwd=cwd, on_line=self.on_line)

    def file(self, name: str, text: str) -> str:
        path = Path(self.scratch) / name
        path.write_text(text, encoding="utf-8")
        return str(path)


class Tool(Protocol):
    """Plans and makes changes. What raises does so as `_child.run`."""

    name: str

    def plan(self, call: Call, requirements: Sequence[str]) -> list[Planned]:
        """What would be installed for `requirements`; nothing is changed."""

    def install(self, call: Call, requirements: Sequence[str], plan: Sequence[Planned]) -> None:
        """Installs `requirements` in the versions of `plan`."""

    def plan_locked(self, call: Call, file: str) -> list[Planned]:
        """What would be installed for a file of versions with hashes."""

    def install_locked(self, call: Call, file: str) -> None:
        """Installs what a file of versions with hashes names, and nothing else."""

    def uninstall(self, call: Call, names: Sequence[str]) -> None:
        """Takes distributions away."""

    def resolve(self, call: Call, requirements: Sequence[str]) -> list[tuple[str, str, list[str]]]:
        """(name, version, sha256 hashes) of all that `requirements` need, whatever is installed."""


def _pins(plan: Sequence[Planned]) -> str:
    return "".join(f"{one.name}=={one.version}\n" for one in plan)


class Pip:
    """pip, run by the interpreter of the environment: its own copy, else the one that came with Python."""

    name = "pip"

    def __init__(self, environment: Environment) -> None:
        own = environment.distributions().get("pip")
        wheel = environment.bundled_pip
        if own is not None and version.Version(own.version) >= version.Version(_OLDEST_PIP):
            self._program = ["-m", "pip"]
        elif wheel and version.Version(os.path.basename(wheel).split("-")[1]) >= version.Version(_OLDEST_PIP):
            self._program = [os.path.join(wheel, "pip")]
        else:
            found = f"pip {own.version}, which is too old: {_OLDEST_PIP} is needed" if own is not None else "no pip"
            raise Error(
                f"'{environment.python}' has {found}, and there is no uv on PATH; "
                f"install uv, or run: {environment.python} -m "
                + ("pip install --upgrade pip" if own is not None else "ensurepip"),
                code=ErrorCode.INSTALL_FAILED,
            )
        # -I: neither the current folder nor PYTHONPATH may bring another pip.
        self._python = [environment.python, "-I"]

    def _command(self, verb: str) -> list[str]:
        common = ["--disable-pip-version-check", "--no-input", "--no-color"]
        return [*self._python, *self._program, verb, *common]

    def _install(self, settings: Settings) -> list[str]:
        command = [*self._command("install"), "--no-user", "--no-warn-script-location"]
        command += ["--no-index"] if settings.offline else []
        command += [option for folder in settings.wheel_folders for option in ("--find-links", folder)]
        command += ["--only-binary", ":all:"] if settings.wheels_only else []
        return command

    def _report(self, call: Call, more: Sequence[str]) -> list[Planned]:
        report = Path(call.scratch) / "report.json"
        call.run([*self._install(call.settings), "--dry-run", "--report", str(report), *more])
        return [
            Planned(
                one["metadata"]["name"],
                one["metadata"]["version"],
                one["download_info"].get("archive_info", {}).get("hash", "").partition("sha256=")[2],
                one["is_direct"],
            )
            for one in json.loads(report.read_text(encoding="utf-8"))["install"]
        ]

    def plan(self, call: Call, requirements: Sequence[str]) -> list[Planned]:
        return self._report(call, ["--", *requirements])

    def install(self, call: Call, requirements: Sequence[str], plan: Sequence[Planned]) -> None:
        pins = call.file("pins.txt", _pins(plan))
        call.run([*self._install(call.settings), "--constraint", pins, "--", *requirements])

    def plan_locked(self, call: Call, file: str) -> list[Planned]:
        return self._report(call, ["--no-deps", "--require-hashes", "--requirement", file])

    def install_locked(self, call: Call, file: str) -> None:
        call.run([*self._install(call.settings), "--no-deps", "--require-hashes", "--requirement", file])

    def uninstall(self, call: Call, names: Sequence[str]) -> None:
        call.run([*self._command("uninstall"), "--yes", "--", *names])

    def resolve(self, call: Call, requirements: Sequence[str]) -> list[tuple[str, str, list[str]]]:
        planned = self._report(call, ["--ignore-installed", "--", *requirements])
        for one in planned:
            if one.direct:
                raise Error(f"{call.what}: '{one.name}' does not come from an index", code=ErrorCode.INSTALL_FAILED)
        return [(one.name, one.version, [one.sha256] if one.sha256 else []) for one in planned]


class Uv:
    """uv, whatever environment it works on."""

    name = "uv"

    def __init__(self, program: str, environment: Environment) -> None:
        self._program = program
        self._python = environment.python

    def _command(self, *verb: str) -> list[str]:
        return [self._program, "pip", *verb, "--python", self._python, "--color", "never"]

    def _sources(self, settings: Settings) -> list[str]:
        command = ["--offline", "--no-index"] if settings.offline else []
        command += [option for folder in settings.wheel_folders for option in ("--find-links", folder)]
        command += ["--only-binary", ":all:"] if settings.wheels_only else []
        return command

    def _install(self, settings: Settings) -> list[str]:
        return [*self._command("install"), *self._sources(settings)]

    def _dry_run(self, call: Call, more: Sequence[str]) -> list[Planned]:
        told = call.run([*self._install(call.settings), "--dry-run", *more])
        found = [re.match(r" [+~] ([\w.-]+)==(\S+)(.*)$", line) for line in told]
        return [Planned(one[1], one[2], direct=bool(one[3].strip())) for one in found if one]

    def plan(self, call: Call, requirements: Sequence[str]) -> list[Planned]:
        return self._dry_run(call, ["--", *requirements])

    def install(self, call: Call, requirements: Sequence[str], plan: Sequence[Planned]) -> None:
        pins = call.file("pins.txt", _pins(plan))
        call.run([*self._install(call.settings), "--constraint", pins, "--", *requirements])

    def plan_locked(self, call: Call, file: str) -> list[Planned]:
        return self._dry_run(call, ["--no-deps", "--require-hashes", "--requirement", file])

    def install_locked(self, call: Call, file: str) -> None:
        call.run([*self._install(call.settings), "--no-deps", "--require-hashes", "--requirement", file])

    def uninstall(self, call: Call, names: Sequence[str]) -> None:
        call.run([*self._command("uninstall"), "--", *names])

    def resolve(self, call: Call, requirements: Sequence[str]) -> list[tuple[str, str, list[str]]]:
        asked = call.file("asked.in", "".join(f"{one}\n" for one in requirements))
        answer = Path(call.scratch) / "answer.txt"
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(answer), asked]
        call.run([*self._command("compile"), *self._sources(call.settings), *options])
        text = answer.read_text(encoding="utf-8").replace("\\\n", " ")
        pinned = []
        for line in filter(None, text.splitlines()):
            name, _, rest = line.partition("==")
            if not rest:
                raise Error(f"{call.what}: '{line.strip()}' does not come from an index", code=ErrorCode.INSTALL_FAILED)
            number, *hashes = rest.split()
            pinned.append((name.strip(), number, [one.rpartition(":")[2] for one in hashes if one.startswith("--hash=")]))
        return pinned


def choose(name: str, environment: Environment) -> Tool:
    """The tool of that name; for "auto" uv where it is on PATH or in the environment, else pip.

    Raises:
        qtforge.Error: INSTALL_FAILED, it is not there: the message says what to do.
    """
    uv = (shutil.which("uv") or shutil.which("uv", path=environment.scripts)) if name != "pip" else None
    if uv is not None:
        return Uv(uv, environment)
    if name == "uv":
        raise Error("there is no uv on PATH; install it, or use pip", code=ErrorCode.INSTALL_FAILED)
    return Pip(environment)


def told_by(tool: Tool, what: str, failed: Failed) -> Error:
    """The error for a tool that did not do it."""
    how = f"signal {-failed.code}" if failed.code < 0 else f"exit code {failed.code}"
    return Error(f"{what}: {tool.name} ended with {how}:\n{failed.tail()}", code=ErrorCode.INSTALL_FAILED)
