"""Objects that are dropped and calls that are made on any thread."""

from __future__ import annotations

import gc
import threading
import weakref

import qtforge


def test_objects_may_be_dropped_on_any_thread(bus, inbox):
    got = inbox("drop.payload", envelope=True)
    for n in range(200):
        bus.publish("drop.payload", qtforge.BinaryMessage(bytearray(1000)) if n % 2 else {"n": b"bytes"})
    messages = got.take(200)
    views = [message.payload.data for message in messages if isinstance(message.payload, qtforge.BinaryMessage)]
    shared = [messages, views]
    del messages, views

    def drop():
        while True:
            try:
                (shared[0] or shared[1]).pop()
            except IndexError:
                return

    threads = [threading.Thread(target=drop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared == [[], []]


def test_bytes_of_a_message_are_released_when_nobody_needs_them(bus):
    class Source(bytearray):
        pass

    class Bytes(bytes):
        pass

    seen = []
    with bus.subscribe("drop.source", lambda payload: None):
        for kind in (Source, Bytes):
            source = kind(b"x" * 10_000)
            seen.append(weakref.ref(source)) if kind is Source else None
            bus.publish("drop.source", {"data": source})
            bus.publish("drop.source", qtforge.BinaryMessage(source))
            del source
        bus.drain()
    bus.drain()
    gc.collect()
    assert [ref() for ref in seen] == [None]


def test_subscribe_and_unsubscribe_race_with_publish(bus):
    stop, errors = threading.Event(), []

    def guarded(function):
        def run():
            try:
                while not stop.is_set():
                    function()
            except (qtforge.Error, AssertionError, RuntimeError) as error:
                errors.append(error)

        return run

    def come_and_go():
        with bus.subscribe("race.*", lambda payload: None) as subscription:
            bus.publish("race.a", {"n": 1})
            assert subscription.active

    def publish():
        bus.publish("race.b", [b"x", 1])

    threads = [threading.Thread(target=guarded(f)) for f in (come_and_go, come_and_go, publish, publish)]
    for thread in threads:
        thread.start()
    threading.Event().wait(1.0)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
    bus.drain()


def test_handlers_run_one_at_a_time_per_subscription(bus):
    inside, overlaps = [0], []

    def handler(payload):
        inside[0] += 1
        overlaps.append(inside[0])
        threading.Event().wait(0.0005)
        inside[0] -= 1

    with bus.subscribe("serial", handler):
        threads = [threading.Thread(target=lambda: [bus.publish("serial", n) for n in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bus.drain(30)
    assert overlaps == [1] * 200


def test_a_thread_that_computes_does_not_stop_delivery(bus, inbox):
    got, stop = inbox("beside"), threading.Event()

    def compute():
        n = 0
        while not stop.is_set():
            n += 1

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        for n in range(20):
            bus.publish("beside", n)
            assert got.get() == n
    finally:
        stop.set()
        busy.join()
