"""`python_config` of plugins in a host: interpreter, environment, variables and private modules, two plugins beside each other."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python")
VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))
MANIFEST_INVALID, PLUGIN_INCOMPATIBLE, PYTHON_NOT_FOUND, PYTHON_MISMATCH = 14, 27, 32, 33


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin, whose `activate` runs a text after `imports`; gives its folder."""

    def make(name, imports, activate="pass", files=None, **python_config):
        folder = tmp_path / name
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        folder.mkdir(exist_ok=True)
        body = textwrap.indent(textwrap.dedent(activate).strip(), "        ")
        (folder / "main.py").write_text(
            f"import os, sys\n{imports}\nfrom qtforge.core import IPlugin\n\n\n"
            f"class Main(IPlugin):\n    def activate(self):\n{body}\n"
        )
        manifest = {"name": name, "version": "1.0.0", "language": "python", "entry_point": "main.py"}
        (folder / "plugin.json").write_text(json.dumps({**manifest, "python_config": python_config}))
        return folder

    return make


@pytest.fixture
def host(config_host):
    def run(*plugins, variables=None):
        told = {"config": {}, "plugins": [str(folder) for folder in plugins]}
        return config_host(told, variables).stdout

    return run


def venv_of(folder, modules):
    """A virtual environment in the plugin's folder, with modules in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "plugin_venv"], check=True)
    site = next((folder / "plugin_venv").glob("lib/python*/site-packages"))
    for name, text in modules.items():
        (site / name).write_text(text)
    return folder / "plugin_venv"


def test_every_field_at_once_and_a_neighbour_with_modules_of_the_same_names(host, plugin):
    show = "print(os.environ.get('DEBUG_IT'), os.environ.get('PYTHONPATH'), utils.N, deep.N, {more}, flush=True)"
    first = plugin(
        "first",
        "import utils, deep, extra, of_venv",
        show.format(more="extra.N, of_venv.N"),
        files={"utils.py": "N = 1\n", "lib/deep.py": "import utils\nN = utils.N + 1\n", "external/extra.py": "N = 3\n"},
        interpreter="python3",
        virtual_env="./plugin_venv",
        sys_path_additions=["./lib", "./external"],
        environment_variables={"PYTHONPATH": "./lib:./external", "DEBUG_IT": "yes"},
    )
    venv_of(first, {"of_venv.py": "N = 4\n"})
    second = plugin(
        "second",
        "import utils, deep",
        show.format(more="'extra' in sys.modules"),
        files={"utils.py": "N = 10\n", "lib/deep.py": "from utils import N as M\nN = M + 1\n"},
        sys_path_additions=["lib"],
    )
    path = f"{first / 'lib'}:{first / 'external'}"
    assert host(first, second).splitlines() == [f"yes {path} 1 2 3 4", f"yes {path} 10 11 False"]


# ---- Interpreter --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "python", "python3", f"python{MINOR}", f"python{VERSION}", sys.executable])
def test_an_interpreter_that_fits_is_fine(host, plugin, name):
    assert host(plugin("fits", "", "print('runs')", interpreter=name)) == "runs\n"


@pytest.mark.parametrize("name", ["python2", "python3.1", "python3.99", "python3t", "pypy3", "python3-dbg", "python3."])
def test_an_interpreter_of_another_version_is_named_with_the_one_that_runs(host, plugin, name):
    told = host(plugin("other", "", "print('runs')", interpreter=name))
    assert told.startswith(f"error {PYTHON_MISMATCH} ")
    assert f"'{name}'" in told and VERSION in told


def test_an_interpreter_by_its_path_is_asked(host, plugin):
    folder = plugin("asked", "", "print('runs')", interpreter="./tools/python")
    told = host(folder)
    assert told.startswith(f"error {PYTHON_NOT_FOUND} ")
    assert str(folder / "tools/python") in told
    (folder / "tools").mkdir()
    (folder / "tools/python").write_text("#!/bin/sh\nprintf '3.8.1\\n\\ncpython-38\\n\\n'\n")
    (folder / "tools/python").chmod(0o755)
    told = host(folder)
    assert told.startswith(f"error {PYTHON_MISMATCH} ")
    assert "Python 3.8.1" in told and VERSION in told


# ---- Its own environment ------------------------------------------------------------------------------------------------


def test_an_environment_that_is_none_is_named(host, plugin, tmp_path):
    folder = plugin("none", "", "print('runs')", virtual_env="plugin_venv")
    told = host(folder)
    assert told.startswith(f"error {PYTHON_NOT_FOUND} ")
    assert "/python_config/virtual_env" in told and str(folder / "plugin_venv") in told
    venv = venv_of(folder, {})
    assert host(folder) == "runs\n"
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\nversion = 3.8.10\n")
    told = host(folder)
    assert told.startswith(f"error {PYTHON_MISMATCH} ")
    assert "3.8.10" in told and VERSION in told
    venv.rename(tmp_path / "elsewhere")
    venv.symlink_to(tmp_path / "elsewhere")
    told = host(folder)
    assert told.startswith(f"error {MANIFEST_INVALID} ")
    assert "leads out of" in told


@pytest.mark.plain("what it starts is a plain Python, which cannot load an extension with sanitizers")
def test_what_a_plugin_starts_finds_its_modules(host, plugin):
    job = """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.map(work, [1, 2]), pool.apply(jobs.inner, (3,)), flush=True)
    """
    folder = plugin(
        "starts",
        "import jobs\n\ndef work(n):\n    return n + jobs.N, __name__",
        job,
        files={"jobs.py": "import deep\nN = deep.N\ndef inner(n): return n * N\n", "lib/deep.py": "N = 100\n"},
        sys_path_additions=["lib"],
    )
    name = "qtforge_plugins.starts.main"
    assert host(folder) == f"{[(101, name), (102, name)]} 300\n"


def test_variables_that_exclude_each_other_are_named_with_both_plugins(host, plugin):
    one = plugin("one", "", "print(os.environ['MODE'], flush=True)", environment_variables={"MODE": "fast"})
    two = plugin("two", "", "print(os.environ['MODE'], flush=True)", environment_variables={"MODE": "safe"})
    first, error = host(one, two).split("\n", 1)
    assert first == "fast"
    assert error.startswith(f"error {PLUGIN_INCOMPATIBLE} ")
    for word in ("MODE", "'one'", "'two'", "'fast'", "'safe'"):
        assert word in error
    assert host(one, two, variables={"MODE": "hosts"}).split() == ["hosts", "hosts"]
