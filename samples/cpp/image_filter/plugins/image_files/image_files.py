"""Picture files, by Pillow, whose wheels bring the libraries for JPEG and PNG along."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps
from qtforge import BinaryMessage
from qtforge.core import IPlugin


class ImageFiles(IPlugin):
    def load(self, path: str) -> BinaryMessage:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
        return BinaryMessage(picture.tobytes(), dtype="|u1", shape=(picture.height, picture.width, 3))

    def save(self, image: BinaryMessage, path: str) -> None:
        Image.fromarray(np.asarray(image)).save(path, format="PNG")
