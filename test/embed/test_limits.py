"""Limits of time under stress: see limits_host.cpp. QTFORGE_STRESS=N lets it run N times as long."""

import os
import random
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(os.environ["QTFORGE_BUILD_ROOT"]) / "test/embed/hosts"
SECONDS = 15 * int(os.environ.get("QTFORGE_STRESS", "1"))
pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason="built without an embedded Python"),
    pytest.mark.timeout(SECONDS + 120),
]


def test_of_calls_about_as_long_as_the_limit_only_the_late_are_stopped_and_nobody_for_another():
    seed = random.randrange(2**31)
    ran = subprocess.run([PROGRAM, "limits", str(SECONDS), str(seed)], text=True, capture_output=True)
    print("seed", seed, ran.stdout.partition("\n")[0])
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}\n{ran.stderr}"
    finished, stopped = map(int, ran.stdout.split())
    assert finished > 1000
    assert stopped > 50
