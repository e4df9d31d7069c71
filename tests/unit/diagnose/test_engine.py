from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from timelines import App, simulate, six

import harness.diagnose.rules
from harness.correlate.build import correlate
from harness.diagnose import engine
from harness.diagnose.engine import diagnose
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.rules import host_rules, pool_rules
from harness.model.finding import Cause, Finding
from harness.model.process import ProcessInfo

LEAK = App(endpoints=six(cart_add={"leak_bytes": 10_240}), with_blocks=False)


class Broken:
    id = "broken"
    needs = ("process.memory.pss_anon",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        raise ZeroDivisionError(f"in {pool.name}")


def test_a_rule_that_crashes_costs_its_own_answer_only() -> None:
    found = diagnose(correlate(simulate(LEAK)), [Broken(), *pool_rules()], [])
    assert found.verdict.cause is Cause.LEAK
    missing = next(m for m in found.missing if m.signal == "rule broken")
    assert "ZeroDivisionError" in missing.reason


def test_nothing_is_healthy_where_a_rule_has_failed() -> None:
    healthy = correlate(simulate(App()))
    assert diagnose(healthy, pool_rules(), []).verdict.cause is Cause.HEALTHY
    found = diagnose(healthy, [Broken(), *pool_rules()], [])
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "the rule broken failed" in found.verdict.summary


@pytest.mark.parametrize("part", ["conclude", "_estimates", "host_of", "pools_of", "_left_open"])
def test_the_report_survives_what_crashes_outside_the_rules(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise IndexError("out of bounds")

    monkeypatch.setattr(engine, part, crash)
    app = App(file_per_round=2_000_000) if part == "_left_open" else App()
    found = diagnose(correlate(simulate(app)))
    assert any("IndexError: out of bounds" in m.reason for m in found.missing)
    assert found.findings
    if part in ("conclude", "pools_of"):
        assert found.verdict.cause is Cause.INCONCLUSIVE


def test_every_file_in_rules_is_a_rule() -> None:
    found = [*pool_rules(), *host_rules()]
    directory = Path(harness.diagnose.rules.__file__).parent
    files = {p.stem for p in directory.glob("*/*.py") if p.stem != "__init__"}
    assert {r.id.replace("-", "_").replace(".", "_") for r in found} == files
    assert all(r.needs for r in found)


def test_the_same_timeline_gives_the_same_diagnosis() -> None:
    timeline = correlate(simulate(LEAK))
    first, second = diagnose(timeline), diagnose(timeline)
    assert first.findings == second.findings
    assert first.endpoints == second.endpoints


def test_the_worst_pool_speaks_for_the_run() -> None:
    leaking, healthy = simulate(LEAK), simulate(App(with_blocks=False))
    # the healthy application runs beside it under other pids, with the same clock
    moved = {p.key: replace(p.key, pid=p.key.pid + 1000) for p in healthy.processes}
    processes: list[ProcessInfo] = [replace(p, key=moved[p.key], pool="calm") for p in healthy.processes]
    floors = sorted({t for s in leaking.series.values() for t in s.t_ns.tolist()})
    series = dict(leaking.series)
    for (metric, key), old in healthy.series.items():
        if key is not None:
            times = type(old.t_ns)(old.t_ns.shape, dtype=old.t_ns.dtype)
            times[:] = floors[: times.size]
            series[metric, moved[key]] = replace(old, process=moved[key], t_ns=times)
    both = replace(leaking, processes=[*leaking.processes, *processes], series=series)
    found = diagnose(correlate(both))
    assert {p.name for p in found.pools} == {"app", "calm"}
    assert {f.subject.pool: f.cause for f in found.findings} == {"app": Cause.LEAK, "calm": Cause.HEALTHY}
    assert found.verdict.cause is Cause.LEAK


def test_a_pool_knows_who_lived_through_the_rounds() -> None:
    (pool,) = pools_of(correlate(simulate(replace(LEAK, restarts={0: (3,), 1: (2, 5)}))))
    assert len(pool.stable) == 2
    assert pool.replaced == 5
    assert len(pool.stable_all) == 3  # with the master
    assert pool.stable_share is not None
    assert 0.4 < pool.stable_share < 0.6
