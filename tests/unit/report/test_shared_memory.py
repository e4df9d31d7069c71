"""Caches of a pool that all its processes map: there once, however many see them."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import MIB, SECOND, START, leak_report

from harness.model.process import ProcessKey, Role
from harness.model.run import Series
from harness.model.timeline import Timeline, Worker
from harness.report.page.body import unit_of
from harness.report.page.series import drawn
from harness.report.shared_memory import SharedRow, shared_rows

REPORT = leak_report(requests_per_round=4)
BASE = REPORT.timeline
INFO = BASE.workers[0].info


def worker(pid: int, pool: str) -> Worker:
    return Worker(dataclasses.replace(INFO, key=ProcessKey("", pid, pid), pool=pool), Role.WORKER, 0)


def timeline(*said: tuple[Worker, str, list[int], list[int]]) -> Timeline:
    """(process, metric, seconds, MiB)."""
    series = {
        (name, who.info.key): Series(name, who.info.key, START + np.array(at) * SECOND, np.array(values) * MIB)
        for who, name, at, values in said
    }
    workers = tuple({who.info.key: who for who, *_ in said}.values())
    return dataclasses.replace(BASE, workers=workers, series=series)


def cache(
    who: Worker, prefix: str, at: list[int], size: int, free: list[int], wasted: int | None = None
) -> list[tuple[Worker, str, list[int], list[int]]]:
    rows = [(who, f"{prefix}.size", at, [size] * len(at)), (who, f"{prefix}.free", at, free)]
    return rows if wasted is None else [*rows, (who, f"{prefix}.wasted", at, [wasted] * len(at))]


def test_two_workers_that_see_one_segment_make_one_row() -> None:
    one, two = worker(1, "www"), worker(2, "www")
    seen = timeline(
        *cache(one, "runtime.php.opcache", [1, 5], 128, [100, 90], 3),
        *cache(two, "runtime.php.opcache", [3, 9], 128, [80, 95], 3),
        *cache(two, "runtime.php.apcu", [3, 9], 32, [30, 12]),
    )
    assert shared_rows(seen) == (
        SharedRow("www", "opcache", 2, 128 * MIB, 25 * MIB, 30 * MIB, 45 * MIB, 3 * MIB),
        SharedRow("www", "apcu", 1, 32 * MIB, 2 * MIB, 20 * MIB, 20 * MIB, None),
    )


def test_what_is_used_of_a_segment_is_drawn() -> None:
    seen = timeline(*cache(worker(1, "www"), "runtime.php.apcu", [1, 5], 32, [30, 12]))
    line = next(d for d in drawn(dataclasses.replace(REPORT, timeline=seen)) if d.metric == "segment.apcu")
    assert line.values.tolist() == [2 * MIB, 20 * MIB]
    assert line.pool == 0
    assert unit_of(line.metric) == "bytes"


def test_each_pool_has_segments_of_its_own() -> None:
    seen = timeline(
        *cache(worker(1, "www"), "runtime.php.opcache", [1], 128, [100]),
        *cache(worker(2, "admin"), "runtime.php.opcache", [1], 64, [60]),
    )
    assert [(row.pool, row.size) for row in shared_rows(seen)] == [("www", 128 * MIB), ("admin", 64 * MIB)]


def test_what_php_said_itself_is_taken_where_nothing_was_read_from_outside() -> None:
    who = worker(1, "www")
    inside = cache(who, "agent.php.opcache", [1], 128, [100])
    assert [row.used_end for row in shared_rows(timeline(*inside))] == [28 * MIB]
    both = timeline(*inside, *cache(who, "runtime.php.opcache", [1], 128, [101]))
    assert [row.used_end for row in shared_rows(both)] == [27 * MIB]


def test_a_size_without_its_free_part_is_no_row() -> None:
    assert shared_rows(timeline((worker(1, "www"), "runtime.php.opcache.size", [1], [128]))) == ()
    assert shared_rows(BASE) == ()
