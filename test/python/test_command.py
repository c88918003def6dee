"""`python -m qtforge` as a shell sees it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import qtforge

PLUGINS = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test" / "plugins"


def run(*arguments):
    environment = dict(os.environ, PYTHONPATH=str(Path(qtforge.__file__).parents[1]))
    return subprocess.run(
        [sys.executable, "-m", "qtforge", *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=60
    )


def test_the_version_and_the_abi_tag_are_printed():
    assert run("--version").stdout.strip() == qtforge.__version__
    tag = run("--abi")
    assert (tag.returncode, tag.stderr) == (0, "")
    assert tag.stdout.startswith("qtforge=0.1 cxxabi=")
    assert tag.stdout.count("\n") == 1


def test_the_tags_of_plugins_are_compared():
    good = PLUGINS / "native_good" / "libgood.so"
    other = PLUGINS / "native_other_abi" / "libother_abi.so"
    same = run("--abi", good)
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout == f"{good}: {run('--abi').stdout}"
    both = run("--abi", other, good)
    assert both.returncode == 1
    assert both.stdout.splitlines()[1] == same.stdout.strip()
    assert f"{other}: cannot be loaded here" in both.stderr


@pytest.mark.parametrize("path", ["no/such.so", sys.executable, __file__])
def test_what_is_no_plugin_is_named(path):
    wrong = run("--abi", path)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith(f"'{path}'")
    assert "Traceback" not in wrong.stderr


def test_without_an_option_the_help_is_shown():
    shown = run()
    assert shown.returncode == 2
    assert "--abi" in shown.stdout
