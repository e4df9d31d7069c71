"""The HTML report in a real browser, offline: what a reader does with it, and what must not happen."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pages import Opened, nothing_wrong
from reports import (
    HOSTILE,
    MIB,
    SECOND,
    START,
    allocation_profile,
    curve_profile,
    empty_report,
    hostile_report,
    hosts_report,
    leak_report,
    object_profile,
    single_sample_report,
)

from harness.model.profile import Holder, HolderChain
from harness.model.report import ProfileView, Report
from harness.model.run import Series
from harness.report.exporters.html import export
from harness.report.words import clean

pytestmark = [pytest.mark.browser, pytest.mark.integration]

UI = Path(__file__).parents[2] / "harness/report/ui"
STATIC = UI.parent / "static"
BUNDLE_LIMIT_BYTES, BUNDLE_LIMIT_PACKED_BYTES = 120 * 1024, 45 * 1024


@pytest.mark.parametrize("make", [leak_report, empty_report, single_sample_report, hostile_report, hosts_report])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_offline_without_a_complaint(
    opened: Callable[..., Opened], make: Callable[[], Report], scheme: str
) -> None:
    view = opened(make(), color_scheme=scheme)
    with nothing_wrong(view):
        assert view.page.locator("#timeline .track").count() >= 3
        assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hosts_are_told_and_drawn_on_one_time_axis(opened: Callable[..., Opened]) -> None:
    view = opened(hosts_report())
    with nothing_wrong(view):
        assert view.page.locator("#t-hosts tbody tr").count() == 3
        assert view.page.locator("#t-containers tbody tr").count() == 1
        assert "not on web-1" in view.page.locator("#finding-0 .subject").inner_text()
        assert "down once, 2.0 s" in view.page.locator("#t-hosts").inner_text()
        assert view.page.locator("#track-pools .key").count() >= 3
        view.page.locator("#t-siblings th", has_text="Bytes a round").click()
        assert view.page.locator("#t-siblings tbody th").all_inner_texts() == ["web-2", "web-1", "web-3"]


def test_five_hundred_processes_open(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(workers=500, requests_per_round=600))
    with nothing_wrong(view):
        assert view.page.locator("#track-workers .key").count() == 8
        assert view.page.get_by_text("more processes in grey").count() == 1


def test_a_finding_moves_the_timeline_to_its_range(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        whole = view.range()
        view.page.locator("#finding-0 button.show").click()
        lo, hi = view.range()
        assert whole[0] < lo <= 12
        assert 52 <= hi < whole[1]
        view.until("location.hash.startsWith('#range=')")


def test_the_keyboard_zooms_moves_and_resets(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        first, last = view.range()
        view.page.locator("#tracks").focus()
        view.page.keyboard.press("+")
        lo, hi = view.range()
        assert hi - lo == pytest.approx((last - first) / 2)
        view.page.keyboard.press("ArrowRight")
        assert view.range()[0] > lo
        view.page.keyboard.press("-")
        view.page.keyboard.press("0")
        assert view.range() == (first, last)
        view.page.keyboard.press(".")
        view.until("!document.querySelector('.cursor').hidden")


def test_dragging_zooms_and_the_cursor_reads_every_track(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        first, last = view.range()
        x, y = view.place("#track-workers .plot")
        view.page.mouse.move(x + 400, y)
        view.until("document.querySelector('.now').textContent.includes('+02:00')")
        values = view.page.locator("#track-pools .key b, #track-kernel .key b").all_inner_texts()
        assert len(values) == 6
        assert all(re.search(r"\d (KiB|MiB|GiB)", v) for v in values)
        view.page.mouse.down()
        view.page.mouse.move(x + 600, y, steps=4)
        view.page.mouse.up()
        lo, hi = view.range()
        assert first < lo < hi < last
        view.page.get_by_role("button", name="Whole run").click()
        assert view.range() == (first, last)


def test_the_brush_of_the_overview_makes_a_range(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        first, last = view.range()
        x, y = view.place("canvas.overview")
        view.page.mouse.move(x + 300, y)
        view.page.mouse.down()
        view.page.mouse.move(x + 500, y, steps=4)
        view.page.mouse.up()
        lo, hi = view.range()
        assert first < lo < hi < last


def test_a_profile_opens_from_the_list_with_its_calls(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        view.page.locator("#t-profiles button.open").first.click()
        rows = view.page.locator("#profile-root tbody tr")
        rows.first.wait_for()
        assert rows.count() == 5
        assert rows.first.inner_text().split("\t")[:2] == ["array_merge", "60"]  # most memory growth first
        assert view.page.get_by_text("frees are not counted").is_visible()
        view.page.get_by_role("button", name="Function", exact=True).click()
        assert rows.first.inner_text().startswith("{main}")
        view.page.locator("#profile-root input").fill("cart")
        assert rows.count() == 1
        view.page.get_by_role("tab", name="Call tree").click()
        tree = view.page.locator(".icicle")
        tree.focus()
        view.page.keyboard.press("ArrowDown")
        assert "Shop\\Kernel->handle" in view.page.locator(".tab .readout").inner_text()
        view.page.keyboard.press("Enter")
        assert view.page.locator("#profile-root .trail button").all_inner_texts() == [
            "all",
            "{main}",
            "Shop\\Kernel->handle",
        ]
        assert view.page.evaluate("location.hash") == "#profile=0&tab=Call%20tree"


def test_a_curve_shows_its_peak_and_who_was_running(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    traced = dataclasses.replace(report.profiles[0], profile=curve_profile())
    view = opened(dataclasses.replace(report, profiles=(traced,)), "#profile=0")
    with nothing_wrong(view):
        view.page.get_by_role("tab", name="Memory curve").click()
        view.page.locator(".curve canvas").wait_for()
        readout = view.page.locator(".tab .readout")
        assert readout.inner_text() == "Highest: 7.0 ms · 1.3 MiB · leaving Shop\\Cart->add"
        running = view.page.locator(".stack li").all_inner_texts()
        assert running[0] == "Shop\\Cart->add /srv/shop/src/Cart.php:41"  # the innermost first
        assert running[2].startswith("{main}")
        left, middle = view.place(".curve .u-over")
        view.page.mouse.move(left + 2, middle)
        assert readout.inner_text() == "0 ns · 390.6 KiB · entering {main}"
        view.page.get_by_text("The curve in numbers").click()
        assert view.page.locator(".tab tbody tr").count() == 4
        view.page.get_by_role("tab", name="Collector runs").click()
        cells = view.page.locator(".tab tbody tr").first.inner_text().split("\t")
        assert cells == ["6.5 ms", "Shop\\Cart->add", "10\u202f000", "10\u202f001", "1.5 ms", "1.3 MiB", "878.9 KiB"]


def test_a_moment_among_the_totals_is_a_date(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    totals = {"started_unix_ns": 1_795_401_975_728_000_000, "ended_unix_ns": 10**30}
    traced = dataclasses.replace(report.profiles[0], profile=dataclasses.replace(curve_profile(), totals=totals))
    view = opened(dataclasses.replace(report, profiles=(traced,)), "#profile=0")
    with nothing_wrong(view):
        facts = view.page.locator("#profile-root dl div").all_inner_texts()
        assert [fact.split() for fact in facts] == [["started", "2026-11-23T02:46:15.728Z"], ["ended", "unknown"]]


def test_the_call_tree_shows_time_and_memory(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    traced = dataclasses.replace(report.profiles[0], profile=curve_profile())
    view = opened(dataclasses.replace(report, profiles=(traced,)), "#profile=0")
    with nothing_wrong(view):
        view.page.get_by_role("tab", name="Call tree").click()
        assert view.page.locator(".tab .lead").inner_text().startswith("Width: time.")
        view.page.locator(".tab .choice").get_by_role("button", name="memory growth").click()
        assert "summed up over the calls below it" in view.page.locator(".tab .lead").inner_text()  # a call freed some
        tree = view.page.locator(".icicle")
        tree.focus()
        for _ in range(2):
            view.page.keyboard.press("ArrowDown")  # by memory Cart->add is the largest below the kernel
        assert "Shop\\Cart->add" in view.page.locator(".tab .readout").inner_text()


def test_line_profiles_show_their_source(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#profile=1")
    with nothing_wrong(view):
        view.page.locator("#profile-root tbody tr").first.wait_for()
        cells = view.page.locator("#profile-root tbody tr").first.locator("td, th").all_inner_texts()
        assert cells[0] == "/srv/shop/cart.py:42"
        assert cells[3] == "2.1 MiB"
        assert "_HISTORY.append(row)" in cells[4]


def test_a_profile_without_calls_opens_on_its_lines_and_has_no_column_for_them(opened: Callable[..., Opened]) -> None:
    report = leak_report()
    stacks = dataclasses.replace(report.profiles[0], profile=allocation_profile())
    view = opened(dataclasses.replace(report, profiles=(stacks,)), "#profile=0")
    with nothing_wrong(view):
        rows = view.page.locator("#profile-root tbody tr")
        rows.first.wait_for()
        assert view.page.get_by_role("tab").all_inner_texts() == ["Lines", "Calls", "Call tree"]
        assert rows.first.inner_text().startswith("/srv/shop/store.py:9\t")
        view.page.get_by_role("tab", name="Calls").click()
        assert rows.first.inner_text().split("\t") == ["store.py:9", "4.0 KiB", "4.0 KiB", "/srv/shop/store.py:9"]
        assert view.page.get_by_role("button", name="Calls", exact=True).count() == 0


def test_objects_are_a_table_in_which_unknown_is_not_nothing(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#profile=4")
    with nothing_wrong(view):
        rows = view.page.locator("#profile-root tbody tr")
        rows.first.wait_for()
        assert rows.first.inner_text().split("\t") == ["shop.models.Order", "50", "2.7 KiB"]  # in the tool's order
        view.page.get_by_role("button", name="objects born in this request and still alive").click()
        assert rows.first.inner_text().split("\t") == ["dict", "52", "14.2 KiB"]
        size = view.page.get_by_role("button", name="their size, without what they refer to")
        for _ in range(2):  # unknown comes last, whichever way it is sorted
            size.click()
            assert rows.last.inner_text().split("\t") == ["_io.BufferedReader", "1", "unknown"]
        assert rows.first.inner_text().startswith("list\t")


def test_paths_of_references_read_in_order(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#profile=4")
    with nothing_wrong(view):
        view.page.get_by_role("tab", name="Objects").focus()
        view.page.keyboard.press("ArrowRight")  # tabs are worked with the keyboard
        groups = view.page.locator(".held h4")
        assert [" ".join(t.split()) for t in groups.all_inner_texts()] == [
            "dict 50 objects on one path",
            "shop.models.Order 50 objects on 2 paths",
            "list 1 object on one path",
        ]
        lists = view.page.locator(".held").nth(1).get_by_role("list")
        assert lists.count() == 2
        path = view.page.get_by_role("list", name="Path of references that holds 48 objects")
        items = path.get_by_role("listitem").all_inner_texts()
        assert [" ".join(t.split()) for t in items] == [
            "module shop.history refers by _ORDERS to",
            "list of 4 350 refers by [4300] to",
            "shop.models.Order",
        ]
        unnamed = lists.nth(1).get_by_role("listitem").nth(1)
        assert " ".join(unnamed.inner_text().split()) == "collections.deque refers to"
        assert view.page.get_by_text("No path from a module or a frame was found.").is_visible()


@pytest.mark.parametrize(("width", "down"), [(1280, False), (420, True)])
@pytest.mark.parametrize("make", [leak_report, hostile_report])
def test_boxes_and_arrows_stay_inside_and_follow_each_other(
    opened: Callable[..., Opened], make: Callable[[], Report], width: int, down: bool
) -> None:
    index = 4 if make is leak_report else 0
    view = opened(make(), f"#profile={index}", viewport={"width": width, "height": 900})
    with nothing_wrong(view):
        view.page.get_by_role("tab", name="What holds them").click()
        right = view.page.evaluate("document.querySelector('#profile-root article').getBoundingClientRect().right")
        parts = view.page.locator(".holders ol .box, .holders ol .arrow")
        boxes = [parts.nth(n).bounding_box() for n in range(min(parts.count(), 5))]
        known = [box for box in boxes if box is not None]
        assert len(known) == 5
        assert all(box["x"] + box["width"] <= right for box in known)
        if make is leak_report:
            first, arrow, second, *_ = known
            middle = arrow["y"] + arrow["height"] / 2
            if down:
                assert first["y"] + first["height"] <= arrow["y"] <= second["y"] - arrow["height"]
            else:
                assert first["x"] + first["width"] <= arrow["x"] <= second["x"] - arrow["width"]
                assert abs(first["y"] + first["height"] / 2 - middle) < 2


def test_many_paths_are_shown_a_page_at_a_time(opened: Callable[..., Opened]) -> None:
    chain = HolderChain("Order", 1, (Holder("module shop", "ORDERS"), Holder("Order", "")))
    chains = tuple(dataclasses.replace(chain, kind=f"Order{n % 7}", objects=n) for n in range(120))
    base = leak_report(requests_per_round=8)
    profile = dataclasses.replace(object_profile(), holders=chains)
    view = opened(dataclasses.replace(base, profiles=(ProfileView(base.profiles[4].artifact, profile),)), "#profile=0")
    with nothing_wrong(view):
        view.page.get_by_role("tab", name="What holds them").click()
        assert view.page.locator(".chain").count() == 50
        view.page.get_by_role("button", name="Show more").click()
        assert view.page.locator(".chain").count() == 120
        assert not view.page.get_by_role("button", name="Show more").is_visible()


def test_a_file_for_other_programs_has_its_path_and_no_button(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report())
    with nothing_wrong(view):
        row = view.page.locator("#t-profiles tbody tr").nth(3)
        assert "artifacts/xdebug-cart.callgrind opens with KCachegrind" in row.inner_text()
        assert row.get_by_role("button").count() == 0


def test_a_diamond_on_the_timeline_opens_its_profile(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#range=57.5,58.5")
    with nothing_wrong(view):
        canvas = view.page.locator("#track-requests canvas")
        canvas.scroll_into_view_if_needed()
        spot = view.page.evaluate(
            """() => { // the middle of what has the colour of profiled requests
                const canvas = document.querySelector('#track-requests canvas'), ratio = devicePixelRatio;
                const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let n = 0, x = 0, y = 0;
                for (let i = 0; i < data.length; i += 4) {
                    if (data[i] !== 122 || data[i + 1] !== 47 || data[i + 2] !== 208) continue;
                    n++, x += (i / 4) % width, y += Math.floor(i / 4 / width);
                }
                return n ? [x / n / ratio, y / n / ratio] : null;
            }"""
        )
        assert spot is not None
        canvas.click(position={"x": spot[0], "y": spot[1]})
        view.page.locator("#profile-root article").wait_for()
        assert "xdebug" in view.page.locator("#profile-root h3").inner_text()


def test_a_link_opens_the_same_view(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), "#range=20,30.5&profile=0")
    with nothing_wrong(view):
        assert view.range() == (20, 30.5)
        assert view.page.locator("#profile-root h3").inner_text().startswith("POST /cart")


@pytest.mark.parametrize(
    "link", ["#range=a,b", "#range=9,3", "#profile=99", "#profile=-1", "#range=NaN,Infinity&x=<img>"]
)
def test_a_wrong_link_is_ignored(opened: Callable[..., Opened], link: str) -> None:
    view = opened(leak_report(requests_per_round=8), link)
    with nothing_wrong(view):
        assert view.page.evaluate("__app.timeline.view.whole")


def test_hostile_names_stay_text_everywhere(opened: Callable[..., Opened]) -> None:
    view = opened(hostile_report(), "#profile=0")
    with nothing_wrong(view):
        view.page.locator("#profile-root tbody tr").first.wait_for()
        for tab in view.page.get_by_role("tab").all():
            tab.click()
        assert view.page.evaluate("window.pwned ?? null") is None
        assert view.page.locator("img, b-evil, #profile-root script").count() == 0
        assert view.page.locator("h1").inner_text() == clean(HOSTILE)
        assert view.page.evaluate("({}).polluted ?? null") is None


def test_an_injected_script_does_not_run(opened: Callable[..., Opened]) -> None:
    page = export(leak_report(requests_per_round=8)).replace(
        b"<main ", b"<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'><main ", 1
    )
    view = opened(page)
    assert view.page.evaluate("window.pwned ?? null") is None
    assert any("CSP" in c for c in view.complaints)


def test_dark_follows_the_system_and_the_button(opened: Callable[..., Opened]) -> None:
    def background(view: Opened) -> str:
        return str(view.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = (
        opened(leak_report(requests_per_round=8)),
        opened(leak_report(requests_per_round=8), color_scheme="dark"),
    )
    assert background(light) == "rgb(246, 247, 249)"
    assert background(dark) == "rgb(16, 20, 26)"
    with nothing_wrong(light):
        ink = "document.querySelector('#track-workers canvas').toDataURL()"
        before = light.page.evaluate(ink)
        light.page.get_by_role("button", name="Use dark colours").click()
        assert background(light) == background(dark)
        light.until(f"{ink} !== {json.dumps(before)}")  # canvases follow
        light.page.get_by_role("button", name="Use light colours").click()
        assert background(light) == "rgb(246, 247, 249)"


def strong_ink(view: Opened, track: str, seconds: float) -> int:
    """Pixels of a strong colour in the column of a track's canvas at that time; backgrounds are faint tints."""
    return int(
        view.page.evaluate(
            """([track, seconds]) => {
                const canvas = document.querySelector(`#track-${track} canvas`);
                const { lo, hi } = __app.timeline.view, ratio = devicePixelRatio;
                const x = 76 + (seconds - lo) / (hi - lo) * (canvas.clientWidth - 76 - 132);
                const { data } = canvas.getContext('2d').getImageData(Math.round(x * ratio) - 1, 0, 3, canvas.height);
                let n = 0;
                for (let i = 0; i < data.length; i += 4) {
                    const [r, g, b, alpha] = data.subarray(i, i + 4);
                    if ((Math.max(r, g, b) - Math.min(r, g, b)) * alpha / 255 > 70) n++;
                }
                return n;
            }""",
            [track, seconds],
        )
    )


@pytest.mark.parametrize("track", ["pools", "workers", "kernel"])
@pytest.mark.parametrize("link", ["", "#range=38,45"])
def test_nothing_is_drawn_where_nothing_was_measured(opened: Callable[..., Opened], track: str, link: str) -> None:
    view = opened(leak_report(), link)  # its sampler stalled from second 40 to 43
    assert strong_ink(view, track, 41.5) == 0
    assert strong_ink(view, track, 39.0) > 0
    assert strong_ink(view, track, 44.0) > 0


def test_a_spike_of_one_sample_in_a_long_run_is_seen(opened: Callable[..., Opened]) -> None:
    base = leak_report(requests_per_round=8)
    key = ("system.meminfo.MemAvailable", None)
    times = START + np.arange(200_000, dtype=np.int64) * (SECOND // 4)
    values = np.full(times.size, 4000 * MIB)
    values[123_457] -= 500 * MIB
    manifest = dataclasses.replace(base.timeline.manifest, ended_ns=int(times[-1]))
    series = {key: Series(*key, times, values)}
    timeline = dataclasses.replace(base.timeline, series=series, manifest=manifest)
    view = opened(dataclasses.replace(base, timeline=timeline))
    with nothing_wrong(view):
        assert strong_ink(view, "kernel", 123_457 / 4) > 3 * strong_ink(view, "kernel", 100_000 / 4)


def test_a_round_of_a_command_that_ended_well_is_no_failure(opened: Callable[..., Opened]) -> None:
    """Its status is the exit code 0, which a request has where no response came."""
    base = leak_report(requests_per_round=8)

    def all_of(status: int | None, error: str | None) -> Report:
        spans = [
            dataclasses.replace(j, span=dataclasses.replace(j.span, status=status, error=error, failed_checks=()))
            for j in base.timeline.spans
        ]
        report: Report = dataclasses.replace(base, timeline=dataclasses.replace(base.timeline, spans=tuple(spans)))
        return report

    keys = "#track-requests .key"
    assert opened(all_of(0, None)).page.locator(keys).all_inner_texts() == ["2xx or done"]
    assert opened(all_of(None, "refused")).page.locator(keys).all_inner_texts() == ["5xx or no response"]


def test_a_damaged_payload_is_said_and_the_findings_stay(opened: Callable[..., Opened]) -> None:
    page = export(leak_report(requests_per_round=8)).decode()
    block = re.search(r'id="series">([^<]+)<', page)
    assert block is not None
    for damaged in (block[1][: len(block[1]) // 2], "", "%%%", block[1][:400] + "AAAA" + block[1][404:]):
        view = opened(page.replace(block[1], damaged).encode())
        assert view.page.locator("body[data-error]").count() == 1
        assert view.page.get_by_role("alert").inner_text().startswith("The charts cannot be shown")
        assert view.page.locator("#finding-0").is_visible()
        assert view.page.locator("#t-endpoints tbody tr").count() == 3


def test_without_javascript_findings_and_tables_are_complete(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(), java_script_enabled=False)
    page = view.page
    assert page.locator("#finding-0").is_visible()
    assert page.get_by_text("The charts need JavaScript").is_visible()
    assert page.locator("#t-workers tbody tr").count() == 7
    assert page.locator("button:visible").count() == 0


def test_tables_sort_and_filter(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(workers=14))
    with nothing_wrong(view):
        table = view.page.locator("#t-endpoints")
        kept = table.get_by_role("button", name="Retained per request")
        assert table.locator("th[aria-sort=descending]").inner_text() == "Retained per request"
        kept.click()
        assert table.locator("tbody th").all_inner_texts() == ["GET /", "POST /cart", "GET /product/{id}"]
        kept.click()
        assert table.locator("tbody th").all_inner_texts() == [
            "POST /cart",
            "GET /",
            "GET /product/{id}",
        ]  # unknown last
        view.page.get_by_role("searchbox", name="Processes").fill("nginx")
        assert view.page.locator("#t-workers tbody tr:visible").count() == 1


def test_prints(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(requests_per_round=8), color_scheme="dark")
    with nothing_wrong(view):
        assert view.page.pdf(print_background=True).startswith(b"%PDF")


def test_the_committed_bundle_is_what_its_source_builds(tmp_path: Path) -> None:
    for program in ("node", "npm"):
        assert shutil.which(program), f"this test needs {program}: apt install nodejs npm"
    copy = tmp_path / "ui"
    shutil.copytree(UI, copy, ignore=shutil.ignore_patterns("node_modules"))
    for command in (["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["npm", "run", "check"]):
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=250, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    subprocess.run(["node", "build.mjs", str(tmp_path / "static")], cwd=copy, check=True, timeout=250)
    built = {p.name: p.read_bytes() for p in (tmp_path / "static").iterdir()}
    committed = {p.name: p.read_bytes() for p in STATIC.iterdir()}
    assert sorted(built) == sorted(committed)
    changed = [name for name in built if built[name] != committed[name]]
    assert changed == [], "rebuild with: npm --prefix harness/report/ui run build"


def test_the_bundle_stays_small_and_its_lock_names_no_registry() -> None:
    files = [(STATIC / name).read_bytes() for name in ("report.js", "report.css")]
    assert sum(map(len, files)) <= BUNDLE_LIMIT_BYTES
    assert sum(len(gzip.compress(f, 9)) for f in files) <= BUNDLE_LIMIT_PACKED_BYTES
    assert "http" not in re.sub(r'"(funding|url)":[^,}]*', "", (UI / "package-lock.json").read_text())
