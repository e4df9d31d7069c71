"""From a diagnosis and rules to findings with prescriptions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from situations import PYTHON
from timelines import App, simulate, six

from harness.analysis.prescriptions import builtin_rules
from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.diagnose.prescribe.apply import MOST, MOST_ANSWERS, Advised, advise, prescriptions_for
from harness.diagnose.prescribe.rule import Rule, merged, rules_in
from harness.model.finding import Advice, Cause
from harness.scenario.source import parse_source

RULES = merged([builtin_rules()])
REST = "expected: e, risk: r, verify: v"


def advised(app: App, rules: tuple[Rule, ...] = RULES) -> Advised:
    timeline = correlate(simulate(app))
    diagnosis = diagnose(timeline)
    return advise(timeline, diagnosis.findings, diagnosis.pools, rules)


def written(text: str) -> tuple[Rule, ...]:
    rules, problems = rules_in(parse_source(text, Path("x.yaml")))
    assert problems == ()
    return rules


def numbered(count: int, kind: str) -> tuple[Rule, ...]:
    entries = [
        f"  - {{id: {kind}-{i}, kind: {kind}, causes: [healthy], action: '{i}', because: '{{workers}}', {REST}}}\n"
        for i in range(count)
    ]
    return written("rules:\n" + "".join(entries))


def test_a_leak_gets_a_fix_and_a_restart_policy() -> None:
    leak = App(endpoints=six(cart_add={"leak_bytes": 20_480, "leak_blocks": 20}))
    result = advised(leak)
    (finding,) = result.findings
    assert finding.cause is Cause.LEAK_OBJECTS
    ids = [p.id for p in finding.prescriptions]
    assert ids[0] == "fix-retention"
    assert "the handler of cart_add" in finding.prescriptions[0].action
    assert "recycle-gunicorn" in ids
    (row,) = result.recycling
    recycling = finding.prescriptions[ids.index("recycle-gunicorn")]
    assert row.chosen is not None
    assert f"--max-requests {row.policies[row.chosen].requests} " in (recycling.command or "")
    assert len(recycling.because.splitlines()) >= 5


def test_what_is_healthy_has_nothing_simulated() -> None:
    result = advised(App())
    assert result.recycling == ()
    (finding,) = result.findings
    assert finding.cause is Cause.HEALTHY


def test_the_same_run_gets_the_same_advice() -> None:
    leak = App(endpoints=six(cart_add={"leak_bytes": 20_480}))
    assert advised(leak) == advised(leak)


def test_without_rules_there_is_nothing_to_do() -> None:
    assert all(f.prescriptions == () for f in advised(App(), ()).findings)


def test_few_are_shown_recommendations_first() -> None:
    rules = merged([numbered(12, "answer"), numbered(12, "do")])
    shown = prescriptions_for(Cause.HEALTHY, PYTHON, rules)
    assert [p.kind for p in shown] == [Advice.DO] * MOST + [Advice.ANSWER] * MOST_ANSWERS


def test_runtimes_and_servers_must_fit() -> None:
    (rule,) = written(
        f"rules:\n  - {{id: a, causes: [leak], runtimes: [php], servers: [php-fpm], action: a, because: b, {REST}}}\n"
    )
    assert prescriptions_for(Cause.LEAK, {"runtime": "php", "server": "php-fpm"}, [rule])
    assert not prescriptions_for(Cause.LEAK, {"runtime": "php", "server": "apache"}, [rule])
    assert not prescriptions_for(Cause.LEAK, {"runtime": "python", "server": "php-fpm"}, [rule])
    assert not prescriptions_for(Cause.HEALTHY, {"runtime": "php", "server": "php-fpm"}, [rule])


def test_php_fpm_is_simulated_without_a_jitter() -> None:
    leak = App(endpoints=six(search={"leak_bytes": 47_000}), runtime="php", with_blocks=False)
    raw = simulate(leak)
    fpm = [replace(p, comm="php-fpm", cmdline="php-fpm: pool www") for p in raw.processes]
    timeline = correlate(replace(raw, processes=fpm))
    diagnosis = diagnose(timeline)
    result = advise(timeline, diagnosis.findings, diagnosis.pools, RULES)
    (row,) = result.recycling
    assert {p.jitter for p in row.policies if p.requests is not None} == {0}
    (advice,) = [p for p in result.findings[0].prescriptions if p.id == "recycle-fpm"]
    assert row.chosen is not None
    assert advice.command == f"pm.max_requests = {row.policies[row.chosen].requests}"
