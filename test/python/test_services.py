"""Objects that plugins offer to others under a name."""

from __future__ import annotations

import gc
import weakref

import pytest
import qtforge
from qtforge import ErrorCode

OWNER = """
    from qtforge.core import IPlugin

    class Shelf:
        def __init__(self):
            self.books = ["first"]

        def get(self, index):
            return self.books[index]

    class Sample(IPlugin):
        def initialize(self):
            self.shelf = Shelf()
            self.offer("shelf", self.shelf)
"""


@pytest.fixture
def owner(plugin_folder):
    with qtforge.load(plugin_folder("owner", OWNER)) as plugin:
        plugin.initialize()
        yield plugin


def test_a_service_is_found_like_a_plugin(owner):
    shelf = qtforge.find("shelf")
    assert shelf.get(0) == "first"
    assert shelf.books == ["first"]
    with pytest.raises(IndexError):
        shelf.get(7)
    with pytest.raises(AttributeError):
        shelf.nothing()


def test_it_is_gone_after_cleanup_and_a_new_one_after_another_initialize(owner):
    shelf = qtforge.find("shelf")
    owner.cleanup()
    with pytest.raises(qtforge.PluginError, match="service 'shelf' of plugin 'owner'") as raised:
        shelf.get(0)
    assert raised.value.code is ErrorCode.PLUGIN_UNLOADED
    with pytest.raises(qtforge.PluginError) as raised:
        qtforge.find("shelf")
    assert raised.value.code is ErrorCode.PLUGIN_NOT_FOUND
    owner.initialize()
    assert qtforge.find("shelf").get(0) == "first"


def test_nothing_keeps_its_object_after_the_unload(owner):
    shelf = qtforge.find("shelf")
    gone = weakref.ref(owner.object.shelf)
    owner.unload()
    gc.collect()
    assert gone() is None
    with pytest.raises(qtforge.PluginError):
        shelf.get(0)


def test_names_that_are_taken_or_none_are_refused(owner):
    plugin = owner.object
    for name in ("shelf", "Shelf", "owner"):
        with pytest.raises(qtforge.PluginError) as raised:
            plugin.offer(name, object())
        assert raised.value.code is ErrorCode.DUPLICATE_PLUGIN
    with pytest.raises(ValueError):
        plugin.offer("a/b", object())
    with pytest.raises(TypeError):
        plugin.offer(7, object())
    assert qtforge.find("shelf").get(0) == "first"


def test_one_plugin_uses_the_service_of_another(owner, plugin_folder):
    user = """
        import qtforge

        class Sample(qtforge.core.IPlugin):
            def initialize(self):
                self.seen = qtforge.find("shelf").get(0)
    """
    with qtforge.load(plugin_folder("user", user, dependencies=["owner"])) as plugin:
        plugin.initialize()
        assert plugin.object.seen == "first"


def test_a_plugin_that_nobody_manages_cannot_offer():
    with pytest.raises(qtforge.PluginError):
        qtforge.core.IPlugin().offer("thing", object())
