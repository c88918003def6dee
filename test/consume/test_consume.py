"""A host and a native plugin, built by each way in which a C++ project can take qtforge, and run as they come out."""
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CXX = os.environ.get("CXX", "c++").split()


def run(*command, cwd=None, env=None, timeout=300):
    ran = subprocess.run([str(part) for part in command], cwd=cwd, env=env, text=True, capture_output=True, timeout=timeout)
    assert ran.returncode == 0, f"{' '.join(map(str, command))}\n{ran.stdout[-4000:]}\n{ran.stderr[-6000:]}"
    return ran.stdout


@pytest.fixture
def prefix():
    assert os.environ.get("QTFORGE_PREFIX"), "QTFORGE_PREFIX must say where qtforge is installed: ./tools/dev test does"
    return Path(os.environ["QTFORGE_PREFIX"])


@pytest.fixture
def sources(tmp_path):
    """A copy of the consumer, far from qtforge's own tree."""
    folder = tmp_path / "consumer"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py[co]", "__pycache__", "test_*"))
    return folder


def check(host, library, sources, *, python=True):
    """The host hears 21 from the native plugin and 22 from the Python one; the plugin shows one symbol."""
    symbols = run("nm", "--dynamic", "--defined-only", "--extern-only", library).split("\n")
    assert [line.split()[-1] for line in symbols if line] == ["qtforge_plugin_v1"]
    shutil.copy(library, sources / "native_answer" / "answer.so")
    plain = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PYTHONPATH")}
    plugins = [sources / "native_answer", *([sources / "python_answer"] if python else [])]
    assert run(host, *plugins, cwd=sources.parent, env=plain) == f"sum of the answers: {43 if python else 21}\n"


def pkg_config(prefix, *packages):
    env = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    return run("pkg-config", "--cflags", "--libs", *packages, env=env).split()


@pytest.mark.timeout(600)
def test_pkg_config(prefix, sources):
    build = [*CXX, "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    run(*build, "-shared", "native_answer/answer.cpp", "-o", "answer.so", *pkg_config(prefix, "qtforge-plugin"), cwd=sources)
    run(*build, "host.cpp", "-o", "plain_host", *pkg_config(prefix, "qtforge"), cwd=sources)
    check(sources / "plain_host", sources / "answer.so", sources, python=False)
    run(*build, "-DCONSUME_PYTHON", "host.cpp", "-o", "host", *pkg_config(prefix, "qtforge-python"), cwd=sources)
    check(sources / "host", sources / "answer.so", sources)


@pytest.mark.timeout(600)
def test_cmake(prefix, sources):
    run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=sources)
    run("cmake", "--build", "build", cwd=sources)
    check(sources / "build" / "host", sources / "build" / "answer.so", sources)


def test_cmake_refuses_another_series(prefix, sources):
    listing = sources / "CMakeLists.txt"
    listing.write_text(listing.read_text().replace("qtforge 0.1 ", "qtforge 0.2 "))
    ran = subprocess.run(["cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}"], cwd=sources, text=True,
                         capture_output=True)
    assert ran.returncode != 0 and "0.1.0" in ran.stderr


@pytest.mark.timeout(900)
def test_meson_subproject(sources):
    """Built, and installed: what the project installs must still find Boost and the right libpython."""
    (sources / "subprojects").mkdir()
    (sources / "subprojects" / "qtforge").symlink_to(ROOT)
    # Unoptimised: it compiles the extension too.
    run("meson", "setup", "build", "--buildtype=debug", f"--prefix={sources.parent / 'installed'}", cwd=sources)
    run("meson", "compile", "-C", "build", cwd=sources, timeout=800)
    check(sources / "build" / "host", sources / "build" / "answer.so", sources)
    run("meson", "install", "-C", "build", "--quiet", cwd=sources)
    libraries = run("ldd", sources.parent / "installed" / "bin" / "host")
    assert f"{sysconfig.get_config_var('LIBDIR')}/libpython" in libraries, libraries
    check(sources.parent / "installed" / "bin" / "host", sources / "build" / "answer.so", sources)
