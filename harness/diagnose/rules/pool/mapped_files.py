"""Pages of mapped files grow: a data file is read further and further through its mapping, or mapped again and again.

The kernel can drop such pages, so they are less bad than private memory; but mappings and addresses stay, and they count towards
the limit of a memory group. Pages of libraries are mapped files too, and their PSS moves when *other* programs map them: so data
files are told apart wherever the mappings were read.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.attribution import attribute_metric
from harness.diagnose.growth import Growth, Yardstick, judge
from harness.diagnose.mappings import GrowingFile, class_levels, growing_files
from harness.diagnose.pool import ARENA_BYTES, FLOOR_BYTES, PAGE_STEP_BYTES, PoolView
from harness.diagnose.wording import attribution_evidence, curve_evidence, growing_by, growth_of
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes

_PSS_FILE = "process.memory.pss_file"
_MOSTLY = 0.7
_MOST_NAMES = 3


class MappedFilesRule:
    id = "mapped-files"
    needs = (_PSS_FILE,)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        all_files, data = pool.files, _data_files(pool)
        proven = data is not None and data.grows
        curve = data if proven else all_files
        if curve is None or not curve.grows:
            return ()
        private = pool.memory
        if not proven and private is not None and private.per_round >= curve.per_round:
            return ()
        split = attribute_metric(pool, _PSS_FILE, PAGE_STEP_BYTES)
        files = growing_files(pool)
        named_files = _enough(files, curve)
        evidence = [curve_evidence("pool.files", "pages of mapped files (PSS)", curve, pool.stretch)]
        evidence += [*_kind_evidence(pool, data), *_file_evidence(files, curve), *attribution_evidence(split)]
        if private is not None and private.judged:
            side = Side.CONTEXT if private.grows else Side.FOR
            text = f"private memory changes by {format_bytes(private.per_round, sign=True)} a {pool.stretch}"
            evidence.append(Evidence("pool.floor", private.per_round, "bytes/round", text, side))
        named = split.dominant
        points = (
            1
            + proven
            + bool(named_files)
            + (named is not None)
            - (data is not None and not proven)
            - (not curve.steady)
        )
        return [
            Finding(
                cause=Cause.MAPPED_FILES,
                severity=Severity.WARNING,
                confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
                subject=Subject(
                    host=pool.members[0].info.key.host,
                    runtime=pool.runtime,
                    pool=pool.name,
                    endpoint=None if named is None else named.endpoint,
                ),
                summary=_summary(pool, curve, named_files),
                growth=growth_of(curve, pool, named),
                evidence=evidence,
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers={EXPLAINS: curve.per_round, "growth_bytes_per_round": curve.per_round},
            )
        ]


RULE = MappedFilesRule()


def _data_files(pool: PoolView) -> Growth | None:
    levels = class_levels(pool, "pss", "data_file", stable=True)
    return None if levels is None else judge(levels, Yardstick(FLOOR_BYTES * 2, ARENA_BYTES, doubt=ARENA_BYTES))


def _enough(files: Sequence[GrowingFile], curve: Growth) -> Sequence[GrowingFile]:
    """As many of the largest as account for most of the growth; none if all of them together do not."""
    total = 0.0
    for number, file in enumerate(files, 1):
        total += file.grown
        if total >= _MOSTLY * curve.total:
            return files[:number]
    return ()


def _summary(pool: PoolView, curve: Growth, files: Sequence[GrowingFile]) -> str:
    what = "Files" if not files else f"The file {files[0].name}" if len(files) == 1 else _several(files)
    takes = "takes" if len(files) == 1 else "take"
    return (
        f"{what}, mapped into the processes of {pool.name}, {takes} more and more memory, {growing_by(curve, pool)}; the kernel "
        "can drop these pages, but mappings and address space remain."
    )


def _several(files: Sequence[GrowingFile]) -> str:
    others = "another file" if len(files) == 2 else f"{len(files) - 1} others"
    return f"The file {files[0].name} and {others}"


def _kind_evidence(pool: PoolView, data: Growth | None) -> list[Evidence]:
    if data is None or not data.judged:
        return []
    text = (
        f"pages of data files, libraries left out, change by {format_bytes(data.per_round, sign=True)} a {pool.stretch}"
    )
    rows = [Evidence("smaps.data_file", data.per_round, "bytes/round", text, Side.FOR if data.grows else Side.AGAINST)]
    counts = class_levels(pool, "count", "data_file", stable=True)
    sizes = class_levels(pool, "size", "data_file", stable=True)
    if counts is not None and sizes is not None:
        more, larger = float(counts[-1] - counts[0]), float(sizes[-1] - sizes[0])
        text = (
            f"{more:.0f} mappings of data files were added over the {pool.stretch}s, {format_bytes(larger)} of addresses"
            if more > 0
            else "no mapping was added: what is mapped already is read further"
        )
        rows.append(Evidence("smaps.count", more, "count", text, Side.CONTEXT))
    return rows


def _file_evidence(files: Sequence[GrowingFile], curve: Growth) -> list[Evidence]:
    rows = []
    for file in files[:_MOST_NAMES]:
        text = f"{file.name} grew by {format_bytes(file.grown)} in memory"
        if curve.total > 0:
            text += f", {100 * file.grown / curve.total:.0f} % of it all"
        side = Side.FOR if _enough(files, curve) else Side.CONTEXT
        rows.append(Evidence("process.files", file.grown, "bytes", text, side))
    return rows
