"""Expectations that no run of a scenario can meet are told before it starts."""

from __future__ import annotations

import pytest

from harness.scenario.reader import parse_scenario, warnings_of

_SCENARIO = """\
name: shop
target: {{launch: app, url: "http://127.0.0.1/"}}
requests:
  - {{name: home, get: /, weight: 9}}
  - {{name: basket, get: /basket}}
  - {{name: login, post: /login, once: true}}
load: {load}
expect:
  - errors == 0
  - {line}
"""
FEW = "{rounds: 8, requests_per_round: 100}"


@pytest.mark.parametrize(
    ("load", "line", "says"),
    [
        (FEW, "p99 < 1s", None),
        (FEW, "p99 < 1s of endpoint home", None),
        (FEW, "p99 < 1s of endpoint basket", "this needs 368 requests to basket to be told, and about 80 are planned"),
        (FEW, "p95 < 1s of endpoint basket", None),
        (FEW, "p99 > 1us of endpoint basket", None),
        (FEW, "p99 < 1s of endpoint login", None),  # once a user: how many there are is not known here
        (FEW, "errors < 1%", None),
        (FEW, "errors < 0.1%", "this needs 3838 requests to be told, and about 800 are planned"),
        (FEW, "errors < 3", None),
        (FEW, "errors <= 0%", None),
        (FEW, "diff(p99) < 50 % of endpoint basket", None),
        ("[{rate: 1/s, for: 10s}]", "p99 < 1s", None),
    ],
)
def test_what_is_too_few(load: str, line: str, says: str | None) -> None:
    warnings = warnings_of(parse_scenario(_SCENARIO.format(load=load, line=line)))
    assert warnings == (() if says is None else (f"scenario.yaml:10: {says}",))
