"""What happened at an instant, and which profile shows what a finding names."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import HOSTILE, SECOND, START, call_profile, empty_report, hostile_report, leak_report

from harness.model.event import Event
from harness.model.finding import Cause, Evidence, Location
from harness.model.profile import Frame, LineCost
from harness.model.report import ProfileView, Report
from harness.model.run import Series
from harness.model.span import RequestRecord
from harness.report.page.marks import CAP, ROWS, marks
from harness.report.page.sources import CALLS, HELD, LINES, Source, sources
from harness.report.words import clean


def rows_of(report: Report, row: str) -> list[tuple[float, str]]:
    return [((m.t_ns - START) / SECOND, m.text) for m in marks(report)[0] if m.row == row]


def with_timeline(report: Report, **changes: object) -> Report:
    return dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, **changes))  # type: ignore[arg-type]  # as named


def test_lives_floors_and_profiles_have_rows() -> None:
    report = leak_report(requests_per_round=8)
    ended = rows_of(report, "ended")
    assert ended == [(30.0, "worker 4212 exited")]  # the event's words
    born = dict(rows_of(report, "born"))
    assert born[30.2].endswith("(app) was born")
    assert len(rows_of(report, "floors")) == sum(w.floor_ns is not None for w in report.timeline.windows)
    profiled = [m for m in marks(report)[0] if m.row == "profiled"]
    assert any(m.end_ns is not None and m.end_ns > m.t_ns for m in profiled)  # tied to its request
    assert len(profiled) == len(report.profiles)


def test_collections_come_from_requests_and_probes() -> None:
    base = leak_report(requests_per_round=8)
    joined = base.timeline.spans[3]
    record = RequestRecord("php-agent", 1, None, 0, None, None, None, "", 200, None, {"gc_runs": 2})
    spans = (dataclasses.replace(joined, record=record), *base.timeline.spans[4:])
    probe = Event(START + 57 * SECOND, "probe.collect", None, "asked to collect", {})
    trim = Event(START + 58 * SECOND, "probe.trim", None, "", {})
    report = with_timeline(base, spans=spans, events=(probe, trim))
    assert [text for _, text in rows_of(report, "collections")] == [
        f"2 collector runs during {joined.span.endpoint}",
        "asked to collect",
    ]
    assert rows_of(report, "trims") == [(58.0, "probe.trim")]


def test_a_counter_of_kills_that_rises_is_a_kill() -> None:
    times = START + np.arange(4) * SECOND
    kills = Series("cgroup.a.b.memory.events.oom_kill", None, times, np.array([2, 2, 3, 0]))
    report = with_timeline(empty_report(), series={(kills.metric, None): kills})
    assert rows_of(report, "OOM kills") == [(2.0, "the kernel killed 1 in the cgroup of a.b, within the 1.0 s before")]


def test_too_many_are_thinned_and_it_is_said() -> None:
    events = tuple(Event(START + n, "guard.tripped", None, str(n), {}) for n in range(2 * CAP + 1))
    kept, said = marks(with_timeline(empty_report(), events=events))
    assert len(kept) <= CAP
    assert said == [f"other: one in 3 of {2 * CAP + 1} is shown."]


def test_marks_are_in_order_and_clean() -> None:
    found, _ = marks(hostile_report())
    assert [m.t_ns for m in found] == sorted(m.t_ns for m in found)
    assert {m.row for m in found} <= set(ROWS)
    assert all(m.text == clean(m.text, 400) for m in found)
    assert any(clean(HOSTILE, 40)[:20] in m.text for m in found)


def test_a_finding_leads_to_its_line_and_to_what_holds_the_objects() -> None:
    report = leak_report(requests_per_round=4)
    assert sources(report, report.findings[0]) == (Source(1, LINES, "cart.py:42"), Source(4, HELD, ""))
    assert sources(report, report.findings[1]) == ()


def test_without_lines_the_function_is_opened() -> None:
    base = leak_report(requests_per_round=4)
    where = Location("src/Cart.php", 45, "Shop\\Cart->add")
    finding = dataclasses.replace(
        base.findings[0], subject=dataclasses.replace(base.findings[0].subject, location=where)
    )
    assert sources(base, finding)[0] == Source(0, CALLS, "Shop\\Cart->add")
    elsewhere = dataclasses.replace(where, file="lib/Cart.php")
    other = dataclasses.replace(finding, subject=dataclasses.replace(finding.subject, location=elsewhere))
    assert [s.tab for s in sources(base, other)] == [HELD]


def test_of_shared_memory_the_call_that_takes_it_is_opened_as_its_caller_shows_none_of_it() -> None:
    base = leak_report(requests_per_round=4)
    profile = call_profile()
    profile = dataclasses.replace(profile, frames=(*profile.frames, Frame("php::apcu_store", "php:internal", None)))
    view = ProfileView(base.profiles[0].artifact, profile)
    said = Evidence(
        "profile.line", 1.0, "calls", "xdebug: src/Cart.php:45 (add) calls apcu_store(), 1 times in one request"
    )
    finding = dataclasses.replace(base.findings[0], cause=Cause.SHARED_MEMORY, evidence=(said,))
    report = dataclasses.replace(base, profiles=(base.profiles[1], view))
    assert sources(report, finding)[0] == Source(1, CALLS, "php::apcu_store")
    private = dataclasses.replace(finding, cause=Cause.LEAK)
    assert sources(report, private)[0].tab != CALLS


def test_the_profile_of_the_findings_own_endpoint_comes_first() -> None:
    base = leak_report(requests_per_round=4)
    finding = base.findings[0]
    assert finding.subject.location is not None
    line = LineCost("/srv/shop/cart.py", finding.subject.location.line or 0, "", None, ())
    profile = dataclasses.replace(call_profile(), lines=(line,))
    view = ProfileView(base.profiles[0].artifact, profile)
    other = dataclasses.replace(view, artifact=dataclasses.replace(view.artifact, endpoint="GET /"))
    assert sources(dataclasses.replace(base, profiles=(other, view)), finding)[0].profile == 1
