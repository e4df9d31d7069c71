"""What lives in a process's heap, by type, as counted from outside."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.process import ProcessKey


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """Objects of one type that one walk of a process's heap met.

    ``count`` and ``bytes`` speak of the whole heap: where the walk looked at one pool in ``every`` (1: at all) they are what it
    met times that, which is good to some percent for types of many objects and worthless for few. ``t_ns`` is CLOCK_MONOTONIC at
    the start of the walk; all rows of a walk share it.
    """

    process: ProcessKey
    t_ns: int
    runtime: str
    type: str  # as the target names it: hostile, capped by whoever read it
    count: int
    bytes: int
    every: int
