"""Has a helper module named like py_good's."""

import helper
import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def activate(self):
        qtforge.MessageBus.instance().publish("py_neighbour.helper", helper.NAME)
