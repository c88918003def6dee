"""PythonConfig::maxMemoryUsage, and what becomes of the library when Python has no memory."""

import json
import os
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
MIB = 1 << 20
LIMIT = 64 * MIB
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python")


@pytest.fixture
def plugin(tmp_path):
    """Makes the folder of a plugin."""

    def make(name, body):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(f"from qtforge.core import IPlugin\nclass Plugin(IPlugin):\n{body}\n")
        manifest = {"name": name, "version": "1.0.0", "language": "python", "entry_point": "main.py"}
        (folder / "plugin.json").write_text(json.dumps(manifest))
        return str(folder)

    return make


def limited(**told):
    return {"config": {"maxMemoryUsage": LIMIT}, **told}


def test_a_large_block_over_the_limit_is_a_memory_error(config_host):
    ran = config_host(limited(code=f"block = bytes({LIMIT})"))
    assert "MemoryError" in ran.stdout
    assert "asked for 64 MiB more while Python has" in ran.stderr
    assert "of the 64 MiB that it may have (maxMemoryUsage)" in ran.stderr


@pytest.mark.parametrize("item", ["bytes(100)", "bytes(1000)", "[i]", "str(i) * 20", "{i: i}", "object()"])
def test_many_blocks_are_a_memory_error_that_can_be_handled(config_host, item):
    ran = config_host(
        limited(
            code=f"""
held = []
try:
    for i in range({LIMIT}):
        held.append({item})
except MemoryError as error:
    print("refused at", len(held), repr(error), {{}}, [None] * 100)
    held.clear()
print(len(bytes({LIMIT // 4})))
""",
            usage=True,
        )
    )
    usage, refused, again = sorted(ran.stdout.splitlines(), key=lambda line: line[0], reverse=True)
    assert refused.startswith("refused at ")
    assert again == str(LIMIT // 4)
    assert 2 * MIB < int(usage.split()[1]) < LIMIT
    assert ran.stderr.count("a MemoryError was raised") == 1


def test_what_fits_is_not_refused(config_host):
    ran = config_host(limited(code=f"import asyncio, json, logging\nblock = bytes({LIMIT * 3 // 4})", usage=True))
    assert LIMIT * 3 // 4 < int(ran.stdout.split()[1]) < LIMIT
    assert ran.stderr == ""


def test_without_a_limit_nothing_is_counted(config_host):
    assert config_host({"config": {}, "code": f"block = bytes({LIMIT})", "usage": True}).stdout == "usage 0\n"


def test_who_is_refused_again_and_again_does_not_flood_the_log(config_host):
    ran = config_host(
        limited(
            code=f"""
import time
def refused(times):
    for _ in range(times):
        try:
            bytes({2 * LIMIT})
        except MemoryError:
            continue
        raise AssertionError
refused(1000)
time.sleep(1.1)  # the log's pause
refused(1)
"""
        )
    )
    lines = ran.stderr.splitlines()
    assert lines[0].endswith("a MemoryError was raised, 1 so far")
    assert lines[-1].endswith(", 1001 so far")
    assert len(lines) < 10


def test_blocks_that_shrink_and_grow_are_counted_as_they_are(config_host):
    ran = config_host(
        limited(
            code="""
block = bytearray()
for _ in range(20_000):
    block.extend(bytes(1000))
for _ in range(199):
    del block[-100_000:]
del block[:]
for _ in range(1000):
    bytearray(1 << 20)
""",
            usage=True,
        )
    )
    assert int(ran.stdout.split()[1]) < 24 * MIB


def test_threads_that_take_all_of_it(config_host):
    ran = config_host(
        limited(
            code="""
import threading
refused = []
def take(held):
    try:
        while True:
            held.append(bytes(300))
    except MemoryError:
        held.clear()
        refused.append(1)
threads = [threading.Thread(target=take, args=([],)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(refused))
"""
        )
    )
    assert ran.stdout == "4\n"


@pytest.mark.parametrize("swallowed", [False, True])
def test_the_plugin_that_asked_is_named(config_host, plugin, swallowed):
    body = f"        held = bytes({LIMIT})"
    if swallowed:
        body = f"        try:\n    {body}\n        except MemoryError: pass"
    ran = config_host(limited(plugins=[plugin("hog", f"    def initialize(self):\n{body}")]))
    assert ("MemoryError" in ran.stdout) == (not swallowed)
    assert "plugin 'hog' asked for 64 MiB more" in ran.stderr


def test_a_plugin_that_keeps_all_of_it_ends_nothing(config_host, plugin):
    """What comes after it gets errors or not, as it goes; the program ends well."""
    hog = plugin(
        "hog",
        """
    def initialize(self):
        self.held = []
        try:
            while True:
                self.held.append(bytes(200))
        except MemoryError:
            pass
""",
    )
    source = "".join(f"    def method_{n}(self): return [i for i in range({n}) if i]\n" for n in range(2000))
    ran = config_host(limited(plugins=[hog, plugin("late", source)]))
    assert "plugin 'hog' asked for" in ran.stderr


def test_memory_that_python_does_not_allocate_is_not_counted(config_host):
    ran = config_host(limited(code=f"import mmap\nblock = mmap.mmap(-1, {LIMIT * 2})\nprint(len(block))", usage=True))
    usage, length = ran.stdout.splitlines()  # Python's own lines come at its end
    assert length == str(LIMIT * 2)
    assert int(usage.split()[1]) < LIMIT // 2


@pytest.mark.parametrize("bytes_", [1, 16 * MIB - 1, 2**63, 2**64 - 1])
def test_a_limit_that_cannot_be_is_refused(config_host, bytes_):
    ran = config_host({"config": {"maxMemoryUsage": bytes_}})
    assert f"PythonConfig::maxMemoryUsage: {bytes_} bytes" in ran.stdout


@pytest.mark.plain("a sanitizer's own allocations are larger")
def test_python_starts_with_the_least_limit(config_host):
    assert config_host({"config": {"maxMemoryUsage": 16 * MIB}, "code": "import json; print(json.dumps([1]))"}).stdout == "[1]\n"


def test_a_python_that_runs_already_is_not_limited(config_host):
    ran = config_host(limited(running=True, code=f"block = bytes({LIMIT})"), sanitizers="detect_leaks=0")  # its Python ends so
    assert "maxMemoryUsage are not applied" in ran.stderr


@pytest.mark.parametrize("step", ["code", "calls", "errors", "messages", "interfaces", "lifecycle"])
def test_nothing_breaks_wherever_an_allocation_fails(step, plugin, told_to_sanitizers):
    """Python's own code loses memory where it is refused some: no business of a leak check."""
    answers = """
    def initialize(self):
        import qtforge
        self.bus = qtforge.MessageBus.instance()
        self.bus.subscribe("small.ask", self.answer)
    def answer(self, message):
        self.bus.publish("small.answer", message)
"""
    ran = subprocess.run(
        [PROGRAM, "no_memory", step, plugin("small", answers)],
        env=told_to_sanitizers("detect_leaks=0"),
        text=True,
        capture_output=True,
        timeout=500,
    )
    assert ran.returncode == 0, f"{ran.returncode}\n{ran.stdout}\n{ran.stderr[-3000:]}"
    told = json.loads(ran.stdout)
    assert told["done"] > 20
    assert told["failed"] > told["done"] // 10, told
