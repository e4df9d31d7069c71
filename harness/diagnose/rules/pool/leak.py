"""Private memory that grows with every round: leak, leak.objects or leak.native.

Objects: the runtime's own count of live allocations grows too, by at least 0.7 blocks per request to the endpoint that is
named (0.05 per request of the whole mix when none is). Native: that count was measured and does not grow, while anonymous
memory does. Anything in between, or without a count, is plain ``leak``. PHP counts no allocations but the live bytes of its
heap: where these are most of the growth, it is objects, which happens only where the heap outlives the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.attribution import Attribution, attribute_private
from harness.diagnose.growth import Growth, Shape, Yardstick, judge
from harness.diagnose.pool import PAGE_STEP_BYTES, PoolView
from harness.diagnose.prescriptions import for_cause
from harness.diagnose.rules.pool import cow_unsharing, threads
from harness.diagnose.wording import (
    agreement_evidence,
    attribution_evidence,
    curve_evidence,
    growing_by,
    growth_of,
    metric_name,
    per_hour,
    severity,
    step_evidence,
    which_endpoint,
    workers_text,
)
from harness.model.finding import Cause, Confidence, Evidence, Finding, Subject
from harness.units import format_bytes

_BLOCKS_NAMED = 0.7
_BLOCKS_MIX = 0.05
_FLAT_NAMED = 0.3
_FOREIGN = 0.05
_HEAP_MOSTLY = 0.7  # of the growth of private memory
_GARBAGE_RULED_OUT, _GARBAGE_SMALL, _GARBAGE_MOSTLY = 0.1, 0.3, 0.5  # of the growth
_FULL_COLLECTION_RUNS = (
    121  # 11 x 11 collections of the youngest generation: before that no full one is even considered
)


class LeakRule:
    id = "leak"
    needs = ("process.memory.pss_anon",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = leak_curve(pool)
        if curve is None or cow_unsharing.explains(pool, curve) or threads.explains(pool, curve):
            return ()
        split = attribute_private(pool)
        kind, kind_evidence = _kind(pool, split)
        rising, judged, workers = agreement_evidence(pool)
        confidence = _confidence(pool, curve, split, kind, rising / judged if judged else 0.0)
        endpoint = split.dominant
        evidence = [
            curve_evidence("pool.floor", f"{metric_name(pool)} of {workers_text(pool)}", curve, pool.stretch),
            *workers,
            *attribution_evidence(split),
            *kind_evidence,
            *step_evidence(curve, pool),
        ]
        garbage = _garbage_share(pool)
        if garbage is not None:
            evidence.append(_garbage_evidence(pool, garbage))
        counted = pool.blocks is not None
        if kind is Cause.LEAK_OBJECTS and counted and garbage is None and _collections(pool) < _FULL_COLLECTION_RUNS:
            text = (
                f"about {_collections(pool):.0f} collections ran in each worker, too few for a full one: that the objects "
                "are garbage in cycles, still waiting for it, is not ruled out"
            )
            evidence.append(Evidence("gc.runs", _collections(pool), "count", text))
        if curve.slightly_slowing:
            text = (
                "the increments shrink a little from round to round: a very large cache would look like this at first"
            )
            evidence.append(Evidence("decay", curve.ratio, "ratio", text))
        return [
            Finding(
                cause=kind,
                severity=severity(curve, pool),
                confidence=confidence,
                subject=Subject(
                    host=pool.stable[0].host,
                    runtime=pool.runtime,
                    pool=pool.name,
                    pid=pool.stable[0].pid if len(pool.stable) == 1 else None,
                    endpoint=None if endpoint is None else endpoint.endpoint,
                ),
                summary=_summary(pool, curve, split),
                growth=growth_of(curve, pool, endpoint),
                evidence=evidence,
                prescriptions=for_cause(kind, pool.runtime, None if endpoint is None else endpoint.endpoint),
                range_ns=pool.range_ns,
            )
        ]


RULE = LeakRule()


def leak_curve(pool: PoolView) -> Growth | None:
    """The pool's private memory where it grows without end, else None.

    Where the runtime's exact count of live allocations, or of live bytes, grows in every round, a step of an allocator cannot
    be mistaken for growth any more, so the memory may be judged by its plain noise.
    """
    curve = pool.memory
    if curve is None or curve.grows or pool.levels is None:
        return curve
    exact = pool.blocks or pool.heap
    if exact is None or not exact.grows or curve.shape in (Shape.SLOWING, Shape.SETTLED, Shape.SHORT):
        return None
    finer = judge(
        pool.levels.sum(axis=0), Yardstick(pool.yardstick.floor, PAGE_STEP_BYTES, doubt=PAGE_STEP_BYTES, relative=0)
    )
    return finer if finer.grows else None


def _summary(pool: PoolView, curve: Growth, split: Attribution) -> str:
    if split.dominant is not None:
        best = split.dominant
        rate = per_hour(curve, pool)
        return (
            f"Every request to {best.endpoint} keeps about {format_bytes(best.bytes_per_request)} "
            f"(95 % CI {format_bytes(best.ci95[0])} to {format_bytes(best.ci95[1])}) in the worker that answers it{rate}."
        )
    n = pool.requests_per_round
    average = "" if n is None else f", {format_bytes(curve.per_round / n)} per request on average"
    workers = workers_text(pool).capitalize()
    grows = "keeps" if len(pool.stable) == 1 else "keep"
    several = [f"{e.endpoint} ({format_bytes(e.bytes_per_request)} per request)" for e in split.leading()[:3]]
    which = (
        f" Requests to {' and '.join(several)} keep memory." if len(several) > 1 else f" {which_endpoint(split, pool)}"
    )
    return f"{workers} of {pool.name} {grows} growing by {growing_by(curve, pool, average)}.{which}"


def _kind(pool: PoolView, split: Attribution) -> tuple[Cause, list[Evidence]]:
    """Which memory grows, from the runtime's count of live allocations at round ends and around single requests."""
    blocks, total = pool.blocks, pool.requests_per_round
    if blocks is None:
        return _kind_by_heap(pool)
    if not blocks.judged or total is None:
        return Cause.LEAK, []
    named = split.dominant
    guilty = total if named is None else named.requests / len(pool.rounds)
    where = "per request" if named is None else f"per request to {named.endpoint}"
    kept = blocks.per_round / guilty
    text = (
        f"live Python allocations changed by {blocks.per_round:+.0f} a round, {kept:+.2f} {where} "
        f"(95 % CI {blocks.low / guilty:+.2f} to {blocks.high / guilty:+.2f})"
    )
    evidence = [Evidence("blocks.floor", kept, "blocks/request", text)]
    single = None if named is None else named.blocks_per_request
    if single is not None and named is not None:
        text = f"around single requests to {named.endpoint} the count rises by {single[0]:+.2f} (+- {single[1]:.2f})"
        evidence.append(Evidence("blocks.request", single[0], "blocks/request", text))
    if blocks.grows and kept >= (_BLOCKS_MIX if named is None else _BLOCKS_NAMED):
        return Cause.LEAK_OBJECTS, evidence
    if single is not None and single[0] - single[1] >= _BLOCKS_NAMED and blocks.per_round > 0:
        return Cause.LEAK_OBJECTS, evidence
    still = blocks.shape in (Shape.FLAT, Shape.SETTLED)
    tight = blocks.high / guilty <= (_BLOCKS_MIX if named is None else _FLAT_NAMED)
    quiet = single is not None and single[0] + single[1] <= 0.5
    return (Cause.LEAK_NATIVE if still and (tight or quiet) else Cause.LEAK), evidence


def _kind_by_heap(pool: PoolView) -> tuple[Cause, list[Evidence]]:
    """The same from the live bytes of the runtime's heap. That they do not grow proves nothing: php-fpm drops its heap after each
    request."""
    heap, memory, roots = pool.heap, pool.memory, pool.roots
    if heap is None or not heap.judged or memory is None or memory.per_round <= 0:
        return Cause.LEAK, []
    share = heap.per_round / memory.per_round
    text = f"live bytes of the runtime's own heap changed by {format_bytes(heap.per_round, sign=True)} a round"
    evidence = [
        Evidence("heap.floor", heap.per_round, "bytes/round", f"{text}, {100 * share:.0f} % of the growth of memory")
    ]
    if not heap.grows or share < _HEAP_MOSTLY:
        return Cause.LEAK, evidence
    if roots is not None and not roots.grows:
        text = (
            f"the cycle collector had {roots.levels[-1]:.0f} entries to look at after the last round, and {roots.levels[0]:.0f} "
            "after the first: garbage in cycles does not explain the growth"
        )
        evidence.append(Evidence("gc.roots", float(roots.levels[-1]), "count", text))
    else:
        text = "that it is garbage in cycles, still waiting for the collector, is not ruled out"
        evidence.append(Evidence("gc.roots", None if roots is None else float(roots.levels[-1]), "count", text))
    return Cause.LEAK_OBJECTS, evidence


def _confidence(pool: PoolView, curve: Growth, split: Attribution, kind: Cause, agreement: float) -> Confidence:
    """By how many independent signals agree: the pool's trend, each worker's own, the regression on requests, the runtime's
    count. Weak measures and contradictions take points away; growth that only the finer yardstick shows is never certain."""
    points = 1
    points += agreement >= 0.75
    points += split.explained is not None and 0.7 <= split.explained <= 1.3 and bool(split.leading())
    points += kind in (Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE)
    points -= agreement < 0.5
    points -= pool.anon_metric != "pss_anon"
    points -= pool.replaced > 0
    points -= pool.foreign_share > _FOREIGN
    garbage = _garbage_share(pool)
    if pool.blocks is None:
        reached = pool.roots is not None and not pool.roots.grows
    else:
        reached = _collections(pool) >= _FULL_COLLECTION_RUNS if garbage is None else garbage < _GARBAGE_SMALL
    if kind is Cause.LEAK_OBJECTS and not reached:
        points = min(points, 2)  # garbage in cycles that no full collection has reached looks the same
    if kind is not Cause.LEAK_NATIVE and garbage is not None and garbage >= _GARBAGE_MOSTLY:
        points = 0
    if not curve.steady or curve is not pool.memory:
        points = min(points, 2)
    return Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW


def _garbage_share(pool: PoolView) -> float | None:
    """What a full collection after the last round freed, over what the live allocations had grown by during the rounds; None
    without such a collection, or where they did not grow: then it says nothing about what did. Above 1 with garbage from before
    the first round."""
    if pool.collected is None or pool.blocks is None or not pool.blocks.grows:
        return None
    grown = pool.blocks.levels[-1] - pool.blocks.levels[0]
    return max(0.0, pool.collected.blocks / grown) if grown > 0 else None


def _garbage_evidence(pool: PoolView, share: float) -> Evidence:
    assert pool.collected is not None
    assert pool.blocks is not None
    grown = pool.blocks.levels[-1] - pool.blocks.levels[0]
    did = (
        f"a full collection after the last round freed {pool.collected.objects} objects, {pool.collected.blocks} live "
        f"allocations; the rounds had added {grown:.0f}"
    )
    if share < _GARBAGE_RULED_OUT:
        meaning = "that garbage in cycles explains the growth is ruled out"
    elif share >= _GARBAGE_MOSTLY:
        meaning = "most of the growth was garbage in cycles, waiting for a collection, and not kept by anybody"
    else:
        meaning = f"at most {100 * share:.0f} % of the growth was garbage in cycles, the rest is kept"
    return Evidence("gc.probe", float(pool.collected.blocks), "blocks", f"{did}: {meaning}")


def _collections(pool: PoolView) -> float:
    """Garbage collections per stable worker during the judged rounds, as far as recorded."""
    stable = set(pool.stable)
    runs = sum(
        j.record.values.get("gc_runs") or 0 for j in pool.measured_spans if j.worker in stable and j.record is not None
    )
    return runs / max(1, len(stable))
