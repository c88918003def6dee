"""The same as participant.hpp, in Python; and a source of answers and errors."""

import os
from pathlib import Path

from qtforge import BinaryMessage, MessageBus
from qtforge.core import IPlugin


class Three(IPlugin):
    def initialize(self):
        self.heard = []
        self.bus = MessageBus.instance()
        self.bus.subscribe("hello.*", self.heard.append, envelope=True)
        self.bus.subscribe("echo.ask", self.answer)
        self.bus.subscribe("echo.fail", self.fail)

    def activate(self):
        self.bus.publish("hello.three", "three")

    def deactivate(self):
        lines = [f"{hello.payload} {hello.sender} python\n" for hello in self.heard]
        Path(os.environ["QTFORGE_TEST_FOLDER"], "three.txt").write_text("".join(lines))

    def answer(self, payload):
        self.bus.publish("echo.answer", payload)
        self.bus.publish("echo.bytes", BinaryMessage(b"\0bytes"))

    def fail(self, payload):
        raise LookupError(f"nothing for {payload}")
