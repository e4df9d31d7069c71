"""Findings about things that are counted and not weighed (threads, descriptors): which endpoint adds to them, how sure it is."""

from __future__ import annotations

from harness.diagnose.attribution import Attribution, Driver, attribute_metric
from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import every_request_to, work
from harness.model.finding import Confidence, Evidence, Side

_AGREE_LOW, _AGREE_HIGH = 0.7, 1.3


def counted_by_endpoint(pool: PoolView, metric: str) -> Attribution:
    """Which requests add to the count: one more or less in a worker is no step of anything."""
    return attribute_metric(pool, metric, 1.0)


def count_evidence(signal: str, what: str, curve: Growth, stretch: str) -> Evidence:
    """One row: how a count moved over the rounds."""
    text = (
        f"{what} rose from {curve.levels[0]:.0f} to {curve.levels[-1]:.0f} over {len(curve.levels)} {stretch}s, by "
        f"{curve.per_round:.1f} a {stretch} (95 % CI {curve.low:.1f} to {curve.high:.1f}); a steady {curve.mdl_per_round:.1f} "
        "would have been called growth"
    )
    return Evidence(signal, curve.per_round, "count/round", text)


def endpoint_evidence(split: Attribution, what: str) -> list[Evidence]:
    """The split by endpoint in words of counts."""
    best = split.dominant
    if best is not None:
        per = _per_request(best.bytes_per_request)
        text = (
            f"regression of {split.observations} increments on request counts: {best.endpoint} adds {per} {what} per "
            f"request (95 % CI {best.ci95[0]:.2f} to {best.ci95[1]:.2f}), {100 * best.share:.0f} % of all"
        )
        return [Evidence("blocks.regression", best.bytes_per_request, "count/request", text)]
    reason = "their number grows with time, not with requests" if split.driven.by is Driver.TIME else split.reason
    return [Evidence("blocks.regression", None, "count/request", f"no endpoint is named: {reason}", Side.CONTEXT)]


def added_by(split: Attribution, what: str, per_round: float, pool: PoolView) -> str:
    """The sentence of the finding."""
    best = split.dominant
    if best is not None:
        per = _per_request(best.bytes_per_request)
        every = every_request_to(best.endpoint, pool)
        return f"{every} leaves about {per} more {what} in {pool.name}, {per_round:.0f} with every {pool.stretch}."
    if split.driven.by is Driver.TIME:
        return f"As time goes by, {what} become more in {pool.name}, {per_round:.0f} a {pool.stretch}, whatever is requested."
    return f"Every {pool.stretch} of the same {work(pool)} leaves about {per_round:.0f} more {what} in {pool.name}."


def agrees(count: float | None, per_round: float) -> bool:
    """Whether an independent count rose as much."""
    return count is not None and _AGREE_LOW * per_round <= count <= _AGREE_HIGH * per_round


def count_confidence(curve: Growth, witnesses: int) -> Confidence:
    """A count is exact, so that it rises with every round is beyond doubt; that it will go on needs more: a pool of threads or
    connections that fills looks the same for a while."""
    points = 1 + curve.steady + witnesses
    return Confidence.HIGH if points >= 3 else Confidence.MEDIUM


def steady_evidence(curve: Growth, what: str) -> list[Evidence]:
    """What speaks against it where the increments may shrink."""
    if curve.steady:
        return []
    text = f"that ever fewer {what} are added, as when a pool fills up to its size, is not ruled out"
    return [Evidence("decay", curve.ratio, "ratio", text, Side.AGAINST)]


def _per_request(count: float) -> str:
    return f"{count:.2g}" if count < 10 else f"{count:.0f}"  # two digits are enough
