"""Workers grow with the requests they answer, but are replaced before that can be followed over all rounds: the parent ``leak``.

Recycling (``max_requests``, ``pm.max_requests``) keeps the pool's memory in bounds and hides this from everybody who looks at the
pool. No life is spliced to the next one: each is growth by itself, and it has to last into the last third of the lives.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.attribution import Driver, GenerationGrowth, attribute_generations, attribute_private
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import attribution_evidence
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Growth, Severity, Subject
from harness.units import format_bytes

_FEW = (
    0.5  # of the requests: when the workers that lived through all rounds answered less, they do not speak for the pool
)
_SECONDS_PER_HOUR = 3600


class LeakGenerationsRule:
    id = "leak.generations"
    needs = ("process.memory.pss_anon",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        if pool.stable and (pool.stable_share is None or pool.stable_share >= _FEW):
            return ()
        found = attribute_generations(pool)
        return [_finding(pool, found)] if found is not None and found.grows else ()


RULE = LeakGenerationsRule()


def _finding(pool: PoolView, found: GenerationGrowth) -> Finding:
    split = attribute_private(pool)
    named = split.dominant
    low, high = (format_bytes(v) for v in found.ci95)
    rate = split.driven.bytes_per_second if split.driven.by is Driver.TIME and named is None else None
    where = "requests" if named is None else f"requests to {named.endpoint}, above all,"
    value, interval = (found.bytes_per_request, found.ci95) if named is None else (named.bytes_per_request, named.ci95)
    keeps = "each request keeps" if rate is None else "growth for each request is"
    text = (
        f"over {found.lives} lives of workers, {found.replaced} of which ended during the {pool.stretch}s, "
        f"{keeps} {format_bytes(found.bytes_per_request)} (95 % CI {low} to {high}); in the first third of the lives "
        f"{format_bytes(found.early)}, in the last {format_bytes(found.late)}"
    )
    per_hour = None if pool.requests_per_hour is None else found.bytes_per_request * pool.requests_per_hour
    how = f"{where} keep {format_bytes(value)} each"
    if rate is not None:
        how = f"all of them together by about {format_bytes(rate)} a second, requests or not"
    return Finding(
        cause=Cause.LEAK,
        severity=Severity.WARNING,
        confidence=Confidence.MEDIUM,
        subject=Subject(
            host=pool.members[0].info.key.host,
            runtime=pool.runtime,
            pool=pool.name,
            endpoint=None if named is None else named.endpoint,
        ),
        summary=f"{pool.name} replaces its workers, which keeps its memory in bounds; but each worker grows for "
        f"as long as it lives: {how}.",
        growth=Growth(value, interval, per_hour, None)
        if rate is None
        else Growth(None, None, rate * _SECONDS_PER_HOUR, None),
        evidence=[
            Evidence("generations", found.bytes_per_request, "bytes/request", text),
            *attribution_evidence(split),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: 0.0},
    )
