"""What doctor makes of what another host says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.doctor.elsewhere import judged, order_of, programs_of
from harness.plugins.spec import CheckLevel
from harness.scenario.target import AttachSpec, TargetSpec
from harness.targets.connectors.peek import Looked

POOL = Looked("Linux 6.1.0", "deploy", "3.11.2", None, "gunicorn", 4711, 5, 5, 5)


def test_all_is_well() -> None:
    check = judged("target.host web-1", POOL)
    assert check.level is CheckLevel.INFO
    assert check.message == (
        "reached as deploy: Linux 6.1.0, Python 3.11.2; found gunicorn (pid 4711), 5 processes, "
        "and their memory may be looked into"
    )
    alone = judged("x", replace(POOL, processes=1, totals=1, memory=1))
    assert alone.message.endswith("found gunicorn (pid 4711), and its memory may be looked into")
    started_there = judged("x", Looked("Linux 6.1.0", "deploy", "3.11.2", None, "", 0, 0, 0, 0))
    assert (started_there.level, started_there.message) == (
        CheckLevel.INFO,
        "reached as deploy: Linux 6.1.0, Python 3.11.2",
    )


def test_nothing_to_attach_to_stops_the_run() -> None:
    check = judged("x", Looked("Linux 6.1.0", "deploy", "3.11.2", "nobody listens on port 8000", "", 0, 0, 0, 0))
    assert check.level is CheckLevel.ERROR
    assert check.message.endswith("Python 3.11.2; but nobody listens on port 8000")
    assert check.fix


@pytest.mark.parametrize(
    ("totals", "memory", "says"),
    [(0, 0, "totals of 0 of them"), (1, 0, "totals of 1 of them"), (5, 1, "into the memory of 1 of them")],
)
def test_what_may_not_be_read_is_a_warning_that_says_what_it_costs(totals: int, memory: int, says: str) -> None:
    check = judged("x", replace(POOL, totals=totals, memory=memory))
    assert check.level is CheckLevel.WARNING
    assert says in check.message
    assert check.costs
    assert check.fix


@pytest.mark.parametrize(
    "order", [{"port": 8000}, {"pid": 7}, {"match": "gunicorn: worker"}, {"pidfile": "/run/app.pid"}], ids=str
)
def test_the_order_is_what_the_scenario_attaches_to(order: dict[str, object]) -> None:
    assert order_of(AttachSpec.model_validate(order)) == order
    assert order_of(None) == {}


def test_what_would_be_started_there() -> None:
    """Only what can be known: nothing relative, of a variable, or of another PATH."""

    def programs(**target: object) -> tuple[str, ...]:
        return programs_of(TargetSpec.model_validate({"host": "ssh://web-1", **target}))

    assert programs(launch=["gunicorn shop.wsgi", "/opt/x/bin/worker -v", "gunicorn other"]) == (
        "gunicorn",
        "/opt/x/bin/worker",
    )
    assert programs(launch=["bin/worker", "${HOME}/x", {"run": "y", "env": {"PATH": "/opt"}}]) == ()
    assert programs(launch="gunicorn shop.wsgi", env={"PATH": "/opt"}) == ()
    assert programs(attach={"port": 8000}) == ()
    assert programs_of(None) == ()
