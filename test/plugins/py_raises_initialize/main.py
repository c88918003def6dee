"""Raises in initialize."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        raise RuntimeError("no initialize today")
