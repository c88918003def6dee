"""The wheel that pip builds, in a fresh venv: the package works by itself once the environment that built it is gone.

The wheel stays in `wheel` of the build folder, for who wants to try it.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import threading
import qtforge

got, ready = [], threading.Event()
bus = qtforge.MessageBus.instance()
bus.subscribe("pip.question", lambda message: (got.append(message), ready.set()))
bus.publish("pip.question", {"n": 1})
assert ready.wait(10) and got == [{"n": 1}], got
print(qtforge.__file__)
"""


def pip(venv, *arguments):
    plain = {name: value for name, value in os.environ.items() if name not in ("BOOST_ROOT", "PYTHONPATH", "VIRTUAL_ENV")}
    ran = subprocess.run([venv / "bin" / "python", "-m", "pip", *arguments, "--disable-pip-version-check"], env=plain, text=True,
                         capture_output=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """pip builds in an isolated environment with its own Boost and removes both before it ends."""
    folder = tmp_path_factory.mktemp("pip") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wheels = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    pip(folder, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT)
    pip(folder, "install", *wheels.glob("*.whl"))
    return folder


@pytest.mark.timeout(900)
def test_installed_package_publishes_and_receives(venv, tmp_path):
    ran = subprocess.run([venv / "bin" / "python", "-I", "-W", "error", "-c", PROGRAM], cwd=tmp_path, text=True,
                         capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(venv))


@pytest.mark.timeout(900)
def test_installed_libraries_look_only_beside_themselves(venv):
    libraries = list(venv.glob("lib/python*/site-packages/qtforge/*.so*"))
    assert libraries
    for library in libraries:
        dynamic = subprocess.run(["readelf", "-d", library], text=True, capture_output=True, check=True).stdout
        assert set(re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic)) <= {"$ORIGIN"}, library
        boosts = [n for n in re.findall(r"\(NEEDED\).*\[(libboost.*)\]", dynamic)]
        assert all((library.parent / name).exists() for name in boosts), (library, boosts)


@pytest.mark.timeout(900)
def test_extension_shows_its_entry_alone(venv):
    extension, = venv.glob("lib/python*/site-packages/qtforge/_qtforge.*.so")
    symbols = subprocess.run(["nm", "--dynamic", "--defined-only", extension], text=True, capture_output=True, check=True)
    assert [line.split()[-1] for line in symbols.stdout.splitlines()] == ["PyInit__qtforge"]
