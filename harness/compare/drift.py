"""Slow drift over many runs in order, which no comparison of two neighbours sees, and the place of a step. Pure.

A trend is tested by Mann and Kendall's S (exact for independent runs; from ten runs on also corrected for autocorrelation), and
its slope is Theil and Sen's. A step is tested by Student's t at the best place, times the number of places. The smaller of the
two counts twice, and Holm's method is applied over all quantities. That something does not drift is judged by the interval of the
slope: Sen's, or narrower where it is known how much runs of one program usually differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist, mean

import numpy as np

from harness.compare.conditions import mismatches
from harness.compare.engine import refused
from harness.compare.facts import RunFacts, facts_of
from harness.compare.model import Answer, Drift, DriftRow, Outcome
from harness.compare.statistics import PRIOR_DF, holm, t_quantile, t_tail
from harness.compare.thresholds import GROWTH, LEVELS, Threshold, kind_of
from harness.compare.words import amount, subject, title
from harness.diagnose.stats import trend
from harness.errors import UsageError
from harness.model.measure import Measure
from harness.model.report import Report

LEAST_RUNS = 5
_CORRECTED_FROM = 10  # runs: with fewer the correction itself is only noise
_LEAST_SEGMENT = 2
_STEP_MUCH_BETTER = 0.8  # of the line's sum of squares
_OF_ALL = ("p50", "p99", "errors")
_MOST_NAMED = 3
_Z = 1.959964

Key = tuple[str, str | None]


def drift(
    runs: Sequence[Report | RunFacts], *, thresholds: Mapping[str, Threshold] | None = None, anyway: bool = False
) -> Drift:
    """At least five runs, oldest first. ``thresholds``: which rise from the first to the last matters, by metric.

    Raises UsageError for fewer, and for runs that are not comparable, unless ``anyway``.
    """
    enough_runs(len(runs))
    facts = [run if isinstance(run, RunFacts) else facts_of(run) for run in runs]
    # The first run is what the others are held against.
    differing = mismatches([(f.name.id, f.conditions) for f in facts], [index > 0 for index in range(len(facts))])
    refused(differing, anyway=anyway)
    rows = _rows(facts, thresholds or {})
    outcome = _outcome(rows)
    return Drift(
        runs=tuple(f.name for f in facts),
        outcome=outcome,
        summary=_summary(outcome, rows, facts),
        rows=rows,
        mismatches=differing,
        curves=tuple(
            replace(curve, head=index == len(facts) - 1) for index, f in enumerate(facts) for curve in f.curves
        ),
    )


def enough_runs(count: int) -> None:
    """Raises UsageError for fewer than five."""
    if count < LEAST_RUNS:
        raise UsageError(
            f"slow drift needs at least {LEAST_RUNS} runs in order, got {count}",
            hint="compare two runs, or two sets of runs, without --drift",
        )


@dataclass(frozen=True, slots=True)
class _Series:
    """One quantity with the runs that know it."""

    key: Key
    values: np.ndarray
    runs: tuple[int, ...]
    threshold: float
    expected: float | None  # variance between runs of one program; None where that is not known beforehand


def _rows(facts: Sequence[RunFacts], thresholds: Mapping[str, Threshold]) -> tuple[DriftRow, ...]:
    judged = [_judge(series) for series in _series(facts, thresholds)]
    certain = holm([row.p for row in judged])
    rows = [_answered(row, known, len(facts), len(judged)) for row, known in zip(judged, certain, strict=True)]
    order = (Answer.WORSE, Answer.UNKNOWN, Answer.BETTER, Answer.SAME)
    return tuple(sorted(rows, key=lambda row: (order.index(row.answer), row.p)))


def _series(facts: Sequence[RunFacts], thresholds: Mapping[str, Threshold]) -> Iterator[_Series]:
    values: dict[Key, dict[int, Measure]] = {}
    for index, run in enumerate(facts):
        for m in run.measures:
            if m.endpoint is None and m.value is not None and not (m.metric == "errors" and m.unit == "count"):
                values.setdefault((m.metric, m.pool), {})[index] = m
    pools = dict.fromkeys(pool for run in facts for pool in run.pools)
    for key in [*(key for pool in pools for key in _keys_of(pool, values)), *((metric, None) for metric in _OF_ALL)]:
        known = values.get(key, {})
        if len(known) >= LEAST_RUNS:
            chosen = thresholds.get(key[0], kind_of(key[0]).threshold)
            ordered = sorted(known)
            measures = [known[i] for i in ordered]
            found = np.array([m.value for m in measures], dtype=np.float64)
            yield _Series(key, found, tuple(ordered), chosen.of(float(found[0])), _expected(measures))


def _expected(measures: Sequence[Measure]) -> float | None:
    """What runs of one program are expected to vary by: their own intervals, and what is usual beyond them."""
    kind = kind_of(measures[0].metric)
    known = [
        (m.value, m.low, m.high) for m in measures if m.value is not None and m.low is not None and m.high is not None
    ]
    if not kind.typical or len(known) < len(measures):
        return None
    return mean(((high - low) / (2 * _Z)) ** 2 + kind.usual.of(value) ** 2 for value, low, high in known)


def _keys_of(pool: str, values: Mapping[Key, Mapping[int, Measure]]) -> Iterator[Key]:
    """The best measure of growth, and the levels."""
    growth = next((m for m in GROWTH if len(values.get((m, pool), {})) >= LEAST_RUNS), None)
    if growth is not None:
        yield growth, pool
    for chain in LEVELS:
        yield next((m for m in chain if len(values.get((m, pool), {})) >= LEAST_RUNS), chain[-1]), pool


def _judge(series: _Series) -> DriftRow:
    line = trend(series.values)
    n = series.values.size
    p_trend, (p_step, place, size) = _p_of_trend(series.values, line.z), _best_step(series.values)
    rise = line.slope * (n - 1)
    index = np.arange(n)
    straight = series.values - line.slope * index
    of_line = float(((straight - np.median(straight)) ** 2).sum())
    of_step = _around_step(series.values, place)
    stepped = of_step < _STEP_MUCH_BETTER * of_line
    metric, pool = series.key
    low, high = (
        (line.low, line.high) if series.expected is None else _interval(series.values, line.slope, series.expected)
    )
    return DriftRow(
        metric=metric,
        unit=kind_of(metric).unit,
        pool=pool,
        endpoint=None,
        values=tuple(float(v) for v in series.values),
        answer=Answer.UNKNOWN,
        slope=line.slope,
        low=low,
        high=high,
        p=min(1.0, 2 * min(p_trend, p_step)),
        rise=size if stepped else rise,
        threshold=series.threshold,
        step_after=series.runs[place] if stepped else None,
        step=size if stepped else None,
    )


def _interval(values: np.ndarray, slope: float, expected: float) -> tuple[float, float]:
    """95 % of a slope, with the spread that is expected and the one that is seen put together, as between two sides."""
    index = np.arange(values.size) - (values.size - 1) / 2
    left = values - slope * index
    df = PRIOR_DF + values.size - 2
    spread = (PRIOR_DF * expected + float(((left - left.mean()) ** 2).sum())) / df
    reach = t_quantile(df) * math.sqrt(spread / float((index**2).sum()))
    return slope - reach, slope + reach


def _answered(row: DriftRow, certain: bool, runs: int, family: int) -> DriftRow:
    reach = (row.low * (len(row.values) - 1), row.high * (len(row.values) - 1))
    if certain and abs(row.rise) >= row.threshold:
        return replace(row, answer=Answer.WORSE if row.rise > 0 else Answer.BETTER)
    if certain or max(-reach[0], reach[1]) < row.threshold:
        return replace(row, answer=Answer.SAME, tiny=certain, step_after=None, step=None)
    fewest = _fewest_runs(family)
    needs = f"at least {fewest} runs" if runs < fewest else "more runs: it differs too much from run to run"
    return replace(row, needs=needs, step_after=None, step=None)


def _fewest_runs(family: int) -> int:
    """From how many runs on a trend that never turns is certain among so many quantities."""
    n = LEAST_RUNS
    while 2 / math.factorial(n) > 0.05 / max(1, family):
        n += 1
    return n


def _p_of_trend(values: np.ndarray, z: float) -> float:
    """One-sided, in the direction of the trend; equal values make it cautious."""
    n = values.size
    i, j = np.triu_indices(n, 1)
    s = int(np.sign(values[j] - values[i]).sum())
    exact = _kendall_tail(n, abs(s))
    return max(exact, 1 - NormalDist().cdf(abs(z))) if n >= _CORRECTED_FROM else exact


def _kendall_tail(n: int, s: int) -> float:
    """P(S >= s) of Kendall's S for ``n`` different values in random order, s >= 0: counted by their inversions."""
    most = (n * (n - 1) // 2 - s) // 2  # inversions that leave at least s
    return float(_inversions(n)[most])


@lru_cache(maxsize=64)
def _inversions(n: int) -> np.ndarray:
    """Share of the orders of ``n`` values with at most so many inversions, by their number. Sums begin at the small end, so that
    small shares are exact too."""
    shares = np.ones(1)
    for k in range(2, n + 1):
        sums = np.cumsum(np.append(shares, np.zeros(k - 1)))
        sums[k:] -= sums[:-k].copy()
        shares = sums / k
    return np.cumsum(shares)


def _best_step(values: np.ndarray) -> tuple[float, int, float]:
    """(p of the best place, index of the last value before it, size): Student's t, one-sided, times the number of places."""
    best = (-1.0, 0, 0.0)
    places = range(_LEAST_SEGMENT - 1, values.size - _LEAST_SEGMENT)
    for place in places:
        before, after = values[: place + 1], values[place + 1 :]
        size = float(after.mean() - before.mean())
        scatter = _around_step(values, place) / (values.size - 2)
        error = math.sqrt(scatter * (1 / before.size + 1 / after.size))
        t = abs(size) / error if error > 0 else (0.0 if size == 0 else math.inf)
        if t > best[0]:
            best = (t, place, size)
    t, place, size = best
    p = 0.0 if math.isinf(t) else len(places) * t_tail(t, values.size - 2)
    return min(1.0, p), place, size


def _around_step(values: np.ndarray, place: int) -> float:
    """Sum of squares around two means."""
    return float(sum(((part - part.mean()) ** 2).sum() for part in (values[: place + 1], values[place + 1 :])))


def _outcome(rows: Sequence[DriftRow]) -> Outcome:
    """Memory must be known; latency and errors may not be."""
    if any(row.answer is Answer.WORSE for row in rows):
        return Outcome.FAIL
    memory = [row for row in rows if row.pool is not None]
    open_ = [
        row for row in memory if row.answer is Answer.UNKNOWN and row.high * (len(row.values) - 1) >= row.threshold
    ]
    return Outcome.UNKNOWN if open_ or not memory else Outcome.PASS


def _summary(outcome: Outcome, rows: Sequence[DriftRow], facts: Sequence[RunFacts]) -> str:
    if outcome is Outcome.FAIL:
        worse = [row for row in rows if row.answer is Answer.WORSE]
        texts = "; ".join(drift_text(row, [f.name.id for f in facts]) for row in worse[:_MOST_NAMED])
        return f"{len(worse)} of {len(rows)} quantities got worse over {len(facts)} runs: {texts}."
    if outcome is Outcome.PASS:
        return f"Nothing drifted up by what matters over {len(facts)} runs."
    unknown = [row for row in rows if row.answer is Answer.UNKNOWN and row.pool is not None]
    if not unknown:
        return "The memory of no pool was measured in enough of these runs."
    names = ", ".join(f"{title(row.metric)} of {subject(row)}" for row in unknown[:_MOST_NAMED])
    return f"No drift is certain, but {names} cannot be told: it would need {unknown[0].needs}."


def drift_text(row: DriftRow, runs: Sequence[str]) -> str:
    """``PSS between rounds of app +1.2 MiB a run`` or ``... +4.0 MiB between run 7 (ID) and 8 (ID)``."""
    whose = f" of {subject(row)}" if subject(row) else ""
    if row.step_after is not None and row.step is not None:
        at = row.step_after
        return (
            f"{title(row.metric)}{whose} {amount(row.step, row.unit, sign=True)} between run {at + 1} ({runs[at]}) "
            f"and run {at + 2} ({runs[at + 1]})"
        )
    return f"{title(row.metric)}{whose} {amount(row.slope, row.unit, sign=True)} a run"
