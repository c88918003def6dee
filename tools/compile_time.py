"""How long it takes to compile a header, beside what one would include without qtforge."""
from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from comparison import row, show
from environment import Failure

OURS = ("#include <qtforge/communication/message_bus.hpp>",)
PEER = ("#include <boost/asio/io_context.hpp>", "#include <boost/json.hpp>")
NAME = "compile time of communication/message_bus.hpp"


def build_command(build: Path, source: Path) -> tuple[list[str], Path]:
    """The command that compiles `source` without its files and without a compiler cache, and where it runs."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if (Path(entry["directory"]) / entry["file"]).resolve() != source.resolve():
            continue
        words = iter(shlex.split(entry["command"]))
        command = []
        for word in words:
            if word in ("-o", "-c", "-MF", "-MQ"):
                next(words)
            elif word != "-MD" and Path(word).name not in ("ccache", "sccache"):
                command.append(word)
        return command, Path(entry["directory"])
    raise Failure(f"{build / 'compile_commands.json'} does not say how {source} is compiled")


def measure(build: Path, source: Path, runs: int = 5) -> list[dict]:
    """Compiles both in turn, as `source` is compiled. Prints and returns rows as the benchmarks' --json has them."""
    command, folder = build_command(build, source)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for name, lines in (("ours", OURS), ("peer", PEER)):
            files.append(Path(scratch) / f"{name}.cpp")
            files[-1].write_text("\n".join(lines) + "\n")
        for way, options in (("checked only", ["-fsyntax-only"]), ("whole", ["-c", "-o", str(Path(scratch) / "out.o")])):
            times: list[list[float]] = [[], []]
            for _ in range(runs):
                for file, taken in zip(files, times):
                    begin = time.perf_counter()
                    done = subprocess.run([*command, *options, str(file)], cwd=folder, env={**os.environ, "CCACHE_DISABLE": "1"})
                    taken.append(time.perf_counter() - begin)
                    if done.returncode:
                        raise Failure(f"{file.name} does not compile with {shlex.join(command)}")
            ours, theirs = times
            rows.append(row(f"{NAME}, {way}", "s", ours, "boost/asio/io_context.hpp + boost/json.hpp", theirs))
            show(rows[-1:])
    return rows
