import qtforge
from qtforge.core import IPlugin


class Answer(IPlugin):
    def initialize(self):
        bus = qtforge.MessageBus.instance()
        bus.subscribe("consume.question", lambda question: bus.publish("consume.answer", {"n": question["n"] + 2}))
