"""BinaryMessage of arrays: what is shared and what copied, and what stays of type and shape."""

from __future__ import annotations

import array
import ast
import ctypes
import gc
import mmap
import sys
import weakref

import pytest
from qtforge import BinaryMessage

numpy = pytest.importorskip("numpy")


def address(data):
    return numpy.frombuffer(data, dtype=numpy.uint8).ctypes.data


def read_only(values):
    values.setflags(write=False)
    return values


class Described:
    """Has `__array_interface__` and nothing else."""

    def __init__(self, **interface):
        self.__array_interface__ = {"version": 3, **interface}


def test_what_never_changes_is_not_copied():
    data = bytes(range(64))
    view = memoryview(data)
    floats = numpy.frombuffer(data, "<f4")
    for source in (
        data,
        view,
        floats,
        floats.reshape(4, 4),
        read_only(floats.view("<i8")),
        numpy.frombuffer(view, ">u2"),
    ):
        message = BinaryMessage(source)
        assert message.data.obj is data
        assert len(message.data) == 64
    for source in (view[4:12], floats[1:3], floats.reshape(4, 4)[1]):
        message = BinaryMessage(source)
        assert message.data.obj is data
        assert bytes(message.data) == source.tobytes()
        assert address(message.data) == (source.ctypes.data if hasattr(source, "ctypes") else address(source))
    assert BinaryMessage(BinaryMessage(data).data).data.obj is data


def test_what_its_owner_may_change_is_copied_though_it_is_read_only():
    owned = numpy.arange(8, dtype="<i4")
    writable = bytearray(range(8))
    sources = (
        read_only(owned.view()),
        read_only(owned[:4]),
        memoryview(writable).toreadonly(),
        read_only(numpy.frombuffer(writable, "<i2")),
        read_only(numpy.arange(8)),
    )
    for source in sources:
        before = source.tobytes()
        message = BinaryMessage(source)
        owned[:] = 0
        writable[:] = bytes(8)
        assert bytes(message.data) == before
        assert type(message.data.obj) is bytes
        owned[:] = numpy.arange(8)
        writable[:] = range(8)


def test_a_base_that_does_not_hold_the_bytes_is_not_believed():
    values = numpy.arange(4.0)
    liar = Described(typestr="<f8", shape=(4,), data=(values.ctypes.data, True))
    liar.base = b"x" * 32
    message = BinaryMessage(liar)
    values[:] = 0
    assert numpy.asarray(message).tolist() == [0, 1, 2, 3]
    liar.base = liar
    assert numpy.asarray(BinaryMessage(liar)).tolist() == [0] * 4


def test_a_writable_array_is_copied():
    data = bytearray(b"abc")
    message = BinaryMessage(data)
    data[0] = 0
    data.append(1)  # not locked by an export
    assert bytes(message.data) == b"abc"


def test_what_cpp_holds_is_published_again_without_a_copy(bus, inbox):
    first, second = inbox("arrays.first"), inbox("arrays.second")
    bus.publish("arrays.first", BinaryMessage(numpy.arange(1000.0)))
    got = first.get()
    values = numpy.asarray(got)
    for again in (got, got.data, values, values.reshape(10, 100), numpy.frombuffer(got.data, "<i4")):
        bus.publish("arrays.second", again)
        assert address(second.get().data) == values.ctypes.data
    bus.publish("arrays.second", values[10:20])
    part = second.get()
    assert address(part.data) == values[10:].ctypes.data
    assert numpy.asarray(part).tolist() == list(range(10, 20))


def test_bytes_come_back_as_themselves(bus, inbox):
    got = inbox("arrays.themselves")
    data = b"x" * 100
    bus.publish("arrays.themselves", BinaryMessage(data))
    assert got.get().data.obj is data
    before = sys.getrefcount(data)
    bus.publish("arrays.themselves", data)
    got.get()
    bus.drain()
    assert sys.getrefcount(data) == before


def test_going_round_many_times_does_not_grow(bus, inbox):
    got = inbox("arrays.round")
    message = BinaryMessage(bytearray(b"round"))
    for _ in range(3):
        bus.publish("arrays.round", message)
        message = got.get()
    bottom = message.data.obj
    for _ in range(50):
        bus.publish("arrays.round", message.data)
        message = got.get()
    assert message.data.obj is bottom


@pytest.mark.parametrize("source", [bytes(8), bytearray(8), numpy.zeros(2, "<f4"), array.array("f", [0, 0])])
def test_copy_True_copies_always(source):
    message = BinaryMessage(source, copy=True)
    assert address(message.data) != address(source)
    assert bytes(message.data) == bytes(8)


def test_copy_False_shares_what_can_be_written(bus, inbox):
    got = inbox("arrays.shared")
    values = numpy.arange(4.0)
    message = BinaryMessage(values, copy=False)
    assert message.data.readonly
    assert (message.data.format, message.data.ndim) == ("B", 1)
    bus.publish("arrays.shared", message)
    arrived = numpy.asarray(got.get())
    assert arrived.ctypes.data == values.ctypes.data
    values[0] = 7  # breaks the promise, and is seen
    assert arrived[0] == 7
    assert not arrived.flags.writeable
    bus.publish("arrays.shared", arrived)
    assert numpy.shares_memory(numpy.asarray(got.get()), values)


def test_copy_False_keeps_the_memory_and_lets_it_go(bus):
    data = bytearray(100)
    message = BinaryMessage(data, copy=False)
    with pytest.raises(BufferError):
        data.append(1)
    del message
    data.append(1)

    values = numpy.zeros(3, "<M8[ns]")
    gone = weakref.ref(values)
    view = BinaryMessage(values, copy=False).data
    del values
    gc.collect()
    assert gone() is not None
    assert bytes(view) == bytes(24)
    del view
    assert gone() is None


def test_copy_False_of_a_cycle_is_collected():
    class Array(numpy.ndarray):
        pass

    values = numpy.zeros(3).view(Array)
    values.message = BinaryMessage(values, copy=False)
    gone = weakref.ref(values)
    del values
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("source", [numpy.zeros((2, 3)).T, numpy.zeros(4)[::2], memoryview(bytearray(4))[::2]])
def test_copy_False_of_what_is_not_contiguous_raises(source):
    with pytest.raises(ValueError, match="'data' is not contiguous in C order: copy=False"):
        BinaryMessage(source, copy=False)


def test_copy_of_another_type_raises():
    with pytest.raises(TypeError, match="'copy' must be True, False or None, not int"):
        BinaryMessage(b"", copy=1)


def test_a_numpy_array_brings_dtype_and_shape(bus, inbox):
    got = inbox("binary.array")
    values = numpy.arange(6, dtype="<f4").reshape(2, 3)
    message = BinaryMessage(values)
    assert (message.dtype, message.shape) == ("<f4", (2, 3))
    bus.publish("binary.array", message)
    arrived = numpy.asarray(got.get())
    assert arrived.dtype == values.dtype
    assert (arrived == values).all()
    assert not arrived.flags.writeable


POINT = numpy.dtype([("x", "<f4"), ("y", "<f4", (2,)), ("inner", [("n", "|u1"), ("at", "<M8[us]")])])


@pytest.mark.parametrize(
    "values",
    [
        numpy.arange(6, dtype="<i2").reshape(2, 3).T,
        numpy.arange(10, dtype="u1")[::2],
        numpy.arange(10.0)[::-1],
        numpy.arange(3, dtype=">i4"),
        numpy.arange(24).reshape(2, 3, 4)[:, ::-2, 1:],
        numpy.broadcast_to(numpy.arange(3), (2, 3)),
        numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
        numpy.zeros((0, 3)),
        numpy.array([True, False]),
        numpy.array([1 + 2j]),
        numpy.array(["2020-01-01", "NaT"], "<M8[ns]"),
        numpy.array([1, 2, 3], ">m8[s]")[::-2],
        numpy.array([b"ab", b"c"]),
        numpy.array(["ab", "\U0001f600"]),
        numpy.array([1.5], numpy.float16),
        numpy.array([1.5], numpy.longdouble),
        numpy.zeros(3, "V5"),
        numpy.array([(1, (2, 3), (4, "2021-05-06"))] * 3, POINT),
        numpy.array([(1, (2, 3), (4, "2021-05-06"))] * 3, POINT)[::-1],
    ],
    ids=lambda values: f"{values.dtype.str}{values.shape}",
)
@pytest.mark.parametrize("writeable", [True, False])
def test_arrays_of_any_type_and_layout_keep_their_values(bus, inbox, values, writeable):
    got = inbox("arrays.any")
    values = values[...] if values.flags.writeable else values.copy()
    values.setflags(write=writeable)
    message = BinaryMessage(values)
    bus.publish("arrays.any", message)
    bus.publish("arrays.any", values)
    for one in (message, *got.take(2)):
        again = numpy.asarray(one)
        assert again.dtype == values.dtype
        assert again.shape == values.shape == one.shape
        assert again.tobytes() == values.tobytes()
        assert (one.data.ndim, one.data.format) == (1, "B")


def test_dtype_of_a_structure_is_the_list_of_its_fields():
    message = BinaryMessage(numpy.zeros(2, POINT))
    assert message.dtype == str(POINT.descr)
    assert numpy.dtype(ast.literal_eval(message.dtype)) == POINT
    assert numpy.asarray(message)["inner"]["at"].dtype == "<M8[us]"


def test_a_zero_dimensional_array_keeps_its_shape():
    message = BinaryMessage(numpy.array(1.5))
    assert (message.dtype, message.shape, message.data.nbytes) == ("<f8", (), 8)
    assert numpy.asarray(message).tolist() == [1.5]  # an empty shape is read as one dimension


@pytest.mark.parametrize(
    ("source", "dtype", "shape"),
    [
        (array.array("i", [1, 2]), "<i4", (2,)),
        (array.array("d", [1]), "<f8", (1,)),
        (array.array("B", [1, 2]), "", ()),
        (memoryview(bytes(12)).cast("H", (2, 3)), "<u2", (2, 3)),
        (memoryview(bytes(6)).cast("B", (2, 3)), "|u1", (2, 3)),
        (memoryview(bytes(2)).cast("?"), "|b1", (2,)),
        (memoryview(bytes(2)).cast("c"), "|S1", (2,)),
        (memoryview(bytes(3)).cast("b"), "|i1", (3,)),
        (memoryview(numpy.zeros(2, ">c16")), ">c16", (2,)),
        ((ctypes.c_float * 3)(), "<f4", (3,)),
        (((ctypes.c_int16 * 3) * 2)(), "<i2", (2, 3)),
        (mmap.mmap(-1, 16), "", ()),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the types are written so")
def test_buffers_bring_dtype_and_shape_without_numpy(source, dtype, shape):
    message = BinaryMessage(source)
    assert (message.dtype, message.shape) == (dtype, shape)
    assert bytes(message.data) == bytes(source)


def test_a_buffer_of_a_structure_is_flattened():
    class Pair(ctypes.Structure):
        _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_float))

    message = BinaryMessage((Pair * 2)())
    assert (message.dtype, message.shape, message.data.nbytes) == ("", (), 16)
    assert numpy.asarray(message).dtype == numpy.uint8


def test_a_dtype_that_is_given_is_taken_for_that_of_the_array():
    message = BinaryMessage(numpy.zeros((2, 2), "<f4"), dtype="<i4")
    assert (message.dtype, message.shape) == ("<i4", ())


def test_an_object_with_nothing_but_array_interface_is_taken():
    data = bytes(range(16))
    message = BinaryMessage(Described(typestr="<u2", shape=(2, 3), data=data, offset=4))
    assert message.data.obj is data
    assert (numpy.asarray(message) == numpy.frombuffer(data, "<u2", 6, 4).reshape(2, 3)).all()
    values = numpy.arange(8, dtype="<i4")
    by_address = Described(typestr="<i4", shape=(4,), strides=(8,), data=(values.ctypes.data, False))
    assert numpy.asarray(BinaryMessage(by_address)).tolist() == [0, 2, 4, 6]
    by_address = Described(typestr="<i4", shape=(numpy.int64(8),), data=(values.ctypes.data, False))
    assert [type(extent) for extent in BinaryMessage(by_address).shape] == [int]


@pytest.mark.parametrize(
    ("kind", "interface", "words"),
    [
        (ValueError, {"typestr": "<i4"}, "without typestr and shape"),
        (ValueError, {"typestr": "what", "shape": (1,)}, "says no size"),
        (TypeError, {"typestr": "|O", "shape": (1,)}, "plain numbers"),
        (TypeError, {"typestr": "|V16", "descr": [("a", "|O"), ("b", "<i8")], "shape": (1,)}, "plain numbers"),
        (ValueError, {"typestr": "<i4", "shape": (-1,)}, "no memory that there can be"),
        (ValueError, {"typestr": "<i4", "shape": (2**40, 2**40)}, "no memory that there can be"),
        (ValueError, {"typestr": "<i4", "shape": (5,), "data": bytes(16)}, "lead out of its data"),
        (ValueError, {"typestr": "<i4", "shape": (2,), "strides": (-4,), "data": bytes(16)}, "lead out of its data"),
        (ValueError, {"typestr": "<i4", "shape": (2,), "strides": (2**62,), "data": bytes(16)}, "lead out"),
        (ValueError, {"typestr": "<i4", "shape": (1,), "strides": (4, 4), "data": bytes(4)}, "strides do not match"),
        (ValueError, {"typestr": "<i4", "shape": (1,), "data": bytes(4), "offset": 5}, "offset lies outside"),
        (ValueError, {"typestr": "<i4", "shape": (1,), "data": bytes(4), "offset": -1}, "offset lies outside"),
        (ValueError, {"typestr": "<i4", "shape": ("x",), "data": bytes(4)}, "shape or strides are no numbers"),
        (ValueError, {"typestr": "<i4", "shape": (2**64,), "data": bytes(4)}, "shape or strides are no numbers"),
        (ValueError, {"typestr": "<i4", "shape": (1,) * 99, "data": bytes(4)}, "too many dimensions"),
        (TypeError, {"typestr": "<i4", "shape": (1,)}, "bytes-like"),
        (ValueError, {"typestr": "<i4", "shape": (1,), "data": (0, True)}, "address is null"),
        (TypeError, {"typestr": "<i4", "shape": (1,), "data": ("x", True)}, "int"),
    ],
)
def test_an_array_interface_that_contradicts_itself_raises(kind, interface, words):
    with pytest.raises(kind, match=words):
        BinaryMessage(Described(**interface))


def test_only_C_makes_objects_that_lend_memory():
    lender = type(BinaryMessage(bytearray(8), copy=False).data.obj)
    with pytest.raises(TypeError):
        lender()
    gc.collect()


def test_a_class_of_that_name_is_believed_nothing():
    named = type("SharedBytes", (mmap.mmap,), {"__module__": "qtforge"})
    named.__qualname__ = named.__name__ = "qtforge.SharedBytes"
    with named(-1, 16) as memory:
        view = memoryview(memory).toreadonly()
        message = BinaryMessage(view)
        assert address(message.data) != numpy.frombuffer(view, numpy.uint8).ctypes.data
        view.release()


class Emptying:
    """A number whose code empties the dict that it comes from."""

    def __init__(self, described, number):
        self.described, self.number = described, number

    def __index__(self):
        self.described.clear()
        return self.number

    def __bool__(self):
        self.described.clear()
        return True


def test_an_interface_that_changes_while_it_is_read_harms_nothing():
    owner = bytes(8)
    for _ in range(100):
        described = {"version": 3, "typestr": str(b"<u2", "ascii"), "data": owner, "descr": [("", str(b"<u2", "ascii"))]}
        described["shape"] = (Emptying(described, 4),)
        described["strides"] = (Emptying(described, 2),)
        described["offset"] = Emptying(described, 0)
        source = Described()
        source.__array_interface__ = described
        try:
            BinaryMessage(source)
        except (TypeError, ValueError):
            pass  # an offset must be an int


class Oddly(ctypes.Structure):
    _fields_ = [("Offset", ctypes.c_int), ("ROI", ctypes.c_int)]


def test_names_of_fields_are_no_types():
    assert bytes(BinaryMessage((Oddly * 2)()).data) == bytes(16)
    with pytest.raises(TypeError, match="not Python objects"):
        BinaryMessage((ctypes.py_object * 2)())


@pytest.mark.parametrize("descr", [[("a", "O")], [("a", "|O")], [("a", [("b", "<i4"), ("c", "O")])]])
def test_structures_of_objects_are_refused(descr):
    with pytest.raises(TypeError, match="not Python objects"):
        BinaryMessage(Described(typestr="|V8", descr=descr, shape=(1,), data=bytes(8)))
