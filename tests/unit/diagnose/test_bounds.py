"""What a run says about caches that it did not fill."""

from __future__ import annotations

import pytest
from cases import judged
from timelines import App, Endpoint

from harness.diagnose.bounds import with_bounds
from harness.diagnose.engine import Diagnosis
from harness.model.finding import Cause, Confidence, Evidence, Finding, Growth, Severity, Side, Subject

HELD = "1 list of one request held by "


@pytest.fixture(scope="module")
def leaking() -> Diagnosis:
    return judged(App(endpoints=(Endpoint("home", leak_bytes=9000, leak_blocks=3),), requests=400))


def finding(held_by: str, cause: Cause = Cause.LEAK_OBJECTS) -> Finding:
    evidence = [Evidence("profile.holder", 1.0, "objects", HELD + held_by)]
    return Finding(
        cause,
        Severity.WARNING,
        Confidence.HIGH,
        Subject(pool="app"),
        "",
        Growth(None, None, None, None),
        evidence,
        (),
        None,
    )


def said(found: Finding, diagnosis: Diagnosis) -> list[Evidence]:
    (told,) = with_bounds([found], diagnosis.pools)
    assert told.confidence is found.confidence
    assert told.evidence[: len(found.evidence)] == found.evidence
    return [e for e in told.evidence if e.signal == "holder.size"]


def test_the_size_of_the_holder_and_what_each_worker_gained(leaking: Diagnosis) -> None:
    [row] = said(finding("module shop.cache _ENTRIES -> dict of 862 ['a'] -> list of 8"), leaking)
    assert row.side is Side.CONTEXT
    assert row.value == 862
    (pool,) = leaking.pools
    assert pool.memory is not None
    gained = pool.memory.total / len(pool.stable) / (1 << 20)
    assert "a dict of 862 entries when it was profiled" in row.text
    assert f"each worker had gained {gained:.1f} MiB" in row.text
    assert "a larger bound than that would look the same until it is full" in row.text


def test_of_several_the_outer_ones_are_told(leaking: Diagnosis) -> None:
    [row] = said(finding("module m _a -> dict of 20 ['x'] -> collections.deque of 5000 [3] -> list of 90"), leaking)
    assert "a dict of 20 with a collections.deque of 5000 entries" in row.text


@pytest.mark.parametrize(
    "held_by",
    ["module m _a -> list of 8 [1] -> m.Node", "frame of shop.orders.render", "module m _a -> tuple of 400 [1]", ""],
    ids=["few", "a frame", "cannot grow", "nothing"],
)
def test_where_no_container_of_size_is_known_bytes_are_told(held_by: str, leaking: Diagnosis) -> None:
    [row] = said(finding(held_by), leaking)
    assert row.value is None
    assert "what holds it is not known: a cache with a larger bound" in row.text
    assert not [e for f in with_bounds([finding(held_by)], []) for e in f.evidence if e.signal == "holder.size"]


def test_of_other_causes_nothing_is_said(leaking: Diagnosis) -> None:
    assert not said(finding("module m _a -> list of 900 [1]", Cause.DESCRIPTORS), leaking)
