"""Plugins that misbehave: the host says what they did, goes on, and ends; the neighbour never notices.

Each case is a row of the table in docs/guides/hosts.md, by the words in its first column.
"""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python")

NEIGHBOUR = """
import qtforge


class Neighbour(qtforge.core.IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().respond("neighbour.question", lambda n: n + 1)
"""

# What a case's code stands in: the module's head, and methods of its class.
HOSTILE = """
import qtforge
{head}


class Hostile(qtforge.core.IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().subscribe("hostile.ping", self.on_ping)
        self.begin()

    def begin(self):
        pass

    def on_ping(self, message):
        pass
{methods}
"""

FINE = ["load: fine", "initialize: fine", "activate: fine", "drain: fine", "deactivate: fine", "unload: fine"]


def fine_but(**others):
    """The steps' lines, those of `others` as patterns of what follows the step's name."""
    lines = dict(line.split(": ") for line in FINE)
    return [f"{step}: {others.get(step, told)}" for step, told in lines.items()]


STEPS = "load|initialize|activate|drain|deactivate|unload"
STOPPED = [r"stopped after [\d.]+ s, its limit \(executionTimeout\) is 0.3 s", "ExecutionTimeout"]
STUCK = r"unload: plugin 'hostile': unload: .*subscription \"hostile.ping\" of hostile"
WORK = "def work():\n    while True:\n        pass\n"


def failing(step):
    """Nothing is reached behind initialize when that fails."""
    illegal = ".*in state Error.*"
    return fine_but(initialize=step, activate=illegal, deactivate=illegal)


CASES = {
    "its code does not compile": {
        "head": "def broken(:", "out": ["load: .*SyntaxError.*"], "err": []},
    "its import raises, or calls sys.exit": {
        "head": "import sys\nsys.exit(3)", "out": ["load: .*SystemExit.*"], "err": []},
    "its import never returns": {
        "head": "import threading\nthreading.Event().wait(60)", "out": ["load: .*did not answer within 2000 ms.*"], "err": ["did not end in time"]},
    "its constructor does not call the base class's": {
        "methods": "def __init__(self):\n    pass", "out": FINE, "err": []},
    "a hook raises, also BaseException, KeyboardInterrupt or SystemExit": {
        "methods": "def begin(self):\n    raise KeyboardInterrupt('now')",
        "out": failing(".*initialize: raised: KeyboardInterrupt: now.*"), "err": ["Traceback", "raise KeyboardInterrupt"]},
    "a hook never returns": {
        "methods": "def begin(self):\n    import threading\n    threading.Event().wait(60)",
        "manifest": {"lane": "own"},
        "out": ["load: fine", "initialize: .*did not answer within 2000 ms.*"], "err": []},
    "a handler raises": {
        "methods": "def on_ping(self, message):\n    raise ValueError('no ping')", "out": FINE, "err": ["ValueError: no ping"]},
    "what it raises raises again when it is shown": {
        "head": "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError('shy')",
        "methods": "def on_ping(self, message):\n    raise Odd()", "out": FINE, "err": ["Odd"]},
    "it recurses without end": {
        "methods": "def on_ping(self, message):\n    self.on_ping(message)", "out": FINE, "err": ["RecursionError"]},
    "it raises in __del__": {
        "head": "class Last:\n    def __del__(self):\n        raise ValueError('last words')",
        "methods": "def on_ping(self, message):\n    Last()", "out": FINE, "err": ["last words"]},
    "it leaves a thread running": {
        "methods": "def begin(self):\n    import threading\n"
                "    threading.Thread(target=self.idle, name='left', daemon=True).start()\n\n"
                "def idle(self):\n    import time\n    time.sleep(60)",
        "sanitizers": "detect_leaks=0", "out": FINE, "err": ["not all of it is gone.*left"]},
    "it keeps itself alive": {
        "methods": "def begin(self):\n    import sys\n    sys.kept_by_hostile = self", "out": FINE, "err": ["not all of it is gone"]},
    "it publishes what no message can hold": {
        "methods": "def on_ping(self, message):\n    qtforge.MessageBus.instance().publish('hostile.odd', {'a': {1, 2}})",
        "out": FINE, "err": [r'message\["a"\]: set does not go into JSON']},
    "it publishes where only the library does": {
        "methods": "def on_ping(self, message):\n    qtforge.MessageBus.instance().publish('qtforge.plugins', 1)",
        "out": FINE, "err": ["qtforge.plugins"]},
    "it ends its own subscription in its handler": {
        "methods": "def on_ping(self, message):\n    qtforge.MessageBus.instance().unsubscribe_all(self)", "out": FINE, "err": []},
    "it asks itself and waits for the answer": {
        "methods": "def begin(self):\n    bus = qtforge.MessageBus.instance()\n"
                "    bus.respond('hostile.self', lambda n: n)\n    bus.request('hostile.self', 1, timeout=30)",
        "out": failing(".*could answer only when this thread.*"), "err": ["bus.request"]},
    "it sets a signal handler": {
        "methods": "def begin(self):\n    import signal\n    signal.signal(signal.SIGINT, lambda *_: None)",
        "out": failing(".*main thread.*"), "err": ["ValueError"]},
    "it replaces a builtin or sys.modules' entries": {
        "methods": "def begin(self):\n    import builtins, sys\n    self.print = builtins.print\n    del builtins.print\n"
                "    sys.modules.pop('json', None)", "out": FINE, "err": []},
    "it closes stdin and stderr": {
        "methods": "def begin(self):\n    import os\n    os.close(0)\n    os.close(2)", "out": FINE, "err": []},
    "it changes the folder": {
        "methods": "def begin(self):\n    import os\n    os.chdir('/')", "out": FINE, "err": []},
    "it forks, and the child goes on in its handler": {
        "methods": "def on_ping(self, message):\n    import os\n    if os.fork() == 0:\n"
                "        try:\n            qtforge.MessageBus.instance().publish('hostile.child', 1)\n"
                "        except qtforge.Error:\n            os._exit(0)\n        os._exit(9)\n"
                "    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0" if hasattr(os, "waitstatus_to_exitcode") else "",
        "out": FINE, "err": []},
    "its hook is a coroutine function": {
        "methods": "async def begin(self):\n    pass\n\nasync def activate(self):\n    pass",
        "out": fine_but(activate=".*coroutine function.*", deactivate=".*"), "err": []},
    "its names are of another type": {
        "methods": "def name(self):\n    return 5", "out": ["load: .*name.*"], "err": []},
    "an atexit function of it raises": {
        "methods": "def begin(self):\n    import atexit\n    atexit.register(lambda: 1 / 0)", "out": FINE, "err": ["ZeroDivisionError"]},
    "it computes without end, under executionTimeout": {
        "head": WORK, "methods": "def on_ping(self, message):\n    work()",
        "options": {"limit": 300, "drain": 20}, "out": FINE, "err": STOPPED},
    "it does, and catches Exception": {
        "head": WORK, "methods": "def on_ping(self, message):\n    while True:\n        try:\n            work()\n"
                "        except Exception:\n            pass",
        "options": {"limit": 300, "drain": 20}, "out": FINE, "err": STOPPED},
    "it does, and catches BaseException": {
        "head": WORK, "methods": "def on_ping(self, message):\n    while True:\n        try:\n            work()\n"
                "        except BaseException:\n            pass",
        "options": {"limit": 300}, "out": [*FINE[:3], "drain: .*", "deactivate: .*", STUCK], "err": [r"\A(?!(?s:.*)holds the GIL)"]},
    "it sleeps, under executionTimeout": {
        "methods": "def on_ping(self, message):\n    import time\n    time.sleep(1)\n    time.sleep(60)",
        "options": {"limit": 300, "drain": 20}, "out": FINE, "err": [*STOPPED, r"time\.sleep\(1\)|time\.sleep\(60\)"]},
    "it waits for a lock that nobody releases": {
        "methods": "def on_ping(self, message):\n    import threading\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()",
        "options": {"limit": 300}, "out": [*FINE[:3], "drain: (?!fine).*", "deactivate: .*did not answer within 2000 ms.*", STUCK],
        "err": [r"plugin 'hostile': a handler has been running for .*on lane \"plugin hostile\"", "lock.acquire", "did not end in time"]},
    "it makes a long call into C that keeps the GIL": {
        "methods": "def on_ping(self, message):\n    import itertools\n    sum(itertools.repeat(0, 150_000_000))\n    work()",
        "head": WORK, "options": {"limit": 300, "drain": 60}, "out": FINE, "err": STOPPED},
    "it prints without pause": {
        "methods": "def on_ping(self, message):\n    for number in range(100_000):\n        print(number)\n    print(flush=True)",
        "options": {"drain": 60}, "captured": "captured: 488890 5", "out": FINE, "err": [],
        "printed": lambda text: sorted(map(int, re.findall(r"^\d+$", text, re.MULTILINE))) == list(range(100_000))},
    "it writes 100 MB without a line's end": {
        "methods": "def on_ping(self, message):\n    import sys\n    sys.stdout.write('\u00e4' * 50_000_000)\n    print(flush=True)",
        "options": {"drain": 60}, "captured": r"captured: 100000000 6553[56]", "out": FINE, "err": [],
        "printed": lambda text: text.count("\u00e4") == 50_000_000},
    "it writes bytes that are no text, and half of surrogate pairs": {
        "methods": "def on_ping(self, message):\n    import logging, sys\n    print('\\udcff')\n"
                "    sys.stdout.flush()\n    sys.stdout.buffer.write(bytes(range(256)) * 400 + b'\\n')\n    sys.stdout.flush()\n"
                "    qtforge.logger.warning('\\ud800 %s', '\\udcff')\n    logging.warning('\\ud800')\n"
                "    print('\\ud800', flush=True)",
        "options": {"drain": 20}, "captured": r"captured: 12 6", "out": FINE, "err": [r"WARNING hostile: \\ud800 \\udcff"],
        "printed": lambda text: text.count("\\xfe") == 400},
    "it closes sys.stdout, or puts something else there": {
        "methods": "def on_ping(self, message):\n    import sys\n    print('kept', end='')\n    sys.stdout = object()\n"
                "    sys.stderr.close()",
        "options": {"drain": 20}, "out": FINE, "err": [], "printed": lambda text: text.endswith("kept")},
    "it logs without pause": {
        "methods": "def on_ping(self, message):\n    for number in range(50_000):\n        qtforge.logger.warning('%d', number)",
        "options": {"drain": 60}, "out": FINE, "err": ["49999"],
        "logged": lambda text: len(re.findall(r": \d+$", text, re.MULTILINE)) == 50_000},
    "it takes all the memory that Python may have, and keeps it": {
        "methods": "def on_ping(self, message):\n    self.held = []\n    try:\n        while True:\n"
                "            self.held.append(bytes(2000))\n    except MemoryError:\n        pass",
        "options": {"memory": 1 << 26, "drain": 20}, "out": FINE, "err": ["plugin 'hostile' asked for .* a MemoryError was raised"]},
    "it asks for more memory than that": {
        "methods": "def on_ping(self, message):\n    bytes(1 << 40)",
        "options": {"memory": 1 << 26, "drain": 20}, "out": FINE,
        "err": ["plugin 'hostile' asked for 1 TiB more", "its handler failed .*MemoryError", r"bytes\(1 << 40\)"]},
    "it calls os._exit": {
        "methods": "def on_ping(self, message):\n    import os\n    os._exit(7)", "code": 7, "out": FINE[:3], "err": []},
    "it crashes, as by ctypes": {
        "methods": "def on_ping(self, message):\n    import ctypes\n    ctypes.string_at(0)", "sanitizers": "handle_segv=0",
        "code": -signal.SIGSEGV, "out": FINE[:3], "err": []},
}


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.fixture
def host(tmp_path, told_to_sanitizers):
    def write(name, source, **more):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(source)
        manifest = {"name": name, "version": "1.0.0", "language": "python", "entry_point": "main.py", **more}
        (folder / "plugin.json").write_text(json.dumps(manifest))

    def run(head="", methods="", manifest=None, sanitizers="", options=None):
        write("neighbour", NEIGHBOUR)
        write("hostile", HOSTILE.format(head=head, methods=indented(methods)), main_class="Hostile", **{"lane": "own", **(manifest or {})})
        # Its own folder, so that a core file or a change of it harms nobody.
        return subprocess.run([PROGRAM, "hostile", tmp_path, json.dumps(options or {})], cwd=tmp_path,
                              env=told_to_sanitizers(sanitizers), text=True, encoding="utf-8", errors="backslashreplace",
                              capture_output=True, timeout=100, stdin=subprocess.DEVNULL)

    return run


def shortened(text):
    return text if len(text) < 10_000 else f"{text[:5000]} [...] {text[-5000:]}"


def run_case(case, host, **options):
    """What the host printed, and the lines of it that are its own."""
    wanted = dict(CASES[case])
    code, out, err = wanted.pop("code", 0), wanted.pop("out"), wanted.pop("err")
    for only in ("captured", "printed", "logged"):
        wanted.pop(only, None)
    ran = host(**{**wanted, "options": {**wanted.get("options", {}), **options}})
    told = f"{ran.returncode}\n--stdout\n{shortened(ran.stdout)}\n--stderr\n{shortened(ran.stderr)}"
    assert ran.returncode == code, told
    lines = [line for line in ran.stdout.split("\n") if re.match(rf"neighbour: |captured: |end\b|(?:{STEPS}): ", line)]
    if code == 0:
        assert lines.count("neighbour: 21") == 3 and lines[-1] == "end", told
    steps = [line for line in lines if re.match(f"(?:{STEPS}): ", line)]
    for line, pattern in zip(steps, out):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}\n{told}"
    assert len(steps) >= len(out), told
    for pattern in err:
        assert re.search(pattern, ran.stderr), f"{pattern!r}\n{told}"
    return ran, lines


@pytest.mark.parametrize("case", CASES)
def test_host_goes_on(case, host):
    ran, _ = run_case(case, host)
    for stream, text in (("printed", ran.stdout), ("logged", ran.stderr)):
        if stream in CASES[case]:
            assert CASES[case][stream](text), f"{shortened(ran.stdout)}\n{shortened(ran.stderr)}"


@pytest.mark.parametrize("case", [case for case in CASES if "captured" in CASES[case]])
def test_host_that_takes_the_output_goes_on(case, host):
    _, lines = run_case(case, host, capture=True)
    assert re.fullmatch(CASES[case]["captured"], lines[-2]), lines


def test_the_table_names_each_case():
    page = (ROOT / "docs/guides/hosts.md").read_text()
    table = page[page.index("## Plugins that misbehave"):]
    rows = re.findall(r"^\| ([^|]+?) \|", table[: table.index("\n## ", 5)], re.MULTILINE)
    assert set(rows[1:]) == set(CASES)
