"""IPlugin is an ordinary class: it goes together with what Python classes are made of."""

from __future__ import annotations

import abc
import copy
import dataclasses
import enum
import gc
import inspect
import pickle
import sys
import typing
import weakref

import pytest
import qtforge
from qtforge.core import IPlugin, PluginError, PluginState


class Named(IPlugin):
    def name(self):
        return "named"


class Picklable(IPlugin):
    def __init__(self, value):
        self.value = value
        self.bus = qtforge.MessageBus.instance()


def test_defaults_serve_a_plugin_that_overrides_nothing():
    class Empty(IPlugin):
        pass

    plugin = Empty()
    assert type(IPlugin) is type
    assert plugin.name() == "Empty"
    assert (plugin.version(), plugin.description(), plugin.author(), plugin.dependencies()) == ("", "", "", [])
    assert plugin.initialize() and plugin.activate() and plugin.deactivate()
    assert plugin.cleanup() is None
    assert plugin.state() is PluginState.UNLOADED
    assert plugin.is_compatible("1.0.0")


def test_init_need_not_be_called():
    class Silent(IPlugin):
        def __init__(self):
            pass

    assert Silent().state() is PluginState.UNLOADED


def test_init_is_cooperative():
    class Mixin:
        def __init__(self, *args, colour="none", **options):
            super().__init__(*args, **options)
            self.colour = colour

    class Before(Mixin, IPlugin):
        def __init__(self, colour):
            super().__init__(colour=colour)

    class After(IPlugin, Mixin):
        def __init__(self, colour):
            super().__init__(colour=colour)

    assert Before("red").colour == After("red").colour == "red"


def test_ABC_and_abstract_methods_work():
    class Base(IPlugin, abc.ABC):
        @abc.abstractmethod
        def work(self): ...

    class Done(Base):
        def work(self):
            return 1

    with pytest.raises(TypeError):
        Base()
    assert Done().work() == 1
    assert Done().name() == "Done"


def test_a_Protocol_may_be_implemented():
    class Filter(typing.Protocol):
        def apply(self, n: int) -> int: ...

    class Half(IPlugin, Filter):
        def __init__(self, by=2):
            super().__init__()
            self.by = by

        def apply(self, n):
            return n // self.by

    assert Half().apply(4) == 2
    assert Half(4).name() == "Half"


def test_a_dataclass_may_be_a_plugin():
    @dataclasses.dataclass
    class Settings(IPlugin):
        size: int = 3
        names: list = dataclasses.field(default_factory=list)

    assert Settings(4) == Settings(4, [])
    assert Settings().state() is PluginState.UNLOADED  # unhashable, as dataclasses are
    assert dataclasses.replace(Settings(4), size=5).size == 5


def test_an_enum_metaclass_or_any_other_may_be_mixed_in():
    class Meta(type):
        pass

    class Special(IPlugin, metaclass=Meta):
        pass

    assert Special().name() == "Special"


def test_copy_and_pickle_work_also_with_a_bus_inside():
    plugin = Picklable([1, 2])
    for other in (copy.copy(plugin), copy.deepcopy(plugin), pickle.loads(pickle.dumps(plugin))):
        assert type(other) is Picklable
        assert other.value == [1, 2]
        assert other.bus is plugin.bus


def test_a_plugin_has_weak_references_and_is_collected_in_cycles():
    plugin = Named()
    plugin.itself = plugin
    seen = weakref.ref(plugin)
    del plugin
    gc.collect()
    assert seen() is None


def test_states_are_an_IntEnum_that_keeps_its_identity():
    assert [(state.name, state.value) for state in PluginState] == [
        ("UNLOADED", 0),
        ("LOADED", 1),
        ("INITIALIZED", 2),
        ("ACTIVE", 3),
        ("ERROR", 4),
    ]
    assert issubclass(PluginState, enum.IntEnum)
    assert PluginState(3) is PluginState.ACTIVE
    assert pickle.loads(pickle.dumps(PluginState.ERROR)) is PluginState.ERROR
    assert copy.deepcopy(PluginState.ERROR) is PluginState.ERROR


def test_PluginError_is_an_Error():
    assert issubclass(PluginError, qtforge.Error)
    assert PluginError is qtforge.PluginError is qtforge.errors.PluginError


def test_every_public_thing_is_documented():
    for name in qtforge.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(qtforge, name)), name
    for kind in (IPlugin, qtforge.MessageBus, qtforge.Subscription):
        for name, member in vars(kind).items():
            if not name.startswith("_"):
                assert inspect.getdoc(member), f"{kind.__name__}.{name}"


def test_signatures_can_be_inspected():
    publish = inspect.signature(qtforge.MessageBus.publish)
    assert str(publish) == "(self, /, topic, payload, *, reply_to=None, headers=None, retain=False)"
    assert "block_timeout=5.0" in str(inspect.signature(qtforge.MessageBus.subscribe))
    if sys.version_info >= (3, 10):  # 3.9 cuts them off
        assert str(inspect.signature(qtforge.Message)).startswith("(topic, payload, sender=''")


def test_timestamps_are_milliseconds_since_the_epoch():
    first = qtforge.utils.current_timestamp()
    assert isinstance(first, int)
    assert 1_600_000_000_000 < first <= qtforge.utils.current_timestamp()
