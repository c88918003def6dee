"""Packages are installed as a whole or not at all, from a folder of wheels; no network."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import qtforge
from qtforge import _child
from qtforge._packaging import bundled_pip
from qtforge.packages import Cancellation, Change, PackageManager

sys.path.insert(0, str(Path(__file__).parent / "support"))
from wheels import wheel

PACKAGE = str(Path(qtforge.__file__).parents[1])
E = qtforge.ErrorCode
TOOLS = ["pip", pytest.param("uv", marks=pytest.mark.skipif(not shutil.which("uv"), reason="there is no uv on PATH"))]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """alpha 1 and 2 need beta; gamma needs beta 2, which conflicts with alpha; broken cannot be installed."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "alpha", "1.0", requires=["beta<2"])
    wheel(folder, "alpha", "2.0", requires=["beta<2"])
    wheel(folder, "beta", "1.5")
    wheel(folder, "beta", "2.0")
    wheel(folder, "gamma", "1.0", requires=["beta>=2"])
    wheel(folder, "delta", "1.0", requires=["beta>=2; extra == 'new'", "beta; extra == 'any'"], extras=["new", "any"])
    # Its first file is put there before the second cannot be: a folder lies in its place (see `blocked`).
    wheel(folder, "broken", "1.0", requires=["beta"], files={"broken_a.py": "", "broken_z.py": ""})
    return folder


@pytest.fixture(scope="module")
def pip_folder(tmp_path_factory):
    """The pip that came with Python, unpacked: from its wheel each run takes twice as long."""
    folder = tmp_path_factory.mktemp("pip")
    shutil.unpack_archive(bundled_pip(), folder, "zip")
    return folder


@pytest.fixture
def bare(tmp_path):
    """An environment without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


@pytest.fixture
def venv(bare, pip_folder):
    """An environment that finds pip elsewhere."""
    (site(bare) / "pip.pth").write_text(f"{pip_folder}\n")
    return bare


@pytest.fixture(params=TOOLS)
def manager(request, venv, wheels):
    return PackageManager(venv, wheel_folders=[wheels], offline=True, tool=request.param)


@pytest.fixture
def quick(venv, wheels):
    """A manager where it does not matter which tool works."""
    return PackageManager(venv, wheel_folders=[wheels], offline=True)


def site(venv) -> Path:
    return next(venv.glob("lib/python3*/site-packages"))


def pretend_pip(venv, program) -> None:
    (site(venv) / "pip").mkdir()
    (site(venv) / "pip" / "__main__.py").write_text(program)
    (site(venv) / "pip-99.dist-info").mkdir()
    (site(venv) / "pip-99.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pip\nVersion: 99\n")


def files(venv) -> dict[str, bytes]:
    found = [path for path in site(venv).parents[2].rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path): path.read_bytes() for path in found if path.name != ".lock"}  # which is uv's


def there(manager) -> dict[str, str]:
    return {package.name: package.version for package in manager.list() if package.name != "pip"}


# ---- Install, uninstall, list ---------------------------------------------------------------------------------------------


def test_what_is_installed_is_told_listed_and_importable(manager, venv):
    assert there(manager) == {}
    told = manager.install(["alpha<2"])
    assert told == [Change("alpha", "", "1.0"), Change("beta", "", "1.5")]
    assert there(manager) == {"alpha": "1.0", "beta": "1.5"}
    assert {package.location for package in manager.list() if package.name != "pip"} == {str(site(venv))}
    ran = subprocess.run([manager.python, "-c", "import alpha; print(alpha.VERSION)"], text=True, capture_output=True)
    assert ran.stdout == "1.0\n"
    assert manager.install(["alpha<2"]) == []
    assert manager.install(["alpha==2.0"]) == [Change("alpha", "1.0", "2.0")]
    assert manager.uninstall(["Alpha"]) == [Change("alpha", "2.0", "")]
    assert there(manager) == {"beta": "1.5"}


def test_nothing_to_do_is_done(quick):
    assert quick.install([]) == []
    assert quick.uninstall([]) == []


def test_uninstall_of_what_is_not_there_changes_nothing(manager):
    manager.install(["beta<2"])
    with pytest.raises(qtforge.Error, match="not installed in it: nobody") as caught:
        manager.uninstall(["beta", "nobody"])
    assert caught.value.code is E.NAME_NOT_FOUND
    assert there(manager) == {"beta": "1.5"}


def test_what_does_not_exist_is_named(manager, venv):
    before = files(venv)
    with pytest.raises(qtforge.Error, match="there-is-no-such") as caught:
        manager.install(["alpha", "there-is-no-such==9"])
    assert caught.value.code is E.INSTALL_FAILED
    assert "nothing has been changed" in str(caught.value)
    assert files(venv) == before


@pytest.mark.parametrize("tool", TOOLS)
def test_a_password_in_a_url_is_not_told(venv, tool):
    heard = []
    manager = PackageManager(venv, tool=tool, on_progress=lambda step, line: heard.append(line))
    with pytest.raises(qtforge.Error, match=r"//\*\*\*@127.0.0.1:1/alpha") as caught:
        manager.install(["alpha @ http://me:secret@127.0.0.1:1/alpha-1.0-py3-none-any.whl"])
    assert "secret" not in str(caught.value)
    assert "secret" not in "".join(heard)


def test_requirements_that_exclude_each_other_are_an_error(quick, venv):
    with pytest.raises(qtforge.Error, match="beta"):
        quick.install(["alpha", "gamma"])
    assert there(quick) == {}


def test_the_pip_of_the_environment_is_used_where_it_has_one(bare, wheels):
    manager = PackageManager(bare, wheel_folders=[wheels], offline=True, tool="pip")
    pretend_pip(bare, "print('the own pip'); raise SystemExit(7)")
    with pytest.raises(qtforge.Error, match="exit code 7:\n  the own pip"):
        manager.install(["beta"])


def test_the_pip_that_came_with_python_is_used_else(bare, wheels):
    manager = PackageManager(bare, wheel_folders=[wheels], offline=True, tool="pip")
    assert manager.install(["beta<2"]) == [Change("beta", "", "1.5")]


def test_a_missing_tool_is_an_error_that_says_what_to_do(monkeypatch, bare):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(qtforge.Error, match="no uv on PATH; install it"):
        PackageManager(bare, tool="uv").install(["beta"])
    manager = PackageManager(bare)
    manager._environment.bundled_pip = ""
    with pytest.raises(qtforge.Error, match="has no pip, and there is no uv on PATH; install uv, or run:.* -m ensurepip"):
        manager.install(["beta"])


def test_lines_and_steps_are_told_and_what_the_callback_raises_ends_it(venv, wheels):
    seen = []
    PackageManager(venv, wheel_folders=[wheels], offline=True, tool="pip", on_progress=lambda *one: seen.append(one)).install(
        ["beta<2"]
    )
    assert [one for one in seen if not one[1]] == [("plan", ""), ("install", "")]
    assert ("plan", "Would install beta-1.5") in seen
    assert ("install", "Successfully installed beta-1.5") in seen

    def refuse(step, line):
        if step == "install" and line:
            raise KeyError(line)

    manager = PackageManager(venv, wheel_folders=[wheels], offline=True, tool="pip", on_progress=refuse)
    with pytest.raises(KeyError):
        manager.install(["alpha"])
    assert there(manager) == {"beta": "1.5"}


# ---- All or nothing --------------------------------------------------------------------------------------------------------


def test_an_install_that_fails_midway_leaves_what_was(manager, venv):
    manager.install(["beta<2"])
    (site(venv) / "broken_z.py").mkdir()  # where a file must go
    (site(venv) / "broken_z.py" / "kept").write_text("mine")
    before = files(venv)
    with pytest.raises(qtforge.Error, match="is as it was") as caught:
        manager.install(["broken", "alpha", "beta==1.5"])
    assert caught.value.code is E.INSTALL_FAILED
    assert files(venv) == before
    assert there(manager) == {"beta": "1.5"}


@pytest.mark.parametrize("number", [15, 9])
def test_a_tool_that_is_killed_midway_leaves_what_was(venv, wheels, number):
    manager = PackageManager(venv, wheel_folders=[wheels], offline=True, tool="pip")
    PackageManager(venv, wheel_folders=[wheels], offline=True).install(["alpha<2"])
    # What a killed pip leaves: the old version taken away, a part of the new one, no RECORD.
    killed = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        if "--dry-run" in sys.argv:
            import json
            report = sys.argv[sys.argv.index("--report") + 1]
            planned = {{"metadata": {{"name": "alpha", "version": "2.0"}}, "download_info": {{}}, "is_direct": False}}
            Path(report).write_text(json.dumps({{"install": [planned]}}))
        else:
            site = Path({str(site(venv))!r})
            (site / "alpha-1.0.dist-info").rename(site / "~lpha-1.0.dist-info")
            (site / "alpha.py").write_text("half")
            (site / "alpha-2.0.dist-info").mkdir()
            print("half done", flush=True)
            os.kill(os.getpid(), {number})
    """)
    (site(venv) / "pip.pth").unlink()
    pretend_pip(venv, killed)
    before = files(venv)
    with pytest.raises(qtforge.Error, match=f"signal {number}:\n  half done\n.*is as it was"):
        manager.install(["alpha"])
    assert files(venv) == before


def test_what_cannot_be_put_back_is_told(venv, wheels):
    manager = PackageManager(venv, wheel_folders=[wheels], offline=True)
    manager.install(["alpha<2"])
    (site(venv) / "other.py").write_text("mine")

    def spoil(step, line):
        if step == "install" and line:
            (site(venv) / "other.py").unlink(missing_ok=True)
            raise qtforge.Error("enough")

    spoiling = PackageManager(venv, wheel_folders=[wheels], offline=True, on_progress=spoil)
    with pytest.raises(qtforge.Error, match=r"enough; .*HAS CHANGED: '.*other.py' is gone"):
        spoiling.install(["alpha==2.0"])
    assert there(manager) == {"alpha": "1.0", "beta": "1.5"}


def test_an_environment_is_changed_by_one_at_a_time(venv, wheels):
    begun, go_on = threading.Event(), threading.Event()

    def wait(step, line):
        begun.set()
        go_on.wait(60)

    first = PackageManager(venv, wheel_folders=[wheels], offline=True, on_progress=wait)
    thread = threading.Thread(target=first.install, args=(["alpha"],))
    thread.start()
    assert begun.wait(60)
    try:
        with pytest.raises(qtforge.Timeout, match="somebody else changes"):
            PackageManager(venv, wheel_folders=[wheels], offline=True, timeout=0.3).install(["beta"])
    finally:
        go_on.set()
        thread.join(60)
    second = PackageManager(venv, wheel_folders=[wheels], offline=True)
    assert second.install(["delta"]) == [Change("delta", "", "1.0")]
    assert there(second) == {"alpha": "2.0", "beta": "1.5", "delta": "1.0"}


# ---- Its end: time and cancellation ----------------------------------------------------------------------------------------


@pytest.fixture
def silent_index(monkeypatch):
    """An index that takes connections and never answers; (its URL, an event that is set by the first connection)."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked = threading.Event()
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            try:
                while True:
                    taken.append(server.accept()[0])
                    asked.set()
            except OSError:
                pass

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text().split())


@pytest.mark.parametrize("tool", TOOLS)
def test_an_index_that_never_answers_is_given_up_in_time(tool, venv, silent_index):
    before = children()
    manager = PackageManager(venv, index_url=silent_index[0], tool=tool, timeout=2)
    begin = time.monotonic()
    with pytest.raises(qtforge.Timeout, match="not done within 2 s"):
        manager.install(["alpha"])
    assert time.monotonic() - begin < 8
    assert silent_index[1].is_set()
    assert children() == before


@pytest.mark.parametrize("tool", TOOLS)
def test_cancellation_ends_it_at_once(tool, venv, silent_index):
    before = children()
    cancellation = Cancellation()
    manager = PackageManager(venv, index_url=silent_index[0], tool=tool, cancellation=cancellation)
    thread = threading.Thread(target=lambda: (silent_index[1].wait(30), cancellation.cancel()))
    thread.start()
    with pytest.raises(qtforge.Error, match="cancelled") as caught:
        manager.install(["alpha"])
    thread.join()
    assert caught.value.code is E.CANCELLED
    assert cancellation.cancelled
    assert children() == before
    with pytest.raises(qtforge.Error, match="cancelled"):  # and what comes after does not begin
        manager.install(["alpha"])


def test_whatever_a_child_does_nothing_of_it_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(_child, "_PATIENCE", 0.5)
    script = tmp_path / "stubborn.py"
    script.write_text(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, 1); time.sleep(600)'])\n"
        "print(inner.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    started = []
    cancellation = Cancellation()

    def cancel(line):
        started.append(int(line))
        cancellation.cancel()

    with pytest.raises(qtforge.Error, match="x: cancelled"):
        _child.run([sys.executable, str(script)], what="x", limits=_child.Limits(60, cancellation), on_line=cancel)
    until = time.monotonic() + 10
    while _alive(started[0]) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _alive(started[0])


def _alive(number) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- What is refused --------------------------------------------------------------------------------------------------------

REFUSED = ["-r other.txt", " --index-url=http://x", "alpha\n--no-index", "", "  ", "${HOME}/x", "a\0b"]
FOREIGN = [
    "alpha @ https://example.org/alpha.whl", "https://example.org/alpha.whl", "git+https://example.org/alpha", "./alpha",
    "/tmp/alpha", "~/alpha", "alpha @ file:///tmp/alpha.whl", "alpha.whl", "alpha-1.0.tar.gz", "alpha beta", "alpha>>1", "../x",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_be_an_option_is_refused_from_everybody(text, tmp_path):
    manager = PackageManager(offline=True)
    lock = partial(manager.lock, file=tmp_path / "lock.txt")
    for refuse in (manager.install, manager.install_named, manager.check, lock):
        with pytest.raises(ValueError, match="is refused: "):
            refuse(["beta", text])
    with pytest.raises(ValueError, match="is no name"):
        manager.uninstall([text])


@pytest.mark.parametrize("text", FOREIGN)
def test_manifests_may_only_name_packages(text):
    with pytest.raises(ValueError, match="is refused: "):
        PackageManager(offline=True).install_named([text])


def test_a_text_in_place_of_a_list_is_refused(venv):
    with pytest.raises(TypeError, match="a list of texts"):
        PackageManager(venv).install("alpha")


@pytest.mark.parametrize("wrong", [{"index_url": "--x"}, {"wheel_folders": ["/no/such"]}, {"tool": "conda"}])
def test_wrong_options_are_refused(venv, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PackageManager(venv, **wrong)


def test_a_target_that_is_no_environment_is_named(tmp_path):
    for target in (tmp_path, tmp_path / "none"):
        with pytest.raises(qtforge.Error, match="python -m venv") as caught:
            PackageManager(target)
        assert caught.value.code is E.PYTHON_NOT_FOUND


@pytest.mark.parametrize("tool", TOOLS)
def test_machine_settings_count_unless_the_host_says_offline(tool, venv, wheels, monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("PIP_NO_INDEX", "UV_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(wheels))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    manager = PackageManager(venv, tool=tool)
    assert manager.install(["beta<2"]) == [Change("beta", "", "1.5")]
    offline = PackageManager(venv, tool=tool, offline=True, wheel_folders=[empty])
    with pytest.raises(qtforge.Error, match="gamma"):
        offline.install(["gamma"])


@pytest.fixture
def index(monkeypatch, tmp_path):
    """Makes package indexes of wheels, and gives their URLs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def make(*wheels):
        root = tmp_path / f"index{len(servers)}"
        for one in wheels:
            folder = root / "simple" / one.name.partition("-")[0]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, folder)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/simple"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Whose listing of a folder is what an index shows of a package."""

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("configured", ["variables", "files"])
@pytest.mark.parametrize("tool", TOOLS)
def test_the_index_is_the_hosts(tool, configured, venv, wheels, index, monkeypatch, tmp_path):
    machine, host = index(wheels / "delta-1.0-py3-none-any.whl"), index(wheels / "beta-1.5-py3-none-any.whl")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "XDG_"))]:
        monkeypatch.delenv(name)
    if configured == "variables":
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", machine)
        monkeypatch.setenv("PIP_INDEX_URL", machine)
        monkeypatch.setenv("UV_INDEX_URL", machine)
    else:
        monkeypatch.setenv("HOME", str(tmp_path))
        for file, text in ((".config/pip/pip.conf", f"[global]\nindex-url = {machine}\nextra-index-url = {machine}\n"),
                           (".config/uv/uv.toml", f'index-url = "{machine}"\nextra-index-url = ["{machine}"]\n')):
            (tmp_path / file).parent.mkdir(parents=True)
            (tmp_path / file).write_text(text)
    own = PackageManager(venv, tool=tool, index_url=host)
    for install in (own.install, own.install_named):
        with pytest.raises(qtforge.Error, match="delta"):
            install(["delta"])
    assert PackageManager(venv, tool=tool).install(["delta"]) == [Change("delta", "", "1.0")]
    assert own.install_named(["beta"]) == [Change("beta", "", "1.5")]


@pytest.mark.parametrize("tool", TOOLS)
def test_manifests_get_wheels_only(tool, venv, tmp_path):
    source = tmp_path / "source" / "evil-1.0"
    source.mkdir(parents=True)
    (source / "backend.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (source / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'evil'\ndynamic = ['version']\n"
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    shutil.make_archive(str(source), "gztar", source.parent, source.name)
    manager = PackageManager(venv, wheel_folders=[source.parent], offline=True, tool=tool)
    with pytest.raises(qtforge.Error, match="evil"):
        manager.install_named(["evil"])
    assert not (tmp_path / "ran").exists()
    with pytest.raises(qtforge.Error, match="evil"):
        manager.install(["evil"])
    assert (tmp_path / "ran").exists()  # the host may


def test_manifests_replace_nothing(manager):
    manager.install(["beta<2"])
    with pytest.raises(qtforge.Error, match="beta 2.0 would replace 1.5, which is installed in") as caught:
        manager.install_named(["gamma"])
    assert caught.value.code is E.DEPENDENCY_VERSION
    assert there(manager) == {"beta": "1.5"}
    assert manager.install_named(["alpha"]) == [Change("alpha", "", "2.0")]


# ---- Check -------------------------------------------------------------------------------------------------------------------


def test_check_tells_all_that_is_missing_or_wrong(quick):
    quick.install(["alpha"])
    told = quick.check(["alpha>=3", "beta", "nobody[x]>1", "never; python_version < '3'", "Alpha"])
    assert [str(one) for one in told] == [
        f"alpha>=3: 2.0 is there, in '{quick.list()[0].location}'",
        "nobody[x]>1: not installed",
    ]
    assert told[0].installed == "2.0"


def test_check_looks_into_extras(quick):
    quick.install(["delta", "beta<2"])
    assert quick.check(["delta"]) == []
    assert quick.check(["delta[any]"]) == []
    missing, = quick.check(["delta[new]"])
    assert (missing.requirement, missing.needed_by, missing.installed) == ("beta>=2", "delta[new]", "1.5")


def test_check_without_requirements_looks_at_all_that_is_installed(quick):
    quick.install(["alpha"])
    assert quick.check() == []
    quick.uninstall(["beta"])
    broken, = quick.check()
    assert str(broken) == "beta<2 (needed by alpha): not installed"


def test_check_goes_by_what_would_be_imported(tmp_path, wheels):
    """Of two copies the first on the path counts, or the one that is imported; not merely one that is installed."""
    from qtforge._requirements import from_manifest, unmet

    first, second = tmp_path / "first", tmp_path / "second"
    for folder, number in ((first, "1.5"), (second, "2.0")):
        shutil.unpack_archive(wheels / f"beta-{number}-py3-none-any.whl", folder, "zip")
    newer = [from_manifest("beta>=2")]
    assert unmet(newer, [str(second), str(first)]) == []
    old, = unmet(newer, [str(first), str(second)])
    assert (old.installed, old.where) == ("1.5", str(first))
    assert unmet(newer, [str(first)], own=[str(second)]) == []
    # A module that hides a distribution.
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "beta.py").write_text("")
    hidden, = unmet(newer, [str(second)], own=[str(tmp_path / "own")])
    assert "hidden by" in str(hidden)
    assert str(tmp_path / "own" / "beta.py") in str(hidden)
    # But not by a module that has nothing to do with it.
    (tmp_path / "own" / "tests.py").write_text("")
    for name, module in (("tested", "tested.py"), ("kit", "kit_a.py")):
        made = wheel(tmp_path, name, "1.0", files={module: "", "tests.py": ""})
        shutil.unpack_archive(made, second, "zip")
        assert unmet([from_manifest(name)], [str(second)], own=[str(tmp_path / "own")]) == []
    # What is imported stays, whatever the path says later.
    sys.path.insert(0, str(first))
    try:
        import beta  # noqa: F401

        imported, = unmet(newer, [str(second), str(first)])
        assert (imported.installed, imported.where) == ("1.5", str(first))
        assert unmet(newer, [str(second), str(first)], process=False) == []
    finally:
        sys.path.remove(str(first))
        sys.modules.pop("beta", None)


# ---- Lock and sync ----------------------------------------------------------------------------------------------------------


def test_lock_and_sync_install_the_very_same(manager, venv, wheels, tmp_path):
    file = tmp_path / "lock.txt"
    manager.lock(["alpha<2"], file)
    assert there(manager) == {}
    assert "alpha==1.0 \\\n    --hash=sha256:" in file.read_text()
    assert manager.sync(file) == [Change("alpha", "", "1.0"), Change("beta", "", "1.5")]
    assert manager.sync(file) == []
    manager.install(["delta", "alpha==2.0"])
    assert manager.sync(file) == [Change("alpha", "2.0", "1.0")]
    assert manager.sync(file, remove_others=True) == [Change("delta", "1.0", "")]


def test_sync_refuses_another_hash_and_changes_nothing(manager, tmp_path):
    file = tmp_path / "lock.txt"
    manager.lock(["alpha"], file)
    text = file.read_text()
    at = text.index("sha256:") + 7
    file.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    with pytest.raises(qtforge.Error, match="(?i)hash") as caught:
        manager.sync(file)
    assert caught.value.code is E.INSTALL_FAILED
    assert there(manager) == {}


@pytest.mark.parametrize(
    "line", ["alpha==1.0", "alpha>=1.0 --hash=sha256:" + "0" * 64, "-r other", "alpha @ file:///x --hash=sha256:" + "0" * 64,
             "--index-url http://x", "alpha==1.* --hash=sha256:" + "0" * 64, "alpha==1 --hash=md5:" + "0" * 32]
)
def test_sync_takes_nothing_but_versions_with_hashes(venv, tmp_path, line):
    (tmp_path / "lock.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"lock\.txt"):
        PackageManager(venv).sync(tmp_path / "lock.txt")


def test_a_lock_that_fails_leaves_the_file(quick, tmp_path):
    (tmp_path / "lock.txt").write_text("mine")
    with pytest.raises(qtforge.Error, match="nobody"):
        quick.lock(["nobody"], tmp_path / "lock.txt")
    assert [path.name for path in tmp_path.glob("lock*")] == ["lock.txt"]
    assert (tmp_path / "lock.txt").read_text() == "mine"


# ---- Environments -----------------------------------------------------------------------------------------------------------


def test_an_environment_is_made_and_used(tmp_path, wheels):
    made = PackageManager().create_environment(tmp_path / "new", with_pip=False)
    assert made == tmp_path / "new"
    manager = PackageManager(made, wheel_folders=[wheels], offline=True)
    assert manager.install(["beta==2"]) == [Change("beta", "", "2.0")]
    with pytest.raises(qtforge.Error, match="there is something already") as caught:
        manager.create_environment(made)
    assert caught.value.code is E.FILE_FAILED
    assert there(manager) == {"beta": "2.0"}


def test_an_environment_that_is_not_finished_is_taken_away(tmp_path):
    manager = PackageManager(timeout=0.8)  # seconds: enough for its folders, not for pip
    for there_before in (False, True):
        with pytest.raises(qtforge.Timeout, match="not done within"):
            manager.create_environment(tmp_path / "new")
        assert (tmp_path / "new").exists() == there_before
        (tmp_path / "new").mkdir(exist_ok=True)
    assert list((tmp_path / "new").iterdir()) == []


# ---- In the environment of the process ----------------------------------------------------------------------------------------


def inside(venv, wheels, text):
    """Runs a program in the environment, which does not have `packaging`."""
    head = f"""
        import qtforge
        from qtforge.packages import PackageManager
        manager = PackageManager(wheel_folders=[{str(wheels)!r}], offline=True)
        """
    ran = subprocess.run(
        [venv / "bin" / "python", "-W", "error", "-c", textwrap.dedent(head) + textwrap.dedent(text)],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("site_packages", ["there", "not there"])
def test_what_is_new_can_be_imported_at_once(bare, wheels, site_packages):
    if site_packages == "not there":
        shutil.rmtree(site(bare))
    program = """
        try:
            import alpha
        except ImportError:
            manager.install(["alpha"])
        import alpha
        print(alpha.VERSION)
        """
    assert inside(bare, wheels, program) == "2.0\n"


def test_what_is_imported_is_not_replaced(venv, wheels):
    program = """
        manager.install(["beta<2", "alpha<2"])
        import beta
        for change in (lambda: manager.install(["beta==2"]), lambda: manager.uninstall(["beta"])):
            try:
                change()
                print("changed")
            except qtforge.Error as error:
                print(error.code.name, "beta 1.5 (by 2.0)" in str(error), "beta 1.5 (by nothing)" in str(error))
        print([str(one) for one in manager.install(["alpha==2"])])
        """
    assert inside(venv, wheels, program).splitlines() == [
        "DEPENDENCY_VERSION True False", "DEPENDENCY_VERSION False True", "['alpha 1.0 -> 2.0']",
    ]


# ---- Plugins ----------------------------------------------------------------------------------------------------------------

PLUGIN = "from qtforge.core import IPlugin\nclass Sample(IPlugin):\n    pass\n"


def test_a_plugin_whose_requirements_are_met_is_loaded(plugin_folder):
    met = ["packaging>=20", "never; python_version < '3'", "pytest"]
    with qtforge.load(str(plugin_folder("met", PLUGIN, python_requirements=met))) as plugin:
        assert plugin.name == "met"


def test_all_that_a_plugin_misses_is_told(plugin_folder):
    from importlib.metadata import version

    needs = ["nobody>=1", "pytest>=1000", "packaging", "noone[x]; python_version > '3'"]
    folder = plugin_folder("unmet", "raise RuntimeError('must not run')", python_requirements=needs)
    with pytest.raises(qtforge.PluginError) as caught:
        qtforge.load(str(folder))
    assert caught.value.code is E.DEPENDENCY_MISSING
    told = str(caught.value)
    assert "nobody>=1: not installed" in told
    assert f"pytest>=1000: {version('pytest')} is there" in told
    assert "noone[x]: not installed" in told
    assert "packaging" not in told.replace("packages", "")
    assert "pip install 'nobody>=1' 'pytest>=1000' 'noone[x]'" in told
    assert "installPackages" in told


def test_a_conflict_alone_has_its_own_code(plugin_folder):
    with pytest.raises(qtforge.PluginError, match="pytest<1") as caught:
        qtforge.load(str(plugin_folder("conflict", PLUGIN, python_requirements=["pytest<1"])))
    assert caught.value.code is E.DEPENDENCY_VERSION


def test_requirements_that_are_none_are_named_with_their_place(plugin_folder):
    wrong = ["pytest", "git+https://example.org/x", "-r x"]
    with pytest.raises(qtforge.PluginError) as caught:
        qtforge.load(str(plugin_folder("wrong", PLUGIN, python_requirements=wrong)))
    assert caught.value.code is E.MANIFEST_INVALID
    assert "/python_requirements/1: 'git+https://example.org/x' is refused" in str(caught.value)
    assert "/python_requirements/2: '-r x' is refused" in str(caught.value)


def test_a_plugin_may_bring_its_own_copy(plugin_folder, wheels):
    folder = plugin_folder(
        "vendors", "import beta\n" + PLUGIN + "    version = lambda self: beta.VERSION\n",
        python_requirements=["beta==2"], python_config={"sys_path_additions": ["vendored"]},
    )
    shutil.unpack_archive(wheels / "beta-2.0-py3-none-any.whl", folder / "vendored", "zip")
    with qtforge.load(str(folder)) as plugin:
        assert plugin.version == "2.0"
    assert json.loads((folder / "plugin.json").read_text())["python_requirements"] == ["beta==2"]
