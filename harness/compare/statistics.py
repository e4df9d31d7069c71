"""Differences of two sides with their intervals, and what their certainty is worth among many. Pure functions over floats.

Sources: Donner and Zou 2012 (MOVER: the interval of a difference from two intervals), Welch 1947 (means of unequal variance),
Birge 1932 (intervals that disagree by more than they allow), Holm 1979 (many tests).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, variance

from harness.compare.model import Method
from harness.diagnose.stats import student_t_quantile

CONFIDENCE = 0.95
_FEW = 3  # runs: from so many on their spread is known well enough to be used
_WITHIN_DF = 6  # of an interval that a run gives itself: eight rounds with a slope
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """One run's value with its 95 % interval, or that of one side. ``usual``: standard deviation of the same quantity between
    runs of one program, which the interval does not hold; 0 where it does."""

    value: float
    low: float
    high: float
    usual: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """Head less base. ``df``: degrees of freedom of the interval."""

    value: float
    low: float
    high: float
    df: float
    method: Method

    @property
    def half_width(self) -> float:
        return max(self.value - self.low, self.high - self.value)

    @property
    def p(self) -> float:
        """Two-sided, of no difference: from the end of the interval on the side of 0."""
        reach = self.value - self.low if self.value > 0 else self.high - self.value
        if self.value == 0:
            return 1.0
        if reach <= 0:
            return 0.0
        return 2 * t_tail(abs(self.value) / reach * t_quantile(self.df), self.df)


def t_quantile(df: float) -> float:
    """Two-sided 95 %; fractional degrees are rounded down, which is cautious."""
    return student_t_quantile((1 + CONFIDENCE) / 2, max(1, math.floor(df))) if df < 1000 else _Z


def t_tail(t: float, df: float) -> float:
    """P(T > t) for t >= 0, to four digits: the inverse of `student_t_quantile`, by bisection on the logarithm of the tail."""
    whole = max(1, math.floor(df))
    if df >= 1000:
        return 1 - NormalDist().cdf(t)
    low, high = math.log(1e-12), math.log(0.5)
    for _ in range(60):
        middle = (low + high) / 2
        if student_t_quantile(1 - math.exp(middle), whole) > t:
            low = middle
        else:
            high = middle
    return math.exp(high)


def side_of(runs: Sequence[Estimate]) -> Estimate:
    """The mean over the runs of one side with its interval by `_within`: for showing, and for sides of one run."""
    if len(runs) == 1:
        only = runs[0]
        reach = _Z * only.usual
        return Estimate(only.value, only.value - math.hypot(only.value - only.low, reach),
                        only.value + math.hypot(only.high - only.value, reach))  # fmt: skip
    centre = mean(r.value for r in runs)
    down, up = _within(runs)
    if len(runs) >= _FEW:
        spread = t_quantile(len(runs) - 1) * math.sqrt(variance([r.value for r in runs]) / len(runs))
        down, up = max(down, spread), max(up, spread)
    return Estimate(centre, centre - down, centre + up)


def difference(base: Sequence[Estimate], head: Sequence[Estimate]) -> Difference:
    """The difference of the means of two sides of at least one run each.

    With three runs or more on a side their spread decides: Welch's interval where both have as many, else the spread of the side
    that has, taken for both. It is never narrower than what the runs say of themselves. With fewer, the runs' own intervals are
    put together, wider where runs of one side disagree by more than these allow.
    """
    value = mean(r.value for r in head) - mean(r.value for r in base)
    base_down, base_up = _within(base)
    head_down, head_up = _within(head)
    down, up = math.hypot(head_down, base_up), math.hypot(head_up, base_down)
    enough = [side for side in (base, head) if len(side) >= _FEW]
    if enough:
        error, df = _between(base, head) if len(enough) == 2 else _pooled(enough[0], len(base), len(head))
        reach = t_quantile(df) * error
        own_down, own_up = _without_usual(base, head)
        return Difference(value, value - max(reach, own_down), value + max(reach, own_up), df, Method.RUNS)
    assumed = any(r.usual > 0 for r in (*base, *head))
    method, df = (Method.ASSUMED, 1000.0) if assumed else (Method.WITHIN, float(_WITHIN_DF * (len(base) + len(head))))
    return Difference(value, value - down, value + up, df, method)


def _within(runs: Sequence[Estimate]) -> tuple[float, float]:
    """How far the mean of the runs may lie below and above, by their own intervals (with what is usual between runs)."""
    n = len(runs)
    down = math.sqrt(sum((r.value - r.low) ** 2 + (_Z * r.usual) ** 2 for r in runs)) / n
    up = math.sqrt(sum((r.high - r.value) ** 2 + (_Z * r.usual) ** 2 for r in runs)) / n
    if n > 1:
        widen = _birge(runs)
        down, up = down * widen, up * widen
    return down, up


def _birge(runs: Sequence[Estimate]) -> float:
    """Root of chi square by its degrees of freedom, at least 1: how much the runs disagree beyond their intervals."""
    centre = mean(r.value for r in runs)
    total = 0.0
    for r in runs:
        own = (r.value - r.low) if r.value > centre else (r.high - r.value)
        error = math.hypot(own / _Z, r.usual)
        if error > 0:
            total += ((r.value - centre) / error) ** 2
        elif r.value != centre:
            total += 1.0
    return max(1.0, math.sqrt(total / (len(runs) - 1)))


def _without_usual(base: Sequence[Estimate], head: Sequence[Estimate]) -> tuple[float, float]:
    """Reach down and up by the runs' own intervals only: what is usual between runs is measured, need not be assumed."""

    def reach(runs: Sequence[Estimate], end: Callable[[Estimate], float]) -> float:
        return math.sqrt(sum(end(r) ** 2 for r in runs)) / len(runs)

    def below(r: Estimate) -> float:
        return r.value - r.low

    def above(r: Estimate) -> float:
        return r.high - r.value

    return math.hypot(reach(head, below), reach(base, above)), math.hypot(reach(head, above), reach(base, below))


def _between(base: Sequence[Estimate], head: Sequence[Estimate]) -> tuple[float, float]:
    """Standard error and degrees of freedom by Welch and Satterthwaite."""
    parts = [(variance([r.value for r in side]) / len(side), len(side) - 1) for side in (base, head)]
    total = sum(part for part, _ in parts)
    if total <= 0:
        return 0.0, float(min(df for _, df in parts))
    return math.sqrt(total), total**2 / sum(part**2 / df for part, df in parts if part > 0)


def _pooled(known: Sequence[Estimate], base: int, head: int) -> tuple[float, float]:
    """The same where one side has too few runs to show its spread: that of the other is taken for both."""
    return math.sqrt(variance([r.value for r in known]) * (1 / base + 1 / head)), float(len(known) - 1)


def holm(ps: Sequence[float], alpha: float = 1 - CONFIDENCE) -> list[bool]:
    """Which of the tests reject, so that the chance of one mistake among all of them is at most ``alpha``."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    rejected = [False] * len(ps)
    for rank, index in enumerate(order):
        if ps[index] > alpha / (len(ps) - rank):
            break
        rejected[index] = True
    return rejected


def rounds_needed(rounds: int, half_width: float, wanted: float) -> int:
    """Rounds in which an interval shrinks to ``wanted``, if it shrinks with their root: growth shrinks faster."""
    return math.ceil(rounds * (half_width / wanted) ** 2)


def runs_needed(spread: float, wanted: float, most: int = 200) -> int | None:
    """Runs a side until the interval of the difference is ``wanted`` on each side, for runs with that standard deviation."""
    for n in range(_FEW, most + 1):
        if t_quantile(2 * n - 2) * spread * math.sqrt(2 / n) <= wanted:
            return n
    return None
