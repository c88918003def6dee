"""A plugin that fails on purpose, to show that the host and the other plugins live on."""

from __future__ import annotations

from typing import Any

from qtforge import MessageBus
from qtforge.core import IPlugin


class Faulty(IPlugin):
    """Raises in every other activation and for every other message, beginning with the first."""

    def __init__(self) -> None:
        super().__init__()
        self._activations = 0
        self._messages = 0

    def initialize(self) -> bool:
        MessageBus.instance().subscribe("system.cpu", self._on_cpu)
        return True

    def activate(self) -> bool:
        self._activations += 1
        if self._activations % 2:
            raise RuntimeError(f"activation {self._activations} fails on purpose")
        return True

    def cleanup(self) -> None:
        MessageBus.instance().unsubscribe_all(self)

    def _on_cpu(self, cpu: dict[str, Any]) -> None:
        self._messages += 1
        if self._messages % 2:
            raise ValueError(f"message {self._messages} fails on purpose")
