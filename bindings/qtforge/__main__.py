"""What a shell wants to know of the package: `python -m qtforge --abi`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from qtforge import Error, __version__, _qtforge


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qtforge", description="Tells about this installation of qtforge.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--abi",
        nargs="*",
        metavar="PLUGIN.so",
        help="print the ABI tag that a native plugin must have to be loaded here, or those of plugins, whose code does not "
        "run; 1 if one has another tag or none",
    )
    options = parser.parse_args(arguments)
    if options.abi is None:
        parser.print_help()
        return 2
    if not options.abi:
        print(_qtforge.abi_tag)
        return 0
    return max([_show_plugin(path) for path in options.abi])


def _show_plugin(path: str) -> int:
    try:
        tag = _qtforge.plugin_abi_tag(path)
    except Error as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {tag}")
    if tag == _qtforge.abi_tag:
        return 0
    print(f"{path}: cannot be loaded here, where the tag is {_qtforge.abi_tag}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
