"""What a comparison needs of one run, taken out of its report: reports of many runs need not be in memory together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.compare.model import Curve, RunName
from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView, flows, is_watch
from harness.model.finding import Cause, Finding
from harness.model.measure import Measure, Unit
from harness.model.profile import ArtifactStatus, Profile
from harness.model.report import ProfileView, Report
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.report.pools import PSS, is_measured, pool_sum, pools

_NOT_MEASURED = (PhaseName.PROBES, PhaseName.PROFILED, PhaseName.COOLDOWN)
_CURVE_POINTS = 400
_MOST_LINES = 2000  # of one profile
_QUIET = (Cause.HEALTHY, Cause.WARMUP, Cause.INCONCLUSIVE)
# Values that are bytes a request left behind, in the order of preference (docs/plugins.md names them).
_KEPT = ("inuse_space", "memory_growth", "kept")


@dataclass(frozen=True, slots=True)
class LineFact:
    """Bytes that a tool says a line or function kept, in one profiled request."""

    tool: str
    endpoint: str
    file: str
    function: str
    line: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """``conditions``: what must be alike in runs that are compared (`harness.compare.conditions`). ``pools``: those measured, in
    order of first appearance. ``rounds``: measured rounds that were completed. ``findings``: those that say something is wrong.
    """

    name: RunName
    conditions: Mapping[str, str]
    pools: Sequence[str]
    rounds: int
    measures: Sequence[Measure]
    findings: Sequence[Finding]
    lines: Sequence[LineFact]
    curves: Sequence[Curve]


def facts_of(report: Report) -> RunFacts:
    """Pure: the same report always gives the same facts."""
    timeline = report.timeline
    manifest = timeline.manifest
    rounds = sum(w.phase is PhaseName.ROUNDS and w.block is None and w.end_ns is not None for w in timeline.windows)
    stretch = "slice" if flows(timeline) or is_watch(timeline) else "round"
    name = RunName(
        manifest.run_id, manifest.scenario_name, manifest.started_wall_ns, report.verdict.cause.value, rounds, stretch
    )
    measured = tuple(pool for pool, members in pools(timeline).items() if is_measured(members))
    return RunFacts(
        name=name,
        conditions=report.conditions,
        pools=measured,
        rounds=rounds,
        measures=report.measures,
        findings=telling(report.findings),
        lines=tuple(_lines(report.profiles)),
        curves=tuple(_curves(timeline, measured, manifest.run_id)),
    )


def telling(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those that say that something is wrong."""
    return tuple(f for f in findings if f.cause not in _QUIET)


# --- further quantities ---------------------------------------------------------------------------------------------


def further_measures(report: Report, views: Sequence[PoolView]) -> Iterator[Measure]:
    """What is compared beside what expectations are about; of a report that holds those already."""
    for view in views:
        yield from _live_per_request(report, view)
        yield from _counted("threads_per_round", view.name, view.threads)
        yield from _counted("descriptors_per_round", view.name, view.descriptors)
    yield from _floors(report)
    yield from _from_endpoints(report, views)
    for row in report.part_growth:
        if row.bytes_per_round is not None and row.interval is not None:
            yield Measure(f"{row.part}_per_round", Unit.BYTES, row.bytes_per_round, *row.interval, pool=row.pool)


def _live_per_request(report: Report, view: PoolView) -> Iterator[Measure]:
    """What the allocators say that a request keeps: exact, where pages come in steps of a whole arena."""
    n = view.requests_per_round
    row = next((r for r in report.part_growth if (r.pool, r.part, r.exact) == (view.name, "live", True)), None)
    if n and row is not None and row.bytes_per_round is not None and row.interval is not None:
        low, high = row.interval
        yield Measure("live_bytes_per_request", Unit.BYTES, row.bytes_per_round / n, low / n, high / n, pool=view.name)


def _from_endpoints(report: Report, views: Sequence[PoolView]) -> Iterator[Measure]:
    """Where no worker lives long enough to be judged: what an average request keeps, from what those to each endpoint keep.

    The errors are put together as if they were independent. Those of a regression whose parts add up to what was measured
    cancel each other, so this is rather too wide.
    """
    known = {m.pool for m in report.measures if m.metric == "retained_bytes_per_request" and m.value is not None}
    rows = [row for row in report.endpoints if row.requests]
    if len(views) != 1 or views[0].name in known or not rows:
        return
    total = sum(row.requests for row in rows)
    value = down = up = 0.0
    for row in rows:
        if row.retained_bytes_per_request is None or row.ci95 is None:
            return
        share = row.requests / total
        value += share * row.retained_bytes_per_request
        down += (share * (row.retained_bytes_per_request - row.ci95[0])) ** 2
        up += (share * (row.ci95[1] - row.retained_bytes_per_request)) ** 2
    yield Measure("kept_by_endpoints", Unit.BYTES, value, value - math.sqrt(down), value + math.sqrt(up),
                  pool=views[0].name)  # fmt: skip


def _counted(metric: str, pool: str, growth: Growth | None) -> Iterator[Measure]:
    if growth is not None and growth.known and growth.judged:
        low, high = min(growth.low, growth.per_round), max(growth.high, growth.per_round)
        yield Measure(metric, Unit.COUNT, growth.per_round, low, high, pool=pool)


def _floors(report: Report) -> Iterator[Measure]:
    """The median over the floors of the measured rounds: of all of a pool's PSS, and of each part of it."""
    levels: dict[tuple[str, str], list[int]] = defaultdict(list)
    rounds: dict[str, int] = defaultdict(int)
    for row in report.pool_ledger:
        if row.phase != PhaseName.ROUNDS:
            continue
        rounds[row.pool] += 1
        files = row.parts.get("file")
        own = None if row.pss is None or files is None else row.pss - files
        named = (
            ("floor_pss", row.pss),
            ("floor_own", own),
            *((f"floor_{name}", size) for name, size in row.parts.items()),
        )
        for part, value in named:
            if value is not None:
                levels[row.pool, part].append(value)
    for (pool, metric), values in levels.items():
        if len(values) == rounds[pool]:
            middle = float(np.median(values))
            yield Measure(metric, Unit.BYTES, middle, middle, middle, pool=pool)


def _until(timeline: Timeline) -> int | None:
    """When the run began to do what no application does; None where it did not."""
    return min((w.start_ns for w in timeline.windows if w.phase in _NOT_MEASURED), default=None)


# --- profiles -------------------------------------------------------------------------------------------------------


def _lines(views: Sequence[ProfileView]) -> Iterator[LineFact]:
    for view in views:
        artifact, profile = view.artifact, view.profile
        if profile is None or artifact.endpoint is None or artifact.status is not ArtifactStatus.COMPLETE:
            continue
        kept: dict[tuple[str, str], tuple[int, int | None]] = {}
        for file, function, line, size in _kept(profile):
            before, first = kept.get((file, function), (0, line))
            kept[file, function] = (before + size, first)
        largest = sorted(kept.items(), key=lambda item: -abs(item[1][0]))[:_MOST_LINES]
        for (file, function), (size, line) in largest:
            yield LineFact(artifact.tool, artifact.endpoint, file, function, line, size)


def _kept(profile: Profile) -> Iterator[tuple[str, str, int | None, int]]:
    """(file, function, line, bytes): by origin where the tool knows what was kept, else by line, else by function."""
    if profile.origins:
        for origin in profile.origins:
            yield origin.file, origin.function, origin.line, origin.kept
        return
    column = _column(profile)
    if column is None:
        return
    if profile.lines:
        for line in profile.lines:
            value = line.values[column]
            if value is not None:
                yield line.file, line.function, line.line, value
        return
    for cost in profile.functions:
        frame = profile.frames[cost.frame]
        yield frame.file, frame.function, frame.line, cost.self_values[column]


def _column(profile: Profile) -> int | None:
    """The column of the bytes that stay; None where the tool does not tell."""
    names = [v.name for v in profile.value_types if v.unit == "bytes"]
    chosen = next((name for name in _KEPT if name in names), None)
    return None if chosen is None else next(i for i, v in enumerate(profile.value_types) if v.name == chosen)


# --- curves ---------------------------------------------------------------------------------------------------------


def _curves(timeline: Timeline, measured: Sequence[str], run: str) -> Iterator[Curve]:
    """PSS of each pool before the probes, on an axis of rounds: runs that took longer lie over each other all the same."""
    edges = _edges(timeline)
    if edges is None:
        return
    until_ns = _until(timeline)
    members = pools(timeline)
    for pool in measured:
        total = pool_sum(timeline.series, members[pool], PSS)
        if total is None:
            continue
        inside = np.ones(total.t_ns.size, dtype=bool) if until_ns is None else total.t_ns < until_ns
        at = np.interp(total.t_ns[inside], *edges, left=np.nan, right=np.nan)
        values, known = total.values[inside], np.isfinite(at)
        picked = _thinned(values[known])
        yield Curve(
            pool,
            run,
            False,
            tuple(round(float(x), 3) for x in at[known][picked]),
            tuple(int(v) for v in values[known][picked]),
        )


def _edges(timeline: Timeline) -> tuple[list[int], list[int]] | None:
    """Times and what they are on the axis: the begin of warm-up rounds (below 0), of measured rounds, and the end of the last."""
    warm = sorted(
        w.start_ns for w in timeline.windows if w.phase is PhaseName.WARMUP and w.block is None and w.round is not None
    )
    rounds = sorted(
        (w.start_ns, w.floor_ns or w.end_ns)
        for w in timeline.windows
        if w.phase is PhaseName.ROUNDS and w.block is None and w.end_ns is not None
    )
    if not rounds:
        return None
    times = [*warm, *(start for start, _ in rounds), rounds[-1][1] or rounds[-1][0]]
    return times, list(range(-len(warm), len(rounds) + 1))


def _thinned(values: np.ndarray) -> np.ndarray:
    """Indices of at most `_CURVE_POINTS` values, smallest and largest of each stretch among them."""
    if values.size <= _CURVE_POINTS:
        return np.arange(values.size)
    stretches = np.array_split(np.arange(values.size), _CURVE_POINTS // 2)
    ends = [(int(s[np.argmin(values[s])]), int(s[np.argmax(values[s])])) for s in stretches]
    return np.array(sorted({index for pair in ends for index in pair}))
