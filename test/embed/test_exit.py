"""How hosts end: cleanly, in time, the plugins cleaned up where the host gave them the chance."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python")


def start(scenario, tmp_path, **variables):
    environment = {**os.environ, "QTFORGE_TEST_FILE": str(tmp_path / "notes.txt"), **variables}
    return subprocess.Popen(
        [PROGRAM, "exits", scenario],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process, limit=30):
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"did not end within {limit} s\n{out}\n{err}")
    return process.returncode, out, err


def notes(tmp_path):
    file = tmp_path / "notes.txt"
    return file.read_text().split("\n")[:-1] if file.exists() else []


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("manager_destroyed", 0),
        ("manager_at_namespace_scope", 0),
        ("manager_static_in_function", 0),
        ("manager_leaked", 0),
        ("slow_static_destructor", 0),
        ("handlers_running_and_threads_publishing", 0),
        ("exit_from_handler", 3),
        ("exit_from_lane", 3),
        ("exception_unwinds_manager", 4),
    ],
)
def test_host_ends_with_its_code_and_plugins_are_cleaned_once(scenario, code, tmp_path):
    for _ in range(3):
        (tmp_path / "notes.txt").unlink(missing_ok=True)
        returned, out, err = finish(start(scenario, tmp_path))
        assert returned == code, f"{out}\n{err}"
        assert notes(tmp_path) == ["deactivated", "cleaned"], f"{out}\n{err}"
        assert "did not end in time" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_host_in_order(number, tmp_path):
    process = start("signal_ends_it", tmp_path)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    returned, out, err = finish(process)
    assert returned == 128 + number, f"{out}\n{err}"
    assert notes(tmp_path) == ["deactivated", "cleaned"]
    assert "KeyboardInterrupt" not in err


def test_a_stuck_plugin_is_named_output_is_flushed_and_the_process_ends(tmp_path):
    begin = time.monotonic()
    returned, out, err = finish(start("stuck_plugin", tmp_path))
    assert returned == 5
    assert "py_stuck" in err
    assert out == "output before the end"
    assert time.monotonic() - begin < 10


def test_a_reload_that_does_not_end_is_named_and_the_process_ends(tmp_path):
    begin = time.monotonic()
    returned, out, err = finish(start("reload_hangs", tmp_path))
    assert returned == 6, f"{out}\n{err}"
    assert "plugin 'hangs' (in reload)" in err
    assert notes(tmp_path) == ["deactivated", "cleaned"]
    assert time.monotonic() - begin < 10


def test_threads_of_plugins_are_waited_for(tmp_path):
    returned, out, err = finish(start("python_thread", tmp_path))
    assert returned == 0, f"{out}\n{err}"
    assert sorted(notes(tmp_path)) == ["cleaned", "deactivated", "thread ended"]


@pytest.mark.skipif(
    os.environ.get("QTFORGE_SANITIZER") == "thread",
    reason="Boost.Python's globals let None go at the exit, without the GIL that threads of the host still take",
)
@pytest.mark.parametrize("delay", range(40, 65, 4))
def test_calls_that_are_about_to_be_stopped_do_not_hold_the_end_up(delay, tmp_path):
    # Frames of threads that stay in the middle of a call hold objects where a leak check does not look.
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"
    host = start("limit_about_to_pass", tmp_path, QTFORGE_TEST_DELAY=str(delay), ASAN_OPTIONS=options)
    returned, out, err = finish(host)
    assert returned == 0, f"{out}\n{err}"
    assert "did not end in time" not in err


def test_a_peer_that_hangs_up_does_not_end_the_host(tmp_path):
    returned, out, err = finish(start("sigpipe", tmp_path))
    assert returned == 0, f"{out}\n{err}"
    assert out == "broken pipe, and alive\n"


def test_a_folder_without_code_is_not_taken_for_the_package(tmp_path):
    returned, out, err = finish(start("folder_in_place_of_the_package", tmp_path))
    assert returned == 0, f"{out}\n{err}"
    assert out.startswith("missing: ")
    assert "/qtforge', which is on its path, has no __init__.py)" in out
    assert "-m pip install qtforge" in out
