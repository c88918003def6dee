"""Lists qtforge's headers, or checks that each compiles alone.

A header is compiled again only when it, something it includes, or the command has changed.
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path


def headers(include: Path, without: str) -> "list[str]":
    left_out = set(without.split(","))
    found = (path.relative_to(include) for path in (include / "qtforge").rglob("*.hpp"))
    return sorted(str(name) for name in found if name.parts[1] not in left_out)


def write_list(arguments) -> int:
    text = "#pragma once\n" + "".join(f"#include <{name}>\n" for name in headers(arguments.include, arguments.without))
    if not arguments.output.exists() or arguments.output.read_text() != text:
        arguments.output.write_text(text)
    return 0


def unchanged(stamp: Path, command: str) -> bool:
    """Whether the command of the last success was the same and no file that it read is newer."""
    if not stamp.exists():
        return False
    last, *files = stamp.read_text().splitlines()
    newest = stamp.stat().st_mtime
    return last == command and all(os.path.exists(f) and os.path.getmtime(f) < newest for f in files)


def check_one(name: str, arguments) -> "tuple[str, str]":
    """The header's name and what the compiler had to say."""
    source = arguments.scratch / (name.replace("/", "_") + ".cpp")
    depends, stamp = source.with_suffix(".d"), source.with_suffix(".ok")
    command = [*arguments.command, f"-I{arguments.include}", "-fsyntax-only", "-MD", "-MF", str(depends), str(source)]
    if unchanged(stamp, " ".join(command)):
        return name, ""
    stamp.unlink(missing_ok=True)
    source.write_text(f"#include <{name}>\n")
    ran = subprocess.run(command, text=True, capture_output=True)
    if ran.returncode:
        return name, ran.stderr or f"exit {ran.returncode}"
    files = depends.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    stamp.write_text("\n".join([" ".join(command), *files]))
    return name, ""


def check(arguments) -> int:
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(check_one, name, arguments) for name in headers(arguments.include, arguments.without)]
        for job in concurrent.futures.as_completed(jobs):
            name, complaint = job.result()
            if complaint:
                failed += 1
                print(f"#include <{name}> alone:\n{complaint}", flush=True)
    print(f"{len(jobs) - failed} headers compile alone, {failed} do not")
    return 1 if failed or not jobs else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for function in (write_list, check):
        made = commands.add_parser({"write_list": "list"}.get(function.__name__, function.__name__))
        made.set_defaults(function=function)
        made.add_argument("--include", type=Path, required=True)
        made.add_argument("--without", default="", help="folders below qtforge/ to leave out, with commas")
        if function is write_list:
            made.add_argument("output", type=Path)
        else:
            made.add_argument("--scratch", type=Path, required=True)
            made.add_argument("command", nargs="+", help="the compiler and its flags, after --")
    arguments = parser.parse_args()
    return arguments.function(arguments)


if __name__ == "__main__":
    sys.exit(main())
