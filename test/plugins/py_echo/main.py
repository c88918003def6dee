"""Publishes what it gets on `echo.in` as it is, and the names of its types."""

import qtforge
from qtforge.core import IPlugin


def types(value):
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [types(item) for item in value]
    return type(value).__name__


class Plugin(IPlugin):
    def initialize(self):
        self.bus = qtforge.MessageBus.instance()
        self.bus.subscribe("echo.in", self.echo)

    def echo(self, message):
        self.bus.publish("echo.types", {"types": types(message)})
        self.bus.publish("echo.out", message)
