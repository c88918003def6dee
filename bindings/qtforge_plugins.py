"""The modules of plugins, in processes that a plugin has started: `multiprocessing` imports them by their names.

In the process of the plugins themselves a module of this name is made when the first one is loaded.
"""

from qtforge import _plugins

__path__: list[str] = []
_plugins.adopt()
