"""The expectation grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.finding import Cause
from harness.scenario.expect import METRICS, Expectation, Unit, parse_expectation


def metric(expr: str, name: str, op: str, value: float, unit: Unit, **subject: str) -> Expectation:
    return Expectation(expr, metric=name, op=op, value=value, unit=unit, **subject)  # type: ignore[arg-type]  # endpoint or pool


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("verdict is healthy", Expectation("verdict is healthy", "verdict", causes=("healthy",))),
        (
            "verdict  is not leak , gc-delay",
            Expectation("verdict is not leak , gc-delay", "verdict", causes=("leak", "gc-delay"), negated=True),
        ),
        ("verdict is healthy or warmup", Expectation("verdict is healthy or warmup", "verdict", causes=("healthy", "warmup"))),
        (
            "retained_bytes_per_request < 256 B",
            metric("retained_bytes_per_request < 256 B", "retained_bytes_per_request", "<", 256, Unit.BYTES),
        ),
        (
            "growth_per_hour<=1.5 MiB/h of pool www",
            metric("growth_per_hour<=1.5 MiB/h of pool www", "growth_per_hour", "<=", 1572864, Unit.BYTES, pool="www"),
        ),
        (
            "p99 < 500ms of endpoint a list",
            metric("p99 < 500ms of endpoint a list", "p99", "<", 500_000_000, Unit.NS, endpoint="a list"),
        ),
        ("errors == 3", metric("errors == 3", "errors", "==", 3, Unit.COUNT)),
        ("errors < 1%", metric("errors < 1%", "errors", "<", 0.01, Unit.RATIO)),
        ("no leak", Expectation("no leak", "causes", causes=("leak",))),
        ("no leak.*, threads", Expectation("no leak.*, threads", "causes", causes=("leak", "threads"))),
        ("no gc-delay of pool www", Expectation("no gc-delay of pool www", "causes", causes=("gc-delay",), pool="www")),
        (
            "retained_bytes_per_request < 1 KiB of pool www",
            metric(
                "retained_bytes_per_request < 1 KiB of pool www", "retained_bytes_per_request", "<", 1024, Unit.BYTES, pool="www"
            ),
        ),
        (
            "diff(peak_pss) < 5 %",
            Expectation("diff(peak_pss) < 5 %", "diff", (), False, "peak_pss", "<", 0.05, Unit.BYTES, relative=True),
        ),
        (
            "diff( p99 )<=150% of endpoint home",
            Expectation(
                "diff( p99 )<=150% of endpoint home", "diff", (), False, "p99", "<=", 1.5, Unit.NS, "home", relative=True
            ),
        ),
        (
            "diff(retained_bytes_per_request) < 200 B/request",
            Expectation(
                "diff(retained_bytes_per_request) < 200 B/request",
                "diff",
                (),
                False,
                "retained_bytes_per_request",
                "<",
                200,
                Unit.BYTES,
            ),
        ),
        ("diff(errors) < 1%", Expectation("diff(errors) < 1%", "diff", (), False, "errors", "<", 0.01, Unit.RATIO)),
    ],
)  # fmt: skip
def test_meaning(text: str, expected: Expectation) -> None:
    assert parse_expectation(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("x" * 501, "longer than 500"),
        ("verdict healthy", "write 'verdict is healthy'"),
        ("verdict is", "write 'verdict is healthy'"),
        ("verdict is helthy", "did you mean 'healthy'?"),
        ("verdict is healthy,", "'' is not a cause"),
        ("verdict is qqq", "causes: cow-unsharing"),
        ("peak_psss < 3 MiB", "did you mean 'peak_pss'?"),
        ("zzz < 3 MiB", "metrics: retained_bytes_per_request"),
        ("the app is fine", "write 'verdict is CAUSE', 'no CAUSE', 'METRIC < VALUE'"),
        ("p99", "METRIC < VALUE"),
        ("p99 < 3", "not a duration such as 500ms"),
        ("p99 < 1s of pool www", "can be narrowed with 'of endpoint NAME', not with 'of pool ...'"),
        ("peak_pss < 1 MiB of endpoint home", "can be narrowed with 'of pool NAME'"),
        ("peak_pss < 1 MiB/h", "not a size"),
        ("peak_pss = 1 MiB", "METRIC < VALUE"),
        ("errors < 5 apples", "neither a share such as 1% nor a count"),
        ("errors < 101%", "neither a share"),
        ("no leek", "did you mean 'leak'?"),
        ("no healthy", "write 'verdict is not healthy'"),
        ("no leak of endpoint home", "can be narrowed with 'of pool NAME'"),
        ("no", "METRIC < VALUE"),
        (
            "retained_bytes_per_request < 1 B of worker x",
            "'of endpoint NAME' or 'of pool NAME', not with 'of worker ...'",
        ),
        ("diff(peek_pss) < 5 %", "did you mean 'peak_pss'?"),
        ("diff(peak_pss)", "write 'diff(METRIC) < 5 %'"),
        ("diff(p99 of endpoint x) < 5 %", "is not a metric"),
        ("diff(peak_pss) < 5 ms", "not a size"),
        ("diff(p99) < 2000000 %", "is more than 1000000 %"),
        ("dif(peak_pss) < 5 %", "did you mean 'diff'?"),
    ],
)
def test_mistakes_say_what_was_meant(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_expectation(text)
    assert says in str(caught.value)


def test_a_cause_includes_its_kinds() -> None:
    leak = parse_expectation("verdict is leak")
    assert leak.accepts(Cause.LEAK)
    assert leak.accepts(Cause.LEAK_NATIVE)
    assert not leak.accepts(Cause.HEALTHY)
    assert parse_expectation("verdict is kernel").accepts(Cause.KERNEL_SLAB)
    assert not parse_expectation("verdict is leak.objects").accepts(Cause.LEAK)
    no_leak = parse_expectation("verdict is not leak")
    assert no_leak.accepts(Cause.HEALTHY)
    assert not no_leak.accepts(Cause.LEAK_OBJECTS)


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [("<", 1, 0, 0), ("<=", 1, 1, 0), ("==", 0, 1, 0), (">=", 0, 1, 1), (">", 0, 0, 1)],
)
def test_comparison(op: str, below: int, equal: int, above: int) -> None:
    expectation = parse_expectation(f"peak_pss {op} 10 B")
    assert [expectation.holds(v) for v in (9, 10, 11)] == [bool(below), bool(equal), bool(above)]


def test_a_verdict_is_not_compared_with_a_number() -> None:
    with pytest.raises(ValueError, match="about the verdict"):
        parse_expectation("verdict is healthy").holds(1.0)


@settings(deadline=None)
@given(st.text() | st.from_regex(r"(verdict is|no|p99 <|errors ==|peak_pss >=|diff\()? ?.*", fullmatch=True))
def test_any_text_is_an_expectation_or_a_value_error(text: str) -> None:
    try:
        parsed = parse_expectation(text)
    except ValueError:
        return
    assert parse_expectation(parsed.expr) == parsed


_VALUES = {Unit.BYTES: "{} KiB", Unit.NS: "{}ms", Unit.COUNT: "{}", Unit.RATIO: "0.{}%"}


@settings(deadline=None)
@given(
    metric=st.sampled_from(sorted(METRICS)),
    op=st.sampled_from(["<", "<=", ">", ">=", "=="]),
    number=st.integers(0, 10**6),
    name=st.none() | st.text(st.characters(categories=["L", "N"]), min_size=1),
    space=st.sampled_from(["", " ", "\n  "]),
)
def test_every_well_formed_metric_line_is_read_back(
    metric: str, op: str, number: int, name: str | None, space: str
) -> None:
    unit = Unit.NS if re.fullmatch(r"p\d+", metric) else Unit.COUNT if metric == "errors" else Unit.BYTES
    kind = METRICS[metric].subjects[0]
    suffix = "" if name is None else f" of {kind} {name}"
    parsed = parse_expectation(f"{metric}{space}{op}{space}{_VALUES[unit].format(number)}{suffix}")
    factor = {Unit.BYTES: 1024, Unit.NS: 10**6, Unit.COUNT: 1}[unit]
    assert (parsed.metric, parsed.op, parsed.value, parsed.unit) == (metric, op, number * factor, unit)
    assert (parsed.endpoint if kind == "endpoint" else parsed.pool) == name
