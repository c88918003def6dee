"""Needs py_cycle_a, which needs it."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
