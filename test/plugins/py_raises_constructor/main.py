"""Raises in its constructor."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def __init__(self):
        raise RuntimeError("no constructor today")
