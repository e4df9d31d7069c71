"""A check-up as JSON: format ``harness-doctor/1``, schema in ``doctor.schema.json``. Fields may be added, not changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.doctor.model import Group, Machine, Subject
from harness.doctor.setups import Setups
from harness.plugins.spec import Check

FORMAT = "harness-doctor/1"


def document(
    machine: Machine,
    subject: Subject,
    groups: Sequence[Group],
    checks: Sequence[Check] | None,
    would_start: bool | None,
    setups: Sequence[Setups] = (),
) -> str:
    """One line of ASCII. ``checks``: of the scenario's adapter, None without a scenario; ``would_start``: None likewise."""
    found = as_object(machine, subject, groups, checks, would_start, setups)
    return json.dumps(found, ensure_ascii=True, separators=(",", ":"))


def as_object(
    machine: Machine,
    subject: Subject,
    groups: Sequence[Group],
    checks: Sequence[Check] | None,
    would_start: bool | None,
    setups: Sequence[Setups] = (),
) -> dict[str, Any]:
    """None is unknown, or does not apply."""
    return {
        "format": FORMAT,
        "user": {"uid": machine.uid, "name": machine.user},
        "kernel": machine.kernel,
        "subject": {
            "kind": subject.kind.value,
            "text": subject.text,
            "processes": subject.total,
            "looked_at": [{"pid": p.pid, "uid": p.uid} for p in subject.processes],
        },
        "signals": [
            {
                "group": group.name,
                "signal": line.signal,
                "state": line.state.value,
                "found": line.found,
                "costs": line.costs or None,
                "fix": line.fix or None,
            }
            for group in groups
            for line in group.lines
        ],
        "checks": None if checks is None else [_check(check) for check in checks],
        "would_start": would_start,
        "setup": [{"runtime": s.runtime, **_check(check)} for s in setups for check in s.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "level": check.level.value,
        "message": check.message,
        "costs": check.costs or None,
        "fix": check.fix or None,
    }
