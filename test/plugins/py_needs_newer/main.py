"""Needs a newer py_good."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
