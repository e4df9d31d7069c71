from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import causes, findings, row
from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.pool import pools_of
from harness.diagnose.rules.pool.retention import RULE
from harness.model.finding import Cause, Confidence, Finding, Severity, Side
from harness.model.process import Role
from harness.model.run import Series
from harness.model.timeline import Timeline

MARK = "process.memory.hwm"
LOW, HIGH = 60_000_000, 120_000_000
ONCE = App(allocators=True, blocks_at_floors=True, held_steps={2: 50_000_000}, trimmed=45_000_000)


def test_fires_where_one_step_is_free_again_and_stays() -> None:
    [found] = findings(RULE, ONCE)
    assert found.cause is Cause.RETENTION
    assert found.severity is Severity.INFO
    assert found.confidence is Confidence.HIGH
    assert "round 2" in found.summary
    assert row(found, "memory.step").value == pytest.approx(200_000_000, rel=0.05)
    assert causes(ONCE) == {Cause.RETENTION}


def test_also_where_nobody_tried_to_give_it_back() -> None:
    [found] = findings(RULE, replace(ONCE, trimmed=None))
    assert found.confidence is Confidence.MEDIUM


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        App(allocators=True, blocks_at_floors=True, steps={2: 50_000_000}),
        replace(ONCE, trimmed=0),
        replace(ONCE, held_in="heap"),
        replace(ONCE, held_steps={}, held_per_round=2_000_000),
    ],
    ids=["healthy", "a step that is still in use", "cannot be given back", "pinned arenas", "held memory that grows"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize("app", [replace(ONCE, allocators=False)], ids=["allocators not known"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)


def with_marks(app: App, guilty: str | None) -> tuple[Timeline, int]:
    """The high-water mark of every worker rises in the last block of round 2, in which the record of one request to ``guilty``
    says that it took as much; and the number of workers."""
    timeline = correlate(simulate(app))
    start_ns, end_ns = next(
        (w.start_ns, w.floor_ns) for w in timeline.windows if w.round == 2 and w.block == 9 and w.floor_ns is not None
    )
    workers = [w.info.key for w in timeline.workers if w.role is Role.WORKER]
    series, spans = dict(timeline.series), list(timeline.spans)
    for key in workers:
        if guilty is not None:
            chosen = next(
                n
                for n, j in enumerate(spans)
                if j.worker == key and start_ns < j.span.start_ns < end_ns and j.span.endpoint == guilty
            )
            took = spans[chosen]
            assert took.record is not None
            values = {**took.record.values, "rss_start_bytes": LOW, "rss_end_bytes": HIGH}
            spans[chosen] = replace(took, record=replace(took.record, values=values))
        series[MARK, key] = Series(MARK, key, np.array([start_ns, end_ns], dtype=np.int64), np.array([LOW, HIGH]))
    return replace(timeline, series=series, spans=spans), len(workers)


def found_in(timeline: Timeline) -> Finding:
    (pool,) = pools_of(timeline)
    [finding] = RULE.check(pool)
    return finding


MIX = replace(ONCE, endpoints=(Endpoint("home", weight=3), Endpoint("export")))


def test_the_request_that_raised_the_high_water_mark_is_named() -> None:
    timeline, workers = with_marks(MIX, "export")
    finding = found_in(timeline)
    marks = [e for e in finding.evidence if e.signal == MARK]
    assert " A request to export did that." in finding.summary
    assert len(marks) == min(3, workers)
    assert all("a request to export did it, by the record" in e.text and e.side is Side.CONTEXT for e in marks)


def test_nobody_is_named_where_it_could_be_anybody() -> None:
    timeline, _ = with_marks(MIX, None)
    finding = found_in(timeline)
    marks = [e for e in finding.evidence if e.signal == MARK]
    assert "did that" not in finding.summary
    assert marks
    assert all("requests did it is not known" in e.text for e in marks)
