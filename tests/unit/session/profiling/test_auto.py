"""Deciding what to profile from a run that is still being recorded; and what happens where that cannot be decided."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from stored_runs import record
from timelines import App, manifest, simulate, six

from harness.clock import SystemClock
from harness.model.event import PROFILE_PLAN
from harness.model.run import RawRun
from harness.plugins.registry import load_adapter
from harness.plugins.spec import AdapterContext
from harness.session.profiling.auto import FACT, Auto
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.store.reader import read_run
from harness.store.writer import Recorder

LEAKING = App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}))
NAMES = [endpoint.name for endpoint in LEAKING.endpoints]


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def decided(
    recorder: Recorder, said: io.StringIO, also: tuple[str, ...] = (), reach: tuple[str, ...] | None = None
) -> object:
    adapter = load_adapter("python")
    context = AdapterContext(recorder.path / "work", "", {}, adapter.auto_tools, automatic=True)
    with Pump(lambda: None) as pump:
        auto = Auto(pump, recorder, Progress(said, plain=True), SystemClock(), adapter, context, also, reach)
        found = auto.plan(NAMES)
    recorder.manifest(manifest())
    recorder.close()
    return None if found is None else [(step.role.value, step.endpoint, step.use.tool) for step in found.steps]


def recorded(raw: RawRun, directory: Path) -> Recorder:
    return Recorder(record(raw, directory), existing=True)


def test_the_run_is_judged_while_it_is_recorded_and_the_decision_is_told(tmp_path: Path, said: io.StringIO) -> None:
    recorder = recorded(simulate(LEAKING), tmp_path)
    steps = decided(recorder, said)
    assert isinstance(steps, list)
    assert [step for step in steps if step[0] == "suspect"] == [
        ("suspect", "cart_add", "tracemalloc"), ("suspect", "cart_add", "survivors"), ("suspect", "cart_add", "lines")
    ]  # fmt: skip
    raw = read_run(recorder.path)
    [event] = [event for event in raw.events if event.kind == PROFILE_PLAN]
    assert "cart_add with tracemalloc, survivors, lines" in event.text
    assert raw.manifest.facts[FACT] == event.text
    assert "profile: auto decided: cart_add" in said.getvalue()


def test_tools_that_the_scenario_has_functions_for_are_used_too(tmp_path: Path, said: io.StringIO) -> None:
    steps = decided(recorded(simulate(LEAKING), tmp_path), said, also=("memory_profiler",))
    assert isinstance(steps, list)
    assert ("suspect", "cart_add", "memory_profiler") in steps


def test_a_tool_that_is_out_of_reach_is_not_planned(tmp_path: Path, said: io.StringIO) -> None:
    steps = decided(recorded(simulate(LEAKING), tmp_path), said, reach=("survivors",))
    assert isinstance(steps, list)
    assert {tool for _, _, tool in steps} == {"survivors"}
    assert "tracemalloc" not in said.getvalue()


def test_where_the_run_cannot_be_judged_the_reason_is_among_what_is_missing(tmp_path: Path, said: io.StringIO) -> None:
    recorder = Recorder(tmp_path)  # without a manifest it is no run
    assert decided(recorder, said) is None
    assert "the default tools are used" in said.getvalue()
    [missing] = read_run(tmp_path).missing
    assert missing.signal == FACT
    assert str(tmp_path) in missing.reason
