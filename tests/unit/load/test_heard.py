"""What a load worker says is passed on as it is, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.pipe import MAX_LINE_BYTES, span_row
from harness.load.swarm.heard import HEALTH, Rows, health, whole
from harness.model.span import PhaseName, Span
from harness.session.load_client import _span

SPAN = Span("a" * 16, "home", PhaseName.ROUNDS, 1, 2, 3, None, 20, 30, 200, None, 5, ("status",))
ROW = json.loads(json.dumps(span_row(SPAN)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def test_rows_stay_as_they_are() -> None:
    assert [row for line in Rows().lines([ROW] * 700) for row in line] == [ROW] * 700


@given(st.integers(0, len(ROW) - 1), JSON)
def test_any_other_value_is_refused_or_can_be_recorded(column: int, value: object) -> None:
    row = [*ROW[:column], value, *ROW[column + 1 :]]
    try:
        (found,) = Rows().lines([row])
    except ValueError:
        return
    span = _span(json.loads(json.dumps(found))[0])
    assert 0 <= span.start_ns <= span.end_ns < 1 << 63


@pytest.mark.parametrize("rows", [None, {}, "x", [None], [[]], [ROW[:-1]], [ROW] * 1001, [[*ROW, 1]]])
def test_what_are_no_rows_is_refused(rows: object) -> None:
    with pytest.raises(ValueError, match="no row"):
        list(Rows().lines(rows))


def test_a_line_never_gets_too_long_for_the_session() -> None:
    wide = [*ROW[:1], "ä" * 500, *ROW[2:-1], ["ß" * 500] * 64]
    lines = list(Rows().lines([wide] * 200))
    assert sum(map(len, lines)) == 200
    assert max(len(json.dumps({"k": "spans", "rows": line})) for line in lines) < MAX_LINE_BYTES


def test_names_of_requests_have_an_end() -> None:
    rows = Rows()
    many = [[ROW[0], f"/{number}", *ROW[2:]] for number in range(5000)]
    for start in range(0, 5000, 1000):
        list(rows.lines(many[start : start + 1000]))
    list(rows.lines([many[7]]))
    with pytest.raises(ValueError, match="too many names"):
        list(rows.lines([[ROW[0], "/more", *ROW[2:]]]))


def test_health_is_numbers() -> None:
    said: dict[str, object] = dict.fromkeys(HEALTH, 7)
    assert health({**said, "more": "x"}) == said
    for wrong in ("7", -1, 1 << 63, 1.5, True, None):
        with pytest.raises(ValueError, match="no number"):
            health({**said, "lag": wrong})
    assert whole(5, 1, 5) == 5
