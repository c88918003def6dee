"""Raises in deactivate."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def deactivate(self):
        raise RuntimeError("no deactivate today")
