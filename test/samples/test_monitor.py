"""The monitor as a user runs it: live figures, a summary that adds up, failures survived, an end in order."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("QTFORGE_BUILD_ROOT", "build/release")) / "samples" / "monitor"
MONITOR = FOLDER / "monitor"
LIMIT = 60  # seconds; each run ends long before

LINE = re.compile(
    r"\d\d:\d\d:\d\d  cpu (?P<cpu>[\d.]+) % of (?P<cores>\d+) cores, busiest (?P<busiest>[\d.]+) %"
    r"  memory (?P<used>\d+)/(?P<memory>\d+) MiB  network .+  top (?P<top>.+) \d+ %  alerts \d+"
)

pytestmark = pytest.mark.skipif(not MONITOR.exists(), reason="the monitor has not been built")


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MONITOR, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts monitors, and ends those that a failed test leaves behind."""
    processes = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        processes.append(subprocess.Popen([MONITOR, *map(str, arguments)], **options))
        return processes[-1]

    yield start
    for process in processes:
        with process:
            if process.poll() is None:
                process.kill()


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def clients(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {client["name"]: client for client in summary["clients"]}


def write_plugin(folder: Path, name: str, code: str, dependencies: list[str] | None = None) -> None:
    """A Python plugin whose class is called Plugin."""
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    (folder / "plugin.json").write_text(
        json.dumps(
            {
                "name": name,
                "version": "1.0.0",
                "description": "",
                "author": "",
                "license": "BSL-1.0",
                "language": "python",
                "entry_point": f"{name}.py",
                "main_class": "Plugin",
                "dependencies": dependencies or [],
                "capabilities": [],
            }
        )
    )


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    file = tmp_path_factory.mktemp("monitor") / "summary.json"
    done = run("--seconds", 3, "--plain", "--json", file)
    assert done.returncode == 0, done.stderr
    return done, json.loads(file.read_text())


def test_every_plugin_takes_part_and_nothing_is_lost(plain_run: Any) -> None:
    _, summary = plain_run
    figures = clients(summary)
    assert figures["system_reader"]["sent"] >= 50  # five topics, ten times a second
    assert figures["analysis"]["sent"] == figures["analysis"]["delivered"] >= 30
    assert figures["alerts"]["delivered"] == figures["analysis"]["sent"]
    assert figures["table"]["delivered"] > figures["analysis"]["delivered"]
    for figure in figures.values():
        assert figure["dropped"] == figure["mismatched"] == figure["failed"] == 0
    assert summary["errors"] == []
    assert summary["ended_by"] == "time"
    assert 3 <= summary["seconds"] < 10


def test_summary_has_latencies_and_a_total(plain_run: Any) -> None:
    done, summary = plain_run
    for name in ("analysis", "alerts", "table"):
        latency = clients(summary)[name]["latency"]
        assert latency["samples"] > 0
        assert 0 < latency["p50_us"] <= latency["p99_us"] < 3e6
    for figure in ("sent", "delivered", "dropped", "mismatched", "failed"):
        assert summary["total"][figure] == sum(client[figure] for client in summary["clients"])
    for word in ("sent", "delivered", "dropped", "p50", "p99", "system_reader", "analysis", "alerts", "table", "total"):
        assert word in done.stdout


def test_plain_lines_show_this_machine(plain_run: Any) -> None:
    done, _ = plain_run
    lines = [match for match in map(LINE.match, done.stdout.splitlines()) if match]
    assert len(lines) >= 2
    meminfo = Path("/proc/meminfo").read_text()
    total = int(re.search(r"MemTotal:\s+(\d+) kB", meminfo).group(1))
    for line in lines:
        assert 0 <= float(line["cpu"]) <= 100
        assert 0 <= float(line["busiest"]) <= 100
        assert int(line["cores"]) == os.sysconf("SC_NPROCESSORS_ONLN")
        assert int(line["memory"]) == pytest.approx(total / 1024, abs=1)
        assert 0 < int(line["used"]) < int(line["memory"])
        assert line["top"].strip()


def test_faulty_plugin_is_survived_and_counted(tmp_path: Path) -> None:
    done = run("--seconds", 2, "--plain", "--with-faulty", "--json", tmp_path / "summary.json")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    faulty = clients(summary)["faulty"]
    assert faulty["failed"] == pytest.approx(faulty["delivered"] / 2, abs=1)  # every other message
    assert faulty["failed"] >= 3
    errors = {error["step"]: error for error in summary["errors"] if error["plugin"] == "faulty"}
    assert errors["activate"]["count"] == 1  # the second attempt goes well
    assert "activation 1 fails on purpose" in errors["activate"]["message"]
    assert errors["handler"]["count"] == faulty["failed"]
    assert clients(summary)["analysis"]["failed"] == 0
    assert clients(summary)["table"]["delivered"] > 50
    assert re.search(r"faulty +activate +1\b", done.stdout)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_it_with_a_summary(started: Any, tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = started("--forever", "--plain", "--json", tmp_path / "summary.json")
    wait_for_line(process, "  cpu ")
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == code, err
    assert "total" in out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ended_by"] == number.name
    assert summary["total"]["dropped"] == 0
    assert summary["errors"] == []


def test_plugins_end_in_reverse_order(started: Any, tmp_path: Path) -> None:
    code = """
        from qtforge.core import IPlugin

        class Plugin(IPlugin):
            def initialize(self): print("{0} initialize", flush=True); return True
            def activate(self): print("{0} activate", flush=True); return True
            def deactivate(self): print("{0} deactivate", flush=True); return True
            def cleanup(self): print("{0} cleanup", flush=True)
    """
    write_plugin(tmp_path, "a_needs_b", code.format("a_needs_b"), ["b >= 1.0.0"])
    write_plugin(tmp_path, "b", code.format("b"))
    process = started("--forever", "--plain", "--plugins", tmp_path)
    wait_for_line(process, "a_needs_b activate")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    steps = [line for line in out.splitlines() if line.endswith((" deactivate", " cleanup"))]
    assert steps == ["a_needs_b deactivate", "b deactivate", "a_needs_b cleanup", "b cleanup"]


def test_step_in_cpu_load_raises_and_clears_an_alert(tmp_path: Path) -> None:
    for name in ("analysis", "alerts", "table"):
        shutil.copytree(FOLDER / "plugins" / name, tmp_path / name)
    # In place of the native reader, one in Python with a script: calm, a step that stays, and so the new normal.
    write_plugin(
        tmp_path,
        "system_reader",
        """
        from qtforge import MessageBus
        from qtforge.core import IPlugin

        class Plugin(IPlugin):
            def activate(self):
                for total in [10.0] * 60 + [90.0] * 120:
                    MessageBus.instance().publish("system.cpu", {"total": total, "cores": [total]})
                return True
    """,
    )
    done = run("--seconds", 1.5, "--plain", "--plugins", tmp_path, "--json", tmp_path / "summary.json")
    assert done.returncode == 0, done.stderr
    alerts = re.findall(r"(alert\.\w+) (\w+): ([\d.]+) %", done.stdout)
    assert alerts == [("alert.raised", "cpu", "90.0"), ("alert.cleared", "cpu", "90.0")]
    assert clients(json.loads((tmp_path / "summary.json").read_text()))["alerts"]["sent"] == 2


def test_terminal_gets_a_table_and_its_cursor_back(started: Any) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = started("--forever", stdout=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:
        while b"processes" not in shown:
            shown += terminal.read(65536)
        process.send_signal(signal.SIGINT)
        try:
            while part := terminal.read(65536):
                shown += part
        except OSError:  # how Linux says that the other side has been closed
            pass
    assert process.wait(timeout=LIMIT) == 130
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1  # cursor
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1  # second screen
    drawn, after = shown.split(b"\x1b[?1049l")
    assert b"analysis" not in drawn and b"mean" in drawn and b"\x1b[H" in drawn
    assert b"\x1b" not in after and b"total" in after


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seconds"], "--seconds needs a value"),
        (["--seconds", "soon"], 'not "soon"'),
        (["--seconds", "-1"], 'not "-1"'),
        (["--seconds", "0"], 'not "0"'),
        (["--seconds", "nan"], 'not "nan"'),
        (["--seconds", "1e99"], 'not "1e99"'),
        (["--seconds", "3s"], 'not "3s"'),
        (["--seconds", "3", "--forever"], "contradict"),
        (["--plugins", "/nonexistent"], 'no folder "/nonexistent"'),
        (["--json", "/nonexistent/summary.json"], "/nonexistent/summary.json"),
        (["--fast"], 'unknown argument "--fast"'),
        (["3"], 'unknown argument "3"'),
    ],
)
def test_wrong_arguments_are_named_and_end_with_2(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in ("--seconds", "--forever", "--plain", "--plugins", "--with-faulty", "--json", "--help"):
        assert option in done.stdout


def test_folder_without_plugins_is_an_error(tmp_path: Path) -> None:
    done = run("--seconds", 1, "--plugins", tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
