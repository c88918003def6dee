"""Calls sys.exit where it can."""

import sys

import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        qtforge.MessageBus.instance().subscribe("py_exits.in", lambda message: sys.exit(5))

    def activate(self):
        sys.exit(6)
