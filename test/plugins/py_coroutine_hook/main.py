"""Has a coroutine where a function must be."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    async def initialize(self):
        pass
