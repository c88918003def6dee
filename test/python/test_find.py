"""qtforge.find: plugins by their typed interfaces, from Python."""

from __future__ import annotations

import inspect
import os
import threading
from pathlib import Path
from typing import Any, Optional

import pytest
import qtforge
from qtforge import BinaryMessage, ErrorCode

NATIVE = Path(os.environ.get("QTFORGE_BUILD_ROOT", "")) / "test" / "plugins" / "native_interface"
PYTHON = Path(__file__).resolve().parents[1] / "plugins" / "py_filter"

needs_native = pytest.mark.skipif(not NATIVE.exists(), reason="the native fixtures are not built")


@pytest.fixture
def native():
    with qtforge.load(NATIVE):
        yield qtforge.find("InterfacePlugin")


@needs_native
def test_methods_of_a_native_plugin_take_and_give_python_values(native):
    half = native.apply(BinaryMessage(bytes([10, 20]), "image/raw", "|u1", (2,)), 0.5)
    assert bytes(half.data) == bytes([5, 10])
    assert (half.content_type, half.dtype, half.shape) == ("image/raw", "|u1", (2,))
    assert bytes(native.apply(b"\x04", amount=1).data) == b"\x04"
    assert native.title() == "blur"
    assert native.nothing() is None
    assert native.flip(False) is True
    assert native.large(2**64 - 1) == 2**64 - 1
    assert native.sum(b=2, a=-1) == 1
    assert native.text("grüß") == "grüß"
    assert native.length("grüß") == 6
    assert native.maybe(None) is None
    assert native.maybe(3) == 3
    assert native.list([[1, 2.5], (), []]) == [[1.0, 2.5], [], []]
    assert native.bools([True, False]) == [True, False]
    assert native.map({"a": 1}) == {"a": 1}
    assert native.json({"deep": [1, None, "x"]}) == {"deep": [1, None, "x"]}
    assert bytes(native.binary(b"abc").data) == b"abc"


@needs_native
def test_arguments_that_do_not_fit_raise_TypeError_with_their_place(native):
    with pytest.raises(TypeError, match=r"small\(\): argument value: int from 0 to 255 expected, 256 came"):
        native.small(256)
    with pytest.raises(TypeError, match=r"list\(\): argument value\[1\]\[0\]: float expected, str came"):
        native.list([[], ["x"]])
    with pytest.raises(TypeError, match="missing a required argument: 'b'"):
        native.sum(1)
    with pytest.raises(TypeError, match=r"text\(\): argument value: str expected, bytes came"):
        native.text(b"x")


@needs_native
def test_what_a_native_method_throws_is_a_qtforge_Error(native):
    with pytest.raises(qtforge.Error, match="thrown") as thrown:
        native.fail("throw")
    assert thrown.value.code is ErrorCode.HANDLER_FAILED
    assert "fail(): std::runtime_error: thrown" in str(thrown.value)
    with pytest.raises(qtforge.Error, match="int, which is no std::exception"):
        native.fail("number")
    with pytest.raises(qtforge.Error) as nested:
        native.fail("nested")
    assert "std::runtime_error: no picture; caused by std::system_error: open: No such file" in str(nested.value)
    with pytest.raises(qtforge.Error, match="returned") as returned:
        native.fail("error")
    assert returned.value.code is ErrorCode.LIMIT_EXCEEDED


@needs_native
def test_signature_and_help_show_names_and_types(native):
    signature = inspect.signature(native.apply)
    assert list(signature.parameters) == ["image", "amount"]
    assert signature.parameters["amount"].annotation is float
    assert signature.return_annotation is BinaryMessage
    assert inspect.signature(native.maybe).return_annotation == Optional[int]
    assert inspect.signature(native.json).return_annotation is Any
    assert native.apply.__doc__ == "BinaryMessage apply(BinaryMessage, double), of the interface image.filter/1."
    with pytest.raises(AttributeError, match="no method 'initialise'"):
        native.initialise()


@needs_native
def test_method_of_an_unloaded_native_plugin_raises_PLUGIN_UNLOADED():
    with qtforge.load(NATIVE):
        found = qtforge.find("InterfacePlugin")
        title = found.title
        assert title() == "blur"
    with pytest.raises(qtforge.PluginError) as gone:
        title()
    assert gone.value.code is ErrorCode.PLUGIN_UNLOADED


def test_python_plugin_is_found_and_raises_once_it_is_unloaded():
    with qtforge.load(PYTHON):
        found = qtforge.find("py_filter")
        assert found.sum(1, b=2) == 3
        assert bytes(found.apply(BinaryMessage(b"\x04"), 0.5).data) == b"\x02"
    with pytest.raises(qtforge.PluginError) as gone:
        found.sum(1, 2)
    assert gone.value.code is ErrorCode.PLUGIN_UNLOADED


CALLED = """
    import threading

    import qtforge
    from qtforge import on_lane
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        inside, go = threading.Event(), threading.Event()

        def here(self, first, *, second=2):
            \"\"\"Where it runs.\"\"\"
            return threading.get_ident(), first, second

        @on_lane
        def there(self, *args):
            return threading.get_ident(), args

        def initialize(self):
            self.thread = threading.get_ident()

        @on_lane
        def fail(self):
            raise IndexError("not so far")

        def hold(self):
            self.inside.set()
            return self.go.wait(30)

        def tell(self):
            qtforge.MessageBus.instance().publish("find.told", 1)
"""


@pytest.fixture
def called(plugin_folder):
    with qtforge.load(plugin_folder("called", CALLED)) as plugin:
        plugin.initialize()
        yield plugin


def test_methods_of_a_python_plugin_run_here_or_on_its_lane(called, inbox):
    found = qtforge.find("called")
    assert found.here(1, second=3) == (threading.get_ident(), 1, 3)
    assert found.there(1, 2) == (found.thread, (1, 2)) != (threading.get_ident(), (1, 2))
    assert found.here.__doc__ == "Where it runs."
    assert list(inspect.signature(found.here).parameters) == ["first", "second"]
    with pytest.raises(IndexError, match="not so far"):
        found.fail()
    with pytest.raises(TypeError):
        found.here()
    told = inbox("find.told", envelope=True)
    found.tell()
    assert told.get().sender == "called"


def test_an_unload_waits_for_who_is_inside_a_python_method(called):
    held = []
    caller = threading.Thread(target=lambda: held.append(qtforge.find("called").hold()))
    caller.start()
    instance = called.object
    assert instance.inside.wait(30)
    unloading = threading.Thread(target=called.unload)
    unloading.start()
    unloading.join(0.2)
    assert unloading.is_alive()
    instance.go.set()
    unloading.join(30)
    caller.join(30)
    assert held == [True]
    assert called.state is qtforge.PluginState.UNLOADED


def test_find_of_a_name_that_nobody_has_raises_PLUGIN_NOT_FOUND():
    with pytest.raises(qtforge.PluginError) as missing:
        qtforge.find("nobody")
    assert missing.value.code is ErrorCode.PLUGIN_NOT_FOUND
