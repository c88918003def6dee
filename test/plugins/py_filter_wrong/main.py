"""Has methods of the interfaces of native_interface/image_filter.hpp that do not fit; each in another way."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    title = "a text"

    def apply(self, image):
        return image

    async def nothing(self):
        pass

    def flip(self, value: str) -> bool:
        return not value

    def small(self, value) -> str:
        return value

    def large(self, value, *, base):
        return value

    def maybe(self, value: int):
        return value

    def list(self, value: list[list[str]]):
        return value
