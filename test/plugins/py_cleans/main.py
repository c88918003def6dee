"""Writes what it does at the end into the file that QTFORGE_TEST_FILE names."""

import asyncio
import os
import threading

import qtforge
from qtforge.core import IPlugin


def note(text):
    with open(os.environ["QTFORGE_TEST_FILE"], "a") as file:
        file.write(text + "\n")


class Plugin(IPlugin):
    def initialize(self):
        self.loop = asyncio.new_event_loop()
        self.bus = qtforge.MessageBus.instance()
        self.bus.subscribe("py_cleans.work", self.work)
        self.bus.subscribe("py_cleans.slow_exit", lambda path: self.load_extension(path))
        self.calls = 0

    def load_extension(self, path):
        import importlib.util

        spec = importlib.util.spec_from_file_location("slow_exit", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.bus.publish("py_cleans.loaded", True)

    def work(self, message):
        self.calls += 1
        sum(range(1000))
        if message == "thread":
            threading.Thread(target=lambda: note("thread ended")).start()

    def deactivate(self):
        note("deactivated")

    def cleanup(self):
        self.loop.close()
        note("cleaned")
