"""Never comes back from its cleanup."""

import time

from qtforge.core import IPlugin


class Plugin(IPlugin):
    def cleanup(self):
        while True:
            time.sleep(0.1)
