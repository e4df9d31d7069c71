"""The number of open descriptors rises with every round."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.pool import PoolView
from harness.model.finding import Cause, Confidence, Evidence, Finding, Growth, Severity, Subject


class DescriptorsRule:
    id = "descriptors"
    needs = ("process.fds",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.descriptors
        if curve is None or not curve.grows:
            return ()
        text = f"open descriptors rose from {curve.levels[0]:.0f} to {curve.levels[-1]:.0f} over {len(curve.levels)} rounds"
        return [
            Finding(
                cause=Cause.DESCRIPTORS,
                severity=Severity.WARNING,
                confidence=Confidence.HIGH,
                subject=Subject(host=pool.members[0].info.key.host, runtime=pool.runtime, pool=pool.name),
                summary=f"Every round of the same requests leaves about {curve.per_round:.0f} more open files or sockets in "
                f"{pool.name}.",
                growth=Growth(None, None, None, None),
                evidence=[Evidence("process.fds", curve.per_round, "count/round", text)],
                prescriptions=(),
                range_ns=pool.range_ns,
            )
        ]


RULE = DescriptorsRule()
