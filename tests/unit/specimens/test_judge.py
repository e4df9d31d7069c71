"""Verdicts against truths: what is right, what is a false alarm, what is a leak that was missed."""

from __future__ import annotations

from typing import Any

import pytest
from specimens.accuracy import wilson
from specimens.judge import Judgement, compare, mix_bytes
from specimens.model import Place, Specimen, Truth

PLACE = Place("python/defects/sessions.py", "use")
LEAK = Truth(("leak.objects",), "it leaks", endpoints={"a": 4000}, place=PLACE)
HEALTHY = Truth(("healthy", "warmup"), "it does not", healthy=True)
REQUESTS = [{"name": "a", "get": "/a", "weight": 1}, {"name": "b", "get": "/b", "weight": 3}]


def judged(
    truth: Truth, verdict: str, *findings: dict[str, Any], endpoints: dict[str, float] | None = None
) -> Judgement:
    specimen = Specimen("it", "family", "python", {"requests": REQUESTS}, truth)
    report = {
        "verdict": {"cause": verdict, "confidence": "high", "summary": "so it is"},
        "findings": list(findings),
        "endpoints": [{"name": k, "retained_bytes_per_request": v} for k, v in (endpoints or {}).items()],
    }
    return compare(specimen, report, 30.0)


def finding(
    cause: str, endpoint: str | None = None, line: int | None = None, mdl: float | None = None, secondary: bool = False
) -> dict[str, Any]:
    where = None if line is None else {"file": "/srv/apps/python/defects/sessions.py", "line": line, "function": "use"}
    return {
        "cause": cause,
        "secondary": secondary,
        "severity": "info" if cause in ("healthy", "warmup", "inconclusive") else "critical",
        "subject": {"pool": "app", "endpoint": endpoint, "location": where},
        "growth": {"bytes_per_request": None, "mdl_bytes_per_request": mdl},
    }


def test_a_leak_that_is_named_in_full_is_right() -> None:
    line = PLACE.lines()[0]
    j = judged(LEAK, "leak.objects", finding("leak.objects", "a", line), endpoints={"a": 4400.0, "b": 0.0})
    assert j.ok
    assert j.line_ok
    assert j.growth_error == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("endpoint", "line", "reason"),
    [
        ("b", 0, "blames b"),
        (None, 0, "blames no endpoint"),
        ("a", 1, "names sessions.py"),
        ("a", None, "names no line"),
    ],
)
def test_the_wrong_place_is_a_miss(endpoint: str | None, line: int | None, reason: str) -> None:
    number = None if line is None else PLACE.lines()[0] if line == 0 else 1
    j = judged(LEAK, "leak.objects", finding("leak.objects", endpoint, number))
    assert j.cause_ok
    assert reason in "; ".join(j.reasons)


def test_a_leak_called_healthy_is_missed_only_above_the_printed_mdl() -> None:
    assert judged(LEAK, "healthy", finding("healthy", mdl=900.0)).missed
    assert judged(LEAK, "healthy", finding("healthy", mdl=None)).missed
    hidden = judged(LEAK, "healthy", finding("healthy", mdl=1100.0))  # the mix keeps 1000
    assert not hidden.missed
    assert not hidden.cause_ok


def test_below_the_mdl_healthy_is_accepted_if_the_mdl_says_so() -> None:
    truth = Truth(("leak.objects",), "little", endpoints={"a": 40}, below_mdl=True)
    assert judged(truth, "healthy", finding("healthy", mdl=100.0)).ok
    assert not judged(truth, "healthy", finding("healthy", mdl=5.0)).ok
    assert judged(truth, "inconclusive", finding("inconclusive")).ok
    assert not judged(truth, "fragmentation", finding("fragmentation")).ok


def test_a_leak_where_there_is_none_is_a_false_alarm() -> None:
    assert judged(HEALTHY, "leak", finding("leak")).false_alarm
    assert not judged(HEALTHY, "fragmentation", finding("fragmentation")).false_alarm
    assert judged(HEALTHY, "warmup", finding("warmup")).ok


def test_an_endpoint_must_not_be_blamed_for_what_time_does() -> None:
    truth = Truth(("leak.objects",), "a timer")
    assert judged(truth, "leak.objects", finding("leak.objects")).ok
    assert not judged(truth, "leak.objects", finding("leak.objects", "a")).ok


def test_further_causes() -> None:
    truth = Truth(("leak.objects",), "two", must_also=("fragmentation",), also=("thp",))
    main = finding("leak.objects")
    assert "does not find fragmentation" in judged(truth, "leak.objects", main).reasons
    assert judged(truth, "leak.objects", main, finding("fragmentation"), finding("thp")).stray == ()
    assert judged(truth, "leak.objects", main, finding("threads")).stray == ("threads",)
    assert judged(truth, "leak.objects", main, finding("threads", secondary=True)).stray == ()


def test_what_the_average_request_keeps() -> None:
    assert mix_bytes(Specimen("it", "f", "python", {"requests": REQUESTS}, LEAK)) == 1000
    unknown = Truth(("fragmentation",), "?", endpoints={"a": None})
    assert mix_bytes(Specimen("it", "f", "python", {"requests": REQUESTS}, unknown)) is None


def test_wilson_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=0.0001)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=0.0001)
    assert wilson(5, 5)[1] == 1.0
