"""The page in Debian's Chromium and Firefox, by one driver: what it does, that it is accessible, and runs of any size."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from big_reports import big_report
from pages import Opened, nothing_wrong
from reports import MIB, empty_report, hostile_report, hosts_report, leak_report, object_profile

from harness.model.report import ProfileView, Report
from harness.report.exporters.html import export

pytestmark = [pytest.mark.browser, pytest.mark.integration]

BROWSER = Path(__file__).parents[1] / "browser"
PROGRAMS = {"chrome": ("chromium", "chromium-browser"), "firefox": ("firefox-esr", "firefox")}
Step = dict[str, object]
RANGE: Step = {"evaluate": "[__app.timeline.view.lo, __app.timeline.view.hi]"}


def drive(browser: str, page: Path, steps: list[Step]) -> dict[str, Any]:
    """Open the page in a browser and take those steps; what the page said and asked for, and the results."""
    assert (BROWSER / "node_modules/puppeteer-core").is_dir(), (
        "these tests need npm packages: npm --prefix tests/browser ci --ignore-scripts"
    )
    program = next((at for name in PROGRAMS[browser] if (at := shutil.which(name))), None)
    assert program, f"these tests need {PROGRAMS[browser][0]}: apt install {PROGRAMS[browser][0]}"
    told = {"browser": browser, "program": program, "url": page.as_uri(), "steps": steps}
    command = ["node", str(BROWSER / "drive.mjs")]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["error"] is None
    assert found["complaints"] == []
    assert {url for url in found["requests"] if not url.startswith("data:")} <= {page.as_uri()}  # axe brings a font
    return found


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Report], Path]:
    def write(report: Report) -> Path:
        path = tmp_path / "report.html"
        path.write_bytes(export(report))
        return path

    return write


@pytest.mark.parametrize("browser_name", ["chrome", "firefox"])
def test_mouse_and_keys_work_in_both(page: Callable[[Report], Path], browser_name: str) -> None:
    steps: list[Step] = [
        RANGE,
        {"drag": ["#track-workers .plot", 400, 600]},
        RANGE,
        {"until": "document.querySelector('#endpoints .scope').hidden === false"},
        {"evaluate": "document.querySelector('#tracks').focus()"},
        {"press": "w"},
        RANGE,
        {"press": "0"},
        RANGE,
        {"click": "#finding-0 button.open"},
        {"until": "document.querySelector('#profile-root tbody tr') !== null"},
        {"evaluate": "location.hash"},
    ]
    found = drive(browser_name, page(leak_report()), steps)["results"]
    whole, dragged, zoomed, again = found[0], found[2], found[6], found[8]
    assert whole[0] < dragged[0] < dragged[1] < whole[1]
    assert zoomed[1] - zoomed[0] == pytest.approx((dragged[1] - dragged[0]) / 2)
    assert again == whole
    assert found[-1] == "#profile=1&tab=Lines&find=cart.py%3A42"


@pytest.mark.parametrize("browser_name", ["chrome", "firefox"])
@pytest.mark.parametrize("make", [empty_report, hostile_report])
def test_nothing_and_attacks_open_in_both(
    page: Callable[[Report], Path], make: Callable[[], Report], browser_name: str
) -> None:
    steps: list[Step] = [
        {"evaluate": "[window.pwned ?? null, ({}).polluted ?? null, document.querySelectorAll('img').length]"}
    ]
    assert drive(browser_name, page(make()), steps)["results"] == [[None, None, 0]]


@pytest.mark.parametrize("browser_name", ["chrome", "firefox"])
def test_nothing_is_in_the_way_of_those_who_cannot_see_it(page: Callable[[Report], Path], browser_name: str) -> None:
    """axe-core finds nothing serious: as it opens, with a range, a profile and each of its tabs, in light and in dark."""
    base = leak_report(requests_per_round=40)
    profiles = (*base.profiles, ProfileView(base.profiles[4].artifact, object_profile()))
    everything = "document.querySelectorAll('details').forEach(d => d.open = true)"
    steps: list[Step] = []
    for _ in ("light", "dark"):
        steps += [{"evaluate": everything}, {"axe": True}]
        steps += [{"evaluate": "__app.timeline.view.show(20, 30)"}]
        for index, tab in ((0, "Calls"), (0, "Call tree"), (1, "Lines"), (5, "Objects"), (5, "What holds them")):
            steps += [{"evaluate": f"__app.profiles.open({index}, '{tab}')"}, {"axe": True}]
        steps += [{"evaluate": "scrollTo(0, 0)"}, {"click": "#theme"}]
    found = drive(browser_name, page(dataclasses.replace(base, profiles=profiles)), steps)
    checks = [r for step, r in zip(steps, found["results"], strict=True) if "axe" in step]
    assert len(checks) == 12
    assert [v for violations in checks for v in violations if v["impact"] in ("serious", "critical")] == []


def test_tab_reaches_everything(opened: Callable[..., Opened]) -> None:
    view = opened(leak_report(requests_per_round=8), "#profile=0")
    with nothing_wrong(view):
        waiting = """[...document.querySelectorAll('button, input, summary, [tabindex]')]
            .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)"""
        count = int(view.page.evaluate(f"(window.waiting = new Set({waiting})).size"))
        view.page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        for _ in range(count + 20):
            view.page.keyboard.press("Tab")
            view.page.evaluate("window.waiting.delete(document.activeElement)")
        assert view.page.evaluate("[...window.waiting].map(e => e.outerHTML.slice(0, 120))") == []


@pytest.mark.parametrize(
    ("size", "limit_bytes", "thinned"),
    [
        ({"samples": 1_000_000, "requests": 100_000, "seconds": 1000}, 2_000_000, False),
        ({"samples": 20_000_000, "requests": 20_000, "processes": 50, "seconds": 48 * 3600}, 16_000_000, True),
        ({"samples": 100_000, "requests": 2_000, "processes": 500, "seconds": 600}, 2_000_000, False),
    ],
    ids=["1e6 samples", "2e7 samples in 48 h", "500 processes"],
)
def test_runs_of_any_size_open(
    opened: Callable[..., Opened], size: dict[str, int], limit_bytes: int, *, thinned: bool
) -> None:
    report = big_report(**size)
    key = report.timeline.workers[0].info.key
    series = report.timeline.series["process.memory.pss", key]
    spike = series.t_ns.size // 3
    series.values[spike] += 900 * MIB
    written = export(report)
    assert len(written) <= limit_bytes
    view = opened(written)
    with nothing_wrong(view):
        facts = view.page.locator("dl.facts").first.inner_text()
        assert ("the least and the most of every" in facts) is thinned
        most = view.page.evaluate(
            """Math.max(...__app.timeline.tracks.find(t => t.id === 'workers').chart.data.slice(1).flat()
                .filter(Number.isFinite))"""
        )
        assert most == int(series.values.max())  # of one sample, at full zoom-out


def test_the_same_report_gives_the_same_bytes() -> None:
    first, second = (export(big_report(samples=5_000, requests=500)) for _ in range(2))
    assert first == second


def test_the_driver_and_axe_are_those_of_the_lock_file() -> None:
    lock = (BROWSER / "package-lock.json").read_text()
    assert "://" not in re.sub(r'"(funding|url)":[^,}]*', "", lock)
    assert {"axe-core", "puppeteer-core"} == set(json.loads(lock)["packages"][""]["devDependencies"])


def test_hosts_and_containers_are_in_nobodys_way(page: Callable[[Report], Path]) -> None:
    everything = "document.querySelectorAll('details').forEach(d => d.open = true)"
    steps: list[Step] = [{"evaluate": everything}, {"axe": True}, {"click": "#theme"}, {"axe": True}]
    found = drive("chrome", page(hosts_report()), steps)["results"]
    checks = [r for step, r in zip(steps, found, strict=True) if "axe" in step]
    assert [v for violations in checks for v in violations if v["impact"] in ("serious", "critical")] == []
