"""Counts real test cases: of Boost.Test and pytest from their JUnit files, of other Meson tests one each."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def from_junit(path: Path, succeeded: bool) -> Counts:
    """The cases in a JUnit file. A run that failed without a failed case, or left no readable file, counts as one failure."""
    counts = Counts()
    try:
        for case in ElementTree.parse(path).iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                counts.failed += 1
            elif "skipped" in kinds:
                counts.skipped += 1
            else:
                counts.passed += 1
    except (OSError, ElementTree.ParseError):
        succeeded = False
    if not succeeded and not counts.failed:
        counts.failed = 1
    return counts


def junit_file(build: Path, test: str) -> Path:
    """Where test/meson.build tells a Boost.Test program to write."""
    return build / "test" / f"{test}.junit.xml"


def from_meson(build: Path, succeeded: bool) -> Counts:
    """The last `meson test` in a build folder. One that failed without saying where counts as one failure."""
    counts = Counts()
    log = build / "meson-logs" / "testlog.json"
    for line in log.read_text().splitlines() if log.exists() else []:
        test = json.loads(line)
        name = test["name"].split(" / ")[-1].split(":")[-1]
        passed = test["result"] in ("OK", "EXPECTEDFAIL")
        if test["result"] == "SKIP":
            counts.skipped += 1
        elif junit_file(build, name).exists():
            counts += from_junit(junit_file(build, name), passed)
        else:
            counts += Counts(int(passed), int(not passed))
    if not succeeded and not counts.failed:
        counts.failed = 1
    return counts
