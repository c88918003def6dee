"""What the tests of this folder share."""

import json
import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def told_to_sanitizers():
    """The environment, with more options for a sanitizer that the program may be built with: what Python itself leaves at the
    end of a process is no leak of ours."""

    def environment(options):
        more = {name: f"{os.environ.get(name, '')}:{options}" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
        return {**os.environ, **more} if options else dict(os.environ)

    return environment


@pytest.fixture
def config_host(tmp_path, told_to_sanitizers):
    """Runs `hosts config` in a folder of its own, without the variables of Python; gives what came of it."""

    def run(config, variables=None, sanitizers="", told=None):
        own = {k: v for k, v in told_to_sanitizers(sanitizers).items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
        ran = subprocess.run(
            [Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts", "config", json.dumps(config)],
            cwd=tmp_path,
            env={**own, **(variables or {})},
            text=True,
            capture_output=True,
            timeout=60,
            input=told,
        )
        assert ran.returncode == (1 if "error " in ran.stdout and told is None else 0), f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran

    return run


def pytest_configure(config):
    config.addinivalue_line("markers", "plain(reason): not with sanitizers, for that reason")


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("plain")
        if mark and os.environ.get("QTFORGE_SANITIZER"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))
