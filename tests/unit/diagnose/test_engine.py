from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from several import beside
from timelines import App, simulate, six

import harness.diagnose.rules
from harness.correlate.build import correlate
from harness.diagnose import engine
from harness.diagnose.engine import diagnose
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.rules import host_rules, pool_rules
from harness.model.finding import Cause, Confidence, Finding
from harness.units import format_bytes

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


CALM = App(with_blocks=False, records="none")


def test_the_worst_pool_speaks_for_the_run() -> None:
    found = diagnose(correlate(beside(LEAK, calm=App(with_blocks=False))))
    assert {p.name for p in found.pools} == {"app", "calm"}
    assert {f.subject.pool: f.cause for f in found.findings} == {"app": Cause.LEAK, "calm": Cause.HEALTHY}
    assert found.verdict.cause is Cause.LEAK


def test_where_none_of_several_grows_the_verdict_speaks_of_all_and_is_as_sure_as_the_least() -> None:
    noisy = replace(CALM, noise_bytes=60_000.0, metrics=("rss",))
    found = diagnose(correlate(beside(CALM, calm=CALM, noisy=noisy)))
    assert [f.cause for f in found.findings] == [Cause.HEALTHY] * 3
    sure = {f.subject.pool: f.confidence for f in found.findings}
    assert sure["noisy"] is found.verdict.confidence is Confidence.LOW
    assert sure["app"] is not Confidence.LOW
    said = found.verdict.summary
    assert said.startswith("app, calm and noisy do not grow. A leak of more than ")
    assert said.endswith(" would have shown on each of them; a smaller one would not.")
    worst = max(p.memory.mdl_per_round for p in found.pools if p.memory is not None)
    assert f"{format_bytes(worst)} a round" in said


def test_what_has_stopped_growing_is_told_with_those_that_never_grew() -> None:
    warm = replace(CALM, extra=lambda requests: 20_000_000 * (1 - math.exp(-requests / 150)), warmup=0)
    found = diagnose(correlate(beside(replace(CALM, warmup=0), warm=warm)))
    assert {f.subject.pool: f.cause for f in found.findings} == {"warm": Cause.WARMUP, "app": Cause.HEALTHY}
    assert found.verdict.cause is Cause.WARMUP
    assert re.match(
        r"warm grew by [\d.]+ MiB in the first rounds and has stopped: caches filled\. app does not grow\. ",
        found.verdict.summary,
    )


def test_of_many_pools_not_all_are_named() -> None:
    found = diagnose(correlate(beside(CALM, **{f"web-{n}": CALM for n in range(1, 8)})))
    assert found.verdict.summary.startswith("None of the 8 pools grows. A leak of")


def test_one_that_is_in_doubt_speaks_for_the_run() -> None:
    found = diagnose(correlate(beside(CALM, noisy=replace(CALM, noise_bytes=20_000_000.0, phi=0))))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert found.verdict.summary.startswith("noisy: ")


def test_a_pool_knows_who_lived_through_the_rounds() -> None:
    (pool,) = pools_of(correlate(simulate(replace(LEAK, restarts={0: (3,), 1: (2, 5)}))))
    assert len(pool.stable) == 2
    assert pool.replaced == 5
    assert len(pool.stable_all) == 3  # with the master
    assert pool.stable_share is not None
    assert 0.4 < pool.stable_share < 0.6
