"""Implements the interfaces of native_interface/image_filter.hpp."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import qtforge
from qtforge.core import IPlugin


class Plugin(IPlugin):
    def apply(self, image: qtforge.BinaryMessage, amount: float) -> qtforge.BinaryMessage:
        data = bytes(int(byte * amount) for byte in image.data)
        return qtforge.BinaryMessage(data, image.content_type, image.dtype, image.shape)

    def title(self) -> str:
        return "py"

    def nothing(self):
        pass

    def flip(self, value: bool) -> bool:
        return not value

    def small(self, value: int) -> int:
        return value

    def large(self, value):
        return value

    def sum(self, a, b=0, *more):
        return a + b

    def real(self, value: float) -> float:
        return value

    def text(self, value: str) -> str:
        return value

    def length(self, value):
        return len(value.encode())

    def maybe(self, value: int | None) -> int | None:
        return value

    def list(self, value: Sequence[Sequence[float]]):
        return tuple(value)

    def bools(self, *values):
        return values[0]

    def map(self, value: Mapping[str, int]):
        return value

    def json(self, value):
        return value

    def object(self, value: dict[str, object]) -> dict[str, object]:
        return value

    def array(self, value):
        return value

    def binary(self, value):
        return bytes(value.data)

    def fail(self, reason: str) -> int:
        if reason == "raise":
            raise ValueError("raised by the plugin")
        if reason == "exit":
            raise SystemExit(3)
        if reason == "sleep":
            time.sleep(0.2)
            return 1
        return {"text": "text", "huge": 2**40, "bool": True, "none": None}[reason]

    @qtforge.on_lane
    def thread(self) -> str:
        return threading.current_thread().name
