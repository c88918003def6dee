"""Settings of plugins in Python: self.config, on_config_changed, and what a program that loads plugins can set."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
import qtforge
from qtforge import ConfigurationError, ErrorCode, PluginError, PluginState

SETTINGS = {
    "processing_timeout": {"type": "integer", "default": 30, "minimum": 1, "maximum": 600},
    "debug_mode": {"type": "boolean", "default": False},
    "names": {"type": "array", "items": {"type": "string"}},
    "extra": {"type": "object"},
}

SAMPLE = """
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def __init__(self):
            self.at_first = dict(self.config)
            self.changes = []

        def initialize(self):
            self.at_initialize = self.config["processing_timeout"]

        def on_config_changed(self, old, new):
            self.changes.append((old, new, dict(self.config)))
            timeout = new["processing_timeout"]
            if timeout == 13:
                raise ValueError("13 brings bad luck")
            if timeout == 14:
                return False
"""


@pytest.fixture
def sample(plugin_folder):
    with qtforge.load(plugin_folder("sample", SAMPLE, configuration=SETTINGS)) as plugin:
        yield plugin


def test_a_plugin_reads_its_settings_from_the_constructor_on(sample):
    assert sample.object.at_first == {"processing_timeout": 30, "debug_mode": False}
    sample.configure({"processing_timeout": 5, "names": ["a", "b"]})
    sample.initialize()
    assert sample.object.at_initialize == 5
    assert sample.object.config["names"] == ["a", "b"]
    assert dict(sample.object.config) == sample.configuration
    assert sample.object.changes == []  # nobody is asked before initialize
    with pytest.raises(KeyError, match="extra"):
        sample.object.config["extra"]
    with pytest.raises(TypeError):
        sample.object.config["processing_timeout"] = 6


def test_a_change_is_offered_and_in_force_afterwards(sample):
    sample.initialize()
    sample.activate()
    sample.configure({"processing_timeout": 5.0, "extra": {"a": [1, None, "ä"]}})
    before = {"processing_timeout": 30, "debug_mode": False}
    after = {**before, "processing_timeout": 5, "extra": {"a": [1, None, "ä"]}}
    assert sample.object.changes == [(before, after, before)]
    assert sample.configuration == dict(sample.object.config) == after
    assert type(sample.configuration["processing_timeout"]) is int
    sample.configure({"processing_timeout": None, "extra": None})
    assert sample.configuration == before


@pytest.mark.parametrize(("timeout", "reason"), [(13, "ValueError: 13 brings bad luck"), (14, "returned False")])
def test_a_plugin_may_refuse(sample, timeout, reason):
    sample.initialize()
    with pytest.raises(PluginError) as caught:
        sample.configure({"processing_timeout": timeout})
    assert caught.value.code is ErrorCode.HOOK_FAILED
    assert "plugin 'sample': it refuses the new settings: " in str(caught.value)
    assert reason in str(caught.value)
    assert ("on_config_changed" in caught.value.traceback) == (timeout == 13)
    assert sample.configuration["processing_timeout"] == sample.object.config["processing_timeout"] == 30
    assert sample.state is PluginState.INITIALIZED


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"processing_timeout": 0}, "/processing_timeout: expected at least 1, got 0"),
        ({"processing_timeout": True}, "/processing_timeout: expected a value of type integer, got a boolean"),
        ({"names": ["a", 1]}, "/names/1: expected a value of type string, got a number"),
        ({"debug-mode": True}, '/debug-mode: the plugin declares no such setting; did you mean "debug_mode"?'),
        ({"extra": {"x": float("nan")}}, "/extra/x: expected a finite number"),
    ],
)
def test_what_does_not_fit_is_a_ConfigurationError_with_its_place(sample, values, says):
    with pytest.raises(ConfigurationError, match="plugin 'sample'") as caught:
        sample.configure(values)
    assert says in str(caught.value)
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("values", [None, [("a", 1)], {"extra": object()}, {"extra": {"b": b"x"}}, {1: 2}])
def test_what_is_no_json_is_a_TypeError(sample, values):
    with pytest.raises(TypeError):
        sample.configure(values)


def test_the_environment_is_read_at_the_load(plugin_folder, monkeypatch):
    folder = plugin_folder("my.sample", SAMPLE, configuration=SETTINGS)
    monkeypatch.setenv("QTFORGE_MY_SAMPLE_PROCESSING_TIMEOUT", "soon")
    with pytest.raises(ConfigurationError, match="QTFORGE_MY_SAMPLE_PROCESSING_TIMEOUT: /processing_timeout: "):
        qtforge.load(folder)
    monkeypatch.setenv("QTFORGE_MY_SAMPLE_PROCESSING_TIMEOUT", "45")
    monkeypatch.setenv("QTFORGE_MY_SAMPLE_DEBUG_MODE", "on")
    with qtforge.load(folder) as plugin:
        assert plugin.object.at_first == {"processing_timeout": 45, "debug_mode": True}


def test_settings_are_kept_in_a_file(plugin_folder, tmp_path):
    folder, file = plugin_folder("sample", SAMPLE, configuration=SETTINGS), tmp_path / "kept.json"
    with qtforge.load(folder) as plugin:
        plugin.keep_configuration(file)
        assert not file.exists()
        plugin.configure({"processing_timeout": 5})
    assert json.loads(file.read_text()) == {"processing_timeout": 5}
    with qtforge.load(folder) as plugin:
        plugin.keep_configuration(str(file))
        assert plugin.configuration["processing_timeout"] == 5
        with pytest.raises(TypeError, match="'path' must be str"):
            plugin.keep_configuration(b"x")
    file.write_text('{"processing_timeout": ')
    with qtforge.load(folder) as plugin:
        with pytest.raises(ConfigurationError, match="kept.json"):
            plugin.keep_configuration(file)
        plugin.configure({"processing_timeout": 6})
    assert file.read_text() == '{"processing_timeout": '


def test_a_change_during_a_step_is_an_error(plugin_folder):
    source = """
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            def initialize(self):
                self.host.configure({"processing_timeout": 5})
    """
    with qtforge.load(plugin_folder("sample", source, configuration=SETTINGS)) as plugin:
        plugin.object.host = plugin
        with pytest.raises(PluginError, match="configure: not possible while initialize runs"):
            plugin.initialize()


def test_on_config_changed_runs_on_the_lane_and_must_be_a_plain_function(plugin_folder):
    source = """
        import threading
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            def initialize(self):
                self.threads = [threading.get_ident()]

            def on_config_changed(self, old, new):
                self.threads.append(threading.get_ident())

        class Coroutine(IPlugin):
            async def on_config_changed(self, old, new):
                pass
    """
    with qtforge.load(plugin_folder("sample", source, configuration=SETTINGS)) as plugin:
        plugin.initialize()
        plugin.configure({"processing_timeout": 5})
        first, second = plugin.object.threads
        assert first == second != threading.get_ident()
    other = plugin_folder("coroutine", source, main_class="Coroutine", configuration=SETTINGS)
    with qtforge.load(other) as plugin:
        plugin.initialize()
        with pytest.raises(PluginError, match="coroutine function"):
            plugin.configure({"processing_timeout": 5})


def test_a_plugin_may_have_an_attribute_config_of_its_own():
    class Own(qtforge.IPlugin):
        def __init__(self):
            self.config = {"mine": 1}

    assert Own().config == {"mine": 1}
    assert dict(qtforge.IPlugin().config) == {}


def test_an_unloaded_plugin_has_its_last_values_and_takes_none(sample):
    instance = sample.object
    sample.configure({"processing_timeout": 5})
    sample.unload()
    assert sample.configuration["processing_timeout"] == 5
    assert dict(instance.config) == {}
    with pytest.raises(PluginError) as caught:
        sample.configure({"processing_timeout": 6})
    assert caught.value.code is ErrorCode.PLUGIN_UNLOADED


def test_a_native_plugin_is_configured_alike():
    built = Path(os.environ.get("QTFORGE_BUILD_ROOT", "")) / "test" / "plugins" / "native_configured"
    if not built.exists():
        pytest.skip("no native plugins were built")
    with qtforge.load(built) as plugin:
        plugin.initialize()
        assert plugin.configuration == {"processing_timeout": 30}
        plugin.configure({"processing_timeout": 5})
        assert plugin.configuration == {"processing_timeout": 5}
        with pytest.raises(PluginError, match="it refuses the new settings: 13 brings bad luck"):
            plugin.configure({"processing_timeout": 13})
