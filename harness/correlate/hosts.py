"""Several hosts on one clock: where each host's times lie on ours, with an error, and which orders of events that error allows.

The other clock is read between two readings of ours, so the middle is right within half the round trip. Each reading gives an
offset and an error; between two readings the offset is taken to change evenly, and the error is the larger of theirs. Before
the first and after the last it goes on at the drift of all of them. Away from a reading the error grows by how badly that drift
is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.correlate.clockmap import WallClock
from harness.model.event import CONTAINER, PROBE, SINCE_NS, Anchor, Event, Scalar, Window
from harness.model.host import (
    HOST,
    HOST_CLOCK,
    LOCAL,
    ORDER_UNKNOWN,
    WITHIN_NS,
    HostClock,
    RunHost,
    moment_of,
    unordered,
)
from harness.model.metric import FLOOR
from harness.model.process import ProcessInfo, ProcessKey, host_key
from harness.model.run import RawRun, Series
from harness.model.span import BootRecord, RequestRecord, ToolRecord

_LATEST_NS = 1 << 61  # 73 years after a boot
_STEADY = 5e-4  # kernels slew a clock by at most 500 ppm

_Told = TypeVar("_Told", BootRecord, ToolRecord)

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What must be taken off the recorded times of one host, and how sure that is. ``at_ns`` rises; it is as recorded."""

    host: RunHost
    at_ns: Times
    ahead_ns: Floats  # how far the recorded times run ahead of ours, at each reading
    error_ns: Floats

    @property
    def drift(self) -> tuple[float, float]:
        """How much faster its clock goes (1e-6 is 1 ppm), and by how much that may be off: least squares over the readings, the
        surer the more, and what their errors make of it; never more than kernels slew a clock."""
        weights = 1.0 / np.maximum(self.error_ns, 1.0) ** 2
        if self.at_ns.size < 2 or self.at_ns[0] == self.at_ns[-1]:
            return 0.0, _STEADY
        t = (self.at_ns - self.at_ns[0]).astype(np.float64)
        t -= np.average(t, weights=weights)
        spread = float(np.sum(weights * t * t))
        slope = float(np.sum(weights * t * self.ahead_ns)) / spread
        slope = min(max(slope, -_STEADY), _STEADY)
        return slope, min(float(np.sum(weights * np.abs(t) * self.error_ns)) / spread, _STEADY + abs(slope))

    def shift(self, t_ns: Times) -> Times:
        """Recorded times, by our clock."""
        if not self.at_ns.size:
            return t_ns
        slope, _ = self.drift
        t = t_ns.astype(np.float64)
        ahead = np.interp(t, self.at_ns, self.ahead_ns)
        outside = np.where(t < self.at_ns[0], t - self.at_ns[0], np.where(t > self.at_ns[-1], t - self.at_ns[-1], 0.0))
        return t_ns - np.rint(ahead + slope * outside).astype(np.int64)

    @property
    def clock(self) -> HostClock:
        """In words of the model."""
        size = int(self.at_ns.size)
        if self.host.place == LOCAL:
            return HostClock(self.host, 0, 0, None)
        if not size:
            return HostClock(self.host, 0, None, None)
        errors = tuple(int(np.ceil(error)) for error in self.error_ns)
        slope, unsure = self.drift
        read = tuple(self.shift(self.at_ns).tolist())
        return HostClock(self.host, size, max(errors), None if size < 2 else slope * 1e6, read, errors, unsure)


def alignments(hosts: Sequence[RunHost], events: Iterable[Event]) -> dict[str, Alignment]:
    """Of every host, from the events that are readings of its clock."""
    readings: dict[str, list[tuple[float, float, float]]] = {host.name: [] for host in hosts}
    offsets = {host.name: host.offset_ns for host in hosts}
    for event in events:
        name = event.attributes.get(HOST)
        if event.kind == HOST_CLOCK and isinstance(name, str) and name in readings:
            before, there, after = (
                _clock_time(event.attributes.get(key)) for key in ("before_ns", "there_ns", "after_ns")
            )
            if before is not None and there is not None and after is not None and after >= before:
                recorded = there - offsets[name]
                readings[name].append((recorded, recorded - (before + after) / 2, (after - before) / 2))
    return {host.name: _alignment(host, sorted(readings[host.name])) for host in hosts}


def _clock_time(value: Scalar) -> int | None:
    return value if type(value) is int and 0 <= value < _LATEST_NS else None


def _alignment(host: RunHost, readings: Sequence[tuple[float, float, float]]) -> Alignment:
    """From readings by their recorded time. Of two that contradict each other's order the surer one counts, so that what comes
    later on the host is later here too."""
    kept: list[tuple[float, float, float]] = []
    for recorded, ahead, error in readings:
        while kept and recorded - ahead <= kept[-1][0] - kept[-1][1] and error < kept[-1][2]:
            kept.pop()
        if not kept or recorded - ahead > kept[-1][0] - kept[-1][1]:
            kept.append((recorded, ahead, error))
    columns = np.array(kept, dtype=np.float64).reshape(-1, 3)
    return Alignment(host, columns[:, 0].astype(np.int64), columns[:, 1], columns[:, 2])


def aligned(raw: RawRun, found: Mapping[str, Alignment]) -> RawRun:
    """The run with all times of other hosts on our clock; readings of clocks are no longer among its events, and what carries the
    values of whole hosts is no longer among its processes."""
    if not found:
        return raw
    first = next((each for each in found.values() if each.host.first), None)
    clocks = {name: each.clock for name, each in found.items()}
    return replace(
        raw,
        windows=raw.windows if first is None else [_window(window, first) for window in raw.windows],
        processes=[_process(info, found) for info in raw.processes if info.key != host_key(info.key.host)],
        series={of: _series(series, found) for of, series in raw.series.items()},
        records=_records(raw.records, found),
        boots=[_told(boot, found) for boot in raw.boots],
        tools=[_told(tool, found) for tool in raw.tools],
        events=[_event(event, found, clocks) for event in raw.events if event.kind != HOST_CLOCK],
    )


def _one(alignment: Alignment, t_ns: int) -> int:
    return int(alignment.shift(np.array([t_ns], dtype=np.int64))[0])


def _window(window: Window, first: Alignment) -> Window:
    """Its floor is a sweep of the first host."""
    return window if window.floor_ns is None else replace(window, floor_ns=_one(first, window.floor_ns))


def _process(info: ProcessInfo, found: Mapping[str, Alignment]) -> ProcessInfo:
    alignment = found.get(info.key.host)
    if alignment is None:
        return info
    born, first, last = (_one(alignment, t) for t in (info.born_ns, info.first_seen_ns, info.last_seen_ns))
    ended = None if info.ended_ns is None else _one(alignment, info.ended_ns)
    return replace(info, born_ns=born, first_seen_ns=first, last_seen_ns=last, ended_ns=ended)


def _series(series: Series, found: Mapping[str, Alignment]) -> Series:
    alignment = None if series.process is None else found.get(series.process.host)
    if series.process is None:
        alignment = next((a for a in found.values() if a.host.first), None)
        if not series.metric.startswith(("system.", "sampler.", "cgroup.")):
            return series  # of the load generator, which is here
    return series if alignment is None else replace(series, t_ns=alignment.shift(series.t_ns))


def _records(records: Sequence[RequestRecord], found: Mapping[str, Alignment]) -> list[RequestRecord]:
    """There are many of them: the times of each host are shifted at once."""
    result = list(records)
    for name, alignment in found.items():
        places = [
            n for n, r in enumerate(records) if r.host == name and r.start_ns is not None and r.end_ns is not None
        ]
        times = np.array([(records[n].start_ns, records[n].end_ns) for n in places], dtype=np.int64)
        shifted = alignment.shift(times.reshape(-1)).reshape(-1, 2).tolist()
        for n, (start_ns, end_ns) in zip(places, shifted, strict=True):
            result[n] = replace(records[n], start_ns=start_ns, end_ns=end_ns)
    return result


def _told(said: _Told, found: Mapping[str, Alignment]) -> _Told:
    alignment = found.get(said.host)
    return said if alignment is None else replace(said, t_ns=_one(alignment, said.t_ns))


def _event(event: Event, found: Mapping[str, Alignment], clocks: Mapping[str, HostClock]) -> Event:
    """Events of a process or a container were stamped on its host; others, such as a broken line or a probe, here."""
    if event.kind.startswith(PROBE):
        return event
    host = event.attributes.get(HOST) if event.kind.startswith(CONTAINER) else None
    alignment = found.get(event.process.host if event.process is not None else str(host))
    return event if alignment is None else _stamped(event, alignment, clocks[alignment.host.name])


def _stamped(event: Event, alignment: Alignment, clock: HostClock) -> Event:
    t_ns = _one(alignment, event.t_ns)
    about = {HOST: alignment.host.name, **event.attributes, WITHIN_NS: clock.within(t_ns)}
    if type(since := about.get(SINCE_NS)) is int and abs(since) < _LATEST_NS:
        about[SINCE_NS] = _one(alignment, since)
    return replace(event, t_ns=t_ns, attributes=about)


def steps_elsewhere(anchors: Sequence[Anchor], found: Mapping[str, Alignment]) -> list[Event]:
    """Jumps of the wall clocks of other hosts, by our clock."""
    return [
        _stamped(replace(step, text=f"{step.text} on {name}"), alignment, alignment.clock)
        for name, alignment in found.items()
        for step in WallClock([anchor for anchor in anchors if anchor.host == name]).steps()
    ]


def with_order(events: Sequence[Event]) -> tuple[Event, ...]:
    """Events by time. Where the error of a time allows that an event of another host came on the other side of it, both carry
    `ORDER_UNKNOWN`."""
    ordered = sorted(events, key=lambda e: e.t_ns)
    unknown = unordered([moment_of(event) for event in ordered])
    return tuple(
        replace(event, attributes={**event.attributes, ORDER_UNKNOWN: True}) if index in unknown else event
        for index, event in enumerate(ordered)
    )


def same_floor(series: Mapping[tuple[str, ProcessKey | None], Series]) -> dict[str, dict[int, int]]:
    """For each further host: the instant of the first host's sweep for a floor -> the instant of its own. Times as in
    ``series``."""
    first = series.get((FLOOR, None))
    if first is None:
        return {}
    instants = dict(zip(first.values.tolist(), first.t_ns.tolist(), strict=True))
    result: dict[str, dict[int, int]] = {}
    for (metric, process), own in series.items():
        if metric == FLOOR and process is not None:
            pairs = zip(own.values.tolist(), own.t_ns.tolist(), strict=True)
            result[process.host] = {instants[number]: t_ns for number, t_ns in pairs if number in instants}
    return result
