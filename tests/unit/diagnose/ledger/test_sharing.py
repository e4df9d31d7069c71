"""Forked workers by age: what is theirs, and what they still share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import SECOND, App, empty_run, process, simulate

from harness.correlate.build import correlate
from harness.diagnose.ledger.sharing import SharingPoint, sharing_curves
from harness.model.event import Window
from harness.model.process import ProcessInfo
from harness.model.run import RawRun, Series
from harness.model.span import PhaseName

MASTER, WORKER = process(10, born=SECOND), process(11, ppid=10, born=2 * SECOND)
NAMES = ("uss", "shared_dirty", "pss")


def column(info: ProcessInfo, name: str, times: list[int], values: list[int]) -> Series:
    return Series(name, info.key, np.array(times, dtype=np.int64), np.array(values, dtype=np.int64))


def run_of(info: ProcessInfo, rows: list[tuple[int, int, int, int]], **parts: object) -> RawRun:
    """(seconds, uss, shared dirty, pss) of one worker and its master."""
    times = [int(row[0] * SECOND) for row in rows]
    series = {
        (f"process.memory.{name}", info.key): column(info, f"process.memory.{name}", times, [row[n] for row in rows])
        for n, name in enumerate(NAMES, 1)
    }
    return empty_run(processes=[MASTER, info], series=series, **parts)


def test_a_worker_by_age_since_its_fork() -> None:
    (curve,) = sharing_curves(correlate(run_of(WORKER, [(3, 10, 90, 60), (4, 40, 60, 75), (6, 80, 20, 95)])))
    assert (curve.key, curve.pool, curve.generation, curve.source) == (WORKER.key, "app", 0, "kernel")
    assert curve.points == (
        SharingPoint(SECOND, 10, 90, 60),
        SharingPoint(2 * SECOND, 40, 60, 75),
        SharingPoint(4 * SECOND, 80, 20, 95),
    )
    assert curve.unshared == 70


def test_only_sweeps_that_measured_everything_count() -> None:
    raw = run_of(WORKER, [(3, 10, 90, 60), (4, 40, 60, 75), (6, 80, 20, 95)])
    gappy = {
        **raw.series,
        ("process.memory.pss", WORKER.key): column(WORKER, "pss", [3 * SECOND, 6 * SECOND], [60, 95]),
    }
    (curve,) = sharing_curves(correlate(replace(raw, series=gappy)))
    assert [point.age_ns for point in curve.points] == [SECOND, 4 * SECOND]
    del gappy["process.memory.pss", WORKER.key]
    assert sharing_curves(correlate(replace(raw, series=gappy))) == ()


def test_one_sweep_is_no_curve() -> None:
    assert sharing_curves(correlate(run_of(WORKER, [(3, 10, 90, 60)]))) == ()
    assert sharing_curves(correlate(run_of(WORKER, [(1, 10, 90, 60), (3, 10, 90, 60)]))) == ()  # one is from before


def test_probes_are_left_out() -> None:
    probes = Window(PhaseName.PROBES, None, None, 5 * SECOND, 7 * SECOND, None)
    rows = [(3, 10, 90, 60), (4, 40, 60, 75), (6, 80, 20, 95)]
    (curve,) = sharing_curves(correlate(run_of(WORKER, rows, windows=[probes])))
    assert [point.age_ns for point in curve.points] == [SECOND, 2 * SECOND]


def test_an_agent_knows_when_it_was_forked() -> None:
    raw = run_of(WORKER, [(3, 10, 90, 60), (4, 40, 60, 75), (6, 80, 20, 95)])
    age = column(WORKER, "agent.python.fork.age", [4 * SECOND, 6 * SECOND], [int(1.5 * SECOND), int(3.5 * SECOND)])
    floors = [Window(PhaseName.ROUNDS, n, None, 2 * SECOND, at * SECOND, at * SECOND) for n, at in enumerate((4, 6))]
    told = {**raw.series, ("agent.python.fork.age", WORKER.key): age}
    (curve,) = sharing_curves(correlate(replace(raw, series=told, windows=floors)))
    assert (curve.source, curve.forked_ns) == ("agent", int(2.5 * SECOND))


@pytest.mark.parametrize(
    "worker", [process(11, ppid=1, born=2 * SECOND), process(11, ppid=10, born=2 * SECOND, comm="stty")]
)  # fmt: skip
def test_who_was_not_forked_from_a_master_of_the_pool_shares_nothing(worker: ProcessInfo) -> None:
    assert sharing_curves(correlate(run_of(worker, [(3, 10, 90, 60), (4, 40, 60, 75)]))) == ()


def test_generations_of_a_pool_are_numbered_and_long_curves_thinned_out() -> None:
    metrics = ("rss", "pss", "pss_anon", "pss_file", "pss_shmem", "shared_dirty", "uss")
    app = App(metrics=metrics, workers=2, rounds=8, restarts={0: (4,)}, unshared_per_round=100_000)
    curves = sharing_curves(correlate(simulate(app)))
    assert [curve.generation for curve in curves] == [0, 1, 2]
    oldest = curves[0] if len(curves[0].points) > len(curves[1].points) else curves[1]
    assert len(oldest.points) == 60
    assert oldest.unshared == 800_000
    assert all(a.age_ns < b.age_ns for a, b in zip(oldest.points, oldest.points[1:], strict=False))
