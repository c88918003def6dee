"""Small things that plugins on both sides need to agree on."""

import time

__all__ = ["current_timestamp"]


def current_timestamp() -> int:
    """Now, as milliseconds since the Unix epoch (1970-01-01 UTC): an int, exact in JSON."""
    return time.time_ns() // 1_000_000
