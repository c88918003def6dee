"""Rolling statistics of what the machine reports: mean, deviation, and whether the newest value is unusual."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np
import qtforge
from qtforge.core import IPlugin

WINDOW = 100  # values: 10 s at ten messages a second
WARM_UP = 20  # values before anything is called unusual
UNUSUAL = 3.0  # deviations from the mean


class Window:
    """The last `size` values in a ring, and how far a new one lies from them.

    Args:
        size: Number of values kept.
        least_deviation: Smaller deviations count as this one, so that a quiet machine does not make every
            twitch an anomaly. In the unit of the values.
    """

    def __init__(self, size: int, least_deviation: float) -> None:
        self._ring = np.zeros(size)
        self._least_deviation = least_deviation
        self._added = 0

    def add(self, value: float) -> dict[str, Any]:
        """Compares `value` with the window as it was before, then takes it in."""
        known = self._ring[: self._added]  # all of the ring once it is full
        mean = float(known.mean()) if known.size else value
        deviation = float(known.std()) if known.size else 0.0
        z = (value - mean) / max(deviation, self._least_deviation)
        if known.size < WARM_UP:
            z = 0.0
        self._ring[self._added % self._ring.size] = value
        self._added += 1
        return {"value": value, "mean": mean, "deviation": deviation, "z": z, "anomaly": abs(z) >= UNUSUAL}


class Metric(NamedTuple):
    """Which number of a `system.*` message is looked at."""

    unit: str
    least_deviation: float
    value: Callable[[dict[str, Any]], float]


METRICS = {
    "cpu": Metric("%", 5.0, lambda cpu: cpu["total"]),
    "memory": Metric("%", 0.5, lambda memory: memory["percent"]),
    "network": Metric("B/s", 10_000.0, lambda network: network["rx_per_s"] + network["tx_per_s"]),
}


class Analysis(IPlugin):
    """Publishes `analysis.NAME` for each message on `system.NAME`, for each NAME in METRICS."""

    def initialize(self) -> bool:
        self._bus = qtforge.MessageBus.instance()
        self._windows = {name: Window(WINDOW, metric.least_deviation) for name, metric in METRICS.items()}
        for name in METRICS:
            self._bus.subscribe(f"system.{name}", self._on_system, envelope=True)
        qtforge.logger.info(f"windows of {WINDOW} values over {', '.join(METRICS)}")
        return True

    def cleanup(self) -> None:
        self._bus.unsubscribe_all(self)

    def _on_system(self, message: Any) -> None:
        name = message.topic.removeprefix("system.")
        value = float(METRICS[name].value(message.payload))
        self._bus.publish(f"analysis.{name}", {"unit": METRICS[name].unit, **self._windows[name].add(value)})
