"""Requests that only the target tells of."""

from __future__ import annotations

import pytest

from harness.correlate.join import Joined
from harness.correlate.lifetimes import Lifetimes
from harness.correlate.told import add_told, endpoint_of
from harness.model.event import Window
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import PhaseName, RequestRecord, Span
from harness.model.timeline import JoinedSpan, JoinMethod

KEY = ProcessKey("", 10, 1)
LIFETIMES = Lifetimes([ProcessInfo(KEY, 1, "app", "app", 0, "app", 0, None, None, None)])
WINDOWS = [
    Window(PhaseName.PREFLIGHT, None, None, 0, 90, None),
    Window(PhaseName.WARMUP, 0, None, 100, 200, 210),
    Window(PhaseName.ROUNDS, 0, None, 300, 400, 410),
    Window(PhaseName.ROUNDS, 0, 0, 300, 350, 360),
    Window(PhaseName.ROUNDS, 1, None, 500, 600, 610),
]


def record(start: int | None, end: int | None, **more: object) -> RequestRecord:
    data = {"source": "python-agent", "pid": 10, "span_id": None, "sequence": start, "start_ns": start, "end_ns": end,
            "wall_end_ns": None, "name": "GET /", "status": 200, "first_in_process": False, "values": {}, **more}  # fmt: skip
    return RequestRecord(**data)  # type: ignore[arg-type]


def told(*records: RequestRecord, spans: tuple[JoinedSpan, ...] = (), rounds: bool = True) -> Joined:
    joined = Joined(spans, len(records), 0, 0, 0, 0)
    return add_told(joined, records, WINDOWS, LIFETIMES, rounds=rounds)


def test_a_record_becomes_a_request_of_the_round_it_began_in() -> None:
    joined = told(record(590, 700), record(120, 130), record(310, 320, status=503))
    spans = [j.span for j in joined.spans]
    assert [(s.phase, s.round, s.block, s.start_ns, s.end_ns) for s in spans] == [
        (PhaseName.WARMUP, 0, None, 120, 130),
        (PhaseName.ROUNDS, 0, None, 310, 320),
        (PhaseName.ROUNDS, 1, None, 590, 700),
    ]
    assert [s.ok for s in spans] == [True, False, True]
    assert {(j.worker, j.method) for j in joined.spans} == {(KEY, JoinMethod.RECORD)}
    assert len({s.span_id for s in spans}) == 3
    assert joined.unmatched_records == 0


def test_what_began_in_no_round_is_not_of_this_traffic() -> None:
    joined = told(record(50, 60), record(250, 260), record(700, 710), record(None, None))
    assert joined.spans == ()
    assert joined.unmatched_records == 4


def test_an_access_log_does_not_count_a_request_again() -> None:
    joined = told(record(310, 320), record(310, 320, source="fpm-access-log"))
    assert len(joined.spans) == 1


def test_requests_of_our_own_stay_what_they_are() -> None:
    span = Span("a" * 16, "home", PhaseName.PROFILED, None, None, 0, None, 310, 330, 200, None, 5, ())
    own = JoinedSpan(span, KEY, JoinMethod.SPAN_ID, None)
    joined = told(record(311, 329, span_id="a" * 16), record(312, 328, span_id="b" * 16), spans=(own,))
    assert joined.spans[0] is own
    assert [j.span.span_id for j in joined.spans[1:]] == ["b" * 16], "a tool may send traceparent itself"


def test_a_process_that_nobody_saw_is_counted() -> None:
    joined = told(record(310, 320, pid=99))
    assert (joined.spans[0].worker, joined.spans[0].method, joined.unseen_pids) == (None, JoinMethod.NONE, 1)


def test_slices_of_time_are_no_rounds() -> None:
    assert [j.span.round for j in told(record(310, 320), rounds=False).spans] == [None]


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("GET /", "GET /"),
        ("GET /item/17?x=1", "GET /item/{}"),
        ("GET /user/6fa459ea-ee8a-3ca4-894e-db77e160355e/edit", "GET /user/{}/edit"),
        ("GET /blob/0123456789abcdef0123", "GET /blob/{}"),
        ("GET /v2/decade", "GET /v2/decade"),
        ("", "(without a name)"),
    ],
)
def test_endpoints(name: str, endpoint: str) -> None:
    assert endpoint_of(name) == endpoint


def test_endpoints_are_bounded() -> None:
    records = [record(310 + n % 80, 391, name=f"GET /page-{n}", sequence=n) for n in range(600)]
    endpoints = {j.span.endpoint for j in told(*records).spans}
    assert len(endpoints) == 501
    assert "(other requests)" in endpoints
