"""Numbers as sentences: evidence rows and pieces of summaries that several rules share."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.diagnose.attribution import Attribution, Driver, EndpointGrowth, Measure
from harness.diagnose.growth import Growth as Curve
from harness.diagnose.pool import PoolView, work_of
from harness.diagnose.stats import student_t_quantile
from harness.model.finding import Evidence, Growth, Severity, Side
from harness.model.span import COMMAND
from harness.units import format_bytes

_METRIC_NAMES = {
    "pss_anon": "anonymous PSS",
    "pss": "PSS (anonymous PSS was not measured; other processes that map the same files can move it)",
    "uss": "USS (PSS was not measured)",
    "rss": "RSS (PSS was not measured; shared pages are counted in every process)",
}
_ALARMING_HOURS = 24.0
_CERTAIN = 0.995  # one-sided: what the trend's t must reach to be no chance
_SECONDS_PER_HOUR = 3600


def metric_name(pool: PoolView) -> str:
    """What private memory was judged by, with its weakness where it is not the best measure."""
    return _METRIC_NAMES.get(pool.anon_metric or "", "nothing")


def workers_text(pool: PoolView) -> str:
    """The workers that are judged: ``the worker`` or ``the 4 workers``."""
    return "the worker" if len(pool.stable) == 1 else f"the {len(pool.stable)} workers"


def growth_of(curve: Curve, pool: PoolView, endpoint: EndpointGrowth | None) -> Growth:
    """The curve per request and per hour; of the endpoint where one is named, and the MDL then of that endpoint too.

    The MDL is left out of growth that is smaller: that was told from chance by something finer than what the MDL is of."""
    n, per_hour, mdl = pool.requests_per_round, pool.rounds_per_hour, mdl_per_request(curve, pool, endpoint)
    if endpoint is not None:
        value, interval = endpoint.bytes_per_request, endpoint.ci95
    elif n is not None and curve.known:
        value, interval = curve.per_round / n, (curve.low / n, curve.high / n)
    else:
        value, interval = None, None
    return Growth(
        bytes_per_request=value,
        ci95=interval,
        bytes_per_hour=curve.per_round * per_hour if per_hour is not None and curve.known else None,
        mdl_bytes_per_request=None if mdl is None or (curve.grows and value is not None and value < mdl) else mdl,
        mdl_bytes_per_hour=None
        if per_hour is None or not curve.judged or (curve.grows and curve.per_round < curve.mdl_per_round)
        else curve.mdl_per_round * per_hour,
    )


def mdl_per_request(curve: Curve, pool: PoolView, endpoint: EndpointGrowth | None) -> float | None:
    """The smallest growth that would have been called growth, for each request: to the endpoint if only that one kept
    something, else on average over the mix. None where requests are unknown."""
    n = pool.requests_per_round if endpoint is None else requests_to(endpoint, pool)
    return curve.mdl_per_round / n if n and curve.judged else None


def requests_to(endpoint: EndpointGrowth, pool: PoolView) -> float | None:
    """Requests to the endpoint in one round that made the stable workers grow; None where that is unknown."""
    total = len(pool.measured_spans)
    n, own = pool.requests_per_round, sum(j.span.endpoint == endpoint.endpoint for j in pool.measured_spans)
    return n * own / total if n is not None and own else None


def runs_jobs(pool: PoolView) -> bool:
    """Whether a round is one run of a command (``load.each_round``), and not requests."""
    load = pool.timeline.manifest.scenario.get("load")
    return isinstance(load, Mapping) and "each_round" in load


def every_request_to(endpoint: str, pool: PoolView) -> str:
    """``Every request to checkout``, and ``on web-2`` where others answer some too; of a command that the rounds run there are
    no requests."""
    if runs_jobs(pool):
        return "Every job (one run of the command of a round)"
    return f"Every request to {endpoint}{f' on {pool.name}' if _answered_elsewhere(endpoint, pool) else ''}"


def _answered_elsewhere(endpoint: str, pool: PoolView) -> bool:
    """Whether another pool answered requests to the endpoint: what holds of this one need not hold of all of them."""
    if pool.alone:
        return False
    own = {w.info.key for w in pool.members}
    return any(j.span.endpoint == endpoint and j.worker is not None and j.worker not in own for j in pool.all_spans)


def work(pool: PoolView) -> str:
    """What a round is made of: ``requests``, or ``work`` where it is the run of a command."""
    return "work" if runs_jobs(pool) else "requests"


def at_rate(pool: PoolView) -> str | None:
    """``at 88 requests a second``: how fast the rounds went while they sent requests, pauses between them left out; None where
    that is unknown."""
    if runs_jobs(pool):
        rate = pool.rounds_per_hour
        return None if rate is None else f"with {rate:.0f} jobs an hour, one after the other"
    per_hour = pool.requests_per_hour
    if per_hour is None:
        return None
    if per_hour < _SECONDS_PER_HOUR:
        return f"at {per_hour:.0f} requests an hour"
    return f"at {per_hour / _SECONDS_PER_HOUR:.0f} requests a second"


def per_hour(curve: Curve, pool: PoolView, named: EndpointGrowth | None = None) -> str:
    """``; at 88 requests a second, as in the rounds, that is 1.2 GiB an hour``, or nothing when the rate is unknown."""
    rate, words = pool.rounds_per_hour, as_in_the_rounds(pool, named)
    return "" if rate is None or words is None else f"; {words}, that is {format_bytes(curve.per_round * rate)} an hour"


def as_in_the_rounds(pool: PoolView, named: EndpointGrowth | None = None) -> str | None:
    """``at 88 requests a second, 9 of them to checkout, as in the rounds`` (or ``slices``): how fast work was done that
    ``per hour`` assumes, and how much of it went to the endpoint that is ``named``; None where that is unknown."""
    words = at_rate(pool)
    if words is None:
        return None
    per_round, per_hour_ = pool.requests_per_round, pool.requests_per_hour
    if named is None or runs_jobs(pool) or not per_round or per_hour_ is None:
        return f"{words}, as in the {pool.stretch}s"
    # Rounds of a program that runs for a time differ in length: a part must not seem more than the whole.
    share = min(1.0, pool.in_a_round(named.endpoint, named.requests) / per_round)
    own = per_hour_ * share / _SECONDS_PER_HOUR
    if not math.isfinite(own) or own < 1:
        return f"{words}, as in the {pool.stretch}s"
    there = " there" if _answered_elsewhere(named.endpoint, pool) else ""
    return f"{words}{there}, {own:.0f} of them to {named.endpoint}, as in the {pool.stretch}s"


def growing_by(curve: Curve, pool: PoolView, average: str = "") -> str:
    """``1.2 MiB with every round of the same requests; at 88 requests a second ...``; of slices of time ``1.2 GiB an hour``."""
    rate = pool.rounds_per_hour
    if (pool.watched or pool.flows) and rate is not None:
        words = at_rate(pool) if pool.flows else None
        return f"{format_bytes(curve.per_round * rate)} an hour{'' if words is None else f' {words}'}{average}"
    return f"{format_bytes(curve.per_round)} with every {pool.stretch} of the same {work(pool)}{average}{per_hour(curve, pool)}"


def which_endpoint(found: Attribution, pool: PoolView) -> str:
    """Why none is named, as a sentence of its own; a watch does not see requests."""
    if pool.watched:
        return "A watch does not see which requests do it: `harness run` does."
    return f"Which endpoint: {found.reason}."


def mdl_text(curve: Curve, pool: PoolView) -> str:
    """The smallest growth this run could have seen."""
    n, rate = pool.requests_per_round, pool.rounds_per_hour
    if (pool.watched or pool.flows) and rate is not None:
        an_hour = f"{format_bytes(curve.mdl_per_round * rate)} an hour"
        return an_hour if n is None else f"{format_bytes(curve.mdl_per_round / n)} per request ({an_hour})"
    if n is None or n == 1:  # a command each round
        return f"{format_bytes(curve.mdl_per_round)} a {pool.stretch}"
    return f"{format_bytes(curve.mdl_per_round / n)} per request ({format_bytes(curve.mdl_per_round)} a round)"


def curve_evidence(signal: str, what: str, curve: Curve, stretch: str) -> Evidence:
    """One row: how a summed floor moved over the rounds, or whatever a ``stretch`` of the run is."""
    rounds = len(curve.levels)
    if not curve.judged:
        text = f"{what} was seen at the end of {rounds} {stretch}s, too few to judge"
        return Evidence(signal, None, "bytes/round", text)
    certainty = "no increment differs" if math.isinf(curve.t) else f"t of the increments = {curve.t:.1f}"
    if curve.grows and curve.per_round < curve.mdl_per_round:  # found all the same, as not every growth of this size is
        yardstick = f"told from chance by its evenness, for which t = {_least_t(curve):.1f} is enough"
    else:
        yardstick = f"a steady {format_bytes(curve.mdl_per_round)} a {stretch} would have been called growth"
    text = (
        f"{what} changed by {format_bytes(curve.per_round, sign=True)} a {stretch} over {rounds} {stretch}s "
        f"(95 % CI {format_bytes(curve.low, sign=True)} to {format_bytes(curve.high, sign=True)}); "
        f"{yardstick}; "
        f"trend Z = {curve.z:.1f}, {certainty}"
    )
    return Evidence(signal, curve.per_round, "bytes/round", text)


def slices_evidence(pool: PoolView) -> list[Evidence]:
    """That slices of equal time were too different to be judged by, and what slices are instead."""
    if pool.rounds == pool.slices:
        return []
    work = work_of(pool.timeline, pool.slices)
    text = (
        f"requests came unevenly, {min(work)} to {max(work)} in stretches of equal time; what is called slices here are "
        "stretches of about equal work"
    )
    return [Evidence("slices.even", max(work) / max(1, min(work)), "ratio", text, Side.CONTEXT)]


def _least_t(curve: Curve) -> float:
    """What t of the increments must reach to be no chance."""
    increments = len(curve.levels) - 1 - (curve.step is not None)
    return student_t_quantile(_CERTAIN, increments - 1)


def step_evidence(curve: Curve, pool: PoolView) -> list[Evidence]:
    """A one-off jump that was left out of the trend."""
    if curve.step is None:
        return []
    index, size = curve.step
    number = pool.rounds[index + 1].number
    text = (
        f"one jump of {format_bytes(size)} in {pool.stretch} {number} is an event, not a trend, and was left out of it"
    )
    return [Evidence("step", size, "bytes", text)]


def agreement_evidence(pool: PoolView) -> tuple[int, int, list[Evidence]]:
    """(workers whose own floors rise, workers that answered requests or all, the row)."""
    answered = {w.info.key for w in pool.members if w.requests}
    judged = {k: g for k, g in pool.memory_by_worker.items() if not answered or k in answered}
    rising = sum(1 for g in judged.values() if g.rises)
    text = f"{rising} of {len(judged)} workers that lived through all {pool.stretch}s grow when judged alone"
    return rising, len(judged), [Evidence("workers", float(rising), "count", text)] if judged else []


def attribution_evidence(found: Attribution) -> list[Evidence]:
    """The regression on request counts: what it names, or why it names nothing; what was split, and whether it is requests."""
    return [_regression(found), *_sometimes(found), *_live_and_memory(found), *_driven(found)]


def _regression(found: Attribution) -> Evidence:
    best = found.dominant
    if best is None:
        return Evidence("blocks.regression", None, "bytes/request", f"no endpoint is named: {found.reason}")
    what = " of live bytes" if found.measure is Measure.LIVE else ""
    size, job = format_bytes(best.bytes_per_request), best.endpoint == COMMAND
    keeps = (
        f"the number of jobs: each keeps {size}" if job else f"request counts: {best.endpoint} keeps {size} per request"
    )
    text = (
        f"regression of {found.observations} increments{what} on {keeps} (95 % CI {format_bytes(best.ci95[0])} to "
        f"{format_bytes(best.ci95[1])}) and explains {100 * best.share:.0f} % of the growth"
    )
    return Evidence("blocks.regression", best.bytes_per_request, "bytes/request", text)


def _sometimes(found: Attribution) -> list[Evidence]:
    best = found.dominant
    if best is None or best.keeping_share is None:
        return []
    text = (
        f"by the records of single requests, {100 * best.keeping_share:.2g} % of the requests to {best.endpoint} keep nearly all "
        "of that, the others nothing"
    )
    return [Evidence("blocks.sometimes", best.keeping_share, "ratio", text)]


def _live_and_memory(found: Attribution) -> list[Evidence]:
    """How what was split relates to what the machine lost."""
    if found.measure is not Measure.LIVE or found.live_bytes is None:
        return []
    text = (
        f"over these blocks live bytes changed by {format_bytes(found.live_bytes, sign=True)} and private memory by "
        f"{format_bytes(found.grown_bytes, sign=True)}"
    )
    share = found.live_bytes / found.grown_bytes if found.grown_bytes > 0 else None
    return [Evidence("blocks.live", share, "ratio", text, Side.CONTEXT)]


def _driven(found: Attribution) -> list[Evidence]:
    """Nothing where the blocks could not tell."""
    if found.driven.time_share is None:
        return []
    side = Side.CONTEXT if found.driven.by is Driver.UNKNOWN else Side.FOR
    return [Evidence("blocks.time", found.driven.time_share, "ratio", found.driven.reason, side)]


def severity(curve: Curve, pool: PoolView) -> Severity:
    """Critical when the pool would double within a day of this traffic."""
    rate = pool.rounds_per_hour
    level = curve.levels[-1] if curve.levels else 0.0
    if rate is None or curve.per_round <= 0 or level <= 0:
        return Severity.WARNING
    return Severity.CRITICAL if level / (curve.per_round * rate) < _ALARMING_HOURS else Severity.WARNING
