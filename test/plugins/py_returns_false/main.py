"""Says no."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        return False
