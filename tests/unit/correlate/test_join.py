from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from timelines import process, record, span

from harness.correlate.join import ACCESS_LOG, Joined, join_spans
from harness.correlate.lifetimes import Lifetimes
from harness.model.process import ProcessInfo
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import RequestRecord, Span
from harness.model.timeline import JoinMethod

S = 1_000_000_000
WORKERS = (process(11, born=S), process(12, born=S))


def join(
    spans: Sequence[Span],
    records: Sequence[RequestRecord],
    processes: Sequence[ProcessInfo] = WORKERS,
    artifacts: Sequence[Artifact] = (),
    slack_ns: int = 0,
) -> Joined:
    return join_spans(spans, records, artifacts, Lifetimes(processes), slack_ns=slack_ns)


def methods(joined: Joined) -> list[JoinMethod]:
    return [j.method for j in joined.spans]


def pids(joined: Joined) -> list[int | None]:
    return [None if j.worker is None else j.worker.pid for j in joined.spans]


def test_by_span_id_even_when_requests_overlap() -> None:
    spans = [span(1, 2 * S, 4 * S), span(2, 2 * S, 4 * S)]
    found = join(spans, [record(12, 1, 2 * S + 1, 3 * S), record(11, 2, 2 * S + 2, 3 * S)])
    assert pids(found) == [12, 11]
    assert methods(found) == [JoinMethod.SPAN_ID] * 2
    assert found.unmatched_records == 0


def test_the_life_that_had_the_pid_then() -> None:
    old, new = process(11, born=S, ended=6 * S), process(11, born=5 * S)  # the exit was noticed a sweep late
    spans = [span(1, 2 * S, 3 * S), span(2, 5 * S + S // 2, 6 * S)]
    found = join(spans, [record(11, 1, 2 * S, 3 * S), record(11, 2, 5 * S + S // 2, 6 * S)], [old, new])
    assert [j.worker for j in found.spans] == [old.key, new.key]


def test_one_pid_on_two_hosts_is_nobody() -> None:
    twins = [process(11, born=S), process(11, born=S, host="far")]
    found = join([span(1, 2 * S, 3 * S)], [record(11, 1, 2 * S, 3 * S)], twins)
    assert pids(found) == [None]
    assert found.unseen_pids == 1


def test_a_process_the_sampler_never_saw_is_counted_and_keeps_its_record() -> None:
    found = join([span(1, 2 * S, 3 * S)], [record(77, 1, 2 * S, 3 * S)])
    assert methods(found) == [JoinMethod.NONE]
    assert found.spans[0].record is not None
    assert found.unseen_pids == 1


def test_a_record_from_another_time_is_refused() -> None:
    found = join([span(1, 2 * S, 3 * S)], [record(11, 1, 8 * S, 9 * S)])
    assert methods(found) == [JoinMethod.NONE]
    assert found.implausible == 1
    assert found.unmatched_records == 1


def test_where_clocks_differ_times_may_contradict_each_other_by_what_they_are_wrong() -> None:
    late = [record(11, 1, 3 * S + 40, 3 * S + 60)]
    assert methods(join([span(1, 2 * S, 3 * S)], late, slack_ns=39)) == [JoinMethod.NONE]
    assert methods(join([span(1, 2 * S, 3 * S)], late, slack_ns=40)) == [JoinMethod.SPAN_ID]


def test_the_outer_of_nested_calls_answered() -> None:
    inner, outer = record(12, 1, 2 * S + 100, 2 * S + 200), record(11, 1, 2 * S + 1, 2 * S + 900)
    found = join([span(1, 2 * S, 3 * S)], [inner, outer])
    assert pids(found) == [11]
    assert found.spans[0].record is outer
    assert found.unmatched_records == 0


def test_two_processes_that_overlap_without_nesting_are_not_guessed_between() -> None:
    found = join(
        [span(1, 2 * S, 3 * S)], [record(11, 1, 2 * S + 1, 2 * S + 500), record(12, 1, 2 * S + 100, 2 * S + 900)]
    )
    assert methods(found) == [JoinMethod.NONE]
    assert found.ambiguous == 1


def test_access_log_lines_serve_where_no_agent_wrote() -> None:
    line = replace(record(12, 1, None, None, source=ACCESS_LOG), wall_end_ns=5)
    both = join([span(1, 2 * S, 3 * S)], [record(11, 1, 2 * S, 3 * S), line])
    alone = join([span(1, 2 * S, 3 * S)], [line])
    assert (pids(both), methods(both)) == ([11], [JoinMethod.SPAN_ID])
    assert (pids(alone), methods(alone)) == ([12], [JoinMethod.ACCESS_LOG])
    assert (both.unmatched_records, alone.unmatched_records) == (0, 0)


def test_two_log_lines_of_different_processes_are_ambiguous() -> None:
    lines = [record(pid, 1, None, None, source=ACCESS_LOG) for pid in (11, 12)]
    assert join([span(1, 2 * S, 3 * S)], lines).ambiguous == 1


def test_the_pid_of_a_profile() -> None:
    artifact = Artifact("xdebug", "php", "artifacts/x", ArtifactStatus.COMPLETE, f"{1:016x}", "home", 12, 3 * S, 10, "")
    found = join([span(1, 2 * S, 3 * S)], [], artifacts=[artifact])
    assert (pids(found), methods(found)) == ([12], [JoinMethod.PROFILE])


def test_the_pid_of_a_profile_of_another_host() -> None:
    artifact = Artifact("xdebug", "php", "artifacts/x", ArtifactStatus.COMPLETE, f"{1:016x}", "home", 12, 3 * S, 10, "")
    artifact = replace(artifact, attributes={"host": "far"})
    twins = [process(12, born=S), process(12, born=S, host="far")]
    found = join([span(1, 2 * S, 3 * S)], [], twins, artifacts=[artifact])
    assert [j.worker for j in found.spans] == [twins[1].key]


def test_pid_and_time_when_no_record_carries_a_span_id() -> None:
    spans = [span(1, 2 * S, 3 * S), span(2, 4 * S, 5 * S)]
    found = join(spans, [record(12, None, 4 * S + 10, 5 * S - 10), record(11, None, 2 * S + 10, 3 * S - 10)])
    assert pids(found) == [11, 12]
    assert methods(found) == [JoinMethod.PID_TIME] * 2


ONE = (span(1, 2 * S, 3 * S),)
TWO = (*ONE, span(2, 2 * S + 400, 3 * S))


@pytest.mark.parametrize(
    ("spans", "records"),
    [
        pytest.param(TWO, [record(11, None, 2 * S + 500, 3 * S)], id="two requests under way"),
        pytest.param(ONE, [record(p, None, 2 * S + p, 3 * S) for p in (11, 12)], id="two records in one request"),
        pytest.param(ONE, [replace(record(11, None, 2 * S + 10, 3 * S), status=500)], id="another outcome"),
        pytest.param(ONE, [record(11, None, 8 * S, 9 * S)], id="no request at all"),
        pytest.param(ONE, [record(99, None, 2 * S + 10, 3 * S)], id="unknown process"),
        pytest.param(
            ONE, [record(11, 5, 7 * S, 8 * S), record(11, None, 2 * S + 10, 3 * S)], id="somebody else's request"
        ),
    ],
)
def test_pid_and_time_is_not_used_where_it_would_be_a_guess(
    spans: Sequence[Span], records: list[RequestRecord]
) -> None:
    assert set(methods(join(spans, records))) == {JoinMethod.NONE}


def test_pid_and_time_is_no_fact_where_the_clock_is_not_known_well_enough() -> None:
    """The record began 10 ns after one request and 20 ns before the other, by a clock that may be off by more."""
    spans = [span(1, 2 * S, 3 * S), span(2, 3 * S + 30, 4 * S)]
    records = [record(11, None, 3 * S - 10, 3 * S)]
    assert methods(join(spans, records)) == [JoinMethod.PID_TIME, JoinMethod.NONE]
    assert methods(join(spans, records, slack_ns=39)) == [JoinMethod.PID_TIME, JoinMethod.NONE]
    assert methods(join(spans, records, slack_ns=40)) == [JoinMethod.NONE] * 2
    two = [*records, record(11, None, 3 * S + 40, 4 * S)]
    assert methods(join(spans, two)) == [JoinMethod.PID_TIME] * 2
    assert methods(join(spans, two, slack_ns=40)) == [JoinMethod.NONE] * 2


def test_being_the_only_process_proves_nothing() -> None:
    """The port may belong to somebody else, as when the target could not bind it."""
    assert methods(join([span(1, 2 * S, 3 * S)], [], [process(11, born=S)])) == [JoinMethod.NONE]


def test_pid_lookup_ends_with_the_life() -> None:
    lives = Lifetimes([process(11, born=S, ended=2 * S)])
    assert lives.find(11, S) is not None
    assert lives.find(11, 2 * S + 1) is None
    assert lives.find(11, S // 2) is None
    assert lives.find(12, S) is None


def test_nothing() -> None:
    found = join([], [])
    assert found.spans == ()
    assert join([], [record(11, None, 1, 2)]).unmatched_records == 1
