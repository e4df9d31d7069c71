"""A missing signal is said once."""

from __future__ import annotations

import json

from harness.sampling.missing import COSTS, MissingSignals


def test_once_per_signal() -> None:
    lines: list[bytes] = []
    missing = MissingSignals(lines.append)
    missing.say("process.fds", "no permission to read /proc/7/fd")
    missing.say("process.fds", "no permission to read /proc/8/fd")
    missing.say("system.slab", "no permission", "caches unknown")
    assert [json.loads(line) for line in lines] == [
        {
            "k": "missing",
            "signal": "process.fds",
            "reason": "no permission to read /proc/7/fd",
            "costs": COSTS["process.fds"],
        },
        {"k": "missing", "signal": "system.slab", "reason": "no permission", "costs": "caches unknown"},
    ]
