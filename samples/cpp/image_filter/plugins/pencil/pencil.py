"""A drawing in pencil: dark where a picture is darker than it is around there, which `blur`, in C++, says."""

from __future__ import annotations

import numpy as np
import qtforge
from numpy.typing import NDArray
from qtforge import BinaryMessage
from qtforge.core import IPlugin

SOFTNESS = 0.5  # amount of the blur
GRAIN = 16  # brightness below which the noise of dark areas draws no lines


def brightness(image: BinaryMessage) -> NDArray[np.float64]:
    """Of shape (height, width, 1), from 0 to 255."""
    mean: NDArray[np.float64] = np.asarray(image).mean(axis=2, keepdims=True)
    return mean


class Pencil(IPlugin):
    def apply(self, image: BinaryMessage, amount: float) -> BinaryMessage:
        if not 0 <= amount <= 1:
            raise ValueError(f"amount: 0 to 1 expected, not {amount}")
        around = qtforge.find("blur").apply(image, SOFTNESS)
        paper = np.minimum((brightness(image) + GRAIN) / (brightness(around) + GRAIN), 1)  # 1: left white
        mixed = (1 - amount) * np.asarray(image) + amount * 255 * paper**2
        return BinaryMessage(np.rint(mixed).astype(np.uint8))

    def title(self) -> str:
        return "Pencil drawing"
