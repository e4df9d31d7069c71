"""Cross-checks: two views of one thing must agree or be explained. Each is a pair of what was compared and the outcome."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from harness.correlate.clockmap import WallClock
from harness.correlate.join import ACCESS_LOG, Joined
from harness.correlate.lifetimes import Lifetimes
from harness.model.event import Window
from harness.model.process import ProcessKey
from harness.model.run import RawRun
from harness.model.span import PhaseName, RequestRecord
from harness.model.timeline import FloorPoint, JoinedSpan, JoinMethod
from harness.units import format_bytes, format_duration

_SECOND_NS = 1_000_000_000
Check = tuple[str, str]


def cross_checks(
    raw: RawRun, joined: Joined, floors: Sequence[FloorPoint], lifetimes: Lifetimes, clock: WallClock
) -> tuple[Check, ...]:
    """All checks this run has data for."""
    found = [
        _requests(raw, joined),
        _lost_records(raw.records, lifetimes),
        _identical_rounds(joined.spans, raw.windows),
        _pss_parts(floors),
        _allocators(floors),
        *_own_cgroups(raw, floors),
        _host_memory(raw, floors),
        _wall_times(joined.spans, clock),
        _floors(raw.windows, floors),
    ]
    return (*_experiments(raw), *(check for check in found if check is not None))


def _experiments(raw: RawRun) -> list[Check]:
    """What the launch changed about the application: figures of this run are not those of an ordinary one."""
    facts = sorted((name, str(text)) for name, text in raw.manifest.facts.items() if name.startswith("experiment."))
    return [("experiment", text) for _, text in facts]


def _requests(raw: RawRun, joined: Joined) -> Check | None:
    told = sum(1 for s in joined.spans if s.method is JoinMethod.RECORD)
    if told:
        text = f"{told} recorded inside the target; how many were sent, only the program that sent them knows"
        return "requests sent / recorded", text
    if not raw.spans:
        return None
    answered = sum(1 for s in raw.spans if s.status is not None)
    recorded = sum(1 for s in joined.spans if s.record is not None)
    what, text = (
        "requests sent / recorded",
        f"{len(raw.spans)} sent, {answered} answered, {recorded} recorded inside the target",
    )
    if joined.jobs:
        what, text = (
            "commands run / jobs recorded",
            f"{len(raw.spans)} commands run, {joined.jobs} jobs recorded inside the target",
        )
    extra = [
        (joined.unmatched_records, "records belong to no request of ours"),
        (joined.ambiguous, "requests were claimed by several processes and left unjoined"),
        (joined.implausible, "records contradicted the time of the request they name and were ignored"),
        (joined.unseen_pids, "requests were answered by processes the sampler never saw"),
    ]
    return what, "; ".join([text, *(f"{n} {what}" for n, what in extra if n)])


def _lost_records(records: Sequence[RequestRecord], lifetimes: Lifetimes) -> Check | None:
    """Gaps in the numbering each process gives its records."""
    seen: dict[tuple[str, int, ProcessKey | None], list[int]] = defaultdict(list)
    for record in records:
        if record.sequence is not None:
            start_ns = record.start_ns
            key = None if start_ns is None else lifetimes.find(record.pid, start_ns, record.host)
            seen[f"{record.source}@{record.host}", record.pid, key].append(record.sequence)
    if not seen:
        return None
    lost = sum(max(0, max(numbers) - min(numbers) + 1 - len(set(numbers))) for numbers in seen.values())
    total = sum(len(numbers) for numbers in seen.values())
    if not lost:
        return "records lost (sequence gaps)", f"none of {total}"
    return "records lost (sequence gaps)", f"{lost} of {total + lost} ({100 * lost / (total + lost):.1f} %)"


def _identical_rounds(spans: Sequence[JoinedSpan], windows: Sequence[Window]) -> Check | None:
    complete = {w.round for w in windows if w.phase is PhaseName.ROUNDS and w.block is None and w.end_ns is not None}
    mixes: dict[int, Counter[str]] = defaultdict(Counter)
    for joined in spans:
        span = joined.span
        if span.phase is PhaseName.ROUNDS and span.round is not None and span.round in complete:
            mixes[span.round][span.endpoint] += 1
    if len(mixes) < 2:
        return None
    reference = Counter(tuple(sorted(m.items())) for m in mixes.values())
    same = reference.most_common(1)[0][1]
    if same == len(mixes):
        return "rounds send the same requests", f"all {same} rounds are identical"
    return (
        "rounds send the same requests",
        f"only {same} of {len(mixes)} rounds are identical; growth per round is less exact",
    )


def _pss_parts(floors: Sequence[FloorPoint]) -> Check | None:
    names = ("pss_anon", "pss_file", "pss_shmem")
    residuals = []
    for floor in floors:
        whole = floor.values.get("process.memory.pss")
        parts = [floor.values.get(f"process.memory.{n}") for n in names]
        known = [p for p in parts if p is not None]
        if whole and len(known) == len(parts):
            residuals.append((whole - sum(known)) / whole)
    if not residuals:
        return None
    worst = 100 * float(np.max(np.abs(residuals)))
    return (
        "PSS / anonymous + files + shared memory",
        f"{len(residuals)} floors, largest difference {worst:.2f} % of PSS",
    )


# What an allocator holds, read from outside, and the same told by an agent; sums of metrics.
_TWICE = (
    ("runtime.python.pymalloc.live", "agent.python.pymalloc.live"),
    ("runtime.php.heap.size", "agent.php.heap.size"),
    ("runtime.glibc.used", "agent.python.glibc.used"),
)


def _allocators(floors: Sequence[FloorPoint]) -> Check | None:
    """Live bytes of every allocator that both ways tell of. The agent is asked after the sweep, so garbage may lie between."""
    differences, floors_with_both = [], 0
    for floor in floors:
        pairs = [(floor.values.get(outside), floor.values.get(inside)) for outside, inside in _TWICE]
        known = [(outside, inside) for outside, inside in pairs if outside is not None and inside is not None]
        floors_with_both += bool(known)
        differences += [(abs(outside - inside), max(outside, inside)) for outside, inside in known]
    if not differences:
        return None
    shares = [100 * difference / most if most else 0.0 for difference, most in differences]
    worst = max(differences)
    return (
        "live memory read from outside / told by agents",
        f"{floors_with_both} floors, median difference {float(np.median(shares)):.2f} %, largest {format_bytes(worst[0])} "
        f"of {format_bytes(worst[1])}",
    )


def _own_cgroups(raw: RawRun, floors: Sequence[FloorPoint]) -> list[Check]:
    """What page tables say of a pool against what the kernel charges to the memory cgroup that this run made for it."""
    checks = []
    for pool in sorted(name.removeprefix("cgroup.") for name in raw.manifest.facts if name.startswith("cgroup.")):
        charged = raw.series.get((f"cgroup.{pool}.memory.stat.anon", None))
        members = {info.key for info in raw.processes if info.pool == pool}
        sums: dict[int, int] = defaultdict(int)
        for floor in floors:
            anon = floor.values.get("process.memory.pss_anon")
            if floor.block is None and floor.process in members and anon is not None:
                sums[floor.t_ns] += anon
        if charged is None or not sums:
            continue
        account = dict(zip(charged.t_ns.tolist(), charged.values.tolist(), strict=True))
        differences = [account[t_ns] - total for t_ns, total in sums.items() if t_ns in account]
        if differences:
            worst = max(differences, key=abs)
            text = f"{len(differences)} floors, largest difference {format_bytes(worst, sign=True)} of anonymous memory"
            checks.append((f"{pool}: charged to its cgroup / sum of PSS", text))
    return checks


def _host_memory(raw: RawRun, floors: Sequence[FloorPoint]) -> Check | None:
    """What the target gained over the measured rounds against what the host lost in MemAvailable."""
    available = raw.series.get(("system.meminfo.MemAvailable", None))
    rounds = [f for f in floors if f.phase == PhaseName.ROUNDS and f.block is None]
    if available is None or len(rounds) < 2:
        return None
    first, last = rounds[0].t_ns, rounds[-1].t_ns
    at = np.searchsorted(available.t_ns, [first, last])
    if first == last or at.max() >= available.t_ns.size:
        return None
    taken = int(available.values[at[0]] - available.values[at[1]])
    sums = [sum(f.values.get("process.memory.pss") or 0 for f in rounds if f.t_ns == t) for t in (first, last)]
    gained = sums[1] - sums[0]
    return (
        "growth of all processes / memory the host lost",
        f"sum of PSS {format_bytes(gained, sign=True)}, MemAvailable {format_bytes(-taken, sign=True)} over the rounds; "
        f"{format_bytes(abs(taken - gained))} belong to the page cache, the kernel or other programs",
    )


def _wall_times(spans: Sequence[JoinedSpan], clock: WallClock) -> Check | None:
    """Access-log lines placed by the clock anchors, against the end of the request they belong to."""
    distances, errors, unplaced = [], [], 0
    for joined in spans:
        record = joined.record
        if record is None or record.source != ACCESS_LOG or record.wall_end_ns is None:
            continue
        resolution = _SECOND_NS if record.wall_end_ns % _SECOND_NS == 0 else 1
        placed = clock.place(record.wall_end_ns, resolution)
        if placed is None:
            unplaced += 1
            continue
        distances.append(abs(placed.t_ns - joined.span.end_ns))
        errors.append(placed.error_ns)
    if not distances and not unplaced:
        return None
    text = f"{len(distances)} lines placed"
    if distances:
        text += f" within {format_duration(max(errors))}, at most {format_duration(max(distances))} from their request's end"
    return "access log times / request ends", text + (f"; {unplaced} could not be placed" if unplaced else "")


def _floors(windows: Sequence[Window], floors: Sequence[FloorPoint]) -> Check | None:
    wanted = {w.floor_ns for w in windows if w.round is not None and w.floor_ns is not None}
    if not wanted:
        return None
    found = len(wanted & {f.t_ns for f in floors})
    return "floors asked for / sampled", f"{found} of {len(wanted)}"
