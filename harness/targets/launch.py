"""What to start, and how to say it to a guard. The guard itself is harness/targets/guard.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.plugins.spec import LaunchPlan

# Signals one after the other, with the seconds until the next; None: the target's.
Ladder = Sequence[tuple[int, float | None]]
LADDER: Ladder = ((2, None), (15, None), (9, None))  # INT, TERM, KILL
# For who writes something down when it is told to end, and not when it is interrupted. PHP goes on once with a read that a signal
# has ended, so a script that waits for a line notices the second.
GENTLE_LADDER: Ladder = ((15, 2.0), (15, None), (9, None))
GUARD_MODULE = "harness.targets.guard"


def full_environment(base: Mapping[str, str], additions: Mapping[str, str | None]) -> dict[str, str]:
    """``base`` with ``additions``; a value of None removes the variable."""
    merged = dict(base)
    for name, value in additions.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def guard_order(
    plan: LaunchPlan, environment: Mapping[str, str], output: Path, rung_s: float, cgroup: str | None = None,
    ladder: Ladder = LADDER,
) -> dict[str, object]:  # fmt: skip
    """The guard's first line for a plan: everything it needs, secrets included, over its stdin.

    ``cgroup``: a name for a memory cgroup of the program's own; None = it stays where the harness is. ``ladder``: what ends it;
    ``rung_s``: the target's seconds between two signals.
    """
    return {
        "argv": list(plan.argv),
        "env": full_environment(environment, plan.env),
        "cwd": str(plan.cwd or Path.cwd()),
        "output": str(output),
        "ladder": [[number, rung_s if seconds is None else seconds] for number, seconds in ladder],
        "cgroup": cgroup,
    }


def output_tail(path: Path, limit_bytes: int = 2000) -> str:
    """The end of a target's output, printable, for error messages; empty when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).strip()
