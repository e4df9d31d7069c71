"""Whether what grows are objects of the language: from the runtime's own count of live allocations, or live bytes of its heap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.diagnose.attribution import Attribution, EndpointGrowth, attribute_metric
from harness.diagnose.growth import Shape
from harness.diagnose.heap import heap_of
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import runs_jobs
from harness.model.finding import Evidence, Side
from harness.units import format_bytes

BLOCKS_NAMED = 0.7  # live allocations that each request to a named endpoint adds at least, where it keeps objects
_BLOCKS_MIX = 0.05  # the same per request of the mix, where no endpoint is named
_FLAT_NAMED = 0.3
_QUIET = 0.5
_OWN_SHARE = 0.1  # of the growth of live memory
_MALLOC_MOSTLY = 0.5  # of the growth of live memory
_HEAP_MOSTLY = 0.7  # of the growth of private memory
_ALL_BLOCKS, _BLOCKS_STEP = "agent.python.blocks", 20.0
_CERTAIN_T = 3.7  # one-sided 99.5 % quantile of t with 6 degrees of freedom
_GO_TOGETHER = 0.9  # correlation of increments
_ALL_LOW, _ALL_HIGH = 0.7, 1.3  # of the growth
_ELSEWHERE = 0.3  # of the growth of live allocations: what the named endpoint may have of them at most


class Answer(StrEnum):
    """NO: they were counted, and what grows is something else."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Objects:
    """The answer, and the rows that it rests on. ``uncounted``: malloc has what grows, and the objects that lie there could not
    be counted, so they are as good an explanation as an extension's memory."""

    answer: Answer
    evidence: Sequence[Evidence]
    uncounted: bool = False


def objects_grow(pool: PoolView, split: Attribution) -> Objects:
    """PHP counts no allocations, so there the live bytes of its heap decide; elsewhere the count does."""
    if pool.blocks is None:
        return _by_heap(pool)
    found = _by_blocks(pool, split)
    return found if found.answer is Answer.YES or pool.counts_large_blocks else _without_large(pool, found)


def _without_large(pool: PoolView, found: Objects) -> Objects:
    """Only objects of up to 512 bytes were counted, as in CPython before 3.12 without an agent. A list of pages, images or byte
    strings then looks like memory that an extension loses: that the count does not move proves nothing."""
    native, live = heap_of(pool).native_live, heap_of(pool).live
    if native is not None and (
        not native.grows or (live is not None and native.per_round < _MALLOC_MOSTLY * live.per_round)
    ):
        return found
    text = (
        "Python objects of more than 512 bytes (strings, bytes, arrays) lie with malloc too and could not be counted: whether "
        "such objects are kept or an extension loses memory is not known; the agent in the process tells, or CPython 3.12"
    )
    row = Evidence("blocks.large", None, "blocks/round", text, Side.CONTEXT)
    return Objects(Answer.UNKNOWN, [*found.evidence, row], uncounted=True)


def _by_blocks(pool: PoolView, split: Attribution) -> Objects:
    blocks, total = pool.blocks, pool.requests_per_round
    assert blocks is not None
    if not blocks.judged:
        return Objects(Answer.UNKNOWN, ())
    if total is None:
        return _by_blocks_alone(pool)
    named = split.dominant
    elsewhere = [] if named is None else _kept_elsewhere(pool, named)
    if elsewhere:
        return Objects(Answer.UNKNOWN, elsewhere)
    guilty = total if named is None else pool.in_a_round(named.endpoint, named.requests)
    work = "job" if runs_jobs(pool) else "request"
    where = f"per {work}" if named is None or runs_jobs(pool) else f"per request to {named.endpoint}"
    kept = blocks.per_round / guilty
    text = (
        f"live Python allocations changed by {blocks.per_round:+.0f} a {pool.stretch}, {kept:+.2f} {where} "
        f"(95 % CI {blocks.low / guilty:+.2f} to {blocks.high / guilty:+.2f})"
    )
    evidence = [Evidence("blocks.floor", kept, "blocks/request", text)]
    single = None if named is None else named.blocks_per_request
    if single is not None and named is not None:
        text = f"around single requests to {named.endpoint} the count rises by {single[0]:+.2f} (+- {single[1]:.2f})"
        evidence.append(Evidence("blocks.request", single[0], "blocks/request", text))
    weighs, own = _own_heap_weighs(pool)
    evidence += own
    if weighs and blocks.grows and kept >= (_BLOCKS_MIX if named is None else BLOCKS_NAMED):
        return Objects(Answer.YES, evidence)
    sure = single is not None and single[0] - single[1] >= BLOCKS_NAMED
    large = _large_grow(pool) or (_large_still_rise(pool, guilty) if sure else [])
    if large:
        return Objects(Answer.YES, [*evidence, *large])
    if weighs and sure and blocks.rises:
        return Objects(Answer.YES, evidence)
    mostly = _own_heap_grows(pool)
    if mostly and blocks.rises:
        return Objects(Answer.YES, [*evidence, *mostly])
    few = _few_but_large(pool)
    if few:
        return Objects(Answer.YES, [*evidence, *few])
    still = blocks.shape in (Shape.FLAT, Shape.SETTLED) or not weighs
    tight = blocks.high / guilty <= (_BLOCKS_MIX if named is None else _FLAT_NAMED)
    quiet = single is not None and single[0] + single[1] <= _QUIET
    return Objects(Answer.NO if (still or tight) and (tight or quiet) else Answer.UNKNOWN, evidence)


def _kept_elsewhere(pool: PoolView, named: EndpointGrowth) -> list[Evidence]:
    """That the objects which become more are those of another endpoint, while malloc has most of what grows; empty where it is
    not so, or not known. Only traffic without rounds has the count at so many floors that it can be split."""
    native, live = heap_of(pool).native_live, heap_of(pool).live
    if not pool.flows or native is None or live is None or native.per_round < _MALLOC_MOSTLY * live.per_round:
        return []
    found = attribute_metric(pool, _ALL_BLOCKS, _BLOCKS_STEP)
    keeper, own = found.dominant, next((e for e in found.endpoints if e.endpoint == named.endpoint), None)
    if keeper is None or own is None or keeper is own or own.proven:
        return []
    if own.ci95[1] * own.requests > _ELSEWHERE * found.grown_bytes:
        return []
    text = (
        f"live Python allocations grow with requests to {keeper.endpoint}, by {keeper.bytes_per_request:.1f} each, and not with "
        f"those to {named.endpoint}"
    )
    return [Evidence("blocks.elsewhere", keeper.bytes_per_request, "blocks/request", text)]


def _large_grow(pool: PoolView) -> list[Evidence]:
    """That there are ever more Python objects and buffers with malloc; empty where there are not, or nobody knows."""
    large = heap_of(pool).large_blocks
    if large is None or not large.grows:
        return []
    text = f"of these, {large.per_round:+.1f} a {pool.stretch} are larger than 512 bytes and lie with malloc"
    return [Evidence("blocks.large", large.per_round, "blocks/round", text)]


def _large_still_rise(pool: PoolView, guilty: float) -> list[Evidence]:
    """The same where a cache that still fills bends their curve: that they certainly rise, at the end of it too, by as many as
    ``guilty`` requests a round would keep."""
    large = heap_of(pool).large_blocks
    if large is None or not large.rises or large.low < BLOCKS_NAMED * guilty:
        return []
    text = (
        f"of these, {large.per_round:+.1f} a {pool.stretch} are larger than 512 bytes and lie with malloc; their number grows "
        "ever more slowly, but still by as many as these requests keep"
    )
    return [Evidence("blocks.large", large.per_round, "blocks/round", text)]


def _few_but_large(pool: PoolView) -> list[Evidence]:
    """That malloc's live bytes rise when there is one more large Python object or buffer, and as good as not otherwise: then
    these are what grows, though they are too few for their number to count as growth. Empty where it is not so, or not known."""
    large, native = heap_of(pool).large_blocks, heap_of(pool).native_live
    if large is None or native is None or not large.rises or large.t < _CERTAIN_T or not native.rises:
        return []
    if len(large.levels) != len(native.levels):
        return []
    number, grown = np.diff(large.levels), np.diff(native.levels)
    if not number.std() or not grown.std() or np.corrcoef(number, grown)[0, 1] < _GO_TOGETHER:
        return []
    each = float(np.polyfit(number, grown, 1)[0])
    share = each * large.total / native.total
    if not _ALL_LOW <= share <= _ALL_HIGH:
        return []
    text = (
        f"malloc's live bytes rise with the number of Python objects and buffers of more than 512 bytes, by {format_bytes(each)} "
        f"for each of the {large.total:.0f} that were added: {100 * min(share, 1):.0f} % of their growth"
    )
    return [Evidence("blocks.few", each, "bytes/block", text)]


def _own_heap_weighs(pool: PoolView) -> tuple[bool, list[Evidence]]:
    """Whether the language's own heap, for objects of up to 512 bytes, has a part in the growth that is worth the name. A few
    small objects beside a large loss of malloc are not the cause. Unknown counts as yes."""
    own, live = heap_of(pool).runtime_live, heap_of(pool).live
    if own is None or live is None or not live.known or live.per_round <= 0:
        return True, []
    share = own.per_round / live.per_round
    if share >= _OWN_SHARE:
        return True, []
    text = (
        f"the heap for Python's own objects has {100 * max(0.0, share):.0f} % of the growth of live memory, malloc has "
        "the rest"
    )
    return False, [Evidence("heap.share", share, "ratio", text, Side.CONTEXT)]


def _own_heap_grows(pool: PoolView) -> list[Evidence]:
    """That the bytes in the language's own heap grow, and are most of what grows: exact, where the count of few small objects
    drowns in what comes and goes. Empty where they do not."""
    own, live = heap_of(pool).runtime_live, heap_of(pool).live
    if own is None or live is None or not own.grows or not live.known or own.per_round < _HEAP_MOSTLY * live.per_round:
        return []
    text = (
        f"live bytes in the heap for Python's own objects grow by {format_bytes(own.per_round)} a {pool.stretch}, of "
        f"{format_bytes(live.per_round)} in all"
    )
    return [Evidence("heap.own", own.per_round, "bytes/round", text)]


def _by_blocks_alone(pool: PoolView) -> Objects:
    """Nothing tells how many requests there were: a watch, or a script."""
    blocks = pool.blocks
    assert blocks is not None
    text = f"live Python allocations changed by {blocks.per_round:+.0f} a {pool.stretch}"
    evidence = [Evidence("blocks.floor", blocks.per_round, "blocks/round", text)]
    large = _large_grow(pool)
    if blocks.grows or large:
        return Objects(Answer.YES, [*evidence, *large])
    return Objects(Answer.NO if blocks.shape in (Shape.FLAT, Shape.SETTLED) else Answer.UNKNOWN, evidence)


def _by_heap(pool: PoolView) -> Objects:
    """That the heap does not grow proves it of objects: what lies there is all that a script can hold. But a worker of php-fpm
    drops its heap after each request, whatever the script has kept."""
    heap, native = pool.heap, heap_of(pool).native_live
    if heap is None or not heap.judged:
        return Objects(Answer.UNKNOWN, ())
    grown = max(
        0.0 if pool.memory is None else pool.memory.per_round, heap.per_round + (native.per_round if native else 0)
    )
    share = heap.per_round / grown if grown > 0 else 0.0
    text = f"live bytes of the runtime's own heap changed by {format_bytes(heap.per_round, sign=True)} a {pool.stretch}"
    part = f", {100 * share:.0f} % of the growth" if grown > 0 else ""
    evidence = [Evidence("heap.floor", heap.per_round, "bytes/round", text + part)]
    if heap.grows and share >= _HEAP_MOSTLY:
        return Objects(Answer.YES, [*evidence, _roots(pool)])
    if heap.grows:
        return Objects(Answer.UNKNOWN, evidence)
    return Objects(Answer.NO if heap.shape in (Shape.FLAT, Shape.SETTLED) else Answer.UNKNOWN, evidence)


def _roots(pool: PoolView) -> Evidence:
    roots = pool.roots
    if roots is None or roots.grows:
        text = "that it is garbage in cycles, still waiting for the collector, is not ruled out"
        return Evidence("gc.roots", None if roots is None else float(roots.levels[-1]), "count", text, Side.AGAINST)
    text = (
        f"the cycle collector had {roots.levels[-1]:.0f} entries to look at after the last round, and {roots.levels[0]:.0f} "
        "after the first: garbage in cycles does not explain the growth"
    )
    return Evidence("gc.roots", float(roots.levels[-1]), "count", text)
