"""The ledger of a pool: its processes summed up, and how each part moves from round to round."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from harness.diagnose.growth import Growth, Yardstick, judge
from harness.diagnose.ledger.parts import SUMMANDS, Parts
from harness.diagnose.pool import ARENA_BYTES, FLOOR_BYTES, PAGE_STEP_BYTES, PoolView

_COUNTER_BYTES = 16 * 1024  # by which an idle worker's live memory moves from round to round
# Part -> (field of `Parts` that its slope is judged by, noise per worker and round, step in which it is taken)
_JUDGED: Mapping[str, tuple[str, int, int]] = {
    "live": ("exact_live", _COUNTER_BYTES, _COUNTER_BYTES),
    "live_runtime": ("exact_live_runtime", _COUNTER_BYTES, _COUNTER_BYTES),
    "live_native": ("exact_live_native", _COUNTER_BYTES, _COUNTER_BYTES),
    "held": ("exact_held", 4 * _COUNTER_BYTES, ARENA_BYTES),
    "other_native": ("exact_other", FLOOR_BYTES, ARENA_BYTES),
    "image": ("image", FLOOR_BYTES, PAGE_STEP_BYTES),
    "files": ("files", 2 * FLOOR_BYTES, ARENA_BYTES),
    "shared": ("shared", FLOOR_BYTES, PAGE_STEP_BYTES),
    "stacks": ("stacks", FLOOR_BYTES, PAGE_STEP_BYTES),
    "swap": ("swap", FLOOR_BYTES, ARENA_BYTES),
}


class PartGrowth(NamedTuple):
    """How one part of the stable workers' memory moves. ``exact``: judged by what allocators count, which knows no pages."""

    part: str
    exact: bool
    growth: Growth


def summed(processes: Iterable[Parts]) -> Mapping[str, int | None]:
    """``pss`` and its summands over several processes at one moment: to the byte what their PSS adds up to.

    What is not known of one process is in its ``unexplained``, so a part known of some counts what they have; None: of nobody.
    Processes whose PSS is not known count nothing.
    """
    counted = [parts for parts in processes if parts.pss is not None]
    total: dict[str, int | None] = {}
    for name in ("pss", *SUMMANDS):
        known = [value for value in (getattr(parts, name) for parts in counted) if value is not None]
        total[name] = sum(known) if known else None
    return total


def part_growth(pool: PoolView) -> tuple[PartGrowth, ...]:
    """The parts that are known of every stable worker in every judged round."""
    found = []
    workers = math.sqrt(max(1, len(pool.stable)))
    for part, (field, noise, quantum) in _JUDGED.items():
        levels = pool.part_levels(field)
        if levels is not None and levels.any():
            yardstick = Yardstick(noise * workers, quantum, doubt=quantum)
            found.append(PartGrowth(part, field.startswith("exact_"), judge(levels, yardstick)))
    return tuple(found)
