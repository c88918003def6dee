"""Needs a plugin that is not there."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
