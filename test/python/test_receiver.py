"""Receivers: messages that are taken when they are wanted, by waiting threads, loops and coroutines."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time

import pytest
import qtforge
from qtforge.errors import BusError, ErrorCode, Timeout

LIMIT = 30.0


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT))


def test_messages_wait_until_they_are_received(bus):
    with bus.receiver("receive.*") as receiver:
        assert receiver.pattern == "receive.*"
        assert receiver.active
        assert receiver.try_receive() is None
        assert receiver.try_receive(default="none") == "none"
        for n in range(3):
            assert bus.publish("receive.a", {"n": n}) == 1
        assert receiver.stats()["pending"] == 3
        assert receiver.receive() == {"n": 0}
        assert receiver.receive(timeout=0) == {"n": 1}
        assert receiver.try_receive() == {"n": 2}
        assert receiver.stats()["delivered"] == 3
        bus.publish("receive.a", None)
        assert receiver.try_receive("none") is None
        bus.drain()
    assert not receiver.active
    assert bus.publish("receive.a", 1) == 0


def test_with_envelope_whole_messages_are_received(bus):
    with bus.receiver("receive.envelope", envelope=True) as receiver:
        bus.publish("receive.envelope", b"\1\2", headers={"h": 1})
        message = receiver.receive(LIMIT)
        assert (message.topic, message.headers, bytes(message.payload.data)) == ("receive.envelope", {"h": 1}, b"\1\2")


def test_receive_waits_for_a_message_and_lets_others_run(bus):
    with bus.receiver("receive.wait") as receiver:
        entered = threading.Event()

        def publish():
            entered.wait(LIMIT)
            bus.publish("receive.wait", 7)

        thread = threading.Thread(target=publish)
        thread.start()
        entered.set()
        assert receiver.receive(LIMIT) == 7
        thread.join()


def test_a_limit_that_passes_is_a_Timeout(bus):
    with bus.receiver("receive.late") as receiver:
        with pytest.raises(Timeout, match=r"no message came within 0\.02 s") as raised:
            receiver.receive(0.02)
        assert isinstance(raised.value, TimeoutError)
        bus.publish("receive.late", 1)
        assert receiver.receive(0) == 1


def test_its_end_is_an_error_for_who_receives_and_ends_loops(bus):
    receiver = bus.receiver("receive.end")
    waiting, ended, got = threading.Barrier(3), [], []

    def wait():
        waiting.wait(LIMIT)
        try:
            receiver.receive()
        except BusError as error:
            ended.append(error.code)

    def loop():
        waiting.wait(LIMIT)
        got.extend(receiver)

    threads = [threading.Thread(target=wait), threading.Thread(target=loop)]
    for thread in threads:
        thread.start()
    waiting.wait(LIMIT)
    assert receiver.unsubscribe() is True
    assert receiver.unsubscribe() is False
    for thread in threads:
        thread.join(LIMIT)
    assert (ended, got) == ([ErrorCode.SHUTTING_DOWN], [])
    for call in (receiver.receive, receiver.try_receive, lambda: run(receiver.areceive())):
        with pytest.raises(BusError) as raised:
            call()
        assert raised.value.code is ErrorCode.SHUTTING_DOWN
    assert list(receiver) == []
    assert receiver.stats() is None


def test_iteration_gives_each_message(bus):
    got = []
    with bus.receiver("receive.loop") as receiver:
        for n in range(5):
            bus.publish("receive.loop", n)
        for n in receiver:
            got.append(n)
            if n == 4:
                break
    assert got == [0, 1, 2, 3, 4]


def test_dropping_a_receiver_ends_it(bus):
    receiver = bus.receiver("receive.dropped")
    assert bus.publish("receive.dropped", 1) == 1
    try:
        raise LookupError("under way")
    except LookupError:
        del receiver
        assert str(sys.exc_info()[1]) == "under way"
    gc.collect()
    assert bus.publish("receive.dropped", 1) == 0


def test_a_full_receiver_goes_by_its_policy(bus):
    with bus.receiver("receive.full", capacity=2, policy="drop_oldest") as newest:
        for n in range(5):
            bus.publish("receive.full", n)
        assert [newest.receive(0), newest.receive(0)] == [3, 4]
        assert newest.stats()["dropped"] == 3
    with bus.receiver("receive.full", capacity=1) as blocks:
        thread = threading.Thread(target=lambda: [bus.publish("receive.full", n) for n in range(50)])
        thread.start()
        assert [blocks.receive(LIMIT) for _ in range(50)] == list(range(50))
        thread.join()


def test_retained_filter_and_group_are_as_those_of_subscribe(bus):
    bus.publish("receive.kept.a", 1, retain=True)
    bus.publish("receive.kept.b", 2, retain=True)
    with bus.receiver("receive.kept.*", filter=lambda n: n != 1) as receiver:
        bus.publish("receive.kept.c", 1)
        assert receiver.receive(LIMIT) == 2
        assert receiver.try_receive() is None
    with bus.receiver("receive.kept.*", retained=False) as receiver:
        assert receiver.try_receive() is None
    bus.clear_retained("receive.>")
    with bus.receiver("receive.group", group="receive") as one, bus.receiver("receive.group", group="receive") as two:
        for n in range(4):
            assert bus.publish("receive.group", n) == 1
        assert (one.stats()["pending"], two.stats()["pending"]) == (2, 2)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (TypeError, {"envelope": 1}, r"receiver\(\) argument 'envelope' must be bool"),
        (ValueError, {"capacity": 0}, "'capacity' must be at least 1"),
        (ValueError, {"policy": "drop"}, "'policy' must be one of"),
        (TypeError, {"filter": 3}, "'filter' must be callable or None"),
        (TypeError, {"delivery": "queued"}, "unexpected keyword argument 'delivery'"),
    ],
)
def test_wrong_options_raise_and_name_them(bus, kind, options, words):
    with pytest.raises(kind, match=words):
        bus.receiver("receive.options", **options)
    assert bus.publish("receive.options", 1) == 0


def test_wrong_arguments_raise_and_name_them(bus):
    with pytest.raises(TypeError, match="'pattern' must be str, not int"):
        bus.receiver(3)
    with pytest.raises(qtforge.TopicError):
        bus.receiver("a..b")
    with pytest.raises(TypeError, match="MessageBus"):
        qtforge.Receiver()
    with bus.receiver("receive.arguments") as receiver:
        with pytest.raises(TypeError, match="'timeout' must be a number of seconds, not str"):
            receiver.receive("1")
        with pytest.raises(ValueError, match="'timeout'"):
            receiver.receive(-1)


def test_its_owner_ends_it(bus):
    class Owner:
        pass

    owner = Owner()
    receiver = bus.receiver("receive.owned", owner=owner)
    assert bus.unsubscribe_all(owner) == 1
    assert not receiver.active


def test_it_ends_with_its_plugin(bus, plugin_folder):
    folder = plugin_folder(
        "receiving",
        """
        from qtforge import MessageBus
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            def initialize(self):
                self.receiver = MessageBus.instance().receiver("receive.plugin")
        """,
    )
    plugin = qtforge.load(str(folder))
    plugin.initialize()
    receiver = plugin.object.receiver
    assert bus.publish("receive.plugin", 1) == 1
    assert receiver.receive(LIMIT) == 1
    ended = []

    def wait():
        try:
            receiver.receive()
        except BusError as error:
            ended.append(error.code)

    thread = threading.Thread(target=wait)
    thread.start()
    plugin.unload()
    thread.join(LIMIT)
    assert ended == [ErrorCode.SHUTTING_DOWN]


def test_several_threads_receive_each_message_once(bus):
    got, lock = [], threading.Lock()
    with bus.receiver("receive.shared", capacity=8) as receiver:

        def take():
            for n in receiver:
                with lock:
                    got.append(n)

        threads = [threading.Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(600):
            bus.publish("receive.shared", n)
        until = time.monotonic() + LIMIT
        while receiver.stats()["delivered"] < 600 and time.monotonic() < until:
            bus.drain()
        receiver.unsubscribe()
        for thread in threads:
            thread.join(LIMIT)
    assert sorted(got) == list(range(600))


def test_ctrl_c_ends_a_receive(program):
    ran = program("""
        import os, signal, threading
        import qtforge
        receiver = qtforge.MessageBus.instance().receiver("a")
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            receiver.receive()
        except KeyboardInterrupt:
            print("interrupted")
        qtforge.MessageBus.instance().publish("a", 1)
        assert receiver.receive() == 1
    """)
    assert ran.stdout == "interrupted\n"


def test_coroutines_receive(bus):
    async def main():
        with bus.receiver("receive.async") as receiver:
            bus.publish("receive.async", 0)
            assert await receiver.areceive() == 0
            waiting = asyncio.ensure_future(receiver.areceive())
            await asyncio.sleep(0)
            bus.publish("receive.async", 1)  # from the loop's own thread
            assert await waiting == 1
            waiting = asyncio.ensure_future(receiver.areceive())
            await asyncio.sleep(0)
            thread = threading.Thread(target=bus.publish, args=("receive.async", 2))
            thread.start()
            assert await waiting == 2
            thread.join()

    run(main())


def test_async_for_gives_each_message_until_the_end(bus):
    async def main():
        receiver = bus.receiver("receive.async.loop", envelope=True)
        got = []

        async def take():
            async for message in receiver:
                got.append(message.payload)

        task = asyncio.ensure_future(take())
        for n in range(3):
            await asyncio.sleep(0)
            bus.publish("receive.async.loop", n)
        while len(got) < 3:
            await asyncio.sleep(0)
        receiver.unsubscribe()
        await task
        assert got == [0, 1, 2]

    run(main())


def test_a_cancelled_areceive_takes_no_message(bus):
    async def main():
        with bus.receiver("receive.cancelled") as receiver:
            for n in range(20):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(receiver.areceive(), 0.001)
                # Cancelled when it has been woken, but has not run again.
                tasks = [asyncio.ensure_future(receiver.areceive()) for _ in range(2)]
                await asyncio.sleep(0)
                bus.publish("receive.cancelled", n)
                tasks[0].cancel()
                assert await tasks[1] == n
                with pytest.raises(asyncio.CancelledError):
                    await tasks[0]
            assert receiver.try_receive() is None

    run(main())


def test_coroutines_on_several_loops_receive_each_message_once(bus):
    got, lock = [], threading.Lock()
    receiver = bus.receiver("receive.loops", capacity=16)

    async def take():
        async for n in receiver:
            with lock:
                got.append(n)
            await asyncio.sleep(0)

    async def both():
        await asyncio.gather(take(), take())

    threads = [threading.Thread(target=run, args=(both(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(400):
        bus.publish("receive.loops", n)
    until = time.monotonic() + LIMIT
    while len(got) < 400 and time.monotonic() < until:
        bus.drain()
    receiver.unsubscribe()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(got) == list(range(400))


def test_a_loop_may_close_with_a_receive_that_waits(program):
    program("""
        import asyncio, gc
        import qtforge
        bus = qtforge.MessageBus.instance()
        receiver = bus.receiver("a")
        for publishes in (True, False):
            loop = asyncio.new_event_loop()
            task = loop.create_task(receiver.areceive())
            task._log_destroy_pending = False
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            if publishes:
                bus.publish("a", 1)
                assert receiver.receive(30) == 1
            del task
            gc.collect()
        receiver.unsubscribe()
        gc.collect()
    """)


def test_a_program_may_end_with_receivers(program):
    program("""
        import threading
        import qtforge
        bus = qtforge.MessageBus.instance()
        kept = bus.receiver("a")
        bus.publish("a", 1)
        waiting = bus.receiver("b")
        entered = threading.Event()
        threading.Thread(target=lambda: (entered.set(), waiting.receive()), daemon=True).start()
        entered.wait(30)
    """)


def test_receivers_keep_no_references(bus):
    def wanted(_):
        return True

    watched = [wanted, bus]

    def once():
        with bus.receiver("receive.references", filter=wanted, owner=wanted) as receiver:
            bus.publish("receive.references", 1)
            assert receiver.receive(LIMIT) == 1
            bus.publish("receive.references", 2)
            assert run(receiver.areceive()) == 2
        bus.receiver("receive.references", filter=wanted)
        bus.drain()
        gc.collect()

    once()
    before = [sys.getrefcount(object) for object in watched]
    for _ in range(20):
        once()
    assert [abs(sys.getrefcount(o) - b) < 15 for o, b in zip(watched, before)] == [True, True]


def test_an_older_host_without_receivers_is_named(hosted):
    hosted("""
        from hosted import host, Bridge
        calls = host(size=Bridge.receiver.offset)
        import qtforge
        try:
            qtforge.MessageBus.instance().receiver("a")
        except qtforge.Error as error:
            assert "no receivers" in str(error)
        else:
            raise AssertionError("it was made")
    """)


def test_a_hosts_receiver_is_used_by_its_number(hosted):
    hosted("""
        import asyncio
        from hosted import host
        calls = host()
        import qtforge
        receiver = qtforge.MessageBus.instance().receiver("a", capacity=3)
        assert calls["receiver"][0][0] == "a" and calls["receiver"][0][2] == {"capacity": 3}
        assert receiver.receive() == receiver.receive(2) == "received"
        assert calls["receive"] == [(44, -1.0, None), (44, 2.0, None)]
        assert receiver.try_receive(5) == "there" and calls["try_receive"] == [(44, 5)]
        assert asyncio.run(receiver.areceive()) == "there"
        del receiver
        assert calls["unsubscribe"] == [(44,)]
    """)
