"""The machine side of ./tools/dev: what the system must have, the Python environment in build/venv, and build folders."""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
VENV = BUILD / "venv"
STARTED = time.monotonic()

# Package names by package manager, for what cannot come from the package index.
INSTALL = {
    "apt-get": ("apt-get install -y --no-install-recommends",
                {"compiler": "g++", "python": "python3-dev", "venv": "python3-venv", "pkg-config": "pkg-config"}),
    "dnf": ("dnf install -y",
            {"compiler": "gcc-c++", "python": "python3-devel", "venv": "python3", "pkg-config": "pkgconf-pkg-config"}),
    "pacman": ("pacman -S --needed",
               {"compiler": "gcc", "python": "python", "venv": "python", "pkg-config": "pkgconf"}),
    "zypper": ("zypper install -y",
               {"compiler": "gcc-c++", "python": "python3-devel", "venv": "python3", "pkg-config": "pkg-config"}),
    "brew": ("brew install", {"compiler": "gcc", "python": "python", "venv": "python", "pkg-config": "pkgconf"}),
}
DISTRIBUTIONS = {"debian": "apt-get", "ubuntu": "apt-get", "fedora": "dnf", "rhel": "dnf", "arch": "pacman", "suse": "zypper"}


class Failure(Exception):
    """Ends ./tools/dev with a message for the user."""


def step(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


def run(command, *, log: Path | None = None, **more) -> None:
    """Runs a command; with `log` its output goes there and is shown only when it fails."""
    command = [str(part) for part in command]
    if log is None:
        code = subprocess.run(command, **more).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, **more).returncode
    if code:
        shown = f"\n{log.read_text()}" if log else ""
        raise Failure(f"{shown}failed ({code}): {' '.join(command)}")


# ---- What the system must have ------------------------------------------------------------------------------------------


def describe_python(python: str) -> dict:
    """Facts about an interpreter, asked of itself."""
    question = """if True:
        import json, os, sys, sysconfig
        get = sysconfig.get_config_var
        try:
            import ensurepip, venv
            has_venv = True
        except ImportError:
            has_venv = False
        library = os.path.join(get("LIBDIR") or "", get("LDLIBRARY") or "")
        print(json.dumps({
            # One name for it, whether build/venv is active or not.
            "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
            "version": sys.version, "info": sys.version_info[:2], "venv": has_venv,
            "header": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
            "shared": bool(get("Py_ENABLE_SHARED")), "library": os.path.exists(library)}))"""
    try:
        asked = subprocess.run([python, "-I", "-c", question], text=True, capture_output=True)
    except OSError as error:
        raise Failure(f"--python {python}: {error.strerror}") from None
    if asked.returncode:
        raise Failure(f"--python {python}: this is no Python that works:\n{asked.stderr}")
    return json.loads(asked.stdout)


def compiler_version(command: str) -> tuple[str, int] | None:
    """("g++" or "clang++", major version), None where the command does not run."""
    try:
        text = subprocess.run([*command.split(), "--version"], text=True, capture_output=True).stdout
    except OSError:
        return None
    found = re.search(r"(\d+)\.\d+(\.\d+)?", text)
    return ("clang++" if "clang" in text else "g++", int(found.group(1))) if found else None


def new_enough(command: str) -> bool:
    version = compiler_version(command)
    return version is not None and version[1] >= {"g++": 12, "clang++": 16}[version[0]]


def symbolizer() -> str | None:
    """What gives Clang's sanitizers names for addresses; its name may end in a version."""
    compiler = os.environ.get("CXX", "").split()
    suffix = re.search(r"clang\+\+(-\d+)?$", compiler[-1]) if compiler else None
    return shutil.which(f"llvm-symbolizer{suffix.group(1) or ''}") if suffix else None


def find_compiler() -> str | None:
    """The compiler to use when the default one is too old; "" for the default one."""
    if os.environ.get("CXX"):
        if not new_enough(os.environ["CXX"]):
            raise Failure(f"CXX={os.environ['CXX']}: qtforge needs g++ 12 or clang++ 16, or newer")
        return ""
    if new_enough("c++"):
        return ""
    names = [f"g++-{n}" for n in range(20, 11, -1)] + ["g++"] + [f"clang++-{n}" for n in range(26, 15, -1)] + ["clang++"]
    return next((name for name in names if new_enough(name)), None)


def package_manager() -> str:
    if sys.platform == "darwin":
        return "brew"
    release = Path("/etc/os-release")
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text(), re.MULTILINE)) if release.exists() else {}
    for name in (fields.get("ID", "") + " " + fields.get("ID_LIKE", "")).split():
        if name in DISTRIBUTIONS:
            return DISTRIBUTIONS[name]
    return next((name for name in INSTALL if shutil.which(name)), "apt-get")


def missing_from_system(python: dict, names: list[str]) -> dict[str, str]:
    """{what: why} of `names` that the system lacks."""
    lacks = {}
    if "compiler" in names and find_compiler() is None:
        lacks["compiler"] = "a C++20 compiler (g++ 12 or clang++ 16, or newer)"
    if not python["header"] or (python["shared"] and not python["library"]):
        lacks["python"] = f"the headers and the shared library of Python {'.'.join(map(str, python['info']))}"
    if not python["venv"]:
        lacks["venv"] = "the Python module venv"
    if "pkg-config" in names and not shutil.which("pkg-config"):
        lacks["pkg-config"] = "pkg-config"
    return lacks


def require_system(interpreter: str, names: list[str]) -> dict:
    """Checks the system, installs what is missing where it may, and names the line to type where it may not."""
    python = describe_python(interpreter)
    if tuple(python["info"]) < (3, 9):
        raise Failure(f"{interpreter} is Python {python['version'].split()[0]}; qtforge needs 3.9 or newer: --python PATH")
    if not python["shared"]:
        raise Failure(f"{interpreter} was built without a shared libpython, so no C++ program can embed it.\n"
                      "Give another with --python PATH (a distribution's /usr/bin/python3 with its development package "
                      "will do),\nor build it with --enable-shared.")
    lacks = missing_from_system(python, names)
    if lacks:
        manager = package_manager()
        command, packages = INSTALL[manager]
        line = f"{command} {' '.join(packages[what] for what in lacks)}"
        if manager == "apt-get" and os.geteuid() == 0 and shutil.which("apt-get"):
            step(f"missing: {', '.join(lacks.values())}; running: {line}")
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run(["apt-get", "update"], log=BUILD / "apt.log", env=environment, stdin=subprocess.DEVNULL)
            run(line.split(), log=BUILD / "apt.log", env=environment, stdin=subprocess.DEVNULL)
            python = describe_python(interpreter)
            lacks = missing_from_system(python, names)
        if lacks:
            sudo = "" if os.geteuid() == 0 or manager == "brew" else "sudo "
            raise Failure(f"Missing: {', '.join(lacks.values())}. Install it with\n\n    {sudo}{line}\n\nand run this again.")
    return python


# ---- The Python environment and other Boosts ----------------------------------------------------------------------------


def ensure_venv(python: dict, requirements: list[str]) -> str:
    """Makes build/venv and installs the named requirement files; returns a text that changes when either does."""
    identity = f"{python['executable']} {python['version']}"
    mark = VENV / "python.txt"
    if VENV.exists() and (not mark.exists() or mark.read_text() != identity):
        step("Python has changed: making build/venv anew")
        shutil.rmtree(VENV)
    if not VENV.exists():
        step(f"making build/venv with Python {python['version'].split()[0]}")
        run([python["executable"], "-m", "venv", VENV], log=BUILD / "venv.log")
        mark.write_text(identity)
    for name in requirements:
        text = (ROOT / "tools" / name).read_text()
        stamp = VENV / f"{name}.installed"
        if not stamp.exists() or stamp.read_text() != text:
            step(f"installing what tools/{name} names from the package index (once, about a minute)")
            run([VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
                 "-r", ROOT / "tools" / name], log=BUILD / "venv.log", stdin=subprocess.DEVNULL, env=tool_environment())
            stamp.write_text(text)
    base = (ROOT / "tools" / "requirements.txt").read_text()
    return hashlib.sha256((identity + base).encode()).hexdigest()


def tool_environment() -> dict:
    """The environment in which build/venv is active and no foreign Python setting leaks in."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")}
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    compiler = find_compiler()
    if compiler:
        # With CXX set Meson no longer looks for ccache itself.
        environment["CXX"] = f"ccache {compiler}" if shutil.which("ccache") else compiler
    return environment


def other_boost() -> Path | None:
    """A second Boost, headers only, at PREFIX/include: 1.81 where the system offers it, else an older wheel's."""
    prefix = BUILD / "boost-1.81"
    header = prefix / "include" / "boost" / "version.hpp"
    if header.exists():
        return prefix
    step("preparing a second Boost for the tests that mix two")
    shutil.rmtree(prefix, ignore_errors=True)
    (prefix / "include").mkdir(parents=True)
    system = Path("/usr/include/boost/version.hpp")
    if system.exists() and '"1_81"' in system.read_text():
        (prefix / "include" / "boost").symlink_to(system.parent)
        return prefix
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        download = ["apt-get", "download", "libboost1.81-dev"]
        quiet = {"cwd": prefix, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        if subprocess.run(download, **quiet).returncode and os.geteuid() == 0:
            subprocess.run(["apt-get", "update"], **quiet)  # a fresh image knows no packages
            subprocess.run(download, **quiet)
        package = next(prefix.glob("*.deb"), None)
        if package:
            run(["dpkg-deb", "-x", package, prefix / "deb"])
            package.unlink()
            (prefix / "deb" / "usr" / "include" / "boost").rename(prefix / "include" / "boost")
            shutil.rmtree(prefix / "deb")
            return prefix
    try:
        run([VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps",
             "--target", prefix / "wheel", "cmeel-boost==1.82.0"], log=BUILD / "boost.log", stdin=subprocess.DEVNULL)
    except Failure:
        step("no second Boost to be had here: its tests will say that they were skipped")
        shutil.rmtree(prefix)
        return None
    (prefix / "include" / "boost").symlink_to(prefix / "wheel" / "cmeel.prefix" / "include" / "boost")
    return prefix


# ---- Build folders --------------------------------------------------------------------------------------------------------


class Tree:
    """A Meson build folder below build/, configured when its settings or its environment have changed."""

    def __init__(self, name: str, environment_id: str, options: list[str]):
        self.name, self.path, self.env = name, BUILD / name, tool_environment()
        self.env["NINJA_STATUS"] = "[%f/%t %es] "
        self._configure(environment_id, ["-Dwerror=true", *options])

    def _configure(self, environment_id: str, options: list[str]) -> None:
        stamp = self.path / "dev-stamp.json"
        wanted = {"environment": environment_id, "cxx": self.env.get("CXX", ""), "options": options}
        last = json.loads(stamp.read_text()) if stamp.exists() and (self.path / "build.ninja").exists() else None
        if last == wanted:
            # Meson's own files may have changed since, and with them the targets that are asked for below.
            run(["ninja", "-C", self.path, "build.ninja"], log=BUILD / f"{self.name}-setup.log", env=self.env)
            return
        mode = []
        if last is None or {**last, "options": options} != wanted:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            mode = ["--reconfigure"]
        step(f"configuring build/{self.name}")
        run(["meson", "setup", *mode, self.path, ROOT, *options], log=BUILD / f"{self.name}-setup.log", env=self.env)
        stamp.write_text(json.dumps(wanted))

    def targets(self) -> list[dict]:
        return json.loads((self.path / "meson-info" / "intro-targets.json").read_text())

    def outputs(self, chosen) -> list[str]:
        """Ninja's names of the targets for which `chosen(target)` holds."""
        return [os.path.relpath(file, self.path) for target in self.targets() if chosen(target) for file in target["filename"]]

    def compile(self, what: str, targets: list[str] | None = None) -> None:
        step(f"compiling {what}")
        run(["ninja", "-C", self.path, *(targets or [])], env=self.env)
