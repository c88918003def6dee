"""What a plugin's python_config gives it, how it is taken back, and its modules in other processes."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import qtforge
from qtforge import ErrorCode

sys.path.insert(0, str(Path(__file__).parent / "support"))
from wheels import wheel

PLUGIN = """
    import os, sys
    from qtforge.core import IPlugin
    class Sample(IPlugin):
        at_import = {name: os.environ.get(name) for name in ("QF_ONE", "QF_TWO", "PYTHONPATH")}
"""


@pytest.fixture
def venv(tmp_path):
    """Makes an environment in a plugin's folder, with distributions in it, and gives its site-packages."""

    def make(folder, *distributions):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        site = next((folder / "venv").glob("lib/python*/site-packages"))
        for name, version in distributions:
            shutil.unpack_archive(wheel(tmp_path, name, version), site, "zip")
        return Path(os.path.realpath(site))

    return make


@pytest.fixture(autouse=True)
def unchanged():
    """Whatever a plugin does, the process is what it was before, but for what a test allows."""
    path, variables = list(sys.path), dict(os.environ)
    yield
    variables["PYTEST_CURRENT_TEST"] = os.environ["PYTEST_CURRENT_TEST"]
    assert (sys.path, dict(os.environ)) == (path, variables)


# ---- Variables ----------------------------------------------------------------------------------------------------------


def test_variables_are_there_at_the_import_and_gone_after_the_unload(plugin_folder):
    folder = plugin_folder("variables", PLUGIN, python_config={"environment_variables": {"QF_ONE": "1", "QF_TWO": ""}})
    with qtforge.load(folder) as plugin:
        assert plugin.object.at_import["QF_ONE"] == "1"
        assert subprocess.run(["sh", "-c", "echo $QF_ONE"], capture_output=True, text=True).stdout == "1\n"
    assert "QF_ONE" not in os.environ and "QF_TWO" not in os.environ


@pytest.mark.parametrize(
    "source", ["raise RuntimeError", "from qtforge.core import IPlugin\nclass Other(IPlugin): pass"]
)
def test_variables_are_taken_back_when_the_load_fails(plugin_folder, source):
    folder = plugin_folder("failing", source, python_config={"environment_variables": {"QF_ONE": "1"}})
    with pytest.raises(qtforge.PluginError):
        qtforge.load(folder)
    assert "QF_ONE" not in os.environ
    unmet = plugin_folder(
        "unmet",
        PLUGIN,
        python_requirements=["nobody-has-this"],
        python_config={"environment_variables": {"QF_ONE": "1"}},
    )
    with pytest.raises(qtforge.PluginError, match="nobody-has-this"):
        qtforge.load(unmet)
    assert "QF_ONE" not in os.environ


def test_the_hosts_values_win(plugin_folder, monkeypatch):
    monkeypatch.setenv("QF_ONE", "hosts")
    folder = plugin_folder("loses", PLUGIN, python_config={"environment_variables": {"QF_ONE": "1", "QF_TWO": "2"}})
    with qtforge.load(folder) as plugin:
        assert plugin.object.at_import["QF_ONE"] == "hosts"
        assert plugin.object.at_import["QF_TWO"] == "2"
    assert os.environ["QF_ONE"] == "hosts"
    monkeypatch.undo()


def test_what_somebody_changed_meanwhile_stays(plugin_folder):
    with qtforge.load(plugin_folder("early", PLUGIN, python_config={"environment_variables": {"QF_ONE": "1"}})):
        os.environ["QF_ONE"] = "later"
    assert os.environ.pop("QF_ONE") == "later"


def test_relative_entries_of_PYTHONPATH_are_in_the_plugins_folder(plugin_folder, monkeypatch):
    before = os.environ.get("PYTHONPATH")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    folder = plugin_folder(
        "paths", PLUGIN, python_config={"environment_variables": {"PYTHONPATH": "./lib::/abs:x/../y"}}
    )
    with qtforge.load(folder) as plugin:
        assert plugin.object.at_import["PYTHONPATH"] == f"{folder}/lib:/abs:{folder}/y"
    monkeypatch.undo()
    assert os.environ.get("PYTHONPATH") == before


def test_plugins_that_want_different_values_are_both_named(plugin_folder):
    fast = plugin_folder("fast", PLUGIN, python_config={"environment_variables": {"QF_ONE": "1"}})
    same = plugin_folder("same", PLUGIN, python_config={"environment_variables": {"QF_ONE": "1"}})
    safe = plugin_folder("safe", PLUGIN, python_config={"environment_variables": {"QF_TWO": "2", "QF_ONE": "0"}})
    first, second = qtforge.load(fast), qtforge.load(same)
    with pytest.raises(qtforge.PluginError, match="/environment_variables/QF_ONE: 'safe' wants '0', 'fast'") as caught:
        qtforge.load(safe)
    assert caught.value.code is ErrorCode.PLUGIN_INCOMPATIBLE
    assert "QF_TWO" not in os.environ  # as a whole or not at all
    first.unload()
    assert os.environ["QF_ONE"] == "1"
    with pytest.raises(qtforge.PluginError, match="'safe' wants '0', 'same'"):
        qtforge.load(safe)
    second.unload()
    with qtforge.load(safe) as plugin:
        assert plugin.object.at_import["QF_ONE"] == "0"


# ---- Packages of its own environment ------------------------------------------------------------------------------------


def test_packages_of_the_plugins_environment_are_found_and_meet_requirements(program, plugin_folder, venv):
    source = "import alpha_of_venv\n    from qtforge.core import IPlugin\n    class Sample(IPlugin): pass"
    folder = plugin_folder(
        "own", "    " + source, python_requirements=["alpha_of_venv==1.0"], python_config={"virtual_env": "./venv"}
    )
    site = venv(folder, ("alpha_of_venv", "1.0"))
    ran = program(f"""
        import qtforge, sys
        before = list(sys.path)
        for _ in range(2):
            with qtforge.load({str(folder)!r}):
                assert sys.path == [*before, {str(site)!r}], sys.path
        # What was imported from there may import more.
        assert sys.path[-1] == {str(site)!r} == sys.modules["alpha_of_venv"].__file__.rpartition("/")[0]
        print("fine")
    """)
    assert ran.stdout == "fine\n"


def test_a_folder_from_which_nothing_was_imported_leaves_the_path(plugin_folder, venv):
    folder = plugin_folder("unused", PLUGIN, python_config={"virtual_env": "venv"})
    site = venv(folder)
    with qtforge.load(folder):
        assert sys.path[-1] == str(site)
    assert str(site) not in sys.path


def test_packages_in_two_versions_are_named_with_both(plugin_folder, venv):
    folder = plugin_folder("two", PLUGIN, python_config={"virtual_env": "venv"})
    site = venv(folder, ("pytest", "0.1"), ("pip", "0.1"), ("setuptools", "0.1"), ("beta_of_venv", "1.0"))
    with pytest.raises(qtforge.PluginError) as caught:
        qtforge.load(folder)
    assert caught.value.code is ErrorCode.DEPENDENCY_VERSION
    told = str(caught.value)
    assert f"pytest==0.1 is in '{site}', but {pytest.__version__} in '" in told
    assert "setuptools" not in told and "beta_of_venv" not in told and "pip" not in told.replace("pip-", "")


def test_the_same_version_twice_is_no_conflict(plugin_folder, venv):
    folder = plugin_folder("same_version", PLUGIN, python_config={"virtual_env": "venv"})
    venv(folder, ("pytest", pytest.__version__))
    qtforge.load(folder).unload()


def test_two_plugins_environments_exclude_each_other_too(plugin_folder, venv):
    one = plugin_folder("one_env", PLUGIN, python_config={"virtual_env": "venv"})
    two = plugin_folder("two_env", PLUGIN, python_config={"virtual_env": "venv"})
    here, there = venv(one, ("gamma", "1.0")), venv(two, ("gamma", "2.0"))
    with qtforge.load(one):
        with pytest.raises(qtforge.PluginError) as caught:
            qtforge.load(two)
        assert f"gamma==2.0 is in '{there}', but 1.0 in '{here}'" in str(caught.value)
    qtforge.load(two).unload()


def test_pth_files_run_only_where_the_manifest_says_so(program, plugin_folder, venv):
    source = PLUGIN + "        seen = getattr(sys, 'from_pth', None), 'more' in str(sys.path)\n"
    seen = []
    for pth in (False, True):
        folder = plugin_folder(f"pth_{pth}".lower(), source, python_config={"virtual_env": "venv", "pth_files": pth})
        site = venv(folder)
        (site / "x.pth").write_text("import sys; sys.from_pth = 'ran'\nmore\n")
        (site / "more").mkdir()
        seen.append(
            program(f"""
                import qtforge
                with qtforge.load({str(folder)!r}) as plugin:
                    print(plugin.object.seen)
            """)
        )
    assert [ran.stdout for ran in seen] == ["(None, False)\n", "('ran', True)\n"]
    assert "not read: x.pth" in seen[0].stderr
    assert "not read" not in seen[1].stderr


# ---- Private modules ----------------------------------------------------------------------------------------------------


def test_pickles_load_again_after_a_reload(plugin_folder):
    source = """
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def make(self):
                import shapes
                return shapes.Square(3)
    """
    folder = plugin_folder("pickles", source)
    (folder / "shapes.py").write_text("class Square:\n    def __init__(self, n): self.n = n\n")
    with qtforge.load(folder) as plugin:
        kept = pickle.dumps(plugin.object.make())
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(kept)
    with qtforge.load(folder) as plugin:
        again = pickle.loads(kept)  # before the plugin has imported that module
        assert again.n == 3
        assert type(again) is type(plugin.object.make())
        assert type(again).__module__ == "qtforge_plugins.pickles.shapes"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_find_the_modules_of_both_plugins(program, plugin_folder, method):
    source = """
        import multiprocessing
        import utils
        from qtforge.core import IPlugin
        def work(n):
            return utils.N + n
        class Sample(IPlugin):
            def run(self, method):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    return pool.map(work, [1, 2]), pool.apply(utils.deep, ())
    """
    folders = []
    for name, number in (("child.a", 10), ("child_b", 20)):
        folder = plugin_folder(name, source)
        (folder / "lib").mkdir()
        (folder / "lib" / "__init__.py").write_text("")
        (folder / "lib" / "inner.py").write_text("from utils import N\n")
        (folder / "utils.py").write_text(f"N = {number}\ndef deep():\n    from lib.inner import N\n    return N\n")
        folders.append(str(folder))
    ran = program(f"""
        import qtforge
        if __name__ == "__main__":
            plugins = [qtforge.load(folder) for folder in {folders!r}]
            print([plugin.object.run({method!r}) for plugin in plugins])
            for plugin in plugins:
                plugin.unload()
    """)
    assert ran.stdout == "[([11, 12], 10), ([21, 22], 20)]\n"


def test_a_variable_of_somebody_elses_does_no_harm(program, plugin_folder):
    folder = plugin_folder("careless", PLUGIN)
    for value in ("{", "[]", "{}"):
        program(f"import qtforge\nqtforge.load({str(folder)!r}).unload()\n", QTFORGE_PLUGIN_FOLDERS=value)
