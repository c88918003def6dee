"""Needs py_cycle_b, which needs it."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
