"""Raises in its handler, and counts the calls."""

import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        self.calls = 0
        bus = qtforge.MessageBus.instance()
        bus.subscribe("py_raises_handler.in", self.handle)
        bus.subscribe("py_raises_handler.count", lambda m: bus.publish("py_raises_handler.calls", self.calls))

    def handle(self, message):
        self.calls += 1
        raise ValueError("cannot handle " + message)
