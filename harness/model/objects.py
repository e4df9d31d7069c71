"""What lives in a process's heap, by type, as counted from outside."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.process import ProcessKey


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """Objects of one type that one walk of a process's heap met.

    ``count`` and ``bytes`` are what was met, not scaled up: where the walk looked at one in ``every`` (1: at all), the whole heap
    is estimated by multiplying. ``t_ns`` is CLOCK_MONOTONIC at the start of the walk; all rows of a walk share it.
    """

    process: ProcessKey
    t_ns: int
    runtime: str
    type: str  # as the target names it: hostile, capped by whoever read it
    count: int
    bytes: int
    every: int
