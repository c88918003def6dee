"""Rows of benchmarks as ./tools/dev bench prints them and its --json has them."""
from __future__ import annotations

from statistics import median


def row(name: str, unit: str, ours: list[float], peer: str, theirs: list[float]) -> dict:
    """Less is better: a ratio above 1 is ours to win."""
    return {"name": name, "ours": median(ours), "peer": peer, "theirs": median(theirs), "ratio": median(theirs) / median(ours),
            "unit": unit, "runs": len(ours), "min": min(ours), "max": max(ours), "theirs_min": min(theirs),
            "theirs_max": max(theirs)}


def show(rows: list[dict], label: str = "qtforge", digits: int = 2) -> None:
    """Of one comparison: ours, then its peers."""
    first = rows[0]
    number = f"12,.{digits}f"
    print(f"\n{first['name'] + ', ' + first['unit']:58} {'median':>12} {'min':>12} {'max':>12} {'ratio':>8}")
    print(f"  {label:56} {first['ours']:{number}} {first['min']:{number}} {first['max']:{number}}")
    for each in rows:
        print(f"  {each['peer']:56} {each['theirs']:{number}} {each['theirs_min']:{number}} {each['theirs_max']:{number}}"
              f" {each['ratio']:7.2f}x", flush=True)
