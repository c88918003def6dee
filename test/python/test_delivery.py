"""Requests, retained messages, groups and the latest only: what subscriptions may ask for beyond the next message."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import qtforge
from qtforge.errors import BusError, Error, ErrorCode, Timeout, TopicError


def test_a_request_gets_what_the_responder_returns(bus):
    with_sum = bus.respond("calc.add", lambda p: {"sum": p["a"] + p["b"]})
    assert bus.request("calc.add", {"a": 2, "b": 3}) == {"sum": 5}
    answer = bus.request("calc.add", {"a": 1, "b": 1}, envelope=True)
    assert answer.payload == {"sum": 2}
    with_sum.unsubscribe()


def test_a_responder_may_answer_with_bytes_or_None(bus):
    one = bus.respond("calc.bytes", lambda n: bytes(range(n)))
    two = bus.respond("calc.none", lambda _: None)
    assert bytes(bus.request("calc.bytes", 3).data) == b"\0\1\2"
    assert bus.request("calc.none", 1) is None
    one.unsubscribe()
    two.unsubscribe()


def test_what_a_responder_raises_is_raised_by_the_request(bus):
    def fails(_):
        raise LookupError("nothing there")

    responder = bus.respond("calc.fails", fails)
    with pytest.raises(Error, match="nothing there") as raised:
        bus.request("calc.fails", None)
    assert raised.value.python_type == "LookupError"
    assert "in fails" in raised.value.traceback
    assert responder.stats()["failed"] == 0
    responder.unsubscribe()


def test_an_answer_that_does_not_go_into_a_message_says_where(bus):
    responder = bus.respond("calc.set", lambda _: {"a": {1, 2}})
    with pytest.raises(Error, match=r'message\["a"\]: set'):
        bus.request("calc.set", None)
    responder.unsubscribe()


def test_without_a_responder_the_error_comes_at_once(bus, inbox):
    inbox("calc.nobody")
    begin = time.monotonic()
    with pytest.raises(BusError, match="calc.nobody") as raised:
        bus.request("calc.nobody", 1, timeout=60)
    assert raised.value.code is ErrorCode.NO_RESPONDER
    assert time.monotonic() - begin < 30


def test_a_responder_that_is_too_slow_is_a_timeout(bus):
    release = threading.Event()
    responder = bus.respond("calc.slow", lambda _: release.wait(10))
    with pytest.raises(Timeout, match=r'"calc\.slow" within 20 ms'):
        bus.request("calc.slow", None, timeout=0.02)
    release.set()
    bus.drain()
    responder.unsubscribe()


def test_requests_in_a_circle_between_lanes_are_an_error_at_once(bus, plugin_folder):
    source = """
        from qtforge import BusError, MessageBus
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            def initialize(self):
                bus, self.codes = MessageBus.instance(), []
                bus.respond("circle.{me}.ask", self.ask)
                bus.respond("circle.{me}.other", lambda v: v)

            def ask(self, topics):
                try:
                    return MessageBus.instance().request(topics[0], topics[1:], timeout=60)
                except BusError as error:
                    self.codes.append(error.code.name)
                    return "refused"
        """
    with contextlib.ExitStack() as loaded:
        one, two = (
            loaded.enter_context(
                qtforge.load(str(plugin_folder("circle_" + me, source.replace("{me}", me), lane="own")))
            )
            for me in ("one", "two")
        )
        one.initialize()
        two.initialize()
        assert bus.request("circle.one.ask", ["circle.two.other", 1], timeout=60) == [1]
        # The lane of the first waits for the second, whatever the second wants of it.
        for back in ("circle.one.ask", "circle.one.other"):
            assert bus.request("circle.one.ask", ["circle.two.ask", back], timeout=60) == "refused"
        assert (one.object.codes, two.object.codes) == ([], ["WOULD_DEADLOCK"] * 2)


def test_a_request_from_the_responders_own_thread_is_an_error_not_a_hang(bus):
    seen = []

    def asks(value):
        try:
            bus.request("calc.other", value, timeout=60)
        except BusError as error:
            seen.append(error.code)
        return value

    one, two = bus.respond("calc.asks", asks), bus.respond("calc.other", lambda v: v)
    assert bus.request("calc.asks", 1) == 1
    assert seen == [ErrorCode.WOULD_DEADLOCK]  # both run on the shared lane
    one.unsubscribe()
    two.unsubscribe()


def test_requests_from_many_threads_each_get_their_own_answer(bus):
    responders = [bus.respond("calc.square", lambda n: n * n, group="workers") for _ in range(3)]
    wrong = []

    def ask(first):
        wrong.extend(n for n in range(first, first + 50) if bus.request("calc.square", n, timeout=30) != n * n)

    threads = [threading.Thread(target=ask, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(r.stats()["delivered"] for r in responders) == 200
    for responder in responders:
        responder.unsubscribe()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"topic": 1}, r"request\(\) argument 'topic' must be str"),
        ({"timeout": "soon"}, r"request\(\) argument 'timeout'"),
        ({"envelope": 1}, r"request\(\) argument 'envelope' must be bool"),
    ],
)
def test_wrong_arguments_of_request_are_named(bus, arguments, says):
    with pytest.raises(TypeError, match=says):
        bus.request(**{"topic": "a", "payload": None, **arguments})


def test_wrong_arguments_of_respond_name_respond(bus):
    with pytest.raises(ValueError, match=r"respond\(\) argument 'policy' must be one of .*'latest'"):
        bus.respond("a", print, policy="none")
    with pytest.raises(TypeError, match=r"respond\(\) argument 'group' must be str"):
        bus.respond("a", print, group=1)


def test_ctrl_c_ends_a_request_that_waits(program):
    done = program(
        """
        import os, signal, threading, time
        import qtforge

        bus = qtforge.MessageBus.instance()
        release = threading.Event()
        bus.respond("calc.never", lambda _: release.wait(20))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        try:
            bus.request("calc.never", None, timeout=60)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begin < 15)
        release.set()
        """
    )
    assert done.stdout == "interrupted True\n"


def test_who_comes_late_gets_the_last_message(bus, inbox):
    for value in range(3):
        bus.publish("late.state", {"n": value}, retain=True)
    got = inbox("late.*")
    assert got.get() == {"n": 2}
    seen = []
    without = bus.subscribe("late.*", seen.append, retained=False)
    bus.drain()
    assert seen == []
    assert bus.clear_retained("late.>") == 1
    assert bus.clear_retained("late.>") == 0
    without.unsubscribe()


def test_clear_retained_refuses_what_is_no_pattern(bus):
    with pytest.raises(TopicError, match="offset 2"):
        bus.clear_retained("a..b")
    with pytest.raises(TypeError, match="clear_retained"):
        bus.clear_retained(1)


def test_each_message_goes_to_one_member_of_a_group(bus):
    seen = [[], [], []]
    members = [bus.subscribe("work.item", part.append, group="workers") for part in seen]
    for n in range(30):
        assert bus.publish("work.item", n) == 1
    bus.drain()
    assert [len(part) for part in seen] == [10, 10, 10]
    assert sorted(n for part in seen for n in part) == list(range(30))
    for member in members:
        member.unsubscribe()


def test_latest_gives_only_the_newest_of_each_topic(bus):
    begun, release, seen = threading.Event(), threading.Event(), []

    def handler(message):
        seen.append((message.topic, message.payload))
        begun.set()
        release.wait(10)

    slow = bus.subscribe("fast.*", handler, envelope=True, policy="latest")
    bus.publish("fast.first", 0)
    begun.wait(10)
    for n in range(5):
        bus.publish("fast.a", n)
        bus.publish("fast.b", n)
    release.set()
    bus.drain()
    assert seen == [("fast.first", 0), ("fast.a", 4), ("fast.b", 4)]
    assert slow.stats()["replaced"] == 8
    slow.unsubscribe()
