"""What of a plugin is alive after its unload is named, with who holds it."""

from __future__ import annotations

import threading
import types

import pytest
import qtforge

SOURCE = """
    import threading

    from qtforge.core import IPlugin

    kept_by_itself = []
    started, go = threading.Event(), threading.Event()

    def helper():
        return Sample

    class Sample(IPlugin):
        def initialize(self):
            self.itself = self
            kept_by_itself.append(self)

        def method(self):
            pass

        def wait(self):
            started.set()
            go.wait(30)
"""


@pytest.fixture
def unloaded(plugin_folder, inbox):
    """Loads a plugin, lets the test take something of it, unloads it; what is told then."""

    def make(name, take):
        events = inbox("qtforge.plugins")
        plugin = qtforge.load(plugin_folder(name, SOURCE))
        plugin.initialize()
        taken = take(plugin.object)
        plugin.unload()
        told = []
        # The report comes behind what was posted to the lane before: another plugin's load there is later still.
        with qtforge.load(plugin_folder(name + "_next", SOURCE)):
            pass
        while (event := events.get())["plugin"] == name or event["event"] != "unloaded":
            told.append(event)
        return taken, [event["message"] for event in told if event["event"] == "kept"]

    return make


def test_nothing_is_told_of_a_plugin_that_is_gone(unloaded):
    assert unloaded("leak_none", lambda plugin: None) == (None, [])


def test_an_object_that_is_kept_is_told_with_its_holder(unloaded):
    keeper = types.SimpleNamespace()
    _, (message,) = unloaded("leak_object", lambda plugin: setattr(keeper, "plugin", plugin))
    assert message.startswith("plugin 'leak_object' is unloaded, and not all of it is gone: its object of class Sample, ")
    assert "held by an attribute of an object of class types.SimpleNamespace" in message


def test_bound_methods_and_lists_are_told(unloaded):
    _, (message,) = unloaded("leak_method", lambda plugin: [plugin.method])
    assert "its object of class Sample, held by a bound method Sample.method" in message


def test_a_function_that_is_kept_is_told_and_not_all_that_it_reaches(unloaded):
    held, (message,) = unloaded("leak_function", lambda plugin: [plugin.wait.__func__.__globals__["helper"]])
    assert message.endswith("not all of it is gone: function helper, held by a list of 1")
    assert len(held) == 1


def test_a_thread_that_still_runs_the_plugins_code_is_told(unloaded):
    def start(plugin):
        module = plugin.wait.__func__.__globals__
        thread = threading.Thread(target=plugin.wait, name="of the test")
        thread.start()
        assert module["started"].wait(30)
        return thread, module["go"]

    (thread, go), (message,) = unloaded("leak_thread", start)
    go.set()
    thread.join(30)
    assert "thread 'of the test' runs wait (" in message
