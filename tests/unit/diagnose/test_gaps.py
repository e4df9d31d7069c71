from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.engine import Diagnosis, diagnose
from harness.diagnose.gaps import complete, enough, without_gaps
from harness.model.finding import EXPLAINS, Cause, Confidence
from harness.model.run import Series

NATIVE = App(endpoints=six(search={"native_bytes": 8_000}), allocators=True, blocks_at_floors=True)
MAPPED = replace(NATIVE, endpoints=six(search={"mapped_bytes": 40_000}))
OBJECTS = replace(NATIVE, endpoints=six(search={"leak_bytes": 8_000, "leak_blocks": 5}))
SCATTERED = replace(NATIVE, endpoints=six(), held_per_round=2_000_000)
KEPT = replace(NATIVE, endpoints=six(), held_steps={2: 60_000_000})


def torn(app: App, metrics: tuple[str, ...], *rounds: int) -> Diagnosis:
    """One worker could not be read at the floors of ``rounds``."""
    raw = simulate(app)
    floors = [w.floor_ns for w in raw.windows if w.round in rounds and w.phase == "rounds"]
    worker = max(key for name, key in raw.series if name == metrics[0] and key is not None)
    series = dict(raw.series)
    for metric in metrics:
        whole = series[metric, worker]
        left = ~np.isin(whole.t_ns, floors)
        series[metric, worker] = Series(metric, worker, whole.t_ns[left], whole.values[left])
    return diagnose(correlate(replace(raw, series=series)), None, [])


MALLOC = ("runtime.glibc.used", "runtime.glibc.system", "runtime.glibc.mmapped")
PYMALLOC = ("runtime.python.pymalloc.live", "runtime.python.pymalloc.held")


@pytest.mark.parametrize("number", [0, 3, 7], ids=["the first", "one between", "the last"])
@pytest.mark.parametrize("metrics", [MALLOC, PYMALLOC, ("process.smaps.anonymous.rss",), ("agent.python.blocks",)],
                         ids=["malloc", "pymalloc", "mappings", "blocks"])  # fmt: skip
@pytest.mark.parametrize(
    ("app", "cause"),
    [(NATIVE, Cause.LEAK_NATIVE), (MAPPED, Cause.LEAK_MMAP), (OBJECTS, Cause.LEAK_OBJECTS),
     (SCATTERED, Cause.FRAGMENTATION), (KEPT, Cause.RETENTION)],
    ids=["native", "mapped", "objects", "fragmentation", "retention"],
)  # fmt: skip
def test_one_reading_that_was_refused_does_not_change_the_cause(
    app: App, cause: Cause, metrics: tuple[str, ...], number: int
) -> None:
    whole, found = diagnose(correlate(simulate(app)), None, []), torn(app, metrics, number)
    assert whole.verdict.cause is cause
    assert found.verdict.cause is cause
    assert found.verdict.confidence is whole.verdict.confidence
    assert found.findings[0].numbers[EXPLAINS] == pytest.approx(whole.findings[0].numbers[EXPLAINS], rel=0.15)


def test_what_was_judged_without_some_rounds_is_told() -> None:
    found = torn(NATIVE, MALLOC, 3)
    assert found.verdict.confidence is Confidence.HIGH
    [told] = [m for m in found.missing if m.signal == "runtime.glibc.used"]
    assert told.reason == "not read in every worker of app at 1 of 8 floors"
    assert told.costs == "it was judged by the other rounds"


def test_a_counter_that_is_missing_more_often_is_not_known() -> None:
    found = torn(replace(NATIVE, rounds=12), MALLOC, 2, 4, 6, 8)
    assert found.findings[0].cause is Cause.LEAK_NATIVE  # by what is left when objects do not grow
    assert "live_bytes_per_round" not in found.findings[0].numbers


def test_a_healthy_pool_stays_healthy() -> None:
    assert torn(replace(NATIVE, endpoints=six()), (*MALLOC, *PYMALLOC), 4).verdict.cause is Cause.HEALTHY


def test_a_gap_is_the_growth_of_one_round_for_each_that_it_holds() -> None:
    levels = np.array([[0.0, 10.0, np.nan, 40.0, 50.0], [5.0, 5.0, 5.0, 5.0, 5.0]])
    assert complete(levels).tolist() == [0, 1, 3, 4]
    assert without_gaps(levels).tolist() == [[15.0, 25.0, 40.0, 50.0], [5.0, 5.0, 5.0, 5.0]]


def test_complete_levels_are_left_alone() -> None:
    levels = np.array([[1.0, 2.0, 4.0]])
    assert enough(levels)
    assert without_gaps(levels) is levels


@pytest.mark.parametrize(("rounds", "missing", "expected"), [(8, 1, True), (7, 1, False), (8, 2, False), (12, 3, True),
                                                            (12, 4, False)])  # fmt: skip
def test_most_rounds_have_to_be_complete(rounds: int, missing: int, *, expected: bool) -> None:
    levels = np.arange(rounds, dtype=np.float64)[None, :].copy()
    levels[0, :missing] = np.nan
    assert enough(levels) is expected
