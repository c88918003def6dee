"""Programs made of many binaries have one bus: every one in them hears every one, once, and knows who it was."""

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ["QTFORGE_BUILD_ROOT"])
BUILT = BUILD / "test" / "one_process"
PACKAGE = os.environ["QTFORGE_PACKAGE_PATH"]
pytestmark = pytest.mark.skipif(not list(BUILT.glob("host_*")), reason="built without an embedded Python")

# Who takes part, and the sender of what it publishes: what is no plugin speaks in the host's name.
SENDERS = {
    "host": "host",
    "application": "host",
    "joined": "host",
    "script": "host",
    "one": "native_one",
    "two": "native_two",
    "three": "python_three",
}


def run(*command, limit=60, **env):
    """What a program that ends well and in time wrote."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        ran = subprocess.run([*map(str, command)], env={**plain, **env}, text=True, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"did not end within {limit} s\n{late.stdout}\n{late.stderr}")
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran


def check_all_heard_all(folder, *participants):
    """Also returns the threads on which C++ handlers were called."""
    assert sorted(file.stem for file in folder.glob("*.txt")) == sorted(participants)
    threads = set()
    for listener in participants:
        heard = [line.split() for line in (folder / f"{listener}.txt").read_text().splitlines()]
        assert sorted(line[:2] for line in heard) == sorted([who, SENDERS[who]] for who in participants), listener
        threads |= {thread for _, _, thread in heard}
    return threads - {"python"}


def boost_of(library):
    """The Boost in a native plugin's ABI tag, as 1_90."""
    tag = run("readelf", "--string-dump=qtforge_abi", library).stdout
    return tag.split("boost=")[1].split()[0]


@pytest.mark.parametrize("first", ["host", "application"])
@pytest.mark.parametrize("joined", ["joined_own", "joined_merged"])
@pytest.mark.parametrize("visibility", ["default", "hidden", "symbolic"])
@pytest.mark.parametrize("exports", ["plain", "rdynamic"])
def test_a_host_its_libraries_and_plugins_of_both_languages_share_the_bus(exports, visibility, joined, first, tmp_path):
    ran = run(BUILT / f"host_{exports}_{visibility}", first, BUILT, BUILT / f"{joined}.so", HERE / "python_three",
              QTFORGE_TEST_FOLDER=str(tmp_path))
    threads = check_all_heard_all(tmp_path, "host", "application", "joined", "one", "two", "three")
    assert len(threads) == 1, "the host gave its runtime one thread"
    early = "NoRuntime" if joined == "joined_own" else "the host's root"
    assert ran.stdout == f"before join: {early}\n"


def test_any_host_shows_its_root_to_libraries_that_it_loads():
    """So that one which includes host.hpp makes no second bus."""
    shown = symbols(BUILD / "test" / "embed" / "hosts")
    assert [name for name in shown if name.startswith("qtforge_root_v1")]


def test_a_host_that_starts_python_after_an_import_of_the_package_is_told(tmp_path):
    assert "before anything imports qtforge" in run(BUILT / "host_plain_default", "import", PACKAGE).stdout


@pytest.mark.parametrize("flags", ["RTLD_NOW", "RTLD_NOW | os.RTLD_GLOBAL"])
def test_a_python_program_and_the_plugins_it_loads_share_the_bus(flags, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(f"""\
        import os, sys
        sys.setdlopenflags(os.{flags})
        import qtforge

        heard = []
        bus = qtforge.MessageBus.instance()
        bus.subscribe("hello.*", heard.append, envelope=True)
        plugins = [qtforge.load(path) for path in sys.argv[2:]]
        for plugin in plugins:
            plugin.initialize()
        bus.publish("hello.script", "script")
        for plugin in plugins:
            plugin.activate()
        bus.drain(20)
        for plugin in plugins:
            plugin.unload()
        with open(sys.argv[1], "w") as file:
            file.writelines(f"{{hello.payload}} {{hello.sender}} python\\n" for hello in heard)
        """))
    heard = tmp_path / "heard"
    heard.mkdir()
    run(sys.executable, "-W", "error", script, heard / "script.txt", BUILT / "native_one.so", BUILT / "native_two.so",
        HERE / "python_three", PYTHONPATH=PACKAGE, QTFORGE_TEST_FOLDER=str(heard))
    check_all_heard_all(heard, "script", "one", "two", "three")


@pytest.mark.timeout(600)
def test_a_host_of_another_boost_that_exports_all_works_with_the_extension(tmp_path):
    prefix = os.environ.get("QTFORGE_OTHER_BOOST")
    if not prefix:
        pytest.skip("QTFORGE_OTHER_BOOST names no second Boost: ./tools/dev test prepares one")
    get = sysconfig.get_config_var
    compiler = os.environ.get("CXX", "c++").split()
    if shutil.which("ccache") and "ccache" not in compiler[0]:
        compiler.insert(0, "ccache")
    run(*compiler, "-std=c++20", "-O0", "-pthread", "-DBOOST_ALL_NO_LIB", f'-DQTFORGE_PYTHON_EXECUTABLE="{sys.executable}"',
        f'-DQTFORGE_PACKAGE_DIR="{PACKAGE}"', "-I", ROOT / "include", "-isystem", f"{prefix}/include",
        "-isystem", get("INCLUDEPY"), "-c", HERE / "other_boost_host.cpp", "-o", tmp_path / "host.o", limit=500)
    run(*compiler, "-pthread", "-rdynamic", tmp_path / "host.o", "-o", tmp_path / "host", f"-L{get('LIBDIR')}",
        f"-Wl,-rpath,{get('LIBDIR')}", f"-lpython{get('LDVERSION')}", "-ldl")
    heard = tmp_path / "heard"
    heard.mkdir()

    ran = run(tmp_path / "host", HERE / "python_three", BUILT / "native_one.so", BUILT / "joined_merged.so",
              QTFORGE_TEST_FOLDER=str(heard))

    check_all_heard_all(heard, "host", "three")
    boost, failure, refused = ran.stdout.splitlines()
    own, other = boost_of(BUILT / "native_one.so"), boost.removeprefix("boost: ")
    assert own != other, "both of one Boost: nothing was shown"
    assert "LookupError: nothing for 1" in failure
    assert f"boost={own}" in refused and f"boost={other}" in refused, refused


def symbols(library):
    listed = run("nm", "--dynamic", "--defined-only", library).stdout.splitlines()
    return [line.split()[-1] for line in listed]


def native_plugins():
    """All that were built, but for the fixtures that are wrong in just this."""
    wrong = {"native_exports", "native_no_entry", "native_plain"}
    fixtures = [file for file in (BUILD / "test" / "plugins").glob("native_*/*.so") if file.parent.name not in wrong]
    return [*BUILT.glob("native_*.so"), *fixtures, *(BUILD / "samples").glob("**/*.so")]


def test_native_plugins_export_their_entry_alone():
    plugins = native_plugins()
    assert len(plugins) > 5
    assert {file.name: symbols(file) for file in plugins} == {file.name: ["qtforge_plugin_v1"] for file in plugins}


def test_the_extension_exports_its_entry_alone():
    (extension,) = Path(PACKAGE).glob("qtforge/_qtforge.*.so")
    assert symbols(extension) == ["PyInit__qtforge"]
