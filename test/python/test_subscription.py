"""How long a handler is held, and what ends it."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest
import qtforge


def test_dropping_the_subscription_does_not_unsubscribe(bus):
    got, heard = [], threading.Event()

    def handler(payload):
        got.append(payload)
        heard.set()

    bus.subscribe("held.dropped", handler, owner=handler)
    gc.collect()
    assert bus.publish("held.dropped", 1) == 1
    assert heard.wait(30)
    assert bus.unsubscribe_all(handler) == 1
    assert bus.publish("held.dropped", 2) == 0


def test_a_handler_is_held_until_it_is_unsubscribed(bus):
    class Handler:
        def __call__(self, payload):
            pass

    handler = Handler()
    seen = weakref.ref(handler)
    subscription = bus.subscribe("held.alive", handler)
    del handler
    gc.collect()
    assert seen() is not None
    assert subscription.unsubscribe() is True
    bus.drain()
    gc.collect()
    assert seen() is None


def test_a_bound_method_holds_its_object(bus):
    class Plugin:
        def on(self, payload):
            pass

    plugin = Plugin()
    seen = weakref.ref(plugin)
    bus.subscribe("held.method", plugin.on)
    bus.subscribe("held.method.too", plugin.on)
    assert bus.unsubscribe_all(plugin) == 2
    assert bus.unsubscribe_all(plugin) == 0
    del plugin
    bus.drain()
    gc.collect()
    assert seen() is None


def test_owner_may_be_any_object(bus):
    class Owner:
        __hash__ = None  # type: ignore[assignment]

    owner, other = Owner(), Owner()
    bus.subscribe("held.owner", print, owner=owner)
    assert bus.unsubscribe_all(other) == 0
    assert bus.unsubscribe_all(owner) == 1


def test_unsubscribe_says_whether_it_was_subscribed(bus):
    subscription = bus.subscribe("held.twice", print)
    assert subscription.active
    assert subscription.pattern == "held.twice"
    assert subscription.unsubscribe() is True
    assert subscription.unsubscribe() is False
    assert not subscription.active
    assert subscription.stats() is None


def test_a_block_ends_its_subscription_also_when_it_raises(bus):
    with pytest.raises(KeyError), bus.subscribe("held.block", print) as subscription:
        assert subscription.active
        raise KeyError
    assert not subscription.active
    with bus.subscribe("held.block", print) as subscription:
        subscription.unsubscribe()


def test_stats_counts_by_subscription(bus):
    with bus.subscribe("held.stats", lambda payload: None) as subscription:
        for n in range(3):
            bus.publish("held.stats", n)
        bus.drain()
        stats = subscription.stats()
        assert stats["delivered"] == 3
        assert [stats[key] for key in ("dropped", "mismatched", "failed", "pending")] == [0, 0, 0, 0]


def test_unsubscribe_waits_for_a_call_on_another_thread(bus):
    entered, leave, left = threading.Event(), threading.Event(), []

    def handler(payload):
        entered.set()
        leave.wait(30)
        left.append(True)

    subscription = bus.subscribe("held.running", handler)
    bus.publish("held.running", 1)
    assert entered.wait(30)
    threading.Timer(0.05, leave.set).start()
    subscription.unsubscribe()
    assert left == [True]


def test_a_handler_may_end_its_own_subscription(bus):
    calls = []

    def handler(payload):
        calls.append(payload)
        assert subscription.unsubscribe() is True

    subscription = bus.subscribe("held.itself", handler)
    bus.publish("held.itself", 1)
    bus.publish("held.itself", 2)
    bus.drain()
    assert calls == [1]


def test_subscriptions_are_made_by_the_bus_alone(bus):
    with pytest.raises(TypeError, match="subscribe"):
        qtforge.Subscription()
    with bus.subscribe("held.copied", print) as subscription:
        for duplicate in (copy.copy, pickle.dumps):
            with pytest.raises(TypeError):
                duplicate(subscription)


def test_a_cycle_through_a_handler_is_collected_after_its_end(bus):
    class Node:
        pass

    node = Node()
    node.handler = lambda payload, itself=node: None
    node.subscription = bus.subscribe("held.cycle", node.handler)
    seen = weakref.ref(node)
    node.subscription.unsubscribe()
    bus.drain()
    del node
    gc.collect()
    assert seen() is None
