"""A Python program with plugins, under debugpy."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "embed/support"))

from debug_client import DebugClient

PACKAGE = os.environ.get("QTFORGE_PACKAGE_PATH", "")
pytestmark = pytest.mark.skipif(importlib.util.find_spec("debugpy") is None, reason="debugpy is not installed")

PROGRAM = """
import sys

import debugpy

print(debugpy.listen(("127.0.0.1", 0))[1], flush=True)
debugpy.wait_for_client()

import qtforge

plugin = qtforge.load(sys.argv[1])
plugin.initialize()
qtforge.MessageBus.instance().publish("program.work", 21)
qtforge.MessageBus.instance().drain()
plugin.unload()
"""

PLUGIN = """\
import qtforge

class Works(qtforge.core.IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().subscribe("program.work", self.on_work)

    def on_work(self, number):
        doubled = number * 2
        print("worked", doubled, flush=True)
"""


def test_breakpoints_of_a_program_under_debugpy_are_hit_on_lanes(tmp_path):
    folder = tmp_path / "works"
    folder.mkdir()
    (folder / "main.py").write_text(PLUGIN)
    manifest = {"name": "works", "version": "1.0.0", "language": "python", "entry_point": "main.py"}
    (folder / "plugin.json").write_text(json.dumps(manifest))
    variables = {"PYTHONPATH": PACKAGE, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder], env={**os.environ, **variables}, text=True, stdout=subprocess.PIPE
    ) as program:
        with DebugClient(int(program.stdout.readline()), folder / "main.py", [9]) as client:
            assert client.stopped() == ('lane "shared"', "on_work", 9)
            assert client.value("doubled") == "42"
            client.resume()
            assert program.stdout.readline() == "worked 42\n"
            client.detach()
        assert program.wait(30) == 0
