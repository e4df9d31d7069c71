"""File pages mapped into the workers grow faster than their own memory: a data file is mapped again and again."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.pool import PoolView
from harness.diagnose.wording import curve_evidence, growing_by, growth_of
from harness.model.finding import Cause, Confidence, Finding, Severity, Subject


class MappedFilesRule:
    id = "mapped-files"
    needs = ("process.memory.pss_file",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve, private = pool.files, pool.memory
        if curve is None or not curve.grows or (private is not None and private.per_round >= curve.per_round):
            return ()
        return [
            Finding(
                cause=Cause.MAPPED_FILES,
                severity=Severity.WARNING,
                confidence=Confidence.MEDIUM,
                subject=Subject(host=pool.members[0].info.key.host, runtime=pool.runtime, pool=pool.name),
                summary=f"Files mapped into the processes of {pool.name} take more and more memory, "
                f"{growing_by(curve, pool)}; the kernel can drop these pages, but mappings and address space remain.",
                growth=growth_of(curve, pool, None),
                evidence=[curve_evidence("pool.files", "file pages (PSS)", curve, pool.stretch)],
                prescriptions=(),
                range_ns=pool.range_ns,
            )
        ]


RULE = MappedFilesRule()
