"""Prints where Boost lies and, on a second line, its Boost.Python for this interpreter; empty lines mean the system's."""
import importlib.util
import os
import sys
from pathlib import Path


def find_prefix() -> "Path | None":
    if os.environ.get("BOOST_ROOT"):
        return Path(os.environ["BOOST_ROOT"]).resolve()
    spec = importlib.util.find_spec("cmeel")
    if spec is None or not spec.origin:
        return None
    prefix = Path(spec.origin).parent.parent / "cmeel.prefix"
    return prefix if (prefix / "include" / "boost" / "version.hpp").exists() else None


def find_boost_python(prefix: Path) -> "Path | str":
    name = f"libboost_python{sys.version_info.major}{sys.version_info.minor}.so"
    # The name with the version is the library's soname, and the one under which a copy must lie.
    return min((prefix / "lib").glob(f"{name}.[0-9]*"), default="")


found = find_prefix()
print(found or "")
print(find_boost_python(found) if found else "")
