"""Refuses every host."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def is_compatible(self, version):
        return False
