"""Differences of two sides with their intervals, and what their certainty is worth among many. Pure functions over floats.

Sources: Donner and Zou 2012 (MOVER: the interval of a difference from two intervals that need not be symmetric), Smyth 2004
(moderated t: a spread seen in few runs, put together with the spread that was expected), Welch 1947 and Satterthwaite 1946 (means
of unequal variance), Holm 1979 (many tests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, variance

from harness.compare.model import Method
from harness.diagnose.stats import student_t_quantile

CONFIDENCE = 0.95
PRIOR_DF = 8  # degrees of freedom that the expected spread counts for: as much as nine runs
_FEW = 3  # runs: from so many on the spread among them is looked at
_NORMAL_FROM = 1000  # degrees of freedom
_Z = 1.959964
_MOST_LOG = 700.0  # of what fits into a float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One run's value with its own 95 % interval.

    ``usual``: standard deviation of the quantity between runs of one program, which the interval does not hold; 0 where it does.
    ``typical``: whether that is what most programs have, so that it tells something about this one too; False where it is only
    how bad it can be, and is forgotten as soon as there are runs to look at.
    """

    value: float
    low: float
    high: float
    usual: float = 0.0
    typical: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """Head less base. ``df``: degrees of freedom of the interval. ``of_ratio``: of differences of logarithms, their p."""

    value: float
    low: float
    high: float
    df: float
    method: Method
    of_ratio: float | None = None

    @property
    def half_width(self) -> float:
        return max(self.value - self.low, self.high - self.value)

    @property
    def p(self) -> float:
        """Two-sided, of no difference: from the end of the interval on the side of 0."""
        if self.of_ratio is not None:
            return self.of_ratio
        reach = self.value - self.low if self.value > 0 else self.high - self.value
        if self.value == 0:
            return 1.0
        if reach <= 0:
            return 0.0
        return 2 * t_tail(abs(self.value) / reach * t_quantile(self.df), self.df)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Variance of the mean of a side, below and above it, with its degrees of freedom."""

    down: float
    up: float
    df: float


def t_quantile(df: float) -> float:
    """Two-sided 95 %; fractional degrees are rounded down, which is cautious."""
    return student_t_quantile((1 + CONFIDENCE) / 2, max(1, math.floor(df))) if df < _NORMAL_FROM else _Z


def t_tail(t: float, df: float) -> float:
    """P(T > t) for t >= 0, to four digits: the inverse of `student_t_quantile`, by bisection on the logarithm of the tail."""
    whole = max(1, math.floor(df))
    if df >= _NORMAL_FROM:
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
    """The mean over the runs of one side with its interval."""
    centre, spread = mean(r.value for r in runs), _spread(runs, None)
    reach = t_quantile(spread.df)
    return Estimate(centre, centre - reach * math.sqrt(spread.down), centre + reach * math.sqrt(spread.up))


def difference(base: Sequence[Estimate], head: Sequence[Estimate]) -> Difference:
    """The difference of the means of two sides of at least one run each.

    Of each side, the spread that is expected (what its runs say of themselves, and what is usual between runs) and the spread
    that is seen among its runs are put together, each by its degrees of freedom. A side of one run has what is expected only.
    """
    value = mean(r.value for r in head) - mean(r.value for r in base)
    before, after = _spread(base, head), _spread(head, base)
    down, up = after.down + before.up, after.up + before.down
    df = _satterthwaite((max(after.down, after.up), after.df), (max(before.down, before.up), before.df))
    reach = t_quantile(df)
    if max(len(base), len(head)) >= _FEW:
        method = Method.RUNS
    else:
        method = Method.ASSUMED if any(r.usual > 0 for r in (*base, *head)) else Method.WITHIN
    return Difference(value, value - reach * math.sqrt(down), value + reach * math.sqrt(up), df, method)


def ratio(base: Sequence[Estimate], head: Sequence[Estimate]) -> Difference | None:
    """The same for what differs by factors, such as latencies: compared as logarithms, and told as a difference again.

    ``usual`` is a share. None where a value is not above 0.
    """
    if any(r.value <= 0 for r in (*base, *head)):
        return None
    before, after = ([_logarithm(r) for r in side] for side in (base, head))
    found = difference(before, after)
    centre = math.exp(mean(r.value for r in before))
    value, low, high = (_difference_of(centre, end) for end in (found.value, found.low, found.high))
    return Difference(value, low, high, found.df, found.method, found.p)


def geometric(runs: Sequence[Estimate]) -> Estimate | None:
    """`side_of` for what differs by factors; None where a value is not above 0."""
    if any(r.value <= 0 for r in runs):
        return None
    found = side_of([_logarithm(r) for r in runs])
    value, low, high = (math.exp(min(end, _MOST_LOG)) for end in (found.value, found.low, found.high))
    return Estimate(value, low, high)


def _difference_of(centre: float, logarithm: float) -> float:
    return math.inf if logarithm > _MOST_LOG else centre * math.expm1(logarithm)


def _logarithm(r: Estimate) -> Estimate:
    low = math.log(r.low) if r.low > 0 else -math.inf
    high = math.log(r.high) if math.isfinite(r.high) else math.inf
    return Estimate(math.log(r.value), low, high, r.usual / r.value, r.typical)


def _spread(runs: Sequence[Estimate], others: Sequence[Estimate] | None) -> _Spread:
    n, typical = len(runs), all(r.typical for r in runs)
    seen = variance([r.value for r in runs]) if n > 1 else 0.0
    own = [mean(end(r) ** 2 for r in runs) for end in (_below, _above)]
    if typical or n < _FEW:
        borrowed = None if typical or others is None else _borrowed(runs, others)
        if borrowed is not None:
            return borrowed
        usual = mean(r.usual**2 for r in runs)
        df = PRIOR_DF + n - 1
        down, up = ((PRIOR_DF * (each + usual) + (n - 1) * seen) / df / n for each in own)
        return _Spread(down, up, float(df))
    return _Spread(max(seen, own[0]) / n, max(seen, own[1]) / n, float(n - 1))


def _borrowed(runs: Sequence[Estimate], others: Sequence[Estimate]) -> _Spread | None:
    """The spread of the other side, in proportion to the values, where that has runs enough to show it."""
    if len(others) < _FEW:
        return None
    theirs = _spread(others, None)
    centre = mean(r.value for r in others)
    scale = (mean(r.value for r in runs) / centre) ** 2 if centre else 1.0
    scale *= len(others) / len(runs)
    return _Spread(theirs.down * scale, theirs.up * scale, theirs.df)


def _below(r: Estimate) -> float:
    return (r.value - r.low) / _Z


def _above(r: Estimate) -> float:
    return (r.high - r.value) / _Z


def _satterthwaite(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of variances, each with its own."""
    total = sum(part for part, _ in parts)
    fewest = min(df for _, df in parts)
    if total <= 0 or not math.isfinite(total):
        return fewest
    return max(fewest, total**2 / sum(part**2 / df for part, df in parts if part > 0))


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


def runs_needed(spread: float, wanted: float, known_df: int, most: int = 200) -> int | None:
    """Runs a side until the interval of the difference is ``wanted`` on each side, for runs with that standard deviation.

    ``known_df``: degrees of freedom that the spread has without these runs. None: not even ``most`` are enough.
    """
    for n in range(_FEW, most + 1):
        if t_quantile(2 * n - 2 + known_df) * spread * math.sqrt(2 / n) <= wanted:
            return n
    return None
