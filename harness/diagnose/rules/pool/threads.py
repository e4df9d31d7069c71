"""The number of threads rises with every round: somebody starts one for each request, or each client object, and none ends."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Part, account_of
from harness.diagnose.counting import (
    added_by,
    agrees,
    count_confidence,
    count_evidence,
    counted_by_endpoint,
    endpoint_evidence,
    steady_evidence,
)
from harness.diagnose.mappings import class_levels
from harness.diagnose.pool import PoolView
from harness.model.finding import EXPLAINS, Cause, Evidence, Finding, Growth, Severity, Side, Subject
from harness.units import format_bytes

_THREADS = "process.threads"
_OF_RUNTIME = ("runtime.python.threads", "agent.python.threads")


class ThreadsRule:
    id = "threads"
    needs = (_THREADS,)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.threads
        if curve is None or not curve.grows:
            return ()
        account, split = account_of(pool), counted_by_endpoint(pool, _THREADS)
        own, stacks = _known_to_runtime(pool), class_levels(pool, "count", "thread_stack", stable=True)
        per_round = curve.per_round
        stacked = None if stacks is None else float(stacks[-1] - stacks[0]) / (stacks.size - 1)
        private = 0.0 if account is None else account.amounts().get(Part.THREADS, 0.0)
        evidence = [
            count_evidence(_THREADS, f"threads of {pool.name}", curve, pool.stretch),
            *_runtime_evidence(own, per_round),
            *_stack_evidence(pool, stacked, per_round),
            *endpoint_evidence(split, "threads"),
            *steady_evidence(curve, "threads"),
        ]
        if private > 0:
            text = f"threads account for up to {format_bytes(private)} of private memory a {pool.stretch}: stacks and arenas"
            evidence.append(Evidence("threads.memory", private, "bytes/round", text, Side.CONTEXT))
        named = split.dominant
        witnesses = (own is not None and agrees(own, per_round)) + agrees(stacked, per_round) + (named is not None)
        return [
            Finding(
                cause=Cause.THREADS,
                severity=Severity.WARNING,
                confidence=count_confidence(curve, witnesses),
                subject=Subject(
                    host=pool.members[0].info.key.host,
                    runtime=pool.runtime,
                    pool=pool.name,
                    endpoint=None if named is None else named.endpoint,
                ),
                summary=_summary(pool, per_round) if pool.watched else added_by(split, "threads", per_round, pool),
                growth=Growth(None, None, None, None),
                evidence=evidence,
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers={EXPLAINS: private, "count_per_round": per_round},
            )
        ]


RULE = ThreadsRule()


def _summary(pool: PoolView, per_round: float) -> str:
    rate = pool.rounds_per_hour
    grown = f"{per_round:.0f} a {pool.stretch}" if rate is None else f"about {per_round * rate:.0f} an hour"
    return f"The threads in {pool.name} become ever more, {grown}."


def _known_to_runtime(pool: PoolView) -> float | None:
    """Threads that the language knows of, by which their number rises in a round."""
    levels = next((m for m in (pool.matrix((name,)) for name in _OF_RUNTIME) if m is not None), None)
    return None if levels is None else float(levels[:, -1].sum() - levels[:, 0].sum()) / (levels.shape[1] - 1)


def _runtime_evidence(own: float | None, per_round: float) -> list[Evidence]:
    if own is None:
        return []
    if agrees(own, per_round):
        return [
            Evidence(
                "runtime.threads", own, "count/round", f"the interpreter knows them: it counts {own:.1f} more a round"
            )
        ]
    text = f"the interpreter counts {own:.1f} more a round only: the others are started by a library"
    return [Evidence("runtime.threads", own, "count/round", text, Side.CONTEXT)]


def _stack_evidence(pool: PoolView, stacked: float | None, per_round: float) -> list[Evidence]:
    if stacked is None:
        return []
    resident, size = (class_levels(pool, field, "thread_stack", stable=True) for field in ("rss", "size"))
    text = f"mappings that are stacks of threads become {stacked:.1f} more a round"
    if resident is not None and size is not None:
        grown = [float(level[-1] - level[0]) / (level.size - 1) for level in (resident, size)]
        text += f"; they add {format_bytes(grown[0])} of memory and reserve {format_bytes(grown[1])} of addresses"
    return [
        Evidence("smaps.stacks", stacked, "count/round", text, Side.FOR if agrees(stacked, per_round) else Side.CONTEXT)
    ]
