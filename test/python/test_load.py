"""qtforge.load: plugins from folders, in plain Python."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import qtforge
from qtforge import ErrorCode, PluginState

SAMPLE = """
    import qtforge
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def __init__(self):
            self.steps = []

        def initialize(self):
            self.steps.append("initialize")
            self.bus = qtforge.MessageBus.instance()
            self.bus.subscribe("load.ping", self.on_ping)

        def activate(self):
            self.steps.append("activate")
            return True

        def deactivate(self):
            self.steps.append("deactivate")

        def cleanup(self):
            self.steps.append("cleanup")

        def on_ping(self, n):
            self.bus.publish("load.pong", [self.name(), self.version(), int(self.state()), n])
"""


def test_a_plugin_goes_through_its_states(bus, inbox, plugin_folder):
    got = inbox("load.pong", envelope=True)
    plugin = qtforge.load(plugin_folder("sample", SAMPLE))
    assert (plugin.name, plugin.version, plugin.state) == ("sample", "1.2.3", PluginState.LOADED)
    plugin.initialize()
    assert plugin.state is PluginState.INITIALIZED
    plugin.activate()
    assert plugin.state is PluginState.ACTIVE
    assert bus.publish("load.ping", 5) == 1
    message = got.get()
    assert message.payload == ["sample", "1.2.3", int(PluginState.ACTIVE), 5]
    assert message.sender == "sample"
    instance = plugin.object
    assert instance.state() is PluginState.ACTIVE
    plugin.deactivate()
    plugin.cleanup()
    assert plugin.state is PluginState.LOADED
    assert instance.steps == ["initialize", "activate", "deactivate", "cleanup"]
    plugin.unload()
    assert plugin.state is PluginState.UNLOADED
    assert instance.state() is PluginState.UNLOADED
    assert bus.publish("load.ping", 6) == 0
    plugin.unload()


def test_a_block_unloads_its_plugin_in_order(bus, plugin_folder):
    with qtforge.load(str(plugin_folder("block", SAMPLE))) as plugin:
        plugin.initialize()
        plugin.activate()
        instance = plugin.object
    assert instance.steps == ["initialize", "activate", "deactivate", "cleanup"]
    assert bus.publish("load.ping", 1) == 0


def test_a_step_that_is_not_possible_raises_and_never_reaches_the_plugin(plugin_folder):
    with qtforge.load(plugin_folder("early", SAMPLE)) as plugin:
        with pytest.raises(qtforge.PluginError) as caught:
            plugin.activate()
        assert caught.value.code is ErrorCode.ILLEGAL_TRANSITION
        assert plugin.object.steps == []


def test_a_plugin_in_error_is_tried_again_from_a_clean_state(bus, plugin_folder):
    source = """
        from qtforge import MessageBus
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def __init__(self):
                self.steps = []
            def initialize(self):
                self.steps.append("initialize")
                self.on_unload(lambda: self.steps.append("taken back"))
                MessageBus.instance().subscribe("load.again", self.steps.append, owner=self)
                return len(self.steps) > 1
            def cleanup(self):
                self.steps.append("cleanup")
    """
    with qtforge.load(plugin_folder("again", source)) as plugin:
        with pytest.raises(qtforge.PluginError, match="initialize"):
            plugin.initialize()
        assert plugin.state is PluginState.ERROR
        plugin.initialize()
        assert plugin.state is PluginState.INITIALIZED
        assert plugin.object.steps == ["initialize", "cleanup", "taken back", "initialize"]
        assert bus.publish("load.again", "once") == 1  # what the first try subscribed has ended
        bus.drain()
        assert plugin.object.steps[4:] == ["once"]


def test_what_the_class_says_goes_before_the_manifest(plugin_folder):
    source = """
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def description(self): return "from the class"
    """
    with qtforge.load(plugin_folder("described", source, description="from the manifest", author="A")) as plugin:
        assert (plugin.name, plugin.description, plugin.author) == ("described", "from the class", "A")
        assert (plugin.object.name(), plugin.object.author()) == ("described", "A")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return False", "initialize"),
        ("raise KeyError('as planned')", "as planned"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_an_initialize_that_fails_raises_PluginError(plugin_folder, body, words):
    source = f"""
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def initialize(self):
                {body}
    """
    with qtforge.load(plugin_folder("failing", source)) as plugin:
        with pytest.raises(qtforge.PluginError, match=words) as caught:
            plugin.initialize()
        assert caught.value.code is ErrorCode.HOOK_FAILED
        assert plugin.state is PluginState.ERROR
        if "KeyError" in body:
            assert caught.value.python_type.endswith("KeyError")
            assert "main.py" in caught.value.traceback


@pytest.mark.parametrize(
    ("code", "source", "manifest"),
    [
        (ErrorCode.IMPORT_FAILED, "import there_is_no_such_module", {}),
        (ErrorCode.IMPORT_FAILED, "def broken(:", {}),
        (ErrorCode.PLUGIN_CLASS_MISSING, "", {}),
        (ErrorCode.NOT_A_PLUGIN, "class Sample: pass", {}),
        (ErrorCode.ENTRY_POINT_INVALID, "", {"entry_point": "other.py"}),
        (ErrorCode.ENTRY_POINT_INVALID, "", {"entry_point": "../other.py"}),
        (ErrorCode.MANIFEST_INVALID, "", {"version": 3}),
    ],
)
def test_a_plugin_that_cannot_be_loaded_raises_with_its_code(plugin_folder, code, source, manifest):
    with pytest.raises(qtforge.PluginError) as caught:
        qtforge.load(plugin_folder("broken", source, **manifest))
    assert caught.value.code is code, caught.value


def test_nothing_there_raises_ManifestNotFound_with_the_path(tmp_path):
    with pytest.raises(qtforge.PluginError, match="nowhere") as caught:
        qtforge.load(tmp_path / "nowhere")
    assert caught.value.code is ErrorCode.MANIFEST_NOT_FOUND


def test_two_of_one_name_are_refused(plugin_folder):
    folder = plugin_folder("twin", SAMPLE)
    with qtforge.load(folder):
        with pytest.raises(qtforge.PluginError) as caught:
            qtforge.load(folder)
        assert caught.value.code is ErrorCode.DUPLICATE_PLUGIN
    qtforge.load(folder).unload()


@pytest.mark.parametrize("path", [3, b"bytes", None])
def test_a_path_of_another_type_raises_TypeError(path):
    with pytest.raises(TypeError):
        qtforge.load(path)


def test_subscriptions_of_a_plugin_end_with_it(bus, plugin_folder):
    source = """
        import qtforge
        from qtforge.core import IPlugin
        bus = qtforge.MessageBus.instance()
        class Sample(IPlugin):
            def initialize(self):
                bus.subscribe("load.gone", lambda payload: None)
                bus.subscribe("load.gone", print)
    """
    with qtforge.load(plugin_folder("gone", source)) as plugin:
        plugin.initialize()
        assert bus.publish("load.gone", None) == 2
    assert bus.publish("load.gone", None) == 0


def test_plugins_that_are_left_are_cleaned_up_at_the_end(program, plugin_folder):
    folder: Path = plugin_folder(
        "left",
        """
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def deactivate(self): print("deactivated", flush=True)
            def cleanup(self): print("cleaned", flush=True)
        """,
    )
    ran = program(f"""
        import qtforge
        plugin = qtforge.load({str(folder)!r})
        plugin.initialize()
        plugin.activate()
        print("end")
    """)
    assert ran.stdout.split() == ["end", "deactivated", "cleaned"]


def test_a_plugins_log_bears_its_name(program, plugin_folder):
    folder = plugin_folder(
        "speaker",
        """
        import qtforge
        from qtforge.core import IPlugin
        class Sample(IPlugin):
            def initialize(self): qtforge.logger.info("spoken")
        """,
    )
    ran = program(f"""
        import qtforge
        with qtforge.load({str(folder)!r}) as plugin:
            plugin.initialize()
    """)
    assert any("speaker" in line and "spoken" in line for line in ran.stderr.splitlines())


def test_a_plugin_that_is_first_to_import_threading_does_not_hold_up_the_end(program, plugin_folder):
    source = "import threading\n" + textwrap.dedent(SAMPLE)
    folder = plugin_folder("threads", source)
    ran = program(f"""
        import qtforge
        plugin = qtforge.load({str(folder)!r})
        plugin.initialize()
        print(plugin.name)
    """)
    assert ran.stdout == "threads\n"


def test_a_name_with_a_dot_finds_its_object(plugin_folder):
    with qtforge.load(plugin_folder("a.b", SAMPLE)) as plugin:
        assert plugin.object.steps == []


def test_modules_that_are_links_out_of_the_folder_are_refused(plugin_folder, tmp_path):
    (tmp_path / "outside.py").write_text("secret = 1\n")
    folder = plugin_folder("links", "import away")
    (folder / "away.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(qtforge.PluginError, match="leads out of the plugin's folder") as caught:
        qtforge.load(folder)
    assert caught.value.code is qtforge.ErrorCode.IMPORT_FAILED
    (folder / "away.py").unlink()
    (folder / "real.py").write_text("secret = 2\n")
    (folder / "away.py").symlink_to("real.py")
    (folder / "main.py").write_text("from away import secret\nfrom qtforge.core import IPlugin\nclass Sample(IPlugin): x = secret\n")
    with qtforge.load(folder) as plugin:
        assert plugin.object.x == 2


@pytest.mark.parametrize("addition", ["/tmp", "../other", "lib/../../other", "away"])
def test_module_folders_outside_the_plugin_are_refused(plugin_folder, tmp_path, addition):
    (tmp_path / "other").mkdir()
    folder = plugin_folder("additions", "", python_config={"sys_path_additions": [addition]})
    (folder / "lib").mkdir()
    (folder / "away").symlink_to(tmp_path / "other")
    with pytest.raises(qtforge.PluginError, match="sys_path_additions") as caught:
        qtforge.load(folder)
    assert caught.value.code is qtforge.ErrorCode.MANIFEST_INVALID


def test_a_module_folder_that_is_not_there_is_a_warning(plugin_folder, capfd):
    source = "from qtforge.core import IPlugin\nclass Sample(IPlugin): pass"
    qtforge.load(plugin_folder("missing", source, python_config={"sys_path_additions": ["lib"]})).unload()
    assert "there is no 'lib'" in capfd.readouterr().err
