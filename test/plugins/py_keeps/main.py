"""Keeps a number in its store, counts in a thread and by a timer, and fails in the end."""

from qtforge import MessageBus, subscribe
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def initialize(self):
        self.store["runs"] = self.store.get("runs", 0) + 1
        self.every(0.005, lambda: MessageBus.instance().publish("py_keeps.tick", None))
        self.run_in_thread(self.stopping.wait)

    def cleanup(self):
        raise RuntimeError("it does not clean up")

    @subscribe("py_keeps.ask")
    def answer(self, _):
        MessageBus.instance().publish("py_keeps.answer", {"path": str(self.store.path), "runs": self.store["runs"]})
