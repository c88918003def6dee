"""Has another class than its manifest says."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
