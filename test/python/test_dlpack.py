"""BinaryMessage and other libraries' arrays by DLPack, in both directions."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
from qtforge import BinaryMessage

numpy = pytest.importorskip("numpy", "2.1")  # reads and writes DLPack's version 1


class Tensor:
    """Has DLPack and nothing else."""

    def __init__(self, values, device=None):
        self.values = values
        self.device = device

    def __dlpack__(self, *, max_version=None):
        assert max_version == (1, 0)
        return self.values.__dlpack__(max_version=max_version)

    def __dlpack_device__(self):
        return self.device or self.values.__dlpack_device__()


class OldTensor(Tensor):
    """From before there were versions."""

    def __dlpack__(self):
        return self.values.__dlpack__()


class Given(Tensor):
    """Gives what it was made of."""

    def __dlpack__(self, **options):
        return self.values

    def __dlpack_device__(self):
        return (1, 0)


@pytest.mark.parametrize("name", ["i1", "u1", "<i2", "<u4", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16", "?"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6, 1), (0, 3), (3, 0)])
@pytest.mark.skipif(sys.byteorder != "little", reason="the types are written so")
def test_consumers_get_the_array_without_a_copy(name, shape):
    values = (numpy.arange(6) % 2).astype(name)[: numpy.prod(shape)].reshape(shape)
    message = BinaryMessage(values)
    got = numpy.from_dlpack(message)
    assert (got.dtype, got.shape) == (values.dtype, values.shape)
    assert (got == values).all()
    assert not got.flags.writeable
    assert got.size == 0 or numpy.shares_memory(got, numpy.asarray(message))


def test_bytes_are_an_array_of_bytes():
    got = numpy.from_dlpack(BinaryMessage(b"\1\2\3"))
    assert (got.dtype, got.tolist()) == (numpy.uint8, [1, 2, 3])


def test_received_data_outlives_its_message_as_a_tensor(bus, inbox):
    got = inbox("dlpack.outlives")
    bus.publish("dlpack.outlives", BinaryMessage(numpy.full(10_000, 7.0)))
    values = numpy.from_dlpack(got.get())
    gc.collect()
    assert (values == 7).all()


def test_the_memory_is_let_go_by_the_last_consumer():
    class Array(numpy.ndarray):
        pass

    values = numpy.zeros(1000).view(Array)
    gone = weakref.ref(values)
    message = BinaryMessage(values, copy=False)
    unused = message.__dlpack__(max_version=(1, 0))
    consumed = numpy.from_dlpack(message)
    del values, message
    assert gone() is not None
    del unused
    assert gone() is not None
    del consumed
    assert gone() is None


def test_a_copy_is_the_consumers_own():
    message = BinaryMessage(numpy.arange(3.0))
    got = numpy.from_dlpack(Given(message.__dlpack__(max_version=(1, 0), copy=True)))
    got[0] = 7
    assert got.tolist() == [7, 1, 2]
    assert numpy.asarray(message).tolist() == [0, 1, 2]
    old = numpy.from_dlpack(Given(message.__dlpack__(copy=True)))
    assert old.tolist() == [0, 1, 2]
    assert not numpy.shares_memory(old, numpy.asarray(message))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (BufferError, {}, "read-only, which DLPack before version 1 cannot say"),
        (BufferError, {"max_version": None, "copy": False}, "max_version=[(]1, 0[)] or copy=True"),
        (BufferError, {"max_version": (0, 8)}, "read-only"),
        (BufferError, {"max_version": (1, 0), "stream": 1}, "stream must be None"),
        (BufferError, {"max_version": (1, 0), "dl_device": (2, 0)}, "device [(]1, 0[)], not [(]2, 0[)]"),
        (TypeError, {"max_version": 1}, "max_version"),
        (TypeError, {"max_version": (1,)}, "max_version"),
        (TypeError, {"version": 1}, "unexpected keyword argument 'version'"),
    ],
)
def test_what_cannot_be_said_raises(kind, options, words):
    with pytest.raises(kind, match=words):
        BinaryMessage(b"abc").__dlpack__(**options)


@pytest.mark.parametrize("dtype", [">f4", "<M8[s]", "|S4", "|V4", "[('a', '<f4')]", "made up"])
def test_types_that_DLPack_does_not_have_raise(dtype):
    message = BinaryMessage(bytes(8), dtype=dtype)
    with pytest.raises(BufferError, match="no counterpart of dtype"):
        message.__dlpack__(max_version=(1, 0))


def test_device_is_the_cpu():
    assert BinaryMessage(b"").__dlpack_device__() == (1, 0)


@pytest.mark.parametrize("kind", [Tensor, OldTensor])
@pytest.mark.parametrize(
    "values",
    [
        numpy.arange(6, dtype="<f4").reshape(2, 3),
        numpy.arange(24, dtype="<i2").reshape(2, 3, 4)[:, ::-2, 1:],
        numpy.arange(6).reshape(2, 3).T,
        numpy.array([True, False]),
        numpy.array(1j),
        numpy.zeros((0, 3)),
    ],
    ids=lambda values: f"{values.dtype.str}{values.shape}",
)
def test_an_object_with_nothing_but_DLPack_is_taken(kind, values):
    message = BinaryMessage(kind(values))
    assert (message.dtype, message.shape) == (values.dtype.str, values.shape)
    assert message.data == values.tobytes()


def test_a_tensor_is_copied_unless_the_caller_promises():
    values = numpy.arange(4.0)
    assert not numpy.shares_memory(numpy.asarray(BinaryMessage(Tensor(values))), values)
    gone = weakref.ref(values)
    shared = BinaryMessage(Tensor(values), copy=False)
    assert numpy.asarray(shared).ctypes.data == values.ctypes.data
    del values
    assert numpy.asarray(shared).tolist() == [0, 1, 2, 3]
    del shared
    assert gone() is None


def test_a_message_goes_round_by_DLPack():
    message = BinaryMessage(numpy.arange(6, dtype="<u2").reshape(3, 2))
    again = BinaryMessage(Given(message.__dlpack__(max_version=(1, 0))))
    assert again == message


@pytest.mark.parametrize(
    ("kind", "tensor", "words"),
    [
        (ValueError, Tensor(numpy.zeros(1), device=(2, 0)), "another device, [(]2, 0[)]"),
        (BufferError, Given("no capsule"), "gave no tensor, but 'no capsule'"),
        (BufferError, Tensor(numpy.zeros(1, "<M8[s]")), "DLPack only supports"),
        (AttributeError, type("Half", (), {"__dlpack__": None})(), "__dlpack_device__"),
    ],
)
def test_tensors_that_cannot_be_taken_raise(kind, tensor, words):
    with pytest.raises(kind, match=words):
        BinaryMessage(tensor)


def test_a_tensor_that_was_taken_is_not_taken_again():
    capsule = numpy.zeros(3).__dlpack__()
    BinaryMessage(Given(capsule))
    with pytest.raises(BufferError, match="used_dltensor"):
        BinaryMessage(Given(capsule))
