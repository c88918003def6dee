"""Counts messages and their order; the figures are asked for."""

import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        self.bus = qtforge.MessageBus.instance()
        self.count = 0
        self.disordered = 0
        self.last = -1
        self.bus.subscribe("py_counter.in", self.take)
        self.bus.subscribe("py_counter.ask", self.tell)

    def take(self, message):
        number = message["n"]
        if number <= self.last:
            self.disordered += 1
        self.last = number
        self.count += 1

    def tell(self, message):
        self.bus.publish("py_counter.told", {"count": self.count, "disordered": self.disordered})
