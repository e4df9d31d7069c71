"""Copies of the application's processes that tools made to look at a heap: they are no part of the application.

Such a copy is born in the profiled pass, has the command line of a process with the agent (it was forked and ran nothing else),
answers no request, and the agent in it says nothing: a process that the application forks announces itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.correlate.lifetimes import Lifetimes
from harness.model.event import Window
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import BootRecord, PhaseName


def heap_copies(
    processes: Sequence[ProcessInfo],
    boots: Iterable[BootRecord],
    windows: Iterable[Window],
    answered: Mapping[ProcessKey, int],
    lifetimes: Lifetimes,
) -> frozenset[ProcessKey]:
    """The copies among ``processes``; none where no agent has announced itself."""
    profiled = [w for w in windows if w.phase is PhaseName.PROFILED]
    announced = {key for boot in boots if (key := lifetimes.find(boot.pid, boot.t_ns, boot.host)) is not None}
    programs = {(p.pool, text) for p in processes if p.key in announced for text in (p.cmdline, p.comm)}
    return frozenset(
        p.key
        for p in processes
        if p.key not in announced
        and not answered.get(p.key)
        and (p.pool, p.cmdline or p.comm) in programs  # of one that lived for ms, only the name was seen
        and any(w.start_ns <= p.born_ns and (w.end_ns is None or p.born_ns <= w.end_ns) for w in profiled)
    )
