"""A plugin with a setting: it tells what it reads, and refuses 13."""

from qtforge import MessageBus
from qtforge.core import IPlugin


class Configured(IPlugin):
    def __init__(self):
        self.at_first = self.config["processing_timeout"]

    def initialize(self):
        MessageBus.instance().publish("py.configured", [self.at_first, self.config["processing_timeout"]])

    def on_config_changed(self, old, new):
        if new["processing_timeout"] == 13:
            raise ValueError("13 brings bad luck")
        MessageBus.instance().publish("py.configured", [old["processing_timeout"], new["processing_timeout"]])
