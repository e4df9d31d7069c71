"""What master and workers of Locust must agree on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.load.pipe import span_row
from harness.load.plan import LoadPlan, RequestPlan
from harness.load.swarm import wire
from harness.load.swarm.export import write_hooks, write_plan
from harness.model.span import PhaseName, Span

PLAN = LoadPlan("http://127.0.0.1:1", (RequestPlan("home", "/?${KEY}"),), users=3, variables={"KEY": "s3cret"})


def digest(plan: LoadPlan) -> str:
    return wire.digest(plan.to_json())


def test_a_digest_tells_what_is_sent_and_not_where_to_or_with_which_secret() -> None:
    assert digest(PLAN) == digest(replace(PLAN, base_url="http://elsewhere", users=9, variables={"KEY": "another"}))
    assert digest(PLAN) != digest(replace(PLAN, seed=2))
    assert digest(PLAN) != digest(replace(PLAN, requests=(RequestPlan("home", "/?x=${KEY}"),)))
    assert digest(PLAN) != digest(replace(PLAN, variables={"KEY": "s3cret", "MORE": "x"}))


def test_times_of_a_span_are_where_workers_look_for_them() -> None:
    row = span_row(Span("a" * 16, "home", PhaseName.ROUNDS, 1, 2, 3, 10, 20, 30, 200, None, 5, ()))
    assert (row[wire.INTENDED], row[wire.START], row[wire.END]) == (10, 20, 30)


def test_an_exported_plan_has_the_same_digest_and_no_values(tmp_path: Path) -> None:
    write_plan(tmp_path, PLAN, "http://staging:8000")
    data = json.loads((tmp_path / "plan.json").read_text())
    assert wire.digest(data) == digest(PLAN)
    assert data["base_url"] == "http://staging:8000"
    assert data["variables"] == {"KEY": ""}
    assert LoadPlan.from_json(data).requests == PLAN.requests


def test_hooks_need_no_plan(tmp_path: Path) -> None:
    write_hooks(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["harness", "harness_hooks.py"]


def test_processes_of_one_host_read_one_clock() -> None:
    assert wire.clock_id() == wire.clock_id()
    assert len(wire.clock_id().split()[0]) == 36
