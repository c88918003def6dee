"""debugpy in a host, with a client that attaches as editors do."""

import contextlib
import importlib.util
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from debug_client import DebugClient

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python"),
    pytest.mark.skipif(importlib.util.find_spec("debugpy") is None, reason="debugpy is not installed"),
    pytest.mark.plain("debugpy's own C code"),
]
INVALID_ARGUMENT, DEPENDENCY_MISSING, ALREADY_INITIALIZED, PYTHON_ERROR = 2, 20, 34, 35
LIMIT = 30  # seconds for any line

PLUGIN = """\
import qtforge

class Stops(qtforge.core.IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().subscribe(self.name() + ".work", self.on_work)

    def activate(self):
        self.active = True  # line 8

    def on_work(self, number):
        doubled = number * 2
        print("worked", doubled, flush=True)  # line 12
"""

CODE = """\
def add(a, b):
    both = a + b
    print("added", both, flush=True)  # line 3
add(1, 2)
"""


class Host:
    """`hosts config` that obeys."""

    def __init__(self, folder, variables, told):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
        self.process = subprocess.Popen(
            [PROGRAM, "config", json.dumps({"obeys": True, **told})],
            cwd=folder,
            env={**environment, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines = queue.Queue()
        self._errors = []
        self._readers = [
            threading.Thread(target=lambda: [self._lines.put(line.rstrip("\n")) for line in self.process.stdout], daemon=True),
            threading.Thread(target=lambda: [self._errors.append(line) for line in self.process.stderr], daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def log(self):
        """What it wrote to stderr; after its end all of it, which debugpy's process has open too while it runs."""
        if self.process.poll() is not None:
            self._readers[1].join(LIMIT)
        return "".join(self._errors)

    def line(self):
        return self._lines.get(timeout=LIMIT)

    def port(self):
        told = self.line()
        assert told.startswith("port "), told + self.log
        return int(told.split()[1])

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def end(self, code=0, limit=LIMIT):
        """Tells it to exit."""
        self.tell(exit=code)
        assert self.process.wait(limit) == code, self.log

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(LIMIT)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def host(tmp_path):
    """Starts hosts; all are gone afterwards."""
    hosts = []

    def start(*, variables=None, **told):
        hosts.append(Host(tmp_path, variables, {"config": {}, **told}))
        return hosts[-1]

    yield start
    for started in hosts:
        started.close()


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin of that name; its folder."""

    def write(name, **manifest):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(PLUGIN)
        told = {"name": name, "version": "1.0.0", "language": "python", "entry_point": "main.py", **manifest}
        (folder / "plugin.json").write_text(json.dumps(told))
        return folder

    return write


def refused(host, code, *words):
    told = host.line()
    assert told.startswith(f"error {code} "), told
    for word in words:
        assert word in told, told


def wait_until_nobody_listens(port):
    """The adapter is a process of its own, which ends when it has noticed that the host is gone."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail(f"somebody still listens on {port}")


# ---- Breakpoints --------------------------------------------------------------------------------------------------------


def test_breakpoints_in_handlers_are_hit_on_shared_and_own_lanes(host, plugin):
    folders = [plugin("one"), plugin("two", lane="own")]
    running = host(config={"debugPort": 0}, plugins=[str(folder) for folder in folders])
    port = running.port()
    for folder, lane in zip(folders, ['lane "shared"', 'lane "plugin two"']):
        with DebugClient(port, folder / "main.py", [12]) as client:
            for _ in range(2):
                running.tell(publish=f"{folder.name}.work")
                assert running.line() == "done"
                assert client.stopped() == (lane, "on_work", 12)
                assert client.value("doubled") == "2"
                client.resume()
                assert running.line() == "worked 2"
            client.detach()
    running.tell(publish="one.work")
    assert sorted([running.line(), running.line()]) == ["done", "worked 2"]
    running.end()


def test_breakpoints_are_hit_on_the_main_thread_and_on_any_that_calls(host, tmp_path):
    code = tmp_path / "code.py"
    code.write_text(CODE)
    running = host(config={"debugPort": 0})
    with DebugClient(running.port(), code, [3]) as client:
        for more in ({}, {"thread": True}, {}, {"thread": True}):
            running.tell(run=CODE, file=str(code), **more)
            thread, function, line = client.stopped()
            assert (thread == "MainThread", function, line) == (not more, "add", 3)
            assert client.value("both") == "3"
            client.resume()
            assert (running.line(), running.line()) == ("added 3", "done")
        client.detach()
    running.end()


def test_a_plugin_is_debugged_from_its_import_on(host, plugin):
    folder = plugin("early")
    running = host(config={"debugPort": 0})
    with DebugClient(running.port(), folder / "main.py", [1]) as client:
        running.tell(load=str(folder))
        assert client.stopped() == ('lane "shared"', "<module>", 1)
        client.resume()
        assert running.line() == "done"
    running.end()


# ---- Limits -------------------------------------------------------------------------------------------------------------


def test_limits_pause_while_a_client_is_attached_and_count_again_afterwards(host, plugin):
    folder = plugin("slow", lane="own")
    running = host(
        config={"debugPort": 0, "executionTimeout": 200},
        limit=400,
        plugins=[str(folder)],
    )
    port = running.port()
    running.tell(step="deactivate")
    assert running.line() == "done"
    with DebugClient(port, folder / "main.py", [8, 12]) as client:
        running.tell(step="activate")
        assert client.stopped()[1:] == ("activate", 8)
        time.sleep(1.8)  # longer than all limits: that of hooks, that of calls, and what makes a lane stuck
        client.resume()
        assert running.line() == "done"
        running.tell(publish="slow.work")
        assert running.line() == "done"
        assert client.stopped()[1:] == ("on_work", 12)
        client.resume()
        assert running.line() == "worked 2"
        client.detach()
    running.tell(run="while True: pass")
    told = running.line()
    assert told.startswith("error 8 ") and "executionTimeout" in told, told
    running.end()
    assert "has been running" not in running.log
    assert "limit" not in running.log


# ---- Who may, and what cannot be ----------------------------------------------------------------------------------------


def test_port_is_told_to_host_and_log_and_it_is_of_the_loopback_interface(host):
    running = host(config={"debugPort": 0})
    port = running.port()
    assert port > 0
    listening = [
        fields[1].split(":")[0]
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port
    ]
    assert listening == ["0100007F"]
    running.end()
    assert f"debugpy listens on 127.0.0.1:{port};" in running.log
    assert "frozen" not in running.log
    wait_until_nobody_listens(port)


@pytest.mark.parametrize("allowed", [True, False])
def test_the_variable_counts_where_the_host_allows_it(host, allowed):
    running = host(config={"debugPortFromEnvironment": allowed}, variables={"QTFORGE_DEBUGPY": "0"})
    assert (running.port() > 0) == allowed
    running.tell(run="import sys; print('debugpy' in sys.modules, flush=True)")
    assert running.line() == str(allowed)
    assert running.line() == "done"
    running.end()
    assert ("QTFORGE_DEBUGPY is not used" in running.log) == (not allowed)


@pytest.mark.parametrize("value", ["x", "-1", "65536", "1 2", "5678x"])
def test_a_variable_that_is_no_port_is_a_warning(host, value):
    running = host(config={"debugPortFromEnvironment": True}, variables={"QTFORGE_DEBUGPY": value})
    assert running.port() == -1
    running.end()
    assert f"QTFORGE_DEBUGPY: a port from 0 to 65535 expected, not '{value}'" in running.log


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused_before_Python_is_touched(host, port):
    running = host(config={"debugPort": port, "pythonPath": "not/there"})
    refused(running, INVALID_ARGUMENT, "PythonConfig::debugPort", str(port))


def test_a_port_in_use_is_named(host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(host(config={"debugPort": port}), PYTHON_ERROR, "debugPort", f"127.0.0.1:{port}", "in use")
        running = host(config={"debugPortFromEnvironment": True}, variables={"QTFORGE_DEBUGPY": str(port)})
        assert running.port() == -1
        running.end()
        assert f"QTFORGE_DEBUGPY: debugpy does not listen on 127.0.0.1:{port}" in running.log


def test_without_debugpy_it_is_said_how_to_install_it(host, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    refused(
        host(config={"virtualEnvPath": "venv", "debugPort": 0}),
        DEPENDENCY_MISSING,
        f"{tmp_path / 'venv/bin/python'} -m pip install debugpy",
        'installPackages({"debugpy"})',
    )
    running = host(config={"virtualEnvPath": "venv", "debugPortFromEnvironment": True}, variables={"QTFORGE_DEBUGPY": "0"})
    assert running.port() == -1
    running.tell(again={"virtualEnvPath": "venv", "debugPortFromEnvironment": True, "debugPort": 0})
    refused(running, DEPENDENCY_MISSING, "-m pip install debugpy")
    running.end()
    assert "QTFORGE_DEBUGPY: '" in running.log and "-m pip install debugpy" in running.log


def test_a_debugger_may_be_added_by_a_later_start_once(host, tmp_path):
    code = tmp_path / "code.py"
    code.write_text(CODE)
    running = host()
    assert running.port() == -1
    for fields in ({}, {"debugPort": 0}, {"debugPort": 0}):
        running.tell(again=fields)
        assert running.line() == "done"
    running.tell(again={"debugPort": 1})
    refused(running, ALREADY_INITIALIZED, "listens on 127.0.0.1:", "not on 127.0.0.1:1")
    running.tell(again={"debugPort": 0, "arguments": ["x"]})
    refused(running, ALREADY_INITIALIZED, "another configuration")
    running.end()
    port = int(re.search(r"debugpy listens on 127\.0\.0\.1:(\d+)", running.log)[1])
    wait_until_nobody_listens(port)


def test_in_a_Python_that_runs_already_it_is_the_same(host, tmp_path):
    code = tmp_path / "code.py"
    code.write_text(CODE)
    running = host(config={"debugPort": 0}, running=True)
    with DebugClient(running.port(), code, [3]) as client:
        running.tell(run=CODE, file=str(code), thread=True)
        assert client.stopped()[1:] == ("add", 3)
        client.resume()
        assert (running.line(), running.line()) == ("added 3", "done")
        client.detach()
    running.end()


# ---- The end ------------------------------------------------------------------------------------------------------------


def test_a_host_ends_while_a_client_is_attached(host, plugin):
    folder = plugin("idle")
    running = host(config={"debugPort": 0}, plugins=[str(folder)])
    port = running.port()
    with DebugClient(port, folder / "main.py", [12]) as client:
        running.end(3, limit=5)
        client.event("terminated")
    wait_until_nobody_listens(port)
    assert "did not end in time" not in running.log


def test_a_host_ends_while_a_plugin_stands_at_a_breakpoint(host, plugin):
    folder = plugin("held")
    running = host(config={"debugPort": 0}, plugins=[str(folder)])
    port = running.port()
    with DebugClient(port, folder / "main.py", [12]) as client:
        running.tell(publish="held.work")
        assert running.line() == "done"
        client.stopped()
        running.end(4)
    wait_until_nobody_listens(port)
    assert "did not end in time" in running.log
