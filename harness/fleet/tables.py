"""A run as the rows that it adds to a dataset. Pure: the same report gives the same rows.

Every table begins with ``run`` (the run's id) and ``started_unix_ns``. Host, scenario, version and day are in the path
(`harness.fleet.partitions`). Unknown is None and becomes NULL. Columns may be added to a table, never changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.compare.facts import RunFacts, facts_of
from harness.fleet.partitions import RUNS, Partition, day_of, key_of
from harness.model.report import Report
from harness.model.run import RunManifest
from harness.report.tables import FLOAT, INT, TEXT, Cell, Table
from harness.report.tables import tables as tables_of
from harness.report.words import clean, containers_here, known
from harness.report.words import version as version_of

SCHEMA = 1
_TEXT_LETTERS = 2_000
_MOST_CONDITIONS = 5_000
_FIRST = (("run", TEXT), ("started_unix_ns", INT))
# Tables of an export that are small, under the name they have here.
_KEPT = {
    "findings": "findings",
    "endpoints": "endpoints",
    "pool_ledger": "pools",
    "ledger": "ledger",
    "processes": "workers",
}
_SAMPLES = "samples"
TABLES = (RUNS, "measures", "costs", *_KEPT.values(), _SAMPLES)


@dataclass(frozen=True, slots=True)
class FleetRun:
    """What one run adds. ``tables``: that of runs is the last."""

    key: str
    run_id: str
    partition: Partition
    tables: Sequence[Table]


def host_of(manifest: RunManifest) -> str | None:
    """Where what was measured ran: the hosts that were watched over a line, all their names, and the one that recorded where
    containers of it are measured too, or no host was."""
    names = [host.name for host in manifest.hosts if host.measured]
    node = manifest.host.get("node")
    if node is not None and (not names or containers_here(manifest)):
        names.append(str(node))
    return _text(",".join(names)) if names else None


def fleet_key(manifest: RunManifest) -> str:
    """What its files are called."""
    return key_of(manifest.run_id, host_of(manifest), manifest.started_wall_ns)


def fleet_run(report: Report, *, version: str | None = None, samples: bool = False) -> FleetRun:
    """``version``: of the application under test, instead of what its scenario says. ``samples``: every sample too, which
    may be millions of rows."""
    manifest = report.timeline.manifest
    named = version if version is not None else version_of(manifest)
    partition = Partition(
        host_of(manifest), _text(manifest.scenario_name), _text(named), day_of(manifest.started_wall_ns)
    )
    facts = facts_of(report)
    exported = {table.name: table for table in tables_of(report)}
    first: tuple[Cell, ...] = (_text(manifest.run_id), manifest.started_wall_ns)
    names = [*_KEPT, *([_SAMPLES] if samples else [])]
    tables = [
        _measures(report, facts, first),
        _costs(report, first),
        *(_prefixed(exported[name], _KEPT.get(name, name), first) for name in names),
        _runs(report, facts, first),
    ]
    return FleetRun(fleet_key(manifest), manifest.run_id, partition, tuple(tables))


def _text(text: str | None) -> str | None:
    return clean(text, _TEXT_LETTERS) or None if text else None


def _prefixed(table: Table, name: str, first: tuple[Cell, ...]) -> Table:
    """A table of an export with the run before it. Its ``host`` is that of a process, and must not be taken for the partition."""
    columns = tuple((f"process_{column}" if column == "host" else column, kind) for column, kind in table.columns)

    def rows() -> Iterator[Sequence[Cell]]:
        for row in table.rows():
            yield (*first, *row)

    return Table(name, (*_FIRST, *columns), rows)


def _runs(report: Report, facts: RunFacts, first: tuple[Cell, ...]) -> Table:
    manifest, verdict = report.timeline.manifest, report.verdict
    passed = [expectation.passed for expectation in report.expectations]
    ended = manifest.ended_ns
    row: tuple[Cell, ...] = (
        *first, SCHEMA, None if ended is None else (ended - manifest.started_ns) / 1e9, manifest.status.value,
        verdict.cause.value, verdict.confidence.value, _text(verdict.summary), facts.rounds,
        sum(row.requests for row in report.endpoints), sum(row.errors for row in report.endpoints), len(facts.findings),
        passed.count(True), passed.count(False), passed.count(None), _text(manifest.runtime), _text(manifest.tool_version),
        *(_fact(report, name) for name in ("kernel", "machine", "libc")),
        *(_number(report, name) for name in ("cpus", "memory_bytes")),
    )  # fmt: skip
    columns = (
        *_FIRST, ("schema", INT), ("duration_s", FLOAT), ("status", TEXT), ("cause", TEXT), ("confidence", TEXT),
        ("summary", TEXT), ("rounds", INT), ("requests", INT), ("errors", INT), ("findings", INT),
        ("expectations_met", INT), ("expectations_failed", INT), ("expectations_unknown", INT), ("runtime", TEXT),
        ("harness", TEXT), ("kernel", TEXT), ("machine", TEXT), ("libc", TEXT), ("cpus", INT), ("memory_bytes", INT),
    )  # fmt: skip
    return Table(RUNS, columns, lambda: iter([row]))


def _fact(report: Report, name: str) -> str | None:
    value = report.timeline.manifest.host.get(name)
    return None if value is None else _text(str(value))


def _number(report: Report, name: str) -> int | None:
    value = report.timeline.manifest.host.get(name)
    return value if isinstance(value, int) else None


def _measures(report: Report, facts: RunFacts, first: tuple[Cell, ...]) -> Table:
    """Every quantity that ``harness compare`` knows, with what must be alike in runs that are compared: one file is all that a
    query about drift reads. ``conditions`` is the same in all rows of a run, and stored once."""
    conditions = json.dumps(dict(sorted(report.conditions.items())[:_MOST_CONDITIONS]), ensure_ascii=False)
    cause, rounds = report.verdict.cause.value, facts.rounds

    def rows() -> Iterator[Sequence[Cell]]:
        for m in facts.measures:
            yield (
                *first, _text(m.metric), m.unit.value, _text(m.pool), _text(m.endpoint), known(m.value), known(m.low),
                known(m.high), known(m.blind), cause, rounds, conditions,
            )  # fmt: skip

    columns = (
        *_FIRST, ("metric", TEXT), ("unit", TEXT), ("pool", TEXT), ("endpoint", TEXT), ("value", FLOAT), ("low", FLOAT),
        ("high", FLOAT), ("blind", FLOAT), ("cause", TEXT), ("rounds", INT), ("conditions", TEXT),
    )  # fmt: skip
    return Table("measures", columns, rows)


def _costs(report: Report, first: tuple[Cell, ...]) -> Table:
    """What measuring cost, by name as in the JSON report."""

    def rows() -> Iterator[Sequence[Cell]]:
        for name, value in report.overhead.items():
            yield (*first, _text(name), known(value))

    return Table("costs", (*_FIRST, ("name", TEXT), ("value", FLOAT)), rows)
