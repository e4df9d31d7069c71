"""Sums over a pool's processes."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import SECOND, START, leak_report

from harness.model.process import ProcessKey, Role
from harness.model.run import Series
from harness.model.timeline import Worker
from harness.report.pools import PSS, RSS, memory_metric, pool_sum

INFO = leak_report(requests_per_round=4).timeline.workers[0].info


def member(pid: int, *, last_seen_s: int = 3) -> Worker:
    last = START + last_seen_s * SECOND
    return Worker(dataclasses.replace(INFO, key=ProcessKey("", pid, pid), last_seen_ns=last), Role.WORKER, 0)


def points(worker: Worker, seconds: list[int], values: list[int]) -> Series:
    times = START + np.array(seconds, dtype=np.int64) * SECOND
    return Series(PSS, worker.info.key, times, np.array(values, dtype=np.int64))


def test_a_process_that_comes_or_goes_changes_the_sum() -> None:
    one, two = member(1, last_seen_s=2), member(2)
    series = {
        (PSS, one.info.key): points(one, [0, 1, 2], [5, 5, 5]),
        (PSS, two.info.key): points(two, [1, 2, 3], [7, 7, 7]),
    }
    total = pool_sum(series, [one, two], PSS)
    assert total is not None
    assert total.values.tolist() == [5, 12, 12, 7]


def test_a_process_the_sweep_had_no_budget_for_counts_with_its_latest_value() -> None:
    one, two = member(1), member(2)
    series = {
        (PSS, one.info.key): points(one, [0, 1, 2, 3], [5, 5, 5, 5]),
        (PSS, two.info.key): points(two, [0, 2], [7, 9]),
    }
    total = pool_sum(series, [one, two], PSS)
    assert total is not None
    assert ((total.t_ns - START) // SECOND).tolist() == [0, 1, 2, 3]
    assert total.values.tolist() == [12, 12, 14, 14]  # the last one too: it was still alive


def test_no_samples_no_sum() -> None:
    assert pool_sum({}, [member(1)], PSS) is None


def test_rss_stands_in_when_nobody_could_read_pss() -> None:
    report = leak_report(requests_per_round=4)
    assert memory_metric(report.timeline) == PSS
    only_rss = {k: s for k, s in report.timeline.series.items() if k[0] != PSS}
    assert memory_metric(dataclasses.replace(report.timeline, series=only_rss)) == RSS
