"""How often each process's page tables are walked, so that the whole sampler stays within a share of one core.

A walk's price is known only from the last one (about 11 us per resident MB, under the process's own mmap lock). Each sweep
may spend ``share * interval``, less what everything else costs. If all walks that are wanted fit, all are done. If not,
the sum is divided as max-min fairness does: cheap walks are done in full, dear ones get equal parts and save them up
until they can pay. Walks nobody can do without (first sight, floors) are not asked for here, they just happen.
"""

from __future__ import annotations

from typing import Sequence

_SMOOTHING = 0.2
_LEAST = 0.25  # part of the budget that walks get even if the rest of the sampler eats more than its share
_GOLDEN = 0.618033988749895


def fair_share(costs_ns: Sequence[int], total_ns: float) -> float:
    """The largest part such that ``sum(min(cost, part)) <= total``; infinite when all costs fit."""
    left = total_ns
    ordered = sorted(costs_ns)
    for position, cost in enumerate(ordered):
        part = left / (len(ordered) - position)
        if cost > part:
            return part
        left -= cost
    return float("inf")


class Account:
    """What one process's walks cost and what it has saved up. A process starts in debt of a part of its first walk that
    depends on its pid, so that equal siblings do not all fall due in the same sweep."""

    __slots__ = ("cost_ns", "saved_ns")

    def __init__(self, pid: int, first_cost_ns: int) -> None:
        self.cost_ns = first_cost_ns
        self.saved_ns = -first_cost_ns * (pid * _GOLDEN % 1.0)

    def paid(self, cost_ns: int) -> None:
        """A walk happened and took this long."""
        self.cost_ns = (self.cost_ns + cost_ns) // 2

    def may_walk(self, part_ns: float) -> bool:
        """Add this sweep's part; True, and the price is taken off, when that is enough for a walk."""
        if part_ns >= self.cost_ns:
            return True
        self.saved_ns = min(self.saved_ns + part_ns, 2.0 * self.cost_ns)
        if self.saved_ns < self.cost_ns:
            return False
        self.saved_ns -= self.cost_ns
        return True


class Budget:
    """The allowance for walks in one sweep."""

    def __init__(self, total_ns: float) -> None:
        """``total_ns``: CPU time of the whole sampler for one sweep."""
        self._total_ns = total_ns
        self._other_ns = 0.0

    def spent_otherwise(self, cpu_ns: int) -> None:
        """CPU time of everything but walks since the last sweep."""
        self._other_ns += _SMOOTHING * (cpu_ns - self._other_ns)

    @property
    def walks_ns(self) -> float:
        """CPU time that one sweep's walks may take."""
        return max(self._total_ns - self._other_ns, self._total_ns * _LEAST)
