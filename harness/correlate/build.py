"""From a recorded run to a timeline: everything on one clock, joined as far as the facts allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from harness.correlate.checks import cross_checks
from harness.correlate.clockmap import WallClock
from harness.correlate.copies import heap_copies
from harness.correlate.floors import collect_floors
from harness.correlate.hosts import aligned, alignments, same_floor, steps_elsewhere, with_order
from harness.correlate.join import Joined, join_spans, requests_by_worker
from harness.correlate.lifetimes import Lifetimes
from harness.correlate.roles import assign_roles
from harness.correlate.told import add_told
from harness.model.event import Missing
from harness.model.host import HostClock
from harness.model.run import RawRun, RunManifest, RunStatus
from harness.model.span import CLOCK_ERROR
from harness.model.timeline import Coverage, JoinMethod, Timeline, Worker

_ENOUGH = 0.95
_MOST_SLACK_NS = 1_000_000_000


def correlate(raw: RawRun) -> Timeline:
    """Pure: the same run always gives the same timeline."""
    alignment = alignments(raw.manifest.hosts, raw.events)
    raw = _while_heard(aligned(raw, alignment))
    lifetimes = Lifetimes(raw.processes)
    clock = WallClock([anchor for anchor in raw.anchors if not anchor.host])
    told = {record.host for record in raw.records}
    errors = (_most_ns(each.clock, raw.manifest) for name, each in alignment.items() if name in told)
    slack_ns = min(max(_slack_ns(raw.manifest), *errors, 0), _MOST_SLACK_NS)
    joined = join_spans(raw.spans, raw.records, raw.artifacts, lifetimes, fed=_fed(raw.manifest), slack_ns=slack_ns)
    others = _by_command(raw.manifest)
    if others is not None:
        joined = add_told(joined, raw.records, raw.windows, lifetimes, rounds=others.get("for") is None)
    answered = requests_by_worker(joined.spans)
    copies = heap_copies(raw.processes, raw.boots, raw.windows, answered, lifetimes)
    processes = [p for p in raw.processes if p.key not in copies]
    roles = assign_roles(processes, answered, frozenset(raw.manifest.unmeasured_pools))
    elsewhere = same_floor(raw.series)
    floors = collect_floors(raw.windows, raw.series, elsewhere)
    by_method = Counter(s.method for s in joined.spans)
    coverage = Coverage(
        spans=len(joined.spans),
        joined=sum(1 for s in joined.spans if s.worker is not None),
        by_method={method: by_method.get(method, 0) for method in JoinMethod},
        records=len(raw.records),
        records_unmatched=joined.unmatched_records,
        checks=(*cross_checks(raw, joined, floors, lifetimes, clock), *_left_out(len(copies))),
    )
    return Timeline(
        manifest=raw.manifest,
        windows=raw.windows,
        workers=tuple(Worker(p, roles[p.key], answered.get(p.key, 0)) for p in processes),
        series={of: series for of, series in raw.series.items() if of[1] not in copies},
        spans=joined.spans,
        floors=floors,
        events=with_order([*raw.events, *clock.steps(), *steps_elsewhere(raw.anchors, alignment)]),
        hosts=tuple(each.clock for each in alignment.values()),
        floors_elsewhere=elsewhere,
        artifacts=raw.artifacts,
        missing=(*raw.missing, *_missing(raw, joined, coverage)),
        coverage=coverage,
    )


def _while_heard(raw: RawRun) -> RawRun:
    """Of a run whose session was killed, without what was recorded after the last of its requests that it still heard of: what
    agents wrote is read afterwards, and whose those requests were nobody knows."""
    manifest = raw.manifest
    killed = manifest.status is RunStatus.INTERRUPTED and manifest.ended_ns is None
    if not killed or not raw.spans or _fed(manifest) or _by_command(manifest) is not None:
        return raw
    last_ns = max(span.end_ns for span in raw.spans)
    return replace(raw, records=[r for r in raw.records if r.end_ns is None or r.end_ns <= last_ns])


def _fed(manifest: RunManifest) -> bool:
    """Whether a command each round feeds the target: then nobody but this run made what it recorded without a span id."""
    load = manifest.scenario.get("load")
    return isinstance(load, Mapping) and "each_round" in load


def _slack_ns(manifest: RunManifest) -> int:
    """How wrong times of spans can be that were taken on other hosts' clocks."""
    error = manifest.facts.get(CLOCK_ERROR, 0)
    return min(error, _MOST_SLACK_NS) if isinstance(error, int) else 0


def _most_ns(clock: HostClock, manifest: RunManifest) -> int:
    most = clock.most(manifest.started_ns, manifest.ended_ns or manifest.started_ns)
    return _MOST_SLACK_NS if most is None else most


def _by_command(manifest: RunManifest) -> Mapping[str, object] | None:
    """The load, where another program made the traffic: then only the target's records tell of its requests."""
    load = manifest.scenario.get("load")
    return load if isinstance(load, Mapping) and "command" in load else None


def _left_out(copies: int) -> list[tuple[str, str]]:
    if not copies:
        return []
    text = f"{copies} short-lived copies, made by tools to look at a heap, are left out of pools, tables and sums"
    return [("processes of the application", text)]


def _missing(raw: RawRun, joined: Joined, coverage: Coverage) -> list[Missing]:
    """Signals the join needed and did not get."""
    found = []
    if coverage.spans and coverage.joined < _ENOUGH * coverage.spans:
        costs = "growth cannot be split by endpoint and worker with certainty"
        found.append(Missing("worker of each request", _why_unjoined(raw, joined, coverage), costs))
    if coverage.spans and coverage.records_unmatched > (1 - _ENOUGH) * coverage.spans:
        reason = f"the target recorded {coverage.records_unmatched} requests that this run did not send"
        found.append(
            Missing(
                "traffic of this run alone", reason, "growth per request and per endpoint is off by what they caused"
            )
        )
    return found


def _why_unjoined(raw: RawRun, joined: Joined, coverage: Coverage) -> str:
    share = f"{100 * coverage.joined / coverage.spans:.0f} % of {coverage.spans} requests could be tied to a process"
    if not raw.records:
        return f"no request was recorded inside the target; {share}"
    if joined.unseen_pids:
        return f"{joined.unseen_pids} requests were answered by processes the sampler never saw; {share}"
    return share
