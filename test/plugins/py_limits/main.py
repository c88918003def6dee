"""Runs longer than it may: in a handler, a hook, a method, a timer, as it is told."""

import itertools
import time

import qtforge
from qtforge.core import IPlugin


def deep(n):
    return deep(n + 1)


def run(what):
    if what == "loop":
        while True:
            pass
    if what == "for a while":
        until = time.monotonic() + 1.8
        while time.monotonic() < until:
            time.sleep(0.01)
    if what == "in C":
        sum(itertools.repeat(0, 1_500_000_000))  # no allocation, which sanitizers slow down
    if what == "recursion":
        deep(0)


class Plugin(IPlugin):
    def initialize(self):
        self.calls = 0
        bus = qtforge.MessageBus.instance()
        bus.subscribe("py_limits.run", self.handle)
        bus.subscribe("py_limits.count", lambda m: bus.publish("py_limits.calls", self.calls))

    def activate(self):
        run(self.config["activate"])

    def handle(self, what):
        self.calls += 1
        run(what)

    def work(self, what: str) -> str:
        run(what)
        return "done"
