"""Message and BinaryMessage: what they hold, that they do not change, and how bytes travel."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import time
import weakref

import pytest
from qtforge import BinaryMessage, Message

numpy = pytest.importorskip("numpy")


def test_an_envelope_has_topic_sender_time_headers_and_reply(bus, inbox):
    got = inbox("envelope.>", envelope=True)
    before = time.time()
    bus.publish("envelope.full", {"n": 1}, reply_to="envelope.reply", headers={"trace": "x", "n": [1]})
    bus.publish("envelope.bare", None)
    full, bare = got.take(2)
    assert type(full) is Message
    assert (full.topic, full.payload, full.reply_to) == ("envelope.full", {"n": 1}, "envelope.reply")
    assert full.headers == {"trace": "x", "n": [1]}
    assert isinstance(full.sender, str)
    assert before - 1 <= full.time <= time.time() + 1
    assert (bare.topic, bare.payload, bare.reply_to, bare.headers) == ("envelope.bare", None, None, {})
    assert bare.id > full.id


def test_a_message_can_be_published_again(bus, inbox):
    first, second = inbox("again.first", envelope=True), inbox("again.second")
    bus.publish("again.first", {"data": b"\0\1", "n": 1})
    assert bus.publish("again.second", first.get()) == 1
    assert second.get() == {"data": b"\0\1", "n": 1}


def test_a_message_does_not_change():
    message = Message("a", {})
    for name in (*Message.__match_args__, "other"):
        with pytest.raises(AttributeError):
            setattr(message, name, 1)
        with pytest.raises(AttributeError):
            delattr(message, name)
    with pytest.raises(TypeError):
        hash(message)


def test_a_message_compares_prints_copies_and_pickles():
    message = Message("a", {"n": [1]}, "me", 7, 1.5, {"h": 1}, "b")
    assert repr(message) == (
        "Message(topic='a', payload={'n': [1]}, sender='me', id=7, time=1.5, headers={'h': 1}, reply_to='b')"
    )
    assert eval(repr(message)) == message
    assert message != Message("a", {"n": [1]}, "me", 8, 1.5, {"h": 1}, "b")
    assert message != "a"
    for same in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert same == message
    assert Message("a", 1).sender == ""
    assert Message("a", 1, reply_to="").reply_to is None


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, "missing required argument 'topic'"),
        ((1, 2), {}, "'topic' must be str, not int"),
        (("a", 2), {"id": "x"}, "'id' must be int, not str"),
        (("a", 2), {"time": "x"}, "'time' must be a number of seconds, not str"),
        (("a", 2), {"headers": 1}, "'headers' must be dict or None, not int"),
        (("a", 2), {"body": 1}, "unexpected keyword argument 'body'"),
    ],
)
def test_wrong_arguments_of_Message_raise_TypeError(args, options, words):
    with pytest.raises(TypeError, match=words):
        Message(*args, **options)


def test_a_cycle_through_a_message_is_collected():
    class Payload:
        pass

    payload = Payload()
    payload.message = Message("a", payload)
    seen = weakref.ref(payload)
    del payload
    gc.collect()
    assert seen() is None


def test_binary_data_arrives_with_its_description(bus, inbox):
    got = inbox("binary.described")
    data = bytes(range(24))
    bus.publish("binary.described", BinaryMessage(data, "image/x", "<f4", (2, 3)))
    arrived = got.get()
    assert type(arrived) is BinaryMessage
    assert bytes(arrived.data) == data
    assert (arrived.content_type, arrived.dtype, arrived.shape) == ("image/x", "<f4", (2, 3))
    assert arrived.data.readonly
    with pytest.raises(TypeError):
        arrived.data[0] = 1


@pytest.mark.parametrize("payload", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_a_bytes_like_payload_arrives_as_bytes(bus, inbox, payload):
    got = inbox("binary.bare")
    bus.publish("binary.bare", payload)
    arrived = got.get()
    assert bytes(getattr(arrived, "data", arrived)) == b"abc"


def test_bytes_anywhere_in_a_payload_arrive_as_bytes(bus, inbox):
    got = inbox("binary.inside")
    payload = {"data": b"\0\xff", "deep": [{"a/b": b"", "~": [b"x" * 1000]}, None], "text": "data", "": b"1"}
    bus.publish("binary.inside", payload)
    assert got.get() == payload


def test_bytes_in_a_payload_come_back_as_themselves(bus, inbox):
    got = inbox("binary.themselves")
    data = b"x" * 1000
    bus.publish("binary.themselves", {"data": data, "view": memoryview(data), "part": memoryview(data)[1:]})
    arrived = got.get()
    assert arrived["data"] is data
    assert arrived["view"] is data
    assert arrived["part"] == data[1:]
    assert type(arrived["part"]) is bytes


def test_all_receivers_see_the_same_bytes(bus, inbox):
    first, second = inbox("binary.shared"), inbox("binary.shared")
    bus.publish("binary.shared", BinaryMessage(b"x" * 100_000))
    addresses = [numpy.frombuffer(box.get().data, dtype=numpy.uint8).ctypes.data for box in (first, second)]
    assert addresses[0] == addresses[1]


def test_received_data_outlives_its_message(bus, inbox):
    got = inbox("binary.outlives")
    bus.publish("binary.outlives", BinaryMessage(bytearray(b"y" * 50_000)))
    view = numpy.frombuffer(got.get().data, dtype=numpy.uint8)
    got.subscription.unsubscribe()
    for n in range(100):
        bus.publish("binary.outlives", BinaryMessage(bytes([n]) * 50_000))
    gc.collect()
    assert (view == ord("y")).all()
    assert not view.flags.writeable


def test_what_describes_no_array_has_no_array_interface():
    assert not hasattr(BinaryMessage(b"1234", dtype="made up"), "__array_interface__")
    assert not hasattr(BinaryMessage(b"12345678", dtype="|O8", shape=(1,)), "__array_interface__")
    assert numpy.asarray(BinaryMessage(b"\1\0\2\0", dtype="<i2")).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "args", "words"),
    [
        (TypeError, (), "missing required argument 'data'"),
        (TypeError, ("text",), "'data' must be bytes-like or a numpy array, not str"),
        (TypeError, ([1],), "'data' must be bytes-like or a numpy array, not list"),
        (TypeError, (b"", 3), "'content_type' must be str, not int"),
        (TypeError, (b"", "x", 3), "'dtype' must be str, not int"),
        (TypeError, (b"", "x", "u1", 3), "'shape' must be a sequence of int, not int"),
        (TypeError, (b"", "x", "u1", ["a"]), "'shape' must be a sequence of int, not list"),
        (ValueError, (b"", "x", "u1", (-1,)), "'shape' must hold sizes of at least 0, not -1"),
        (TypeError, (numpy.array([{}]),), "plain numbers"),
        (ValueError, (b"abc", "", "<f4", (5,)), "'data' has 3 bytes, but dtype '<f4' and shape [(]5,[)] take 20"),
        (ValueError, (b"abc", "", "<f4"), "'data' has 3 bytes, but elements of dtype '<f4' have 4 each"),
        (ValueError, (b"abc", "", "", (2,)), "'data' has 3 bytes, but dtype '' and shape [(]2,[)] take 2"),
        (ValueError, (b"abc", "", "<f4", (0,)), "take 0"),
        (ValueError, (b"", "", "|u1", (2**62, 8)), "take more than memory can have"),
        (ValueError, (b"abc", "", "<U1", (1,)), "take 4"),
        (ValueError, (b"abc", "", "<M8[ns]", (1,)), "take 8"),
        (ValueError, (b"abc", "", "[('a', '<i2'), ('b', '|u1', (2, 2))]", (1,)), "take 6"),
    ],
)
def test_wrong_arguments_of_BinaryMessage_raise_and_name_them(kind, args, words):
    with pytest.raises(kind, match=words):
        BinaryMessage(*args)


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (b"", "<f4", (0, 3)),
        (b"", "|u1", (2**62, 8, 0)),
        (b"12345678", "<f4", ()),
        (b"123456", "[('a', '<i2'), ('b', [('c', '|u1', (2, 2))])]", (1,)),
        (b"abc", "made up", (5,)),  # nobody knows what that takes
        (b"abc", "[('a', '|O')]", (5,)),
        (b"abc", "[", (5,)),
    ],
)
def test_sizes_that_do_not_contradict_are_taken(data, dtype, shape):
    assert BinaryMessage(data, dtype=dtype, shape=shape).shape == shape


def test_a_binary_message_does_not_change():
    message = BinaryMessage(b"abc")
    for name in (*BinaryMessage.__match_args__, "other"):
        with pytest.raises(AttributeError):
            setattr(message, name, b"")


def test_a_binary_message_compares_copies_and_pickles():
    message = BinaryMessage(numpy.arange(4, dtype="<i8"), "x/y")
    assert message == BinaryMessage(message.data, "x/y", "<i8", [4])
    assert message != BinaryMessage(message.data, "x/z", "<i8", [4])
    assert copy.copy(message) is copy.deepcopy(message) is message
    assert pickle.loads(pickle.dumps(message)) == message
    assert repr(message) == "<BinaryMessage of 32 bytes, content_type='x/y', dtype='<i8', shape=(4,)>"


def test_making_messages_keeps_no_references():
    data, headers = b"data" * 100, {}

    def once():
        for _ in range(50):
            Message("a", data, headers=headers)
            BinaryMessage(data, shape=[len(data)])
            with pytest.raises(TypeError):
                BinaryMessage(data, shape=[len(data)])[0]
            with pytest.raises(ValueError, match="take"):
                BinaryMessage(data, shape=data)
            with pytest.raises(TypeError):
                Message("a", data, id="x", headers=headers)

    once()
    before = sys.getrefcount(data), sys.getrefcount(headers)
    once()
    assert (sys.getrefcount(data), sys.getrefcount(headers)) == before
