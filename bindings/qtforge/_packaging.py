"""The library `packaging`: the environment's own, else the copy inside of pip, for hosts whose environment has only that."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["Error", "bundled_pip", "markers", "requirements", "utils", "version"]


def bundled_pip() -> str:
    """The wheel of pip that came with this Python; "" where there is none."""
    try:
        import ensurepip
    except ImportError:  # distributions ship it apart
        return ""
    folders = [Path(ensurepip.__file__).parent / "_bundled", Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/nowhere")]
    return next((str(wheel) for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), "")


def _modules(*names: str) -> list[ModuleType]:
    for package in ("packaging", "pip._vendor.packaging"):
        try:
            return [importlib.import_module(f"{package}.{name}") for name in names]
        except ImportError:
            pass
    wheel = bundled_pip()
    sys.path.append(wheel)
    try:
        return [importlib.import_module(f"pip._vendor.packaging.{name}") for name in names]
    except ImportError as error:
        raise ImportError(
            f"'{sys.executable}' has neither the package `packaging` nor pip, and no pip came with it; "
            "requirements cannot be read without: install `packaging` there"
        ) from error
    finally:
        sys.path.remove(wheel)


if TYPE_CHECKING:
    from packaging import markers, requirements, utils, version
else:
    markers, requirements, utils, version = _modules("markers", "requirements", "utils", "version")

Error = requirements.InvalidRequirement
