"""Its class is no IPlugin."""


class Plugin:
    pass
