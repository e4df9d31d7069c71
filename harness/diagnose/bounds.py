"""How far a run reaches: a cache with a bound that it did not fill looks like a leak for as long as it fills. Pure.

Whether a container has a bound cannot be seen from outside. How many entries it had can, where a profile found what holds the
objects; a bound below that number is ruled out, since it grew on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.diagnose.pool import PoolView
from harness.model.finding import Cause, Evidence, Finding, Side
from harness.units import format_bytes

_CONTAINER = re.compile(r"(?P<kind>\S{1,100}) of (?P<entries>\d{1,12})(?= |$)")
_FIXED = frozenset({"tuple", "bytes", "str"})
_FEWEST = 16  # entries: what has fewer is a part of what is kept, not what keeps it
_MOST = 2
_KEPT = frozenset({Cause.LEAK, Cause.LEAK_OBJECTS})
_SAME = "a cache with a larger bound than that would look the same until it is full"


def with_bounds(findings: Iterable[Finding], pools: Sequence[PoolView]) -> tuple[Finding, ...]:
    """The findings; leaks of objects say up to what bound the run has looked: in entries where the holder is a container of known
    size, in bytes where the growth of the pool is known."""
    by_name = {pool.name: pool for pool in pools}
    return tuple(_with_bound(finding, by_name.get(finding.subject.pool or "")) for finding in findings)


def _with_bound(finding: Finding, pool: PoolView | None) -> Finding:
    if finding.cause not in _KEPT:
        return finding
    large, gained = _containers(finding), _gained(pool)
    if large:
        holder = " with a ".join(f"{kind} of {entries}" for kind, entries in large)
        text = f"what holds it was a {holder} entries when it was profiled"
        text += "" if gained is None else f", and each worker had gained {format_bytes(gained)} in the rounds"
        row = Evidence("holder.size", float(large[0][1]), "count", f"{text}: {_SAME}", Side.CONTEXT)
    elif gained is not None:
        text = f"each worker gained {format_bytes(gained)} in the rounds, and what holds it is not known: {_SAME}"
        row = Evidence("holder.size", None, "count", text, Side.CONTEXT)
    else:
        return finding
    return replace(finding, evidence=[*finding.evidence, row])


def _containers(finding: Finding) -> list[tuple[str, int]]:
    """(type, entries) of those on the way to what is kept that may grow, from the root on."""
    held = next((e.text.partition(" held by ")[2] for e in finding.evidence if e.signal == "profile.holder"), "")
    sizes = [(m["kind"], int(m["entries"])) for m in _CONTAINER.finditer(held) if m["kind"] not in _FIXED]
    return [(kind, entries) for kind, entries in sizes if entries >= _FEWEST][:_MOST]


def _gained(pool: PoolView | None) -> float | None:
    """Bytes of private memory, in each worker."""
    if pool is None or pool.watched or pool.memory is None or not pool.stable or pool.memory.total <= 0:
        return None
    return pool.memory.total / len(pool.stable)
