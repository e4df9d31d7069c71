"""Which of several findings is the cause, and which only go with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.model.finding import EXPLAINS, Cause, Finding

_LEAKS = frozenset({Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP})
# The cause on the left is seen wherever one on the right is, and says where that memory lies, or that it was once shared.
_FOLLOWS = {
    Cause.THP: (_LEAKS - {Cause.LEAK_MMAP}) | {Cause.LEAK, Cause.GC_DELAY, Cause.FRAGMENTATION},
    Cause.COW_UNSHARING: _LEAKS | {Cause.LEAK, Cause.GC_DELAY},
    Cause.FRAGMENTATION: _LEAKS | {Cause.GC_DELAY},
    Cause.GC_DELAY: _LEAKS,
    # A thread brings its object, its stack and an arena of malloc; an open file its object and its buffers.
    Cause.LEAK_OBJECTS: frozenset({Cause.THREADS, Cause.DESCRIPTORS}),
    Cause.LEAK_NATIVE: frozenset({Cause.THREADS, Cause.DESCRIPTORS}),
    Cause.LEAK_MMAP: frozenset({Cause.THREADS}),
}
# What accounts for private memory: where one of these does, "some leak" says nothing more.
PRIVATE = _LEAKS | {
    Cause.GC_DELAY, Cause.FRAGMENTATION, Cause.COW_UNSHARING, Cause.THREADS, Cause.DESCRIPTORS, Cause.THP,
    Cause.RETENTION,
}  # fmt: skip
_MOSTLY = 0.5
_BESIDE = 0.3  # of what another finding accounts for: less than this comes with it, as the object that owns a mapping
_MAPPED = frozenset({Cause.MAPPED_FILES, Cause.SHARED_MEMORY})
MAPPED_DESCRIPTORS = (
    "mapped_descriptors_per_round"  # in ``Finding.numbers``: of the descriptors, so many came with a mapping
)


def arbitrate(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of one pool. The unspecific ``leak`` is left out where another cause accounts for at least half of its
    growth; a finding that follows from one that accounts for more is marked secondary. Findings that explain nothing of the
    pool's own memory (descriptors, shared memory) stand for themselves."""
    named = [f for f in findings if f.cause is not Cause.LEAK or not _accounted(f, findings)]
    return [replace(f, secondary=True) if _follows(f, named) else f for f in named]


def _accounted(leak: Finding, findings: Sequence[Finding]) -> bool:
    others = sum(explained(f) for f in findings if f.cause in PRIVATE)
    return 0 < _MOSTLY * explained(leak) <= others


def _follows(finding: Finding, findings: Sequence[Finding]) -> bool:
    leads = _FOLLOWS.get(finding.cause, frozenset())
    if any(other.cause in leads and explained(other) >= explained(finding) for other in findings):
        return True
    if any(_untouched(finding, other) or _belongs_to(finding, other) for other in findings):
        return True
    return finding.cause in _LEAKS and any(
        other.cause in _LEAKS and explained(finding) < _BESIDE * explained(other) for other in findings
    )


def _untouched(finding: Finding, other: Finding) -> bool:
    """Memory outside of allocators that lies in huge pages is seen twice. It was mapped and kept, unless huge pages fill in most
    of it around what is touched."""
    if finding.cause is Cause.LEAK_MMAP and other.cause is Cause.THP:
        return explained(other) >= _MOSTLY * explained(finding)
    return (
        finding.cause is Cause.THP
        and other.cause is Cause.LEAK_MMAP
        and explained(finding) < _MOSTLY * explained(other)
    )


def _belongs_to(finding: Finding, other: Finding) -> bool:
    """Whether it is the object or the descriptor of a mapping that the same requests make and keep."""
    if other.cause not in _MAPPED or other.subject.endpoint != finding.subject.endpoint:
        return False
    if finding.cause is Cause.DESCRIPTORS:
        return finding.numbers.get(MAPPED_DESCRIPTORS, 0.0) > 0
    return finding.cause in _LEAKS and explained(finding) < _BESIDE * explained(other)


def outweighed(finding: Finding, findings: Sequence[Finding]) -> bool:
    """Whether something else that is not secondary accounts for several times as much of the same pool's growth: the smaller
    must not speak for the pool, however bad its kind."""
    mine = explained(finding)
    return mine > 0 and any(
        mine < _BESIDE * explained(other)
        for other in findings
        if other.subject.pool == finding.subject.pool and other.cause in PRIVATE and not other.secondary
    )


def explained(finding: Finding) -> float:
    """Bytes a round of the pool's growth that the finding accounts for."""
    return finding.numbers.get(EXPLAINS, 0.0)
