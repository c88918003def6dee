"""Messages from Python to Python beside libraries that send without topics or threads, and that only copy: what
./tools/dev bench --only data runs. All handlers are called on the publisher's thread.
"""
from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import qtforge
from comparison import row, show

SMALL = {"sensor": "temp-1", "value": 21.5, "unit": "C", "ok": True, "seq": 12345, "tags": ["a", "b"], "x": None}
LARGE = {"items": [{**SMALL, "seq": number} for number in range(200)]}
NESTED = {"at": {"deep": {"deeper": [{"a": 1, "b": [1, 2, 3]}, {"c": {"d": "text"}}]}}, "on": [[1], [2], [[3]]]}


class Case:
    """One comparison: each side does the same `count` times a run, all in turn."""

    def __init__(self, name: str, count: int, per: int, ours: Callable[[], Any]) -> None:
        self.name, self.count, self.per, self.ours = name, count, per, ours
        self.peers: list[tuple[str, Callable[[], Any]]] = []

    def beside(self, peer: str, call: Callable[[], Any] | None) -> None:
        """None: it is not installed."""
        if call:
            self.peers.append((peer, call))

    def measure(self, runs: int) -> list[dict]:
        sides = [self.ours, *(call for _, call in self.peers)]
        times: list[list[float]] = [[] for _ in sides]
        for _ in range(runs):
            for side, taken in zip(sides, times):
                begin = time.perf_counter()
                for _ in range(self.count):
                    side()
                taken.append((time.perf_counter() - begin) / self.count / self.per * 1e9)
        return [row(self.name, "ns", times[0], peer, taken) for (peer, _), taken in zip(self.peers, times[1:])]


def found(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: not measured")
        return None


orjson, msgspec, blinker, pubsub, psygnal = (found(n) for n in ("orjson", "msgspec", "blinker", "pubsub.pub", "psygnal"))


def handler(message: Any) -> None:
    """What every subscriber does."""


class Subscribers:
    """Handlers on the bus and, as many, in the other libraries."""

    numbers = itertools.count()

    def __init__(self, number: int) -> None:
        bus = qtforge.MessageBus.instance()
        self.topic = f"bench.data.{next(Subscribers.numbers)}"
        self.handlers = [lambda message: handler(message) for _ in range(number)]  # each its own, as pypubsub wants them
        self.held = [bus.subscribe(self.topic, one, delivery="direct") for one in self.handlers]
        if blinker:
            self.signal = blinker.Signal()
            self.receivers = [lambda sender, message, call=one: call(message) for one in self.handlers]
            for receiver in self.receivers:
                self.signal.connect(receiver)
        if pubsub:
            for one in self.handlers:
                pubsub.subscribe(one, self.topic)
        if psygnal:
            self.emitter = psygnal.SignalInstance((object,))
            for one in self.handlers:
                self.emitter.connect(one)
        self.lists = {self.topic: self.handlers}

    def bare(self, message: Any) -> None:
        for call in self.lists[self.topic]:
            call(message)


def copying(what: str, message: Any, count: int) -> Case:
    """A message that becomes another, of which nobody else has a part."""
    publish, topic = qtforge.MessageBus.instance().publish, Subscribers(1).topic
    case = Case(f"a dict through a message, {what}", count, 1, lambda: publish(topic, message))
    case.beside("orjson.loads(orjson.dumps(...))", orjson and (lambda: orjson.loads(orjson.dumps(message))))
    if msgspec:
        encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()
        case.beside("msgspec, MessagePack", lambda: decoder.decode(encoder.encode(message)))
    return case


def sending(what: str, message: Any, number: int, count: int) -> Case:
    """To many, who share it with the publisher everywhere but here."""
    to, publish = Subscribers(number), qtforge.MessageBus.instance().publish
    case = Case(f"{what} to {number} in Python, each delivery", count // number, number, lambda: publish(to.topic, message))
    case.beside("blinker (all share the dict)", blinker and (lambda: to.signal.send(None, message=message)))
    case.beside("pypubsub (all share the dict)", pubsub and (lambda: pubsub.sendMessage(to.topic, message=message)))
    case.beside("psygnal (all share the dict)", psygnal and (lambda: to.emitter.emit(message)))
    case.beside("a dict of lists of functions (all share the dict)", lambda: to.bare(message))
    return case


def binary(count: int) -> Case:
    bus = qtforge.MessageBus.instance()
    total = []

    def first_byte(message: qtforge.BinaryMessage) -> None:
        total.append(memoryview(message.data)[0])

    held = bus.subscribe("bench.data.binary", first_byte, delivery="direct")
    large, small = (qtforge.BinaryMessage(bytes(size)) for size in (1 << 26, 1 << 12))

    def send(message: qtforge.BinaryMessage) -> None:
        held, total.clear()
        bus.publish("bench.data.binary", message)

    case = Case("64 MiB of bytes to a handler", count, 1, lambda: send(large))
    case.beside("4 KiB of bytes, likewise", lambda: send(small))
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--messages", type=int, default=20_000, help="of 100 bytes a run; fewer of larger ones")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    many = options.messages
    cases = [copying("95 B", SMALL, many), copying("18 kB", LARGE, max(1, many // 100)),
             *(sending(what, message, number, many) for what, message in (("95 B", SMALL), ("a nested dict", NESTED))
               for number in (1, 10)),
             binary(many)]
    rows = []
    for case in cases:
        measured = case.measure(options.runs)
        show(measured, digits=0)
        rows += measured
    if options.json:
        options.json.write_text(json.dumps(rows) + "\n")
    return 0


sys.exit(main())
