"""A host checks what its plugins need of Python packages, and installs it where it is told to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "python" / "support"))
from wheels import wheel

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python")
DEPENDENCY_MISSING, DEPENDENCY_VERSION, INSTALL_FAILED = 20, 21, 48

PLUGIN = """
import alpha
import beta
from qtforge.core import IPlugin


class Needs(IPlugin):
    def version(self):
        return f"alpha {alpha.VERSION}, beta {beta.VERSION}"
"""


@pytest.fixture
def place(tmp_path):
    """An environment without pip and `packaging`, wheels, and what makes plugins and runs the host with them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "alpha", "1.0", requires=["beta"])
    wheel(tmp_path / "wheels", "beta", "1.0")
    wheel(tmp_path / "wheels", "beta", "2.0")

    def host(how, *requirements):
        folder = tmp_path / "needs"
        folder.mkdir(exist_ok=True)
        (folder / "needs.py").write_text(PLUGIN)
        manifest = {"name": "needs", "version": "1.0.0", "language": "python", "entry_point": "needs.py"}
        (folder / "plugin.json").write_text(json.dumps({**manifest, "python_requirements": requirements}))
        ran = subprocess.run(
            [PROGRAM, "packages", tmp_path / "venv", tmp_path / "wheels", how, folder], text=True, capture_output=True, timeout=60
        )
        assert ran.returncode in (0, 1), ran.stderr
        return ran.stdout

    return host


def test_what_is_missing_is_an_error_that_says_how_to_install_it(place):
    told = place("keep", "alpha>=1", "beta")
    assert told.startswith(f"{DEPENDENCY_MISSING} ")
    assert "alpha>=1: not installed" in told
    assert "beta: not installed" in told
    assert "venv/bin/python -m pip install 'alpha>=1' beta" in told


def test_what_is_missing_is_installed_where_the_host_wants_that(place):
    assert place("install", "alpha>=1", "beta<2") == "alpha 1.0, beta 1.0\n"
    assert place("keep", "alpha>=1", "beta<2") == "alpha 1.0, beta 1.0\n"
    # And another version than what is there is no missing one.
    told = place("install", "alpha>=1", "beta>=2")
    assert told.startswith(f"{DEPENDENCY_VERSION} ")
    assert "beta>=2: 1.0 is there" in told


def test_what_cannot_be_installed_is_named(place):
    told = place("install", "alpha", "nobody-has-this")
    assert told.startswith(f"{INSTALL_FAILED} ")
    assert "nobody-has-this" in told
