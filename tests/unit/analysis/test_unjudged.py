"""Causes that a run could not have found."""

from __future__ import annotations

from pathlib import Path

from timelines import App, simulate

from harness.analysis.pipeline import report_on
from harness.model.finding import Cause

NOWHERE = Path("/nonexistent")


def test_a_cause_whose_signals_were_not_there() -> None:
    unjudged = report_on(simulate(App()), NOWHERE).unjudged
    assert Cause.KERNEL_SLAB in unjudged, "the simulation has no slabs"
    assert "was not measured" in unjudged[Cause.KERNEL_SLAB]
    assert Cause.LEAK not in unjudged
    assert Cause.LEAK_NATIVE not in unjudged, "that growth could not be judged would be a finding"


def test_too_few_rounds_judge_nothing() -> None:
    unjudged = report_on(simulate(App(rounds=3)), NOWHERE).unjudged
    assert unjudged[Cause.THREADS] == "app: only 3 complete rounds were measured and 7 are needed"


def test_no_pool_judges_nothing() -> None:
    assert report_on(simulate(App(rounds=0)), NOWHERE).unjudged[Cause.DESCRIPTORS] == "no pool of workers was measured"
