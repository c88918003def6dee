"""qtforge.find: plugins by their typed interfaces, from Python."""

from __future__ import annotations

import inspect
import os
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


def test_find_of_a_name_that_nobody_has_raises_PLUGIN_NOT_FOUND():
    with pytest.raises(qtforge.PluginError) as missing:
        qtforge.find("nobody")
    assert missing.value.code is ErrorCode.PLUGIN_NOT_FOUND
