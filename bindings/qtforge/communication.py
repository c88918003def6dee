"""The message bus of the process, and what travels on it.

Example:
    bus = MessageBus.instance()
    bus.subscribe("sensor.*", print)
    bus.publish("sensor.door", {"open": True})
"""

from qtforge._qtforge import BinaryMessage, Message, MessageBus, Receiver, Subscription

__all__ = ["BinaryMessage", "Message", "MessageBus", "Receiver", "Subscription"]
