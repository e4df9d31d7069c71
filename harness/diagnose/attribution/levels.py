"""How much memory a process had at an instant: pages of private memory, and live bytes of its allocators.

Live bytes are exact, know no pages, and are not biased by memory that was free at the start of the run. Pages are what the
machine loses. Both are read in the same sweep, so their growth can be set side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.diagnose.pool import PoolView

Values = Mapping[str, int | None]

_MEMORY = "process.memory."
# In order of trust: anonymous memory cannot move because another process maps the same library; RSS counts shared pages.
_PAGES = ("pss_anon", "pss", "uss", "rss")
_GLIBC = ("runtime.glibc.used", "runtime.glibc.mmapped")
_AGENT_GLIBC = ("agent.python.glibc.used", "agent.python.glibc.mmapped")
# Sums that hold all live bytes, or as many of them as can be had; what comes first is believed first. The arenas of pymalloc and
# the chunks of Zend's heap come from mmap() and are no part of what malloc counts.
_LIVE: Sequence[tuple[str, ...]] = (
    ("runtime.python.pymalloc.live", *_GLIBC),
    ("agent.python.pymalloc.live", *_AGENT_GLIBC),
    ("agent.python.pymalloc.live", "agent.python.jemalloc.allocated"),
    ("agent.python.pymalloc.live", "agent.python.tcmalloc.allocated"),
    ("runtime.php.heap.size", *_GLIBC),
    ("runtime.php.heap.size",),
    ("agent.php.heap.size",),
)
_LIVE_OTHERWISE: Sequence[tuple[str, ...]] = (_GLIBC,)  # where the target is no language that we know
_ENOUGH = 0.95  # of all readings that should have it


def pages_of(values: Values, metric: str) -> int | None:
    """Private memory in bytes; swapped anonymous pages still belong to the process."""
    value = values.get(_MEMORY + metric)
    if value is not None and metric == "pss_anon":
        value += values.get(_MEMORY + "swap_pss") or 0
    return value


def live_of(values: Values, metrics: Sequence[str]) -> int | None:
    """Sum of ``metrics``; None where one of them was not read."""
    parts = [values.get(metric) for metric in metrics]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def pages_metric(readings: Sequence[Values]) -> str | None:
    """The best measure of private memory that nearly all readings have."""
    return next((m for m in _PAGES if _told(readings, [_MEMORY + m])), None)


def live_metrics(pool: PoolView, readings: Sequence[Values]) -> tuple[str, ...] | None:
    """What live bytes are summed from; None where nearly all readings lack some of it."""
    candidates = _LIVE_OTHERWISE if pool.runtime == "any" else _LIVE
    return next((names for names in candidates if _told(readings, names)), None)


def _told(readings: Sequence[Values], names: Iterable[str]) -> bool:
    needed = tuple(names)
    have = sum(all(r.get(name) is not None for name in needed) for r in readings)
    return bool(readings) and have >= _ENOUGH * len(readings)
