"""./tools/dev: what it says when it cannot work, and how it counts."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import environment
import results


def dev(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "dev", *arguments], text=True, capture_output=True)


def test_without_a_command_prints_help():
    ran = dev()
    assert ran.returncode == 0
    for command in ("demo", "test", "build", "install", "clean", "sanitize", "bench"):
        assert f"\n    {command} " in ran.stdout


def test_option_nobody_takes_is_an_error():
    ran = dev("build", "--no-such-option")
    assert ran.returncode == 2 and "--no-such-option" in ran.stderr


def test_python_that_is_not_there_is_named():
    ran = dev("build", "--python", "/nonexistent/python3")
    assert ran.returncode == 1
    assert "/nonexistent/python3" in ran.stderr and "Traceback" not in ran.stderr


def test_python_is_the_same_one_inside_and_outside_of_a_venv(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    inside = environment.describe_python(str(tmp_path / "bin" / "python"))
    assert inside == environment.describe_python(inside["executable"]) == environment.describe_python(sys.executable)


@pytest.fixture
def bare_system(monkeypatch):
    """No compiler, no headers, no pkg-config, and no right to install them."""
    facts = {"executable": sys.executable, "version": "3.11.7", "info": [3, 11], "venv": False, "header": False,
             "shared": True, "library": True}
    monkeypatch.setattr(environment, "describe_python", lambda _: facts)
    monkeypatch.setattr(environment, "find_compiler", lambda: None)
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    return facts


@pytest.mark.parametrize("manager, line", [
    ("apt-get", "sudo apt-get install -y --no-install-recommends g++ python3-dev python3-venv pkg-config"),
    ("dnf", "sudo dnf install -y gcc-c++ python3-devel python3 pkgconf-pkg-config"),
])
def test_missing_system_packages_are_named_with_the_line_that_installs_them(bare_system, monkeypatch, manager, line):
    monkeypatch.setattr(environment, "package_manager", lambda: manager)
    with pytest.raises(environment.Failure) as failure:
        environment.require_system("python3", ["compiler", "pkg-config"])
    assert line in str(failure.value)


def test_python_without_shared_library_is_refused_with_the_remedy(bare_system):
    bare_system["shared"] = False
    with pytest.raises(environment.Failure, match="--python PATH"):
        environment.require_system("python3", [])


def write_junit(path, *cases):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<testsuite>" + "".join(f"<testcase>{case}</testcase>" for case in cases) + "</testsuite>")


def test_cases_of_a_junit_file_are_counted(tmp_path):
    write_junit(tmp_path / "x.xml", "", "", "<failure/>", "<error/>", "<skipped/>")
    assert str(results.from_junit(tmp_path / "x.xml", False)) == "2 passed, 2 failed, 1 skipped"


def test_run_that_failed_without_a_failed_case_counts_as_a_failure(tmp_path):
    write_junit(tmp_path / "x.xml", "", "")
    assert str(results.from_junit(tmp_path / "x.xml", False)) == "2 passed, 1 failed"
    assert str(results.from_junit(tmp_path / "missing.xml", True)) == "0 passed, 1 failed"


def test_meson_tests_count_by_their_cases_else_as_one(tmp_path):
    write_junit(results.junit_file(tmp_path, "unit"), "", "", "")
    log = tmp_path / "meson-logs" / "testlog.json"
    log.parent.mkdir()
    rows = [{"name": "qtforge:unit / unit", "result": "OK"}, {"name": "qtforge:headers / headers", "result": "FAIL"},
            {"name": "other", "result": "SKIP"}, {"name": "crashes", "result": "TIMEOUT"}]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert str(results.from_meson(tmp_path, False)) == "3 passed, 2 failed, 1 skipped"


def test_meson_run_that_left_no_log_counts_as_a_failure(tmp_path):
    assert str(results.from_meson(tmp_path, False)) == "0 passed, 1 failed"
