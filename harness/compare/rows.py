"""Every quantity of two sides, one row each. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.compare.facts import RunFacts
from harness.compare.model import Answer, Method, Row, Side, Weight
from harness.compare.statistics import (
    PRIOR_DF,
    Difference,
    Estimate,
    difference,
    geometric,
    holm,
    ratio,
    rounds_needed,
    runs_needed,
    side_of,
    t_quantile,
)
from harness.compare.thresholds import GROWTH, LEVELS, Kind, Threshold, kind_of
from harness.model.measure import Measure, Unit

_WEIGHTS = (Weight.MUST, Weight.MAY, Weight.TELLS)
_ANSWERS = (Answer.WORSE, Answer.UNKNOWN, Answer.BETTER, Answer.SAME)
_LEAST_SHARE = (
    0.25  # of the threshold: nobody measures more exactly than that to learn on which side of it something lies
)
_HOLM_MARGIN = 1.7  # by which an interval must stay clear of 0 to be certain among some dozens of rows

Key = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Pair:
    """One quantity with what the runs of both sides say of it."""

    key: Key
    base: tuple[Measure, ...]
    head: tuple[Measure, ...]
    base_runs: int
    head_runs: int
    weight: Weight
    threshold: Threshold
    kind: Kind


def rows_of(
    base: Sequence[RunFacts], head: Sequence[RunFacts], thresholds: Mapping[str, Threshold] | None = None
) -> tuple[Row, ...]:
    """Rows that decide first; among equals the worst first."""
    chosen = thresholds or {}
    rounds = min(run.rounds for run in (*base, *head))
    pairs = _pairs(base, head, chosen)
    compared = [_compare(pair) for pair in pairs]
    certain = [False] * len(compared)
    for deciding in (True, False):  # what only explains must not cost what decides any power
        family = [
            i
            for i, (row, _) in enumerate(compared)
            if row.p is not None and (row.weight is not Weight.TELLS) == deciding
        ]
        for index, rejected in zip(family, holm([compared[i][0].p or 0.0 for i in family]), strict=True):
            certain[index] = rejected
    rows = [_answered(row, found, known, rounds) for (row, found), known in zip(compared, certain, strict=True)]
    return tuple(sorted(rows, key=_order))


def not_worse(row: Row) -> bool:
    """Whether it is certain that the row did not get worse by what matters, be it better or not."""
    return row.high is not None and row.threshold is not None and row.high < row.threshold


def _order(row: Row) -> tuple[int, int, float]:
    return _WEIGHTS.index(row.weight), _ANSWERS.index(row.answer), 1.0 if row.p is None else row.p


def _pairs(base: Sequence[RunFacts], head: Sequence[RunFacts], thresholds: Mapping[str, Threshold]) -> list[_Pair]:
    of_base, of_head = _by_key(base), _by_key(head)
    judged_by = _growth_of_pools(of_base, of_head)
    pairs = []
    for key in dict.fromkeys([*of_base, *of_head]):
        metric, pool, endpoint = key
        kind = kind_of(metric)
        weight = kind.weight(pool, endpoint)
        if metric in GROWTH and pool is not None:
            weight = _weight_of_growth(metric, judged_by.get(pool))
        elif pool is not None and weight is Weight.MUST and not _is_best_level(metric, pool, of_base, of_head):
            weight = Weight.TELLS
        pair = _Pair(key, of_base.get(key, ()), of_head.get(key, ()), len(base), len(head), weight,
                     thresholds.get(metric, kind.threshold), kind)  # fmt: skip
        if weight is Weight.MUST or any(m.value is not None for m in (*pair.base, *pair.head)):
            pairs.append(pair)
    return pairs


def _growth_of_pools(
    base: Mapping[Key, tuple[Measure, ...]], head: Mapping[Key, tuple[Measure, ...]]
) -> dict[str, str]:
    """Pool -> the best measure of its growth that both sides know."""
    pools = {pool for side in (base, head) for _, pool, _ in side if pool is not None}
    found = {}
    for pool in pools:
        best = next((m for m in GROWTH if _knows(base, (m, pool, None)) and _knows(head, (m, pool, None))), None)
        if best is not None:
            found[pool] = best
    return found


def _is_best_level(
    metric: str, pool: str, base: Mapping[Key, tuple[Measure, ...]], head: Mapping[Key, tuple[Measure, ...]]
) -> bool:
    """Whether no better measure of the same level is known on both sides; where none is, the plainest must be known."""
    chain = next(chain for chain in LEVELS if metric in chain)
    best = next((m for m in chain if _knows(base, (m, pool, None)) and _knows(head, (m, pool, None))), chain[-1])
    return metric == best


def _knows(side: Mapping[Key, tuple[Measure, ...]], key: Key) -> bool:
    return any(m.value is not None for m in side.get(key, ()))


def _weight_of_growth(metric: str, best: str | None) -> Weight:
    """The best measure must be known; pages may tell too, for they see what is in no allocator; the same again only tells."""
    if best is None:
        return Weight.MUST if metric in ("retained_bytes_per_request", "growth_per_round") else Weight.TELLS
    if metric == best:
        return Weight.MUST
    pages = "growth_per_round" if best.endswith("_per_round") else "retained_bytes_per_request"
    return Weight.MAY if metric == pages else Weight.TELLS


def _by_key(runs: Sequence[RunFacts]) -> dict[Key, tuple[Measure, ...]]:
    found: dict[Key, list[Measure]] = defaultdict(list)
    pools = {pool for run in runs for pool in run.pools}
    for run in runs:
        for m in run.measures:
            if (m.pool is None or m.pool in pools) and not (m.metric == "errors" and m.unit is Unit.COUNT):
                found[m.metric, m.pool, m.endpoint].append(m)
    return {key: tuple(values) for key, values in found.items()}


def _compare(pair: _Pair) -> tuple[Row, Difference | None]:
    """The row without its answer, and the difference behind it."""
    metric, pool, endpoint = pair.key
    base, head = (_estimates(side, pair.kind) for side in (pair.base, pair.head))
    row = Row(
        metric=metric,
        unit=pair.kind.unit,
        pool=pool,
        endpoint=endpoint,
        weight=pair.weight,
        base=_side(base, pair.kind),
        head=_side(head, pair.kind),
        answer=Answer.UNKNOWN,
    )
    missing = _missing(pair, base, head)
    if missing:
        return replace(row, reason=missing), None
    found = (ratio(base, head) if pair.kind.by_factors else None) or difference(base, head)
    threshold = pair.threshold.of(row.base.value or 0.0)
    return (
        replace(
            row,
            difference=found.value,
            low=_finite(found.low),
            high=_finite(found.high),
            p=found.p,
            threshold=threshold,
            method=found.method,
        ),
        found,
    )


def _missing(pair: _Pair, base: Sequence[Estimate], head: Sequence[Estimate]) -> str:
    """Why there is nothing to compare; empty where there is. A side counts with those of its runs that know it."""
    for name, measures, estimates in (("base", pair.base, base), ("head", pair.head, head)):
        if estimates:
            continue
        told = next((m.reason for m in measures if m.reason), "")
        return f"in {name} {told}" if told else f"{name} has no such measure"
    return ""


def _estimates(measures: Sequence[Measure], kind: Kind) -> list[Estimate]:
    found = []
    for m in measures:
        if m.value is not None:
            low = -math.inf if m.low is None else min(m.low, m.value)
            high = math.inf if m.high is None else max(m.high, m.value)
            found.append(Estimate(m.value, low, high, kind.usual.of(m.value), kind.typical))
    return found


def _side(estimates: Sequence[Estimate], kind: Kind) -> Side:
    if not estimates:
        return Side(None)
    shown = (geometric(estimates) if kind.by_factors else None) or side_of(estimates)
    return Side(shown.value, _finite(shown.low), _finite(shown.high), tuple(e.value for e in estimates))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- answers --------------------------------------------------------------------------------------------------------


def _answered(row: Row, found: Difference | None, certain: bool, rounds: int) -> Row:
    if found is None or row.threshold is None:
        return row
    if certain and abs(found.value) >= row.threshold:
        return replace(row, answer=Answer.WORSE if found.value > 0 else Answer.BETTER)
    if max(-found.low, found.high) < row.threshold:
        return replace(row, answer=Answer.SAME, tiny=certain)
    return _open(row, found, row.threshold, rounds)


def _open(row: Row, found: Difference, threshold: float, rounds: int) -> Row:
    """What it would take to tell."""
    size = abs(found.value)
    wanted = size / _HOLM_MARGIN if size >= threshold else max(threshold - size, _LEAST_SHARE * threshold)
    width = found.half_width
    if not math.isfinite(width):
        return replace(row, needs="more requests: the run has too few to know how high it may be")
    if found.method is Method.WITHIN:
        number = max(rounds + 1, rounds_needed(rounds, width, wanted))
        return replace(row, needs=f"about {number} rounds instead of {rounds}", rounds_needed=number)
    n_base, n_head = len(row.base.values), len(row.head.values)
    spread = width / t_quantile(found.df) / math.sqrt(1 / n_base + 1 / n_head)
    runs = runs_needed(spread, wanted, 2 * PRIOR_DF if kind_of(row.metric).typical else 0)
    if runs is None:
        return replace(row, needs="more than 200 runs a side: it differs too much from run to run")
    runs = max(runs, min(n_base, n_head) + 1)
    return replace(row, needs=f"about {runs} runs a side", runs_needed=runs)
