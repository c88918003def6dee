"""Long runs, made short: nothing is lost, no memory and no Python objects gather.

QTFORGE_SOAK=N multiplies their length: 100 gives 24 threads for more than a minute, 10 million deliveries and 10,000 cycles.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ["QTFORGE_BUILD_ROOT"])
PROGRAM = BUILD / "test/embed/hosts"
TIMES = int(os.environ.get("QTFORGE_SOAK", "1"))
pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python"),
    pytest.mark.timeout(120 + 60 * TIMES),
]
SANITIZED = bool(os.environ.get("QTFORGE_SANITIZER"))  # they keep freed memory

PLUGIN = """
import qtforge
from qtforge.core import IPlugin


class Counter(IPlugin):
    def initialize(self):
        self.count = 0
        bus = qtforge.MessageBus.instance()
        bus.subscribe("soak.count", self.take)
        bus.respond("soak.counted", lambda _: self.count)

    def take(self, message):
        if message["text"] != "some text of a message" or message["n"] != self.count:
            raise ValueError(message)
        self.count += 1
"""


def soak(*arguments):
    ran = subprocess.run([PROGRAM, "soak", *map(str, arguments)], text=True, capture_output=True, timeout=100 + 60 * TIMES)
    assert ran.returncode == 0, f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return json.loads(ran.stdout)


def assert_nothing_gathers(told):
    before, after = told["before"], told["after"]
    assert after["objects"] - before["objects"] < 100, told
    if not SANITIZED:
        assert after["allocated"] - before["allocated"] < 1024, told  # KiB: what threads keep to be given away again, say
        assert after["resident"] - before["resident"] < 65536, told  # a queue that was once full leaves its pages


@pytest.fixture
def counter(tmp_path):
    folder = tmp_path / "counter"
    folder.mkdir()
    (folder / "counter.py").write_text(PLUGIN)
    manifest = {"name": "counter", "version": "1.0.0", "language": "python", "entry_point": "counter.py"}
    (folder / "plugin.json").write_text(json.dumps(manifest))
    return folder


def test_threads_call_executors_and_publish():
    told = soak("threads", 1 if TIMES == 1 else int(0.65 * TIMES))
    assert told["calls"] > 0
    assert told["wrong"] == 0
    assert told["heard"] == told["published"] == told["calls"] // 2


def test_deliveries_leave_nothing(counter):
    count = 100_000 * TIMES
    told = soak("deliveries", count, counter)
    assert told["counted"] == count
    assert_nothing_gathers(told)


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_loads_and_unloads_leave_nothing(language, counter):
    told = soak("cycles", 100 * TIMES, counter if language == "python" else BUILD / "test/plugins/native_good")
    assert_nothing_gathers(told)
