"""The number of threads rises with every round."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Part, account_of
from harness.diagnose.pool import PoolView
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Subject
from harness.model.finding import Growth as Growing


class ThreadsRule:
    id = "threads"
    needs = ("process.threads",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.threads
        if curve is None or not curve.grows:
            return ()
        account = account_of(pool)
        text = f"threads rose from {curve.levels[0]:.0f} to {curve.levels[-1]:.0f} over {len(curve.levels)} {pool.stretch}s"
        return [
            Finding(
                cause=Cause.THREADS,
                severity=Severity.WARNING,
                confidence=Confidence.HIGH,
                subject=Subject(host=pool.members[0].info.key.host, runtime=pool.runtime, pool=pool.name),
                summary=_summary(pool, curve.per_round),
                growth=Growing(None, None, None, None),
                evidence=[Evidence("process.threads", curve.per_round, "count/round", text)],
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers={EXPLAINS: 0.0 if account is None else account.amounts().get(Part.THREADS, 0.0)},
            )
        ]


RULE = ThreadsRule()


def _summary(pool: PoolView, per_round: float) -> str:
    if pool.watched and pool.rounds_per_hour is not None:
        return f"The threads in {pool.name} become about {per_round * pool.rounds_per_hour:.0f} more an hour."
    return f"Every round of the same requests leaves about {per_round:.0f} more threads in {pool.name}."
