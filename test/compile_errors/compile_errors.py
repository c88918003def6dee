"""Programs that must not compile: each file of `cases` says in its `// error:` lines what the first error shows.

A line `// error: TEXT` holds for every compiler, `// error gcc: TEXT` and `// error clang: TEXT` for one. `FILE:LINE` is
where the first error is; where a line says nothing the author's file must be named.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

EXPECTED = re.compile(r"^// error( gcc| clang)?: (.*)$", re.MULTILINE)


def check(case: Path, command: "list[str]", compiler: str) -> str:
    """What is wrong, or an empty text."""
    ran = subprocess.run([*command, "-fsyntax-only", str(case)], text=True, capture_output=True)
    if ran.returncode == 0:
        return "it compiles"
    errors = [line for line in ran.stderr.splitlines() if " error: " in line]
    if not errors:
        return f"it fails without an error:\n{ran.stderr}"
    wanted = [text for which, text in EXPECTED.findall(case.read_text()) if which.strip() in ("", compiler)]
    missing = [text for text in wanted if text not in errors[0]]
    return f"{missing} is not in the first error:\n{errors[0]}" if missing or not wanted else ""


def main() -> int:
    command = sys.argv[sys.argv.index("--") + 1 :]
    version = subprocess.run([command[0], "--version"], text=True, capture_output=True, check=True).stdout
    compiler = "clang" if "clang" in version else "gcc"
    cases = sorted((Path(__file__).parent / "cases").glob("*.cpp"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda case: check(case, command, compiler), cases))
    for case, wrong in zip(cases, results):
        print(f"{case.name}: {wrong or 'as it must be'}")
    return 1 if any(results) or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
