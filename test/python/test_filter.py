"""Filters: which messages a subscription, a responder or a tap gets is said before they are queued."""

from __future__ import annotations

import threading

import pytest
import qtforge
from qtforge.errors import BusError, ErrorCode


def test_what_a_filter_refuses_takes_no_place_in_the_mailbox(bus):
    seen, entered, leave = [], threading.Event(), threading.Event()

    def handler(n):
        seen.append(n)
        entered.set()
        leave.wait(30)

    with bus.subscribe("filter.full", handler, capacity=1, policy="fail", filter=lambda n: n % 10 == 0) as subscription:
        assert bus.publish("filter.full", 0) == 1
        assert entered.wait(30)
        assert bus.publish("filter.full", 10) == 1
        for n in range(1, 10):
            assert bus.publish("filter.full", n) == 0  # it would not fit
        with pytest.raises(BusError):
            bus.publish("filter.full", 20)
        leave.set()
        bus.drain()
        assert seen == [0, 10]
        assert subscription.stats()["dropped"] == 1


def test_a_filter_gets_what_the_handler_gets_on_the_publishers_thread(bus, inbox):
    asked = []

    def wanted(argument):
        asked.append((argument, threading.get_ident()))
        return True

    payloads = inbox("filter.kind", filter=wanted)
    whole = inbox("filter.kind", filter=wanted, envelope=True)
    bus.publish("filter.kind", {"n": 1}, headers={"h": 2})
    assert payloads.get() == {"n": 1}
    assert whole.get().headers == {"h": 2}
    assert {thread for _, thread in asked} == {threading.get_ident()}
    by_kind = {type(argument): argument for argument, _ in asked}
    assert by_kind[dict] == {"n": 1}
    assert by_kind[qtforge.Message].topic == "filter.kind"


@pytest.mark.parametrize("delivery", ["queued", "direct"])
@pytest.mark.parametrize(("answer", "passes"), [(True, True), (0, False), ([], False), ("x", True), (None, False)])
def test_any_truth_value_will_do(bus, delivery, answer, passes):
    seen = []
    with bus.subscribe("filter.truth", seen.append, delivery=delivery, filter=lambda _: answer):
        assert bus.publish("filter.truth", 1) == passes
        bus.drain()
    assert seen == [1] * passes


class Undecided:
    def __bool__(self):
        raise LookupError("as planned")


@pytest.mark.parametrize("delivery", ["queued", "direct"])
@pytest.mark.parametrize("wanted", [lambda _: 1 / 0, lambda _: Undecided()])
def test_what_a_filter_raises_is_counted_and_told_and_the_message_does_not_pass(bus, inbox, delivery, wanted):
    errors, seen = inbox("qtforge.errors"), []
    with bus.subscribe("filter.raises", seen.append, delivery=delivery, filter=wanted) as subscription:
        assert bus.publish("filter.raises", 1) == 0
        bus.drain()
        assert seen == []
        assert subscription.stats()["failed"] == 1
    error = errors.get()
    assert error["topic"] == "filter.raises"
    assert any(words in str(error) for words in ("division by zero", "as planned"))


def test_retained_messages_are_filtered(bus, inbox):
    bus.publish("filter.kept.a", 1, retain=True)
    bus.publish("filter.kept.b", 2, retain=True)
    got = inbox("filter.kept.*", filter=lambda n: n == 2)
    bus.drain()
    assert got.take(1) == [2]
    assert got.empty()
    bus.clear_retained("filter.>")


def test_a_member_that_filters_a_message_out_leaves_it_to_another(bus, inbox):
    small = inbox("filter.work", group="filter", filter=lambda n: n < 3)
    rest = inbox("filter.work", group="filter", filter=lambda n: n >= 3)
    for n in range(6):
        assert bus.publish("filter.work", n) == 1
    assert small.take(3) == [0, 1, 2]
    assert rest.take(3) == [3, 4, 5]


def test_a_responder_that_filters_a_request_out_does_not_respond(bus):
    responder = bus.respond("filter.ask", lambda n: -n, filter=lambda n: n > 0)
    assert bus.request("filter.ask", 2) == -2
    with pytest.raises(BusError) as raised:
        bus.request("filter.ask", 0, timeout=60)
    assert raised.value.code is ErrorCode.NO_RESPONDER
    responder.unsubscribe()


def test_a_tap_can_filter_and_samples_what_passes(bus):
    seen = []
    tap = bus.tap(
        lambda message: seen.append(message.payload),
        "filter.tapped",
        every=2,
        filter=lambda message: message.payload > 2,
    )
    for n in range(8):
        bus.publish("filter.tapped", n)
    bus.drain()
    assert seen == [3, 5, 7]
    tap.unsubscribe()


def test_a_filter_may_use_the_bus(bus, inbox):
    got, told = inbox("filter.outer", filter=lambda n: bus.publish("filter.inner", n)), inbox("filter.inner")
    assert bus.publish("filter.outer", 5) == 1
    assert got.get() == told.get() == 5


def test_a_filter_may_end_its_own_subscription(bus):
    seen, subscriptions = [], []

    def last(_):
        return subscriptions[0].unsubscribe()

    subscriptions.append(bus.subscribe("filter.last", seen.append, filter=last))
    assert bus.publish("filter.last", 1) == 0
    assert bus.publish("filter.last", 2) == 0
    bus.drain()
    assert seen == []


@pytest.mark.parametrize("call", ["subscribe", "respond", "tap"])
def test_a_filter_that_is_not_callable_raises_TypeError(bus, call):
    arguments = (print,) if call == "tap" else ("filter.options", print)
    with pytest.raises(TypeError, match=rf"{call}\(\) argument 'filter' must be callable or None, not int"):
        getattr(bus, call)(*arguments, filter=3)
    getattr(bus, call)(*arguments, filter=None).unsubscribe()


def test_many_threads_ask_a_filter(bus, inbox):
    got = inbox("filter.threads", filter=lambda n: n % 2)
    threads = [
        threading.Thread(target=lambda: [bus.publish("filter.threads", n) for n in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bus.drain()
    assert sorted(got.take(1000)) == sorted([n for n in range(500) if n % 2] * 4)
    assert got.empty()


def test_an_older_host_without_filters_is_named(hosted):
    hosted("""
        from hosted import host, Bridge
        calls = host(size=Bridge.knows_option.offset)
        import qtforge
        bus = qtforge.MessageBus.instance()
        for call in (lambda: bus.subscribe("a", print, filter=print), lambda: bus.tap(print, filter=print)):
            try:
                call()
            except qtforge.Error as error:
                assert "no filters" in str(error)
            else:
                raise AssertionError("it was not filtered")
        bus.subscribe("a", print, filter=None)
        assert len(calls["subscribe"]) == 1 and calls["tap"] == []
    """)
