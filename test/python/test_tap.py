"""Taps: tools see what is published, and change nothing for those who publish and receive."""

from __future__ import annotations

import pytest
from qtforge.errors import TopicError


@pytest.fixture
def tapped(bus):
    """Taps whose messages below `tapped` and `qtforge` are kept as (topic, payload)."""
    taps = []

    def make(*arguments, **options):
        seen = []

        def keep(message):
            if message.topic.startswith(("tapped", "qtforge.")):
                seen.append((message.topic, message.payload))

        taps.append(bus.tap(keep, *arguments, **options))
        return seen, taps[-1]

    yield make
    for tap in taps:
        tap.unsubscribe()


def test_a_tap_sees_what_nobody_receives_and_is_no_receiver(bus, tapped):
    seen, tap = tapped()
    assert bus.publish("tapped.a", {"n": 1}) == 0
    bus.drain()
    assert seen == [("tapped.a", {"n": 1})]
    assert tap.pattern == ">"
    assert tap.stats()["dropped"] == 0


def test_the_librarys_own_messages_requests_and_answers_are_shown(bus, tapped):
    seen, _ = tapped()
    failing = bus.subscribe("tapped.fails", lambda _: 1 / 0)
    responder = bus.respond("tapped.double", lambda n: 2 * n)
    bus.publish("tapped.fails", 1)
    bus.drain()
    assert bus.request("tapped.double", 4) == 8
    bus.drain()
    topics = [topic for topic, _ in seen]
    assert topics[:3] == ["tapped.fails", "qtforge.errors", "tapped.double"]
    assert topics[3].startswith("qtforge.reply.")
    assert seen[3][1] == 8
    failing.unsubscribe()
    responder.unsubscribe()


def test_every_nth_message_of_a_pattern(bus, tapped):
    seen, _ = tapped("tapped.*", every=4)
    for n in range(10):
        bus.publish("tapped.n", n)
        bus.publish("elsewhere", n)
    bus.drain()
    assert seen == [("tapped.n", 0), ("tapped.n", 4), ("tapped.n", 8)]


def test_what_its_own_handler_publishes_is_not_shown_to_it(bus, inbox):
    got, seen = inbox("tapped.echo"), []

    def echo(message):
        seen.append(message.topic)
        bus.publish("tapped.echo", message.topic)

    tap = bus.tap(echo, "tapped.>")
    bus.publish("tapped.a", 1)
    assert got.get() == "tapped.a"
    bus.drain()
    assert seen == ["tapped.a"]
    assert tap.unsubscribe() is True


def test_unsubscribe_all_ends_taps_of_an_owner(bus):
    owner = object()
    tap = bus.tap(print, owner=owner)
    assert bus.unsubscribe_all(owner) == 1
    assert tap.unsubscribe() is False


@pytest.mark.parametrize(
    ("error", "arguments", "says"),
    [
        (TypeError, {"handler": 1}, r"tap\(\) argument 'handler' must be callable"),
        (TypeError, {"pattern": 1}, r"tap\(\) argument 'pattern' must be str"),
        (ValueError, {"every": 0}, r"tap\(\) argument 'every' must be at least 1"),
        (ValueError, {"capacity": 0}, r"tap\(\) argument 'capacity' must be at least 1"),
        (ValueError, {"policy": "block"}, r"tap\(\) argument 'policy' must be one of 'drop_oldest'"),
        (TopicError, {"pattern": "a..b"}, "offset 2"),
    ],
)
def test_wrong_arguments_are_named(bus, error, arguments, says):
    with pytest.raises(error, match=says):
        bus.tap(**{"handler": print, **arguments})
