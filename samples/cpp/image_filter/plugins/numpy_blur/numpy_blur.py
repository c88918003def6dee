"""The blur of ../blur/blur.cpp once more, in numpy: the same picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qtforge import BinaryMessage
from qtforge.core import IPlugin


def mean_of_rows(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Makes of each row the mean of the rows that are at most `radius` away from it.

    The first and the last row stand for those beyond them.

    Args:
        values: Any array of three dimensions.
        radius: In rows.
    """
    window = 2 * radius + 1
    sums = np.pad(values, ((radius + 1, radius), (0, 0), (0, 0)), mode="edge").cumsum(axis=0)
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means


class NumpyBlur(IPlugin):
    def apply(self, image: BinaryMessage, amount: float) -> BinaryMessage:
        if not 0 <= amount <= 1:
            raise ValueError(f"amount: 0 to 1 expected, not {amount}")
        pixels = np.asarray(image)  # the host's own memory, read-only
        height, width, _ = pixels.shape
        radius = math.ceil(amount * (1 / 40) * min(height, width))
        values = pixels.astype(np.float64)
        for _ in range(3):
            values = mean_of_rows(values, radius)
            values = mean_of_rows(values.swapaxes(0, 1), radius).swapaxes(0, 1)
        return BinaryMessage((values + 0.5).astype(np.uint8))  # dtype and shape come from the array

    def title(self) -> str:
        return "Blur, in numpy"
