"""A run as tables, for csv and parquet: everything the report knows, one row a fact. Pure.

``t_ns`` counts from the run's begin, ``unix_ns`` is the same instant on the wall clock of the run's begin (a clock that was set
in between does not move it). Texts are one line without control characters. ``process`` is the number of a row in ``processes``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.host import ORDER_UNKNOWN, moment_of
from harness.model.process import ProcessKey, host_key
from harness.model.report import Report
from harness.report.lanes import lifecycle
from harness.report.metric_values import scale_of
from harness.report.when import Clocks, told
from harness.report.words import clean, known

if TYPE_CHECKING:
    from numpy.typing import NDArray

INT, FLOAT, TEXT, BOOL = "int", "float", "text", "bool"
BATCH_ROWS = 250_000
_TEXT_LETTERS = 2_000
_MOST_RECORDED = 100  # different names of values in the records of agents

Cell = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A column of a batch in which all rows are equal."""

    value: int | str | None


Batch = Sequence["NDArray[np.int64] | Constant"]


@dataclass(frozen=True, slots=True)
class Table:
    """``columns``: name and kind (`INT`, `FLOAT`, `TEXT`, `BOOL`); any cell may be None. ``rows`` makes them anew at each call.

    ``batches``: the same by column, for a table of which one may be millions; None for the others.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: Callable[[], Iterator[Sequence[Cell]]]
    batches: Callable[[], Iterator[tuple[int, Batch]]] | None = None


def tables(report: Report) -> tuple[Table, ...]:
    """All tables, in a stable order."""
    return (
        _samples(report),
        _requests(report),
        _processes(report),
        _findings(report),
        _evidence(report),
        _ledger(report),
        _pool_ledger(report),
        _endpoints(report),
        _windows(report),
        _events(report),
        _hosts(report),
        _missing(report),
    )


class _Clock:
    def __init__(self, report: Report) -> None:
        manifest = report.timeline.manifest
        self.start = manifest.started_ns
        self.wall = manifest.started_wall_ns

    def both(self, t_ns: int | None) -> tuple[int | None, int | None]:
        return (None, None) if t_ns is None else (t_ns - self.start, t_ns - self.start + self.wall)

    def since(self, t_ns: int | None) -> int | None:
        return None if t_ns is None else t_ns - self.start


def _text(text: str | None) -> str | None:
    """Empty is nothing: CSV cannot tell one from the other."""
    return clean(text, _TEXT_LETTERS) or None if text else None


def _numbers(report: Report) -> Mapping[ProcessKey, int]:
    return {worker.info.key: number for number, worker in enumerate(report.timeline.workers)}


_WHEN = (("t_ns", INT), ("unix_ns", INT))
_SAMPLES = (
    *_WHEN, ("metric", TEXT), ("unit", TEXT), ("process", INT), ("pid", INT), ("pool", TEXT), ("value", INT), ("host", TEXT),
)  # fmt: skip


def _samples(report: Report) -> Table:
    """Every sample. ``unit``: ``percent`` and ``hundredths`` are 1/100 of one, as they are stored."""
    timeline, clock = report.timeline, _Clock(report)
    numbers, clocks = _numbers(report), Clocks(timeline)
    pools = {worker.info.key: worker.info.pool for worker in timeline.workers}

    def batches() -> Iterator[tuple[int, Batch]]:
        for key in sorted(timeline.series, key=_series_order):
            series, process = timeline.series[key], key[1]
            unit = {"%": "percent/100", "1": "1/100"}.get(scale_of(key[0]).unit, scale_of(key[0]).unit)
            since = series.t_ns.astype(np.int64) - clock.start
            yield (
                since.size,
                (
                    since,
                    since + clock.wall,
                    Constant(_text(key[0])),
                    Constant(unit),
                    Constant(None if process is None else numbers.get(process)),
                    Constant(None if process is None or process == host_key(process.host) else process.pid),
                    Constant(None if process is None else _text(pools.get(process))),
                    series.values.astype(np.int64),
                    Constant(_text(clocks.place(*key))),
                ),
            )

    def rows() -> Iterator[Sequence[Cell]]:
        for size, batch in batches():
            columns = [[c.value] * size if isinstance(c, Constant) else c.tolist() for c in batch]
            yield from zip(*columns, strict=True)

    return Table("samples", _SAMPLES, rows, batches)


def _series_order(key: tuple[str, ProcessKey | None]) -> tuple[str, bool, ProcessKey]:
    return key[0], key[1] is not None, key[1] or ProcessKey("", 0, 0)


def _requests(report: Report) -> Table:
    """Every request as its sender saw it, and what the agent of its process wrote down (``recorded_...``)."""
    clock, numbers = _Clock(report), _numbers(report)
    spans = sorted(report.timeline.spans, key=lambda j: (j.span.start_ns, j.span.span_id))
    names = sorted({name for j in spans if j.record is not None for name in j.record.values})[:_MOST_RECORDED]

    def rows() -> Iterator[Sequence[Cell]]:
        for joined in spans:
            span, record = joined.span, joined.record
            yield (
                *clock.both(span.start_ns), clock.since(span.end_ns), clock.since(span.intended_ns), span.latency_ns,
                _text(span.endpoint), span.phase.value, span.round, span.block, span.status, _text(span.error), span.ok,
                _text(", ".join(span.failed_checks)), span.body_bytes, span.user, _text(span.span_id),
                None if joined.worker is None else numbers.get(joined.worker),
                None if joined.worker is None else joined.worker.pid,
                joined.method.value,
                None if record is None else clock.since(record.start_ns),
                None if record is None else clock.since(record.end_ns),
                *(None if record is None else record.values.get(name) for name in names),
            )  # fmt: skip

    columns = (
        *_WHEN, ("end_ns", INT), ("intended_ns", INT), ("latency_ns", INT), ("endpoint", TEXT), ("phase", TEXT),
        ("round", INT), ("block", INT), ("status", INT), ("error", TEXT), ("ok", BOOL), ("failed_checks", TEXT),
        ("body_bytes", INT), ("user", INT), ("span_id", TEXT), ("process", INT), ("pid", INT), ("joined_by", TEXT),
        ("recorded_start_ns", INT), ("recorded_end_ns", INT), *_recorded(names),
    )  # fmt: skip
    return Table("requests", columns, rows)


def _recorded(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names of columns, which must differ also where case does not count."""
    seen: set[str] = {"start_ns", "end_ns"}
    for number, name in enumerate(names):
        shown = clean(name, 80)
        if shown.casefold() in seen:
            shown = f"{shown}_{number}"
        seen.add(shown.casefold())
        yield f"recorded_{shown}", INT


def _processes(report: Report) -> Table:
    clock = _Clock(report)
    found = {row.key: row for row in report.workers}

    def rows() -> Iterator[Sequence[Cell]]:
        for number, worker in enumerate(report.timeline.workers):
            info, row = worker.info, found.get(worker.info.key)
            yield (
                number, _text(info.key.host), info.key.pid, info.key.start_ticks, info.ppid, _text(info.comm), info.uid,
                _text(info.pool), worker.role.value, clock.since(info.born_ns), clock.since(info.ended_ns), worker.requests,
                None if row is None else row.pss_start, None if row is None else row.pss_end,
                None if row is None else row.pss_peak,
            )  # fmt: skip

    columns = (
        ("process", INT), ("host", TEXT), ("pid", INT), ("start_ticks", INT), ("ppid", INT), ("comm", TEXT), ("uid", INT),
        ("pool", TEXT), ("role", TEXT), ("born_ns", INT), ("ended_ns", INT), ("requests", INT), ("pss_start", INT),
        ("pss_end", INT), ("pss_peak", INT),
    )  # fmt: skip
    return Table("processes", columns, rows)


def _findings(report: Report) -> Table:
    clock = _Clock(report)

    def rows() -> Iterator[Sequence[Cell]]:
        for number, finding in enumerate(report.findings, 1):
            subject, growth, place = finding.subject, finding.growth, finding.subject.location
            low, high = growth.ci95 or (None, None)
            begin, end = finding.range_ns or (None, None)
            yield (
                number, finding.cause.value, finding.severity.value, finding.confidence.value, finding.secondary,
                _text(finding.summary), _text(subject.host), _text(subject.runtime), _text(subject.pool), subject.pid,
                _text(subject.endpoint), None if place is None else _text(place.file), None if place is None else place.line,
                None if place is None else _text(place.function), known(growth.bytes_per_request), known(low), known(high),
                known(growth.bytes_per_hour), known(growth.mdl_bytes_per_request), clock.since(begin), clock.since(end),
            )  # fmt: skip

    columns = (
        ("finding", INT), ("cause", TEXT), ("severity", TEXT), ("confidence", TEXT), ("secondary", BOOL), ("summary", TEXT),
        ("host", TEXT), ("runtime", TEXT), ("pool", TEXT), ("pid", INT), ("endpoint", TEXT), ("file", TEXT), ("line", INT),
        ("function", TEXT), ("bytes_per_request", FLOAT), ("ci95_low", FLOAT), ("ci95_high", FLOAT),
        ("bytes_per_hour", FLOAT), ("mdl_bytes_per_request", FLOAT), ("range_start_ns", INT), ("range_end_ns", INT),
    )  # fmt: skip
    return Table("findings", columns, rows)


def _evidence(report: Report) -> Table:
    def rows() -> Iterator[Sequence[Cell]]:
        for number, finding in enumerate(report.findings, 1):
            for row in finding.evidence:
                yield (
                    number, row.side.value, _text(row.signal), None if row.value is None else known(float(row.value)),
                    _text(row.unit), _text(row.text),
                )  # fmt: skip

    columns = (("finding", INT), ("side", TEXT), ("signal", TEXT), ("value", FLOAT), ("unit", TEXT), ("text", TEXT))
    return Table("evidence", columns, rows)


_PARTS = (
    "pss", "live", "live_runtime", "live_native", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp",
    "unexplained", "swap",
)  # fmt: skip


def _ledger(report: Report) -> Table:
    clock, numbers = _Clock(report), _numbers(report)

    def rows() -> Iterator[Sequence[Cell]]:
        for row in report.ledger:
            yield (
                *clock.both(row.t_ns), numbers.get(row.key), row.key.pid, _text(row.runtime), str(row.phase), row.round,
                *(getattr(row, part) for part in _PARTS), row.anon_huge,
                None if row.explained_share is None else known(row.explained_share), _text(row.source),
                json.dumps({clean(name): held for name, held in sorted(row.held_by.items())}),
            )  # fmt: skip

    columns = (
        *_WHEN, ("process", INT), ("pid", INT), ("runtime", TEXT), ("phase", TEXT), ("round", INT),
        *((part, INT) for part in _PARTS), ("anon_huge", INT), ("explained_share", FLOAT), ("source", TEXT), ("held_by", TEXT),
    )  # fmt: skip
    return Table("ledger", columns, rows)


def _pool_ledger(report: Report) -> Table:
    clock = _Clock(report)
    parts = [part for part in _PARTS if part != "pss"]

    def rows() -> Iterator[Sequence[Cell]]:
        for row in report.pool_ledger:
            values = (row.parts.get(part) for part in parts)
            yield (*clock.both(row.t_ns), _text(row.pool), str(row.phase), row.round, row.processes, row.pss, *values)

    columns = (
        *_WHEN, ("pool", TEXT), ("phase", TEXT), ("round", INT), ("processes", INT), ("pss", INT),
        *((part, INT) for part in parts),
    )  # fmt: skip
    return Table("pool_ledger", columns, rows)


def _endpoints(report: Report) -> Table:
    def rows() -> Iterator[Sequence[Cell]]:
        for row in report.endpoints:
            low, high = row.ci95 or (None, None)
            yield (
                _text(row.name), row.requests, row.errors, row.p50_ns, row.p99_ns, known(row.retained_bytes_per_request),
                known(low), known(high), row.request_peak_p50, row.request_peak,
            )  # fmt: skip

    columns = (
        ("endpoint", TEXT), ("requests", INT), ("errors", INT), ("p50_ns", INT), ("p99_ns", INT),
        ("retained_bytes_per_request", FLOAT), ("ci95_low", FLOAT), ("ci95_high", FLOAT), ("request_peak_p50", INT),
        ("request_peak", INT),
    )  # fmt: skip
    return Table("endpoints", columns, rows)


def _windows(report: Report) -> Table:
    clock = _Clock(report)

    def rows() -> Iterator[Sequence[Cell]]:
        for w in report.timeline.windows:
            yield (
                *clock.both(w.start_ns),
                clock.since(w.end_ns),
                clock.since(w.floor_ns),
                w.phase.value,
                w.round,
                w.block,
            )

    columns = (*_WHEN, ("end_ns", INT), ("floor_ns", INT), ("phase", TEXT), ("round", INT), ("block", INT))
    return Table("windows", columns, rows)


def _events(report: Report) -> Table:
    """``within_ns``: by how much the time may be off; ``order_unknown``: something on another host is closer than that."""
    clock, numbers = _Clock(report), _numbers(report)

    def rows() -> Iterator[Sequence[Cell]]:
        for event in lifecycle(report.timeline):
            process = None if event.process is None else numbers.get(event.process)
            attributes = {clean(name): _scalar(value) for name, value in sorted(event.attributes.items())}
            moment = moment_of(event)
            yield (
                *clock.both(event.t_ns), _text(event.kind), process, _text(told(event)), json.dumps(attributes),
                _text(moment.place), moment.within_ns, event.attributes.get(ORDER_UNKNOWN) is True,
            )  # fmt: skip

    columns = (
        *_WHEN, ("kind", TEXT), ("process", INT), ("text", TEXT), ("attributes", TEXT), ("host", TEXT), ("within_ns", INT),
        ("order_unknown", BOOL),
    )  # fmt: skip
    return Table("events", columns, rows)


def _hosts(report: Report) -> Table:
    """Hosts that were watched over a line. Times of all tables that are a host's own are right within ``within_ns``."""
    manifest = report.timeline.manifest

    def rows() -> Iterator[Sequence[Cell]]:
        for clock in report.timeline.hosts:
            host = clock.host
            yield (
                _text(host.name), _text(host.role), _text(host.version), host.measured, host.first,
                clock.most(manifest.started_ns, manifest.ended_ns or manifest.started_ns),
                None if clock.drift_ppm is None else known(clock.drift_ppm), clock.readings,
            )  # fmt: skip

    columns = (
        ("host", TEXT), ("role", TEXT), ("version", TEXT), ("measured", BOOL), ("first", BOOL), ("within_ns", INT),
        ("drift_ppm", FLOAT), ("readings", INT),
    )  # fmt: skip
    return Table("hosts", columns, rows)


def _scalar(value: object) -> object:
    if isinstance(value, float):
        return known(value)
    return clean(value, _TEXT_LETTERS) if isinstance(value, str) else value


def _missing(report: Report) -> Table:
    def rows() -> Iterator[Sequence[Cell]]:
        for row in report.missing:
            yield _text(row.signal), _text(row.reason), _text(row.costs)

    return Table("missing", (("signal", TEXT), ("reason", TEXT), ("costs", TEXT)), rows)
