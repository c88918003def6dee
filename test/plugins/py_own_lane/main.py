"""Has a lane of its own and tells its thread."""

import threading

import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def activate(self):
        qtforge.MessageBus.instance().publish("py_own_lane.thread", threading.get_ident())
