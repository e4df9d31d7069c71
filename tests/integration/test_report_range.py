"""One range drives the page: tables, requests, crumbs, marks and keys; and what the timeline shows beside memory."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
from pages import Opened, nothing_wrong
from reports import MIB, SECOND, START, curve_profile, empty_report, leak_report, object_profile

from harness.model.event import Event
from harness.model.finding import Cause, Confidence, Severity, Verdict
from harness.model.profile import CurvePoint
from harness.model.report import PoolLedgerRow, ProfileView, Report
from harness.model.run import Series
from harness.model.span import PhaseName

pytestmark = [pytest.mark.browser, pytest.mark.integration]

PARTS = ("live", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp", "unexplained")


def with_ledger(report: Report, floors: int = 8) -> Report:
    """The report with a ledger of its pool at so many floors; the last part is unknown, live memory grows."""
    rows = [
        PoolLedgerRow(
            "app",
            PhaseName.ROUNDS,
            n,
            START + (15 + 5 * n) * SECOND,
            4,
            60 * MIB,
            {part: None if part == "thp" else (10 + n) * MIB if part == "live" else 2 * MIB for part in PARTS},
        )
        for n in range(floors)
    ]
    return dataclasses.replace(report, pool_ledger=tuple(rows))


def cells(view: Opened, table: str, first: str) -> list[str]:
    """The cells of the row of a table that begins with that text."""
    row = view.page.locator(f"#{table} tbody tr:visible").filter(
        has=view.page.locator("th", has_text=re.compile(f"^{re.escape(first)}$"))
    )
    return [str(text) for text in row.locator("th, td").all_inner_texts()]


def shown(view: Opened, lo: float, hi: float) -> None:
    """Show a range and wait until what follows it has followed."""
    view.page.evaluate(f"__app.timeline.view.show({lo}, {hi})")
    view.until("document.querySelector('#endpoints .scope')?.hidden === false")


def test_tables_count_in_the_range_and_come_back(opened: Callable[..., Opened]) -> None:
    report = with_ledger(leak_report())
    view = opened(report)
    spans = [j for j in report.timeline.spans if START + 20 * SECOND <= j.span.start_ns < START + 30 * SECOND]
    with nothing_wrong(view):
        before = {
            t: view.page.locator(f"#{t}").inner_text() for t in ("t-endpoints", "t-workers", "t-pools", "t-profiles")
        }
        shown(view, 20, 30)
        cart = [j.span for j in spans if j.span.endpoint == "POST /cart"]
        found = cells(view, "t-endpoints", "POST /cart")
        assert found[1:3] == [str(len(cart)), str(sum(not s.ok for s in cart))]
        ordered = sorted(s.latency_ns for s in cart if s.status is not None)
        p50 = ordered[int(np.ceil(0.5 * len(ordered))) - 1] / 1e6
        assert found[3] == f"{p50:.1f} ms"
        worker = report.timeline.workers[1].info.key
        row = cells(view, "t-workers", str(worker))
        assert row[6] == str(sum(j.worker == worker for j in spans))
        series = report.timeline.series["process.memory.pss", worker]
        inside = series.values[(series.t_ns >= START + 20 * SECOND) & (series.t_ns <= START + 30 * SECOND)]
        assert row[7:10] == [f"{v / MIB:.1f} MiB" for v in (inside[0], inside[-1], inside.max())]
        assert view.page.locator("#t-profiles tbody tr:visible").count() == len(report.profiles)  # of no range
        view.page.locator("summary", has_text="Ledger").click()
        assert view.page.locator("#t-pool-ledger tbody tr:visible").count() == 3  # floors at 20, 25 and 30 s
        assert (
            "5 of 8 rows lie outside of 20 s – 30 s." in view.page.locator("#workers details .scope").first.inner_text()
        )
        view.page.locator("#signals summary").click()
        memory = view.page.locator("#t-signals tbody tr", has_text="system.meminfo.MemAvailable").locator("td")
        assert int(memory.nth(1).inner_text()) < 50
        view.page.locator("#endpoints .scope button").click()
        view.until("document.querySelector('#endpoints .scope').hidden")
        assert before == {t: view.page.locator(f"#{t}").inner_text() for t in before}


def test_the_requests_of_the_range_are_a_table(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    view = opened(report)
    with nothing_wrong(view):
        summary = view.page.locator("#each-request summary")
        assert summary.inner_text() == f"1\u202f{len(report.timeline.spans) - 1000} requests"
        summary.click()
        rows = view.page.locator("#requests-root tbody tr")
        view.until("document.querySelectorAll('#requests-root tbody tr').length === 100")
        shown(view, 57.5, 62)
        late = sum(j.span.start_ns >= START + 57.5 * SECOND for j in report.timeline.spans)
        view.until(f"document.querySelectorAll('#requests-root tbody tr').length === {late}")
        view.page.locator("#requests-root input").fill("POST /cart")
        button = rows.get_by_role("button", name="Profile").first
        button.click()
        assert view.page.locator("#profile-root h3").inner_text().startswith("POST /cart")


def test_crumbs_lead_back(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        shown(view, 10, 50)
        crumbs = view.page.locator(".sticky .trail button")
        view.until("document.querySelectorAll('.sticky .trail button').length === 2")
        shown(view, 20, 30)
        view.until("document.querySelectorAll('.sticky .trail button').length === 3")
        assert crumbs.nth(2).is_disabled()
        crumbs.nth(1).click()
        assert view.range() == (10, 50)
        view.until("document.querySelectorAll('.sticky .trail button').length === 2")
        crumbs.first.click()
        assert view.page.evaluate("__app.timeline.view.whole")


def test_a_mark_keeps_the_tables_while_the_view_moves(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        shown(view, 20, 30)
        counted = cells(view, "t-endpoints", "POST /cart")
        view.page.locator("#tracks").focus()
        view.page.keyboard.press("m")
        view.page.keyboard.press("0")
        view.until("location.hash === '#mark=20,30'")
        assert cells(view, "t-endpoints", "POST /cart") == counted
        view.page.keyboard.press("f")
        assert view.range() == (20, 30)
        view.page.keyboard.press("m")
        view.until("location.hash === '#range=20,30'")


def test_every_key_does_what_the_help_says(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#range=20,40")
    press = view.page.keyboard.press
    with nothing_wrong(view):
        view.page.locator("#tracks").focus()
        press("w")
        assert view.range() == (25, 35)
        press("d")
        assert view.range() == pytest.approx((26.5, 36.5))
        press("a")
        press("s")
        assert view.range() == pytest.approx((20, 40))
        view.page.evaluate("__app.timeline.view.point(25)")
        press("[")
        view.page.evaluate("__app.timeline.view.point(35)")
        press("]")
        assert view.range() == (25, 35)
        press("ArrowDown")
        assert view.page.locator("#track-pools.chosen").count() == 1
        assert "app anon" in view.page.locator("#tracks-root p[aria-live]").inner_text()
        press("ArrowDown")
        press("p")
        view.until("location.hash.includes('pins=workers')")
        assert view.page.locator("#tracks .track").first.get_attribute("id") == "track-workers"
        press("p")
        assert view.page.locator("#tracks .track").first.get_attribute("id") == "track-pools"
        press("?")
        assert view.page.locator("dialog").get_by_text("choose a track").is_visible()
        press("Escape")
        assert not view.page.locator("dialog").is_visible()
        view.page.locator("#tracks").focus()
        press("Enter")
        view.page.locator("#profile-root article").wait_for()


def test_letters_work_everywhere_but_in_a_field_of_text(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(workers=14), "#range=20,40")
    with nothing_wrong(view):
        view.page.locator("#theme").focus()
        view.page.keyboard.press("w")
        assert view.range() == (25, 35)
        view.page.keyboard.press("0")
        assert view.range() == (25, 35)  # only the letters
        view.page.get_by_role("searchbox", name="Processes").press("s")
        assert view.range() == (25, 35)


def test_escape_and_back_close_a_profile(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    shown = view.page.locator("#profile-root article")
    with nothing_wrong(view):
        button = view.page.locator("#t-profiles button.open").first
        button.click()
        shown.wait_for()
        view.page.keyboard.press("Escape")
        assert shown.count() == 0
        assert view.page.evaluate("document.activeElement.className") == "open"
        button.click()
        shown.wait_for()
        view.page.go_back()
        view.until("document.querySelector('#profile-root article') === null")
        assert view.page.evaluate("location.hash") == ""


def test_endpoints_of_a_range_count_the_measured_rounds_alone(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    view = opened(report)
    with nothing_wrong(view):
        shown(view, 0, 60)
        sent = sum(
            j.span.endpoint == "POST /cart"
            and j.span.phase is PhaseName.ROUNDS
            and j.span.start_ns < START + 60 * SECOND
            for j in report.timeline.spans
        )
        assert cells(view, "t-endpoints", "POST /cart")[1] == f"{sent}"
        assert "of the measured rounds in this range" in view.page.locator("#endpoints .scope").inner_text()


def test_values_without_a_cursor_are_those_at_the_end_of_the_rounds(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    view = opened(report)
    process = report.timeline.workers[1].info.key
    series = report.timeline.series["process.memory.pss", process]
    ends = [w.end_ns for w in report.timeline.windows if w.phase is PhaseName.ROUNDS and w.end_ns is not None]
    at = int(np.argmin(np.abs(series.t_ns - max(ends))))
    with nothing_wrong(view):
        key = view.page.locator("#track-workers .key", has_text=str(process))
        assert key.locator("b").inner_text() == f"{series.values[at] / MIB:.1f} MiB"


def test_shared_segments_are_a_track_that_a_finding_leads_to(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    worker = report.timeline.workers[1].info.key
    times = START + np.arange(10, 50, 5) * SECOND
    series = {
        (f"runtime.php.apcu.{name}", worker): Series(f"runtime.php.apcu.{name}", worker, times, values)
        for name, values in (("size", np.full(8, 32 * MIB)), ("free", (30 - np.arange(8)) * MIB))
    }
    timeline = dataclasses.replace(report.timeline, series={**report.timeline.series, **series})
    finding = dataclasses.replace(report.findings[0], cause=Cause.SHARED_MEMORY)
    view = opened(dataclasses.replace(report, timeline=timeline, findings=(finding,)))
    with nothing_wrong(view):
        track = view.page.locator("#track-segments")
        assert track.locator(".key").inner_text().split() == ["app", "APCu", "9.0", "MiB"]
        view.page.locator("button.show").click()
        view.until("Math.abs(document.querySelector('#track-segments').getBoundingClientRect().top) < 300")


def test_a_click_holds_the_cursor_until_escape(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        x, y = view.place("#track-workers .plot")
        view.page.mouse.click(x + 400, y)
        view.page.mouse.move(x + 600, y)
        held = view.page.evaluate("__app.timeline.view.cursor")
        assert 0 < held < view.range()[1] / 2
        view.page.mouse.move(5, 5)
        assert view.page.evaluate("__app.timeline.view.cursor") == held
        view.page.locator("#tracks").focus()
        view.page.keyboard.press("Escape")
        assert view.page.evaluate("__app.timeline.view.cursor") is None


def test_the_address_keeps_everything(opened: Callable[..., Opened]) -> None:
    link = "#range=20,30&mark=22,25&profile=1&tab=Lines&find=cart.py%3A42&pins=kernel,workers&clock=wall"
    view = opened(leak_report(), link)
    with nothing_wrong(view):
        tracks = [t.get_attribute("id") for t in view.page.locator("#tracks .track").all()[:2]]
        assert sorted(str(t) for t in tracks) == ["track-kernel", "track-workers"]
        assert view.page.locator("#profile-root tr[aria-current]").count() == 1
        assert "+02:00" in view.page.locator(".buttons").inner_text()
        assert re.fullmatch(r"10:15:\S+ to 10:15:\S+", view.page.locator(".now").inner_text())
        view.until("location.hash.includes('clock=wall')")
        view.page.get_by_role("button", name="Clock").click()
        view.until("!location.hash.includes('clock=wall') && location.hash.includes('find=cart.py')")
        assert view.page.locator(".now").inner_text() == "20.0 s to 30.0 s of the run"


def test_a_finding_opens_the_line_it_names(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        view.page.locator("#finding-0").get_by_role("button", name="Open the line in its profile").click()
        row = view.page.locator("#profile-root tr[aria-current]")
        row.wait_for()
        assert "cart.py:42" in row.inner_text()
        assert view.page.locator("#profile-root tbody tr").count() > 1  # the others stay
        assert "_HISTORY.append(row)" in row.inner_text()
        assert view.page.get_by_role("tab", name="Lines").get_attribute("aria-selected") == "true"
        view.page.locator("#finding-0").get_by_role("button", name="What holds them").click()
        view.until("document.querySelector('[role=tab][aria-selected=true]')?.textContent === 'What holds them'")


def ink_right_of(view: Opened, track: str) -> int:
    """Coloured pixels beside the plot, where lines have their names."""
    return int(
        view.page.evaluate(
            """(track) => {
                const canvas = document.querySelector(`#track-${track} canvas`), ratio = devicePixelRatio;
                const left = Math.round((canvas.clientWidth - 120) * ratio);
                const { data } = canvas.getContext('2d').getImageData(left, 0, canvas.width - left, canvas.height);
                let n = 0;
                for (let i = 3; i < data.length; i += 4) n += data[i] > 100;
                return n;
            }""",
            track,
        )
    )


def test_the_ledger_is_a_track_with_named_parts(opened: Callable[..., Opened]) -> None:
    view = opened(with_ledger(leak_report()))
    with nothing_wrong(view):
        track = view.page.locator("#track-ledger")
        names = track.locator(".key .name").all_inner_texts()
        assert names[0] == "unexplained"
        assert names[-1] == "live"
        assert "unused in huge pages" not in names  # nobody could tell
        assert track.locator(".key b").last.inner_text() == "17.0 MiB"
        assert ink_right_of(view, "ledger") > 100
        assert ink_right_of(view, "workers") > 100


def test_events_are_rows_with_what_happened(opened: Callable[..., Opened]) -> None:
    base = leak_report()
    step = Event(START + 33 * SECOND, "clock.step", None, "the wall clock was set back by 2 h", {})
    collect = Event(START + 57 * SECOND, "probe.collect", None, "collected", {})
    kills = Series(
        "cgroup.app.memory.events.oom_kill", None, START + np.array([10, 20, 30]) * SECOND, np.array([1, 1, 3])
    )
    current = Series(
        "cgroup.app.memory.current", None, START + np.array([10, 20, 30]) * SECOND, np.array([1, 2, 3]) * MIB
    )
    limit = Series("cgroup.app.memory.max", None, START + np.array([10, 20, 30]) * SECOND, np.full(3, 4 * MIB))
    series = dict(base.timeline.series)
    for own in (kills, current, limit):
        series[own.metric, None] = own
    timeline = dataclasses.replace(base.timeline, events=(*base.timeline.events, step, collect), series=series)
    view = opened(dataclasses.replace(base, timeline=timeline))
    with nothing_wrong(view):
        view.page.locator("#events summary").click()
        rows = [re.split(r"\t", t) for t in view.page.locator("#t-events tbody tr").all_inner_texts()]
        kinds = {kind for _, kind, _ in rows}
        assert {"born", "ended", "OOM kills", "floors", "collections", "profiled", "other"} <= kinds
        assert ["30.00 s", "OOM kills", "the kernel killed 2 in the cgroup of app, within the 10.0 s before"] in rows
        assert ["33.00 s", "other", "the wall clock was set back by 2 h"] in rows
        assert view.page.locator("#track-cgroup .key .name").all_inner_texts() == ["app", "app limit"]
        x, _ = view.place("#track-events canvas")
        box = view.page.locator("#track-events canvas").bounding_box()
        assert box is not None
        place = view.page.evaluate(
            "76 + 33 / (__app.timeline.view.hi - __app.timeline.view.lo) * (document.querySelector('#tracks').clientWidth - 208)"
        )
        view.page.mouse.move(x + place, box["y"] + box["height"] - 8)
        view.until("document.querySelector('#track-events .readout').textContent.includes('set back by 2 h')")


@pytest.mark.parametrize(
    ("severity", "level"), [(Severity.CRITICAL, "bad"), (Severity.WARNING, "warn"), (Severity.INFO, "good")]
)
def test_the_verdict_has_the_colour_of_its_finding(
    opened: Callable[..., Opened], severity: Severity, level: str
) -> None:
    base = leak_report(requests_per_round=4)
    cause = Cause.HEALTHY if level == "good" else Cause.FRAGMENTATION
    finding = dataclasses.replace(base.findings[0], cause=cause, severity=severity)
    verdict = Verdict(cause, Confidence.HIGH, "said")
    view = opened(dataclasses.replace(base, verdict=verdict, findings=(finding,)))
    assert view.page.locator(f".verdict.{level}").count() == 1


def test_a_curve_of_one_moment_still_names_who_ran_at_the_peak(opened: Callable[..., Opened]) -> None:
    base = leak_report(requests_per_round=4)
    for curve in ((), (CurvePoint(0, 5, ""),)):
        profile = dataclasses.replace(curve_profile(), curve=curve)
        report = dataclasses.replace(base, profiles=(ProfileView(base.profiles[0].artifact, profile),))
        view = opened(report, "#profile=0&tab=Memory%20curve")
        with nothing_wrong(view):
            assert view.page.locator("#profile-root .stack li").first.inner_text().startswith("Shop\\Cart->add")


def test_the_call_tree_is_searched(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#profile=0&tab=Call%20tree")
    with nothing_wrong(view):
        canvas = "document.querySelector('.icicle canvas').toDataURL()"
        view.until("document.querySelector('.icicle canvas').width > 300")
        before = view.page.evaluate(canvas)
        view.page.get_by_role("searchbox", name="Find in the call tree").fill("cart")
        assert view.page.locator(".tab .filter output").inner_text() == "1 boxes, 61.2 % of the whole"
        view.until(f"{canvas} !== {before!r}")


def test_it_is_drawn_as_wide_as_paper_for_printing(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(requests_per_round=8))
    with nothing_wrong(view):
        wide = "document.querySelector('#track-workers canvas').clientWidth"
        before = view.page.evaluate(wide)
        inside = view.page.evaluate(f"dispatchEvent(new Event('beforeprint')), {wide}")
        assert inside <= 718 < before
        assert view.page.evaluate("[...document.querySelectorAll('.findings details')].every(d => d.open)")
        assert view.page.evaluate(f"dispatchEvent(new Event('afterprint')), {wide}") == before


def test_printed_it_has_requests_and_no_buttons(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#profile=0")
    with nothing_wrong(view):
        view.page.emulate_media(media="print")
        view.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert view.page.locator("#requests-root tbody tr").count() == 50
        assert view.page.locator("td button:visible, .more:visible, .opens:visible").count() == 0
        wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
        view.page.set_viewport_size({"width": 718, "height": 1000})
        assert view.page.evaluate(wide) == 0


def test_a_run_without_requests_has_no_table_of_them(opened: Callable[..., Opened]) -> None:
    view = opened(empty_report())
    with nothing_wrong(view):
        assert view.page.locator("#requests-root, #t-events").count() == 0
        assert view.page.get_by_text("No process was seen.").is_visible()


def test_growth_tables_keep_their_search(opened: Callable[..., Opened]) -> None:
    base = leak_report(requests_per_round=4)
    view = opened(
        dataclasses.replace(base, profiles=(ProfileView(base.profiles[4].artifact, object_profile()),)), "#profile=0"
    )
    with nothing_wrong(view):
        view.page.locator("#profile-root input").fill("order")
        assert view.page.locator("#profile-root tbody tr").count() == 1
