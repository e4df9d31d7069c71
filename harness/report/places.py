"""Where a run's processes were: the hosts that were watched over a line and the containers of the target, one row each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.event import CONTAINER_EXIT, CONTAINER_LIMIT, CONTAINER_OOM, CONTAINER_START, Event, Scalar
from harness.model.finding import Finding
from harness.model.host import HOST, HOST_DOWN, HOST_UP, HostClock, Sibling, Siblings
from harness.model.process import host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.model.timeline import Timeline
from harness.report.words import clean, counted, known, plain, size
from harness.units import format_bytes, format_duration

_SIBLINGS = "siblings"  # signal of the evidence that compares them
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host; texts are clean. ``within_ns``: no time of it in this run is off by more, None: its clock was never read.

    ``down_ns``: how long the line to it was down, ``downs`` times; ``missed``: sweeps that it missed, None where nobody counted.
    """

    name: str
    role: str
    version: str
    measured: bool
    first: bool
    system: str
    within_ns: int | None
    drift_ppm: float | None
    drift_error_ppm: float | None
    down_ns: int
    downs: int
    missed: int | None


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One container over the whole run; texts are clean. ``generations``: how many lives were seen; ``ended``: how the last one
    that ended did; ``limit``: its memory limit in bytes at the end, None: it has none; ``peak``: the most that was charged to it
    in any sweep, page cache and all, None: not measured. ``host``: empty for this machine."""

    name: str
    host: str
    pool: str
    role: str
    version: str
    image: str
    measured: bool
    generations: int
    ended: str
    kills: int
    limit: int | None
    peak: int | None


def host_rows(timeline: Timeline) -> tuple[HostRow, ...]:
    """In the order of the run's record."""
    return tuple(_host(timeline, clock) for clock in timeline.hosts)


def _host(timeline: Timeline, clock: HostClock) -> HostRow:
    host, manifest = clock.host, timeline.manifest
    end_ns = _end_of(timeline)
    breaks = _breaks([event for event in timeline.events if event.attributes.get(HOST) == host.name], end_ns)
    missed = timeline.series.get(("sampler.missed", None if host.first else host_key(host.name)))
    return HostRow(
        name=clean(host.name, 80),
        role=clean(host.role, 80),
        version=clean(host.version, 80),
        measured=host.measured,
        first=host.first,
        system=_system(host.facts),
        within_ns=clock.most(manifest.started_ns, end_ns),
        drift_ppm=None if clock.drift_ppm is None else known(clock.drift_ppm),
        drift_error_ppm=None if clock.drift_ppm is None else known(clock.drift_error * 1e6),
        down_ns=sum(breaks),
        downs=len(breaks),
        missed=None if missed is None else int(missed.values.sum()),
    )


def _end_of(timeline: Timeline) -> int:
    """Of what is known of the run."""
    last = max((event.t_ns for event in timeline.events), default=timeline.manifest.started_ns)
    return timeline.manifest.ended_ns or max(last, timeline.manifest.started_ns)


def _breaks(events: Sequence[Event], end_ns: int) -> list[int]:
    """How long each lasted; one that nothing ended lasted until the end."""
    found: list[int] = []
    since: int | None = None
    for event in sorted(events, key=lambda e: e.t_ns):
        if event.kind == HOST_DOWN and since is None:
            since = event.t_ns
        elif event.kind == HOST_UP and since is not None:
            found.append(event.t_ns - since)
            since = None
    return found if since is None else [*found, max(0, end_ns - since)]


def _system(facts: Mapping[str, str | int | None]) -> str:
    """``6.1.0-31-amd64, x86_64, 4 CPUs, 16 GiB``, as far as the host has said it."""
    cpus, memory = facts.get("cpus"), facts.get("memory_bytes")
    parts = [clean(str(facts[name]), 80) for name in ("kernel", "machine") if facts.get(name)]
    if isinstance(cpus, int):
        parts.append(counted(cpus, "CPU"))
    if isinstance(memory, int):
        parts.append(format_bytes(memory))
    return ", ".join(parts)


def container_rows(timeline: Timeline) -> tuple[ContainerRow, ...]:
    """In the order in which they were seen first."""
    by_pool: dict[tuple[str, str], list[Event]] = {}
    for event in timeline.events:
        pool = event.attributes.get("pool")
        if event.kind in (CONTAINER_START, CONTAINER_EXIT, CONTAINER_OOM, CONTAINER_LIMIT) and isinstance(pool, str):
            by_pool.setdefault((str(event.attributes.get(HOST) or ""), pool), []).append(event)
    return tuple(_container(timeline, host, pool, events) for (host, pool), events in by_pool.items())


def _container(timeline: Timeline, host: str, pool: str, events: Sequence[Event]) -> ContainerRow:
    starts = [event.attributes for event in events if event.kind == CONTAINER_START]
    last = starts[-1] if starts else {}
    exits = [event for event in events if event.kind == CONTAINER_EXIT]
    limits = [
        event.attributes.get("memory_bytes") for event in events if event.kind in (CONTAINER_START, CONTAINER_LIMIT)
    ]
    limit = limits[-1] if limits else None
    numbers = [n for told in starts if type(n := told.get("generation")) is int]
    return ContainerRow(
        name=clean(str(events[0].attributes.get("container") or pool), 80),
        host=clean(host, 80),
        pool=clean(pool, 80),
        role=clean(str(last.get("role") or pool), 80),
        version=clean(str(last.get("version") or ""), 80),
        image=clean(str(last.get("container_image") or ""), 120),
        measured=last.get("measured") is not False,
        generations=max([1, len(starts), *numbers]) if starts else 1,
        ended=_end_in_words(exits[-1].attributes) if exits else "",
        kills=sum(
            kills
            for event in events
            if event.kind == CONTAINER_OOM and type(kills := event.attributes.get("kills")) is int
        ),
        limit=limit if type(limit) is int else None,
        peak=max((int(series.values.max()) for series in _charged(timeline, host, pool)), default=None),
    )


def _charged(timeline: Timeline, host: str, pool: str) -> Iterator[Series]:
    """Accounts of its group; those of the first host, and of this machine, are nobody's in particular."""
    for process in (None, host_key(host)):
        series = timeline.series.get((f"cgroup.{pool}.memory.current", process))
        if series is not None and series.values.size:
            yield series


def _end_in_words(told: Mapping[str, Scalar]) -> str:
    code, signal = told.get("code"), told.get("signal")
    how = (
        f"exit code {code}"
        if type(code) is int
        else f"signal {signal}"
        if type(signal) is int
        else "it is not known how"
    )
    return f"{how}, for lack of memory" if told.get("oom") is True else how


def clock_words(row: HostRow) -> str:
    """``clock ± 0.3 ms, drift +1.2 ± 0.4 ppm``."""
    if row.within_ns is None:
        return "its clock was never read"
    drift = drift_words(row)
    drift = f", drift {drift}" if drift else ""
    return f"clock ± {format_duration(row.within_ns)}{drift}"


def drift_words(row: HostRow) -> str:
    """``+1.2 ± 0.4 ppm``, ``within ± 40 ppm`` where it may be none; empty where nobody can tell."""
    if row.drift_ppm is None or row.drift_error_ppm is None:
        return ""
    if abs(row.drift_ppm) <= row.drift_error_ppm:
        return f"within ± {plain(row.drift_error_ppm + abs(row.drift_ppm))} ppm"
    return f"{'+' if row.drift_ppm > 0 else ''}{plain(row.drift_ppm)} ± {plain(row.drift_error_ppm)} ppm"


def line_words(row: HostRow) -> str:
    """How the line held: ``never down``, ``down twice, 4.2 s in all``."""
    if not row.downs:
        return "never down"
    times = {1: "once, ", 2: "twice, "}.get(row.downs, f"{row.downs} times, ")
    return f"down {times}{format_duration(row.down_ns)}{' in all' if row.downs > 1 else ''}"


def lives_words(row: ContainerRow) -> str:
    """``started anew once; ended last with exit code 137 for lack of memory``."""
    again = row.generations - 1
    told = [] if not again else [f"started anew {'once' if again == 1 else f'{again} times'}"]
    if row.ended:
        told.append(f"{'last end: ' if again > 1 else 'ended: '}{row.ended}")
    return "; ".join(told) or "one life"


def beside(report: Report, finding: Finding) -> str:
    """How the siblings of what grows do: ``grows on web-2 (22 KiB a request); not on web-1, web-3 (at most 0.9 KiB a request)``.
    Empty where nothing was compared."""
    if not any(evidence.signal == _SIBLINGS for evidence in finding.evidence):
        return ""
    compared = next((each for each in report.siblings if any(s.host == finding.subject.pool for s in each.hosts)), None)
    return "" if compared is None else _compared(compared)


def _compared(compared: Siblings) -> str:
    hosts = compared.hosts
    blind = [h for h in hosts if h.host in compared.blind]
    idle, little = [h for h in blind if h.requests_per_round == 0], [h for h in blind if h.requests_per_round != 0]
    growing, still = ([h for h in hosts if h.grows is grows] for grows in (True, False))
    unknown = [h for h in hosts if h.grows is None and h not in blind]
    requests = all(h.requests_per_round for h in hosts if h.interval is not None and h not in idle)
    unit = "request" if requests else "round"
    parts = []
    if growing:
        parts.append(f"grows on {_each(growing, requests, unit)}")
    if still:
        parts.append(f"not on {_names(still)}{_from(still, requests, ' (less than {} a ' + unit + ')')}")
    if little:
        parts.append(
            f"would not have shown on {_names(little)}{_from(little, requests, ' (only from {} a ' + unit + ')')}"
        )
    if idle:
        parts.append(f"{_names(idle)} answered no requests")
    if unknown:
        parts.append(f"cannot be told of {_names(unknown)}")
    if growing and still and len(compared.differ) < len(growing):
        parts.append("whether they differ is not sure")
    elif growing and still:
        parts += _split(compared)
    return "; ".join(parts)


def _from(siblings: Sequence[Sibling], requests: bool, text: str) -> str:
    """``text`` with the smallest growth that would have shown on all of them; empty where that is not known."""
    least = [h.least_seen / _share(h, requests) for h in siblings if h.least_seen is not None]
    most = max(least, default=None)
    return "" if known(most) is None or most is None else text.format(size(most))


def _share(sibling: Sibling, requests: bool) -> float:
    return sibling.requests_per_round or 1.0 if requests else 1.0


def _each(siblings: Sequence[Sibling], requests: bool, unit: str) -> str:
    shown = [
        f"{clean(s.host, 80)} ({size((s.bytes_per_round or 0.0) / _share(s, requests))} a {unit})"
        for s in siblings[:_MOST_NAMES]
    ]
    return ", ".join([*shown, *_more(siblings)])


def _names(siblings: Sequence[Sibling]) -> str:
    return ", ".join([*(clean(s.host, 80) for s in siblings[:_MOST_NAMES]), *_more(siblings)])


def _more(siblings: Sequence[Sibling]) -> list[str]:
    return [f"{len(siblings) - _MOST_NAMES} more"] if len(siblings) > _MOST_NAMES else []


def _split(compared: Siblings) -> list[str]:
    """Version against version, or image against image, where growth goes with it."""
    split = compared.split
    if split is None:
        return []
    new, old = (", ".join(clean(each, 80) for each in group) for group in (split.growing, split.still))
    return [f"{split.kind} {new} grows, {old} does not"]
