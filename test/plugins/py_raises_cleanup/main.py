"""Raises in cleanup."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def cleanup(self):
        raise RuntimeError("no cleanup today")
