"""Raises in activate."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def activate(self):
        raise RuntimeError("no activate today")
