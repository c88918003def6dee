"""The package manager as the host's C++ calls it: arguments and results that go through JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from qtforge.packages import Cancellation, PackageManager, Problem

__all__ = ["call"]

_METHODS = {"install", "install_named", "uninstall", "list", "check", "create_environment", "lock", "sync"}


def call(
    method: str,
    options: Mapping[str, Any],
    arguments: Sequence[Any],
    on_progress: Callable[[str, str], object] | None,
    stop: int,
) -> Any:
    """Calls a method of a manager that is made for it.

    Args:
        stop: a file that becomes readable to cancel; -1: none.
    """
    assert method in _METHODS
    cancellation = Cancellation(stop) if stop >= 0 else None
    manager = PackageManager(**options, on_progress=on_progress, cancellation=cancellation)
    if method == "sync":
        file, remove_others = arguments
        result: Any = manager.sync(file, remove_others=remove_others)
    else:
        result = getattr(manager, method)(*arguments)
    if not isinstance(result, list):
        return None
    return [{**asdict(one), "text": str(one)} if isinstance(one, Problem) else asdict(one) for one in result]
