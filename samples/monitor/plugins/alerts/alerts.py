"""Turns unusual values into alerts that neither flicker nor repeat themselves."""

from __future__ import annotations

from typing import Any

import qtforge
from qtforge.core import IPlugin

RAISE_AFTER = 3  # unusual values in a row
CLEAR_AFTER = 10  # calm values in a row
CALM = 1.5  # deviations from the mean; what lies between this and an anomaly counts as neither


class Hysteresis:
    """Raised after some unusual values in a row, cleared after more calm ones in a row."""

    def __init__(self) -> None:
        self.raised = False
        self._in_a_row = 0

    def changes(self, z: float, anomaly: bool) -> bool:
        """Takes one value in; whether the alert was raised or cleared by it."""
        towards_change = abs(z) < CALM if self.raised else anomaly
        self._in_a_row = self._in_a_row + 1 if towards_change else 0
        if self._in_a_row < (CLEAR_AFTER if self.raised else RAISE_AFTER):
            return False
        self.raised = not self.raised
        self._in_a_row = 0
        return True


class Alerts(IPlugin):
    """Publishes `alert.raised` and `alert.cleared` for what `analysis.*` reports."""

    def initialize(self) -> bool:
        self._bus = qtforge.MessageBus.instance()
        self._states: dict[str, Hysteresis] = {}
        self._bus.subscribe("analysis.*", self._on_analysis, envelope=True)
        return True

    def cleanup(self) -> None:
        self._bus.unsubscribe_all(self)

    def _on_analysis(self, message: Any) -> None:
        name = message.topic.removeprefix("analysis.")
        found = message.payload
        state = self._states.setdefault(name, Hysteresis())
        if state.changes(found["z"], found["anomaly"]):
            self._bus.publish(
                "alert.raised" if state.raised else "alert.cleared",
                {"source": name, **{key: found[key] for key in ("value", "unit", "mean", "z")}},
            )
