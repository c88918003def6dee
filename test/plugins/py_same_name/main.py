"""Has the name of py_good."""

from qtforge.core import IPlugin


class Plugin(IPlugin):
    pass
