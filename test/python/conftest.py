"""What the tests of the package share: the package from the build tree, programs in processes of their own, inboxes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PACKAGE = os.environ.get("QTFORGE_PACKAGE_PATH")
if PACKAGE:
    sys.path.insert(0, PACKAGE)

import qtforge

# A shell starts what runs in the background with Ctrl-C ignored, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

LIMIT = 30.0  # seconds that a test waits for what must happen


@pytest.fixture(scope="session")
def bus():
    return qtforge.MessageBus.instance()


class Inbox:
    """Collects what is published to a pattern."""

    def __init__(self, pattern, **options):
        self._queue = queue.Queue()
        self.subscription = qtforge.MessageBus.instance().subscribe(pattern, self._queue.put, **options)

    def get(self):
        return self._queue.get(timeout=LIMIT)

    def take(self, count):
        return [self.get() for _ in range(count)]

    def empty(self):
        return self._queue.empty()


@pytest.fixture
def inbox():
    """Makes inboxes and ends their subscriptions."""
    made = []

    def make(pattern, **options):
        made.append(Inbox(pattern, **options))
        return made[-1]

    yield make
    for one in made:
        one.subscription.unsubscribe()


@pytest.fixture
def program(tmp_path):
    """Runs a text as a program of its own, and checks that it ends well and in time."""

    def run(text, *options, code=0, limit=LIMIT, **env):
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(text))
        # Only the package: what else is on this process's path might hide a missing file.
        path = {"PYTHONPATH": PACKAGE} if PACKAGE else {}
        ran = subprocess.run(
            [sys.executable, "-W", "error", *options, str(script)],
            check=False,
            cwd=tmp_path,
            env={**os.environ, **path, **env},
            text=True,
            capture_output=True,
            timeout=limit,
        )
        assert ran.returncode == code, f"exit {ran.returncode}\n--stdout\n{ran.stdout}\n--stderr\n{ran.stderr}"
        return ran

    return run


@pytest.fixture
def hosted(program):
    """Runs a program that can make a host's table: `from hosted import host`."""
    support = str(Path(__file__).parent / "support")
    return lambda text: program(text, PYTHONPATH=os.pathsep.join(filter(None, [support, PACKAGE])))


@pytest.fixture
def plugin_folder(tmp_path):
    """Writes a Python plugin and gives its folder."""

    def make(name, source, *, main_class="Sample", **manifest) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(textwrap.dedent(source))
        described = {"name": name, "version": "1.2.3", "language": "python", "entry_point": "main.py"}
        (folder / "plugin.json").write_text(json.dumps({**described, "main_class": main_class, **manifest}))
        return folder

    return make
