"""The pages keep their word: programs run, plugins load, C++ compiles, manifests are accepted, links lead somewhere.

An HTML comment in the line before a block says what it is for:

    <!-- file: PATH -->   the block is that file, in a folder that all blocks of the page share
    <!-- alone -->        this Python block runs by itself
    <!-- as in: PATH -->  every line of the block is in that file of the repository, which other tests run

Without one the Python blocks of a page run as one program, in that folder. C++ blocks are whole programs or plugins.
Blocks in `sh`, `text` and without a language are not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PACKAGE = os.environ.get("QTFORGE_PACKAGE_PATH", "")
LIMIT = 60  # seconds for a page's program

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (file|as in): (\S+) -->\n$|<!-- (alone) -->\n$")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TESTED = {"python", "json", "cpp"}
UNTESTED = {"", "sh", "text"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int  # of its first line, from 1
    language: str
    code: str
    mark: str  # "file", "as in", "alone" or ""
    path: str  # what the mark names

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        mark = MARK.search(before)
        kind, path, alone = mark.groups() if mark else (None, None, None)
        name = page.relative_to(ROOT).as_posix()
        line = before.count("\n") + 2
        found.append(Block(name, line, fence[1], fence[2], kind or alone or "", path or ""))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def named(blocks):
    return pytest.mark.parametrize("block", blocks, ids=str)


def write_files(page: str, folder: Path) -> None:
    for block in BLOCKS:
        if block.page == page and block.mark == "file":
            target = folder / block.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.code, encoding="utf-8")


def run_python(source: str, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program as a user does, warnings as errors."""
    script = folder / name
    script.write_text(source, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if PACKAGE:
        environment["PYTHONPATH"] = PACKAGE
    environment["XDG_DATA_HOME"] = str(folder / "data")
    ran = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert ran.returncode == 0, f"exit {ran.returncode}\n--stdout\n{ran.stdout}\n--stderr\n{ran.stderr}"
    return ran


def test_there_are_blocks_in_all_languages():
    assert {block.language for block in BLOCKS} >= TESTED


@named(BLOCKS)
def test_block_is_one_that_is_tested(block):
    assert block.mark == "as in" or block.language in TESTED | UNTESTED, "no test knows this language"


# ---- Python -------------------------------------------------------------------------------------------------------------

TOGETHER = [block for block in BLOCKS if block.language == "python" and not block.mark]


@pytest.mark.parametrize("page", sorted({block.page for block in TOGETHER}))
def test_python_of_a_page_runs(page, tmp_path):
    write_files(page, tmp_path)
    lines: list[str] = []  # each block at its line in the page, so that tracebacks name that
    for block in (block for block in TOGETHER if block.page == page):
        lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    run_python("\n".join(lines) + "\n", Path(page).name + ".py", tmp_path)


@named([block for block in BLOCKS if block.language == "python" and block.mark == "alone"])
def test_python_block_runs_alone(block, tmp_path):
    write_files(block.page, tmp_path)
    run_python("\n" * (block.line - 1) + block.code, Path(block.page).name + ".py", tmp_path)


# ---- Plugins ------------------------------------------------------------------------------------------------------------

MANIFESTS = [b for b in BLOCKS if b.language == "json" and {"name", "entry_point"} <= json.loads(b.code).keys()]
PYTHON_PLUGINS = [b for b in MANIFESTS if b.mark == "file" and json.loads(b.code)["language"] == "python"]

LOAD = """
import qtforge
with qtforge.load({folder!r}) as plugin:
    plugin.initialize()
    plugin.activate()
    assert plugin.state is qtforge.PluginState.ACTIVE
    qtforge.MessageBus.instance().drain()
"""

# A folder without the code: what is read of the manifest is all that can be wrong or right about it.
READ = """
import qtforge
E = qtforge.ErrorCode
try:
    qtforge.load({folder!r}).unload()
except qtforge.PluginError as error:
    assert error.code in (E.ENTRY_POINT_INVALID, E.DEPENDENCY_MISSING), error
"""


@named([block for block in BLOCKS if block.language == "json"])
def test_json_is_json(block):
    json.loads(block.code)


@named(PYTHON_PLUGINS)
def test_python_plugin_loads_and_becomes_active(block, tmp_path):
    write_files(block.page, tmp_path)
    ran = run_python(LOAD.format(folder=str(Path(block.path).parent)), "load.py", tmp_path)
    assert ran.stderr == ""


@named([block for block in MANIFESTS if block not in PYTHON_PLUGINS])
def test_manifest_is_accepted_without_a_warning(block, tmp_path):
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "plugin.json").write_text(block.code, encoding="utf-8")
    ran = run_python(READ.format(folder="plugin"), "read.py", tmp_path)
    assert "unknown field" not in ran.stderr, ran.stderr


# ---- C++ ----------------------------------------------------------------------------------------------------------------

CPP = [block for block in BLOCKS if block.language == "cpp" and block.mark != "as in"]
PROGRAMS = [block for block in CPP if "int main(" in block.code]
OF_QT = [block for block in PROGRAMS if "#include <qtforge/qt/" in block.code]
CXX = os.environ.get("CXX", "c++").split()


def compiler_flags(package: str) -> list[str]:
    """What the users' build gets where qtforge is installed, else what finds this tree, Boost and Python."""
    if not shutil.which(CXX[0]):
        pytest.skip(f"no C++ compiler: {CXX[0]}")
    prefix = os.environ.get("QTFORGE_PREFIX")
    if prefix:
        env = {**os.environ, "PKG_CONFIG_PATH": str(Path(prefix) / "lib" / "pkgconfig")}
        asked = subprocess.run(["pkg-config", "--cflags", package], check=True, env=env, text=True, capture_output=True)
        return asked.stdout.split()
    asked = subprocess.run(
        [sys.executable, ROOT / "tools" / "boost_prefix.py"], check=True, text=True, capture_output=True
    )
    boost = asked.stdout.split("\n")[0]
    flags = [f"-I{ROOT / 'include'}", *([f"-isystem{boost}/include"] if boost else [])]
    flags += ["-isystem" + sysconfig.get_path("include")]
    probe = subprocess.run(
        [*CXX, *flags, "-E", "-x", "c++", "-", "-o", os.devnull],
        check=False,
        input="#include <boost/version.hpp>\n#include <Python.h>\n",
        text=True,
        capture_output=True,
    )
    if probe.returncode:
        pytest.skip("no Boost or no Python headers: " + probe.stderr.strip().split("\n")[0])
    return flags


def one_unit(blocks: list[Block]) -> str:
    """All blocks as one file, since what they include costs far more than they do: each in a namespace of its own."""
    includes, bodies = [], []
    for number, block in enumerate(blocks):
        body = []
        for line in block.code.splitlines():
            if line.startswith("#include"):
                includes.append(line)
                line = ""
            body.append(line)
        bodies += [
            f"#define qtforge_plugin_v1 qtforge_plugin_v1_{number}",  # a library has one such entry, this file several
            f"namespace block_{number} {{",
            f'#line {block.line} "{block.page}"',
            *body,
            "}",
            "#undef qtforge_plugin_v1",
        ]
    return "\n".join([*dict.fromkeys(includes), *bodies, ""])


def qt_flags() -> list[str]:
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config to ask for Qt 6 Core")
    asked = subprocess.run(["pkg-config", "--cflags", "Qt6Core"], check=False, text=True, capture_output=True)
    if asked.returncode:
        pytest.skip("no Qt 6 Core: " + asked.stderr.strip().split("\n")[0])
    return ["-fPIC", *asked.stdout.split()]


def check_cpp(blocks: list[Block], package: str, folder: Path, more: list[str] | None = None) -> None:
    source = folder / "blocks.cpp"
    source.write_text(one_unit(blocks), encoding="utf-8")
    # A main in a namespace is an ordinary function, which must return.
    command = [*CXX, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-return-type", "-fsyntax-only", source]
    ran = subprocess.run([*command, *compiler_flags(package), *(more or [])], check=False, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr[:8000]


def test_cpp_blocks_are_whole_programs_or_plugins():
    for block in CPP:
        assert ("int main(" in block.code) != ("QTFORGE_PLUGIN(" in block.code), f"{block}: neither, or both"


@pytest.mark.timeout(300)
def test_cpp_programs_compile(tmp_path):
    check_cpp([block for block in PROGRAMS if block not in OF_QT], "qtforge-python", tmp_path)


@pytest.mark.timeout(300)
def test_cpp_programs_with_qt_compile(tmp_path):
    assert OF_QT
    check_cpp(OF_QT, "qtforge-python", tmp_path, qt_flags())


@pytest.mark.timeout(300)
def test_cpp_plugins_compile(tmp_path):
    check_cpp([block for block in CPP if "QTFORGE_PLUGIN(" in block.code], "qtforge-plugin", tmp_path)


# ---- What is quoted, and where links lead ---------------------------------------------------------------------------------


@named([block for block in BLOCKS if block.mark == "as in"])
def test_quoted_lines_are_in_the_file_they_come_from(block):
    there = {line.strip() for line in (ROOT / block.path).read_text(encoding="utf-8").splitlines()}
    missing = [line for line in block.code.splitlines() if line.strip() and line.strip() not in there]
    assert not missing, f"not in {block.path}: {missing}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists() and there.is_relative_to(ROOT), f"{target}: nothing there"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading, there are {sorted(anchors(there))}"
