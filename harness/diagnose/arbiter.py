"""Which of several findings is the cause, and which only go with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.model.finding import EXPLAINS, Cause, Finding

# These tell where memory that something else keeps is lying, or what it is called once more.
_FOLLOWS = {
    Cause.THP: frozenset({Cause.LEAK, Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.FRAGMENTATION}),
}
_MOSTLY = 0.5


def arbitrate(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of one pool, those marked secondary that another one of the pool accounts for.

    A finding is secondary when it follows from one that explains more of the same growth. Findings that explain nothing of the
    pool's own memory (descriptors, shared memory) stand for themselves.
    """
    return [replace(f, secondary=True) if _follows(f, findings) else f for f in findings]


def _follows(finding: Finding, all_of_them: Sequence[Finding]) -> bool:
    own = finding.numbers.get(EXPLAINS)
    leads = _FOLLOWS.get(finding.cause, frozenset())
    return any(
        other.cause in leads and (own is None or other.numbers.get(EXPLAINS, 0.0) >= _MOSTLY * own)
        for other in all_of_them
    )
