"""Answers on the bus; has a helper module of its own."""

import helper
import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        self.bus = qtforge.MessageBus.instance()
        self.bus.subscribe("py_good.ask", self.answer)

    def answer(self, message):
        self.bus.publish("py_good.answer", {"got": message, "helper": helper.NAME, "state": int(self.state())})
