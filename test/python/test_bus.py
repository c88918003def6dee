"""publish and subscribe: what arrives, in which order, and what is refused with which words."""

from __future__ import annotations

import gc
import math
import pickle
import sys
import threading

import pytest
import qtforge


def test_instance_is_always_the_same_object(bus):
    assert qtforge.MessageBus.instance() is bus
    assert qtforge.communication.MessageBus is qtforge.MessageBus
    assert pickle.loads(pickle.dumps(bus)) is bus


def test_making_a_bus_raises_TypeError_that_names_instance():
    with pytest.raises(TypeError, match=r"MessageBus\.instance\(\)"):
        qtforge.MessageBus()


def test_the_bus_cannot_be_subclassed():
    with pytest.raises(TypeError):
        type("Mine", (qtforge.MessageBus,), {})


def test_a_published_payload_arrives_as_it_was(bus, inbox):
    got = inbox("bus.values")
    payload = {
        "none": None,
        "truth": [True, False],
        "whole": [0, -1, 2**63 - 1, -(2**63), 2**64 - 1],
        "real": [0.1, 1e308, 1732.0625, 1 / 3],
        "text": ["", "grün", "日本", "\U0001f600", 'quote " and \\'],
        "deep": {"a": [{"b": {}}, []]},
    }
    assert bus.publish("bus.values", payload) == 1
    arrived = got.get()
    assert arrived == payload
    assert [type(x) for x in arrived["truth"]] == [bool, bool]


@pytest.mark.parametrize("payload", [None, True, 3, 2.5, "text", [], {}, [1, [2]]])
def test_a_payload_may_be_any_JSON_value(bus, inbox, payload):
    got = inbox("bus.scalar")
    bus.publish("bus.scalar", payload)
    arrived = got.get()
    assert arrived == payload
    assert type(arrived) is type(payload)


def test_a_tuple_arrives_as_list(bus, inbox):
    got = inbox("bus.tuple")
    bus.publish("bus.tuple", {"shape": (2, 3)})
    assert got.get() == {"shape": [2, 3]}


def test_infinity_and_nan_arrive(bus, inbox):
    got = inbox("bus.float")
    bus.publish("bus.float", [math.inf, -math.inf, math.nan])
    first, second, third = got.get()
    assert (first, second) == (math.inf, -math.inf)
    assert math.isnan(third)


def test_the_receiver_owns_what_it_gets(bus, inbox):
    first, second = inbox("bus.owned"), inbox("bus.owned")
    payload = {"list": [1]}
    assert bus.publish("bus.owned", payload) == 2
    mine = first.get()
    mine["list"].append(2)
    assert second.get() == payload == {"list": [1]}


def test_messages_of_one_publisher_arrive_in_order(bus, inbox):
    got = inbox("bus.order")
    for n in range(5000):
        bus.publish("bus.order", n)
    assert got.take(5000) == list(range(5000))


def test_each_thread_s_messages_arrive_in_its_order(bus, inbox):
    got = inbox("bus.threads.*")

    def send(thread):
        for n in range(1000):
            bus.publish(f"bus.threads.{thread}", [thread, n])

    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    arrived = got.take(4000)
    for thread in threads:
        thread.join()
    for i in range(4):
        assert [n for thread, n in arrived if thread == i] == list(range(1000))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("pattern.exact", ["pattern.exact"], ["pattern", "pattern.exact.more", "pattern.exacto"]),
        ("pattern.*", ["pattern.a", "pattern.b"], ["pattern", "pattern.a.b"]),
        ("pattern.*.end", ["pattern.a.end"], ["pattern.end", "pattern.a.b.end"]),
        ("pattern.>", ["pattern.a", "pattern.a.b.c"], ["pattern", "patterns.a"]),
    ],
)
def test_patterns_match_by_token(bus, inbox, pattern, matching, other):
    got = inbox(pattern, envelope=True)
    for topic in matching + other:
        bus.publish(topic, 1)
    bus.drain()
    assert [message.topic for message in got.take(len(matching))] == matching
    assert got.empty()


def test_publish_tells_how_many_it_reached(bus, inbox):
    assert bus.publish("bus.nobody", 1) == 0
    inbox("bus.count"), inbox("bus.*")
    assert bus.publish("bus.count", 1) == 2


@pytest.mark.parametrize(("topic", "offset"), [("", 0), (".a", 0), ("a..b", 2), ("a.", 2), ("a.*", 2), ("a.>", 2)])
def test_publish_to_what_is_no_topic_raises_TopicError_with_the_offset(bus, topic, offset):
    with pytest.raises(qtforge.TopicError, match=str(offset)) as caught:
        bus.publish(topic, 1)
    assert caught.value.code is qtforge.ErrorCode.INVALID_TOPIC
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("pattern", ["", "a..b", "a.>.b"])
def test_subscribe_to_what_is_no_pattern_raises_TopicError(bus, pattern):
    with pytest.raises(qtforge.TopicError) as caught:
        bus.subscribe(pattern, print)
    assert caught.value.code is qtforge.ErrorCode.INVALID_PATTERN


def test_only_the_library_publishes_below_qtforge(bus):
    with pytest.raises(qtforge.TopicError) as caught:
        bus.publish("qtforge.errors", {})
    assert caught.value.code is qtforge.ErrorCode.RESERVED_TOPIC


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"a": {1: 2}}, ["a", "str", "int"]),
        ({"a": [0, {"b": {1, 2}}]}, ["a", "1", "b", "set"]),
        ([object()], ["0", "object"]),
        ({"n": 2**64}, ["n"]),
        ({"s": "\ud800"}, ["s"]),
        (print, ["builtin_function"]),
    ],
)
def test_publish_of_what_is_no_JSON_raises_with_its_place(bus, payload, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        bus.publish("bus.bad", payload)
    for word in words:
        assert word in str(caught.value)


def test_publish_of_what_contains_itself_raises(bus):
    loop: list = []
    loop.append(loop)
    with pytest.raises((TypeError, ValueError, RecursionError)):
        bus.publish("bus.bad", loop)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, "missing required argument 'topic'"),
        (("a",), {}, "missing required argument 'payload'"),
        (("a", 1, 2), {}, "at most 2 positional arguments but 3"),
        (("a", 1), {"repl": 1}, "unexpected keyword argument 'repl'"),
        (("a", 1), {"topic": "b"}, "multiple values for argument 'topic'"),
        ((3, 1), {}, "'topic' must be str, not int"),
        (("a", 1), {"reply_to": 3}, "'reply_to' must be str or None, not int"),
        (("a", 1), {"headers": []}, "'headers' must be dict or None, not list"),
    ],
)
def test_wrong_arguments_of_publish_raise_TypeError_that_names_them(bus, args, options, words):
    with pytest.raises(TypeError, match=words) as caught:
        bus.publish(*args, **options)
    assert str(caught.value).startswith("publish()")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (TypeError, {"envelope": 1}, "'envelope' must be bool, not int"),
        (TypeError, {"delivery": 1}, "'delivery' must be str, not int"),
        (ValueError, {"delivery": "later"}, "'delivery' must be one of 'queued', 'direct', not 'later'"),
        (TypeError, {"capacity": 1.5}, "'capacity' must be int, not float"),
        (ValueError, {"capacity": 0}, "'capacity' must be at least 1"),
        (ValueError, {"capacity": 10**30}, "'capacity'"),
        (ValueError, {"policy": "drop"}, "'policy' must be one of 'block', 'drop_oldest', 'drop_newest', 'fail'"),
        (TypeError, {"block_timeout": "x"}, "'block_timeout' must be a number of seconds, not str"),
        (ValueError, {"block_timeout": -1}, "'block_timeout'"),
        (ValueError, {"block_timeout": math.nan}, "'block_timeout'"),
        (TypeError, {"queue": 3}, "unexpected keyword argument 'queue'"),
    ],
)
def test_wrong_options_of_subscribe_raise_and_name_them(bus, kind, options, words):
    with pytest.raises(kind, match=words):
        bus.subscribe("bus.options", print, **options)
    assert bus.publish("bus.options", 1) == 0


def test_subscribe_of_what_is_not_callable_raises_TypeError(bus):
    with pytest.raises(TypeError, match="'handler' must be callable, not int"):
        bus.subscribe("bus.options", 3)


def test_arguments_may_be_given_by_name(bus, inbox):
    got = inbox("bus.named")
    assert bus.publish(payload={"n": 1}, topic="bus.named") == 1
    assert got.get() == {"n": 1}
    keyword = "PAYLOAD".lower()  # equal to the name, another object
    assert bus.publish("bus.named", **{keyword: 2}) == 1
    assert got.get() == 2


def test_a_handler_that_raises_stays_subscribed_and_is_counted(bus):
    heard, seen = threading.Semaphore(0), []

    def handler(payload):
        seen.append(payload)
        heard.release()
        if payload == "bad":
            raise RuntimeError("as planned")

    with bus.subscribe("bus.raises", handler) as subscription:
        bus.publish("bus.raises", "bad")
        bus.publish("bus.raises", "good")
        bus.drain()
        assert seen == ["bad", "good"]
        assert subscription.stats()["failed"] == 1


def test_an_error_of_a_handler_is_published_on_qtforge_errors(bus, inbox):
    errors = inbox("qtforge.errors")

    def handler(payload):
        raise LookupError("as planned")

    with bus.subscribe("bus.reported", handler):
        bus.publish("bus.reported", 1)
        bus.drain()
    assert "as planned" in str(errors.get())


def test_a_handler_may_publish_and_subscribe(bus, inbox):
    answers = inbox("bus.answer")

    def handler(payload):
        if payload:
            bus.subscribe("bus.inner", lambda n: bus.publish("bus.answer", n), owner=handler)
            bus.publish("bus.inner", payload)

    with bus.subscribe("bus.outer", handler):
        bus.publish("bus.outer", 7)
        assert answers.get() == 7
    assert bus.unsubscribe_all(handler) == 1


def test_direct_delivery_calls_on_the_publishers_thread(bus):
    seen = []
    with bus.subscribe("bus.direct", lambda n: seen.append((n, threading.get_ident())), delivery="direct"):
        bus.publish("bus.direct", 1)
        assert seen == [(1, threading.get_ident())]


def test_a_full_mailbox_that_fails_raises_Overflow(bus):
    entered, leave = threading.Event(), threading.Event()

    def handler(payload):
        entered.set()
        leave.wait(30)

    with bus.subscribe("bus.full", handler, capacity=1, policy="fail") as subscription:
        try:
            bus.publish("bus.full", 0)
            assert entered.wait(30)
            with pytest.raises(qtforge.BusError) as caught:
                for n in range(10):
                    bus.publish("bus.full", n)
            assert caught.value.code is qtforge.ErrorCode.OVERFLOW
        finally:
            leave.set()
        bus.drain()
        assert subscription.stats()["dropped"] == 1


def test_drain_that_cannot_end_raises_Timeout(bus):
    entered, leave = threading.Event(), threading.Event()

    def handler(payload):
        entered.set()
        leave.wait(30)

    with bus.subscribe("bus.stuck", handler):
        bus.publish("bus.stuck", 0)
        assert entered.wait(30)
        with pytest.raises(qtforge.Timeout) as caught:
            bus.drain(timeout=0.05)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.code is qtforge.ErrorCode.TIMED_OUT
        leave.set()
        bus.drain()


@pytest.mark.parametrize(("kind", "timeout"), [(ValueError, -1), (ValueError, math.nan), (TypeError, "1")])
def test_wrong_timeouts_of_drain_raise(bus, kind, timeout):
    with pytest.raises(kind, match="'timeout'"):
        bus.drain(timeout)


def test_stats_is_a_dict_that_counts_what_was_published(bus):
    before = bus.stats()["published"]
    bus.publish("bus.counted", 1)
    assert bus.stats()["published"] == before + 1


def test_publish_and_subscribe_keep_no_references(bus):
    def handler(payload):
        pass

    payload, headers, topic, reply = {"a": [1, b"bytes"]}, {"h": 1}, "bus.references", "bus.reply"
    watched = [payload, headers, topic, reply, handler, bus, None]

    def once():
        with bus.subscribe(topic, handler, envelope=True):
            bus.publish(topic, payload, reply_to=reply, headers=headers)
            bus.publish(topic, payload)
            bus.drain()
        for wrong in ({1: 2}, {"x": {1}}):
            with pytest.raises(TypeError):
                bus.publish(topic, wrong)
        with pytest.raises(ValueError):
            bus.subscribe(topic, handler, capacity=0)
        bus.drain()
        gc.collect()

    once()
    before = [sys.getrefcount(object) for object in watched]
    for _ in range(20):
        once()
    after = [sys.getrefcount(object) for object in watched]
    # None is immortal or used by everybody: only a leak per call would show.
    assert [abs(b - a) < 15 for a, b in zip(before, after)] == [True] * len(watched)
