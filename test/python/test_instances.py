"""One plugin, loaded several times."""

from __future__ import annotations

import pytest
import qtforge
from qtforge import ErrorCode

SOURCE = """
    import helper
    import qtforge
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def __init__(self):
            self.at_first = self.config["device"]
            helper.count += 1
            self.made = helper.count

        def initialize(self):
            qtforge.MessageBus.instance().publish(self.topic("frame"), [self.name(), self.config["device"]])
"""
SETTINGS = {"device": {"type": "integer", "default": 0}}


@pytest.fixture
def camera(plugin_folder):
    folder = plugin_folder("camera", SOURCE, configuration=SETTINGS)
    (folder / "helper.py").write_text("count = 0\n")
    return folder


def test_each_has_its_own_name_modules_settings_and_topics(camera, inbox):
    frames = inbox("*.*.frame", envelope=True)
    with (
        qtforge.load(camera, name="left", topic_prefix="side.left", configuration={"device": 1}) as left,
        qtforge.load(camera, name="right", topic_prefix="side.right", configuration={"device": 2}) as right,
        qtforge.load(camera) as plain,
    ):
        assert [plugin.name for plugin in (left, right, plain)] == ["left", "right", "camera"]
        assert [plugin.object.made for plugin in (left, right, plain)] == [1, 1, 1]
        assert [plugin.object.at_first for plugin in (left, right, plain)] == [1, 2, 0]
        assert type(left.object) is not type(right.object)
        for plugin in (right, left):
            plugin.initialize()
        got = [(message.topic, message.sender, message.payload) for message in frames.take(2)]
        assert got == [("side.right.frame", "right", ["right", 2]), ("side.left.frame", "left", ["left", 1])]
        assert plain.object.topic("frame") == "frame"
        assert qtforge.find("left").made == 1


def test_names_are_taken_once(camera):
    with qtforge.load(camera, name="left"), pytest.raises(qtforge.PluginError) as raised:
        qtforge.load(camera, name="Left")
    assert raised.value.code is ErrorCode.DUPLICATE_PLUGIN


def test_what_does_not_fit_is_refused(camera):
    with pytest.raises(ValueError, match="name"):
        qtforge.load(camera, name="a/b")
    with pytest.raises(qtforge.TopicError, match="topicPrefix"):
        qtforge.load(camera, topic_prefix="a..b")
    with pytest.raises(qtforge.ConfigurationError, match="/devise"):
        qtforge.load(camera, configuration={"devise": 1})
    with pytest.raises(TypeError):
        qtforge.load(camera, name=7)
    with pytest.raises(TypeError):
        qtforge.load(camera, configuration={"device": b"1"})
