"""The page as text: what it says without a script, and that nothing from a target can become markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from reports import HOSTILE, empty_report, hostile_report, leak_report, single_sample_report

from harness.model.finding import Cause, Evidence, Location, Side, Subject
from harness.model.report import Report
from harness.report.exporters import html
from harness.report.exporters.html import export, script_json
from harness.report.page.costs import costs
from harness.report.page.glossary import WORDS, Glossary
from harness.report.page.rounds import Sizes, sizes, stretch
from harness.report.words import clean, plain

ALL = [leak_report, empty_report, single_sample_report, hostile_report]


class Page(HTMLParser):
    """Elements and text as a browser would see them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(data.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "input", "link"}:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside, f"</{tag}> closes nothing"
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in {"script", "style"}:
            identifier = self.tags[-1][1].get("id") or self.inside[-1]
            self.raw[identifier] = self.raw.get(identifier, "") + data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.mark.parametrize("make", ALL)
def test_is_well_formed_and_loads_nothing(make: Callable[[], Report]) -> None:
    page = Page(export(make()))
    assert page.inside == []
    names = {name for _, attributes in page.tags for name in attributes}
    assert names.isdisjoint({"src", "href", "style", "srcset"})
    assert not [n for n in names if n.startswith("on")]
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "iframe", "link", "object", "embed", "form"})
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("make", ALL)
def test_the_policy_allows_exactly_the_inlined_files(make: Callable[[], Report]) -> None:
    page = Page(export(make()))
    content = next(
        a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert content is not None

    def sha(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert content == (
        f"default-src 'none'; script-src '{sha(page.raw['script'])}'; style-src '{sha(page.raw['style'])}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "unsafe" not in content


def test_findings_and_tables_are_there_without_a_script() -> None:
    text = Page(export(leak_report())).text
    for part in (
        "The workers keep 2.1 KiB of every POST /cart request and never give it back.",
        "+2.1 KiB per request (95 % CI 1.9 KiB to 2.3 KiB)",
        "add (shop/cart.py:42)",
        "8 of 8 rounds end higher than they began",
        "gunicorn shop.wsgi --max-requests 2000",
        "Expectations: 2 of 3 failed",
        "/proc/slabinfo is readable by root only",
        "99.8 % of 1 443 requests tied to their worker",
        "2026-11-23 10:15:00+02:00",
        "missing: no file appeared",
        "artifacts/xdebug-cart.callgrind opens with KCachegrind, callgrind_annotate",
    ):
        assert part in text


def test_a_request_opens_its_profile_and_not_the_file_beside_it() -> None:
    page = Page(export(leak_report()))
    profiles = json.loads(page.raw["meta"])["profiles"]
    assert profiles[0]["request"] is not None
    assert [(p["request"], p["here"]) for p in profiles[2:]] == [(None, False), (None, False), (None, True)]


def test_hostile_names_are_text() -> None:
    page = Page(export(hostile_report()))
    assert clean(HOSTILE) in page.text
    assert "<img" not in export(hostile_report()).decode().replace(page.raw["script"], "")


def test_the_band_says_what_where_and_what_to_do_and_the_finding_keeps_the_sentence() -> None:
    report = leak_report(requests_per_round=4)
    sentence = "Every request keeps 2 KiB in the worker; at 10 requests a second that is 70 MiB an hour."
    holder = Evidence("profile.holder", 1.0, "objects", "1 Row of one request held by shop.cart._HISTORY -> list")
    action = "Bound what /srv/app/shop/cart.py:42 leaves: shop.cart._HISTORY -> list."
    first = dataclasses.replace(report.findings[0].prescriptions[0], action=action)
    where = Location("/srv/app/shop/cart.py", 42, "add")
    subject = dataclasses.replace(report.findings[0].subject, location=where)
    finding = dataclasses.replace(
        report.findings[0], summary=sentence, evidence=(holder,), prescriptions=(first,), subject=subject
    )
    verdict = dataclasses.replace(report.verdict, cause=finding.cause, summary=sentence)
    text = Page(export(dataclasses.replace(report, verdict=verdict, findings=(finding,)))).text
    band, _, below = text.partition("Findings")
    for part in (
        "WhatEvery request keeps 2 KiB in the worker.",
        "WherePOST /cart, shop/cart.py:42 (add)",
        "Held byshop.cart._HISTORY -> list",
        "DoBound what shop/cart.py:42 leaves.",
    ):
        assert part in band
    assert sentence not in band
    assert sentence in below
    assert action in below


def test_the_band_of_several_pools_that_do_not_grow_names_no_single_one() -> None:
    report = leak_report(requests_per_round=4)
    calm = dataclasses.replace(
        report.findings[0],
        cause=Cause.HEALTHY,
        summary="web-1 does not grow.",
        subject=Subject(pool="web-1"),
        prescriptions=(),
    )
    verdict = dataclasses.replace(
        report.verdict, cause=Cause.HEALTHY, summary="web-1 and web-2 do not grow; none does."
    )
    for told, where in ((verdict, False), (dataclasses.replace(verdict, summary=calm.summary), True)):
        text = Page(export(dataclasses.replace(report, verdict=told, findings=(calm,)))).text
        band = text.partition("Findings")[0]
        assert f"What{told.summary}" in band
        assert ("Whereweb-1" in band) is where


def test_the_strongest_evidence_and_all_against_it_is_open_and_the_rest_folded() -> None:
    report = leak_report(requests_per_round=4)
    rows = [Evidence(f"heap.{i}", 1.0, "ratio", f"weak {i}") for i in range(8)]
    rows += [Evidence("profile.line", None, "", "the line"), Evidence("pool.floor", 2048.0, "bytes/round", "the trend")]
    rows += [Evidence("decay", 0.5, "ratio", "it slows down", Side.AGAINST)]
    finding = dataclasses.replace(report.findings[0], evidence=rows)
    page = export(dataclasses.replace(report, findings=(finding,))).decode()
    section = page[page.index('id="finding-0"') :]
    evidence = section[section.index("<h4>Evidence") : section.index("<h4>What to do")]
    opened, _, folded = evidence.partition("<details>")
    assert [w for w in ("the trend", "the line", "weak 0", "weak 1", "it slows down") if w not in opened] == []
    assert "Against it:" in opened
    assert opened.count("<li") == 5
    assert "6 more pieces of evidence" in folded
    assert "heap.7 = 1 ratio" in folded
    assert 'title="pool.floor = 2.0 KiB/round"' in opened
    assert "not measured" not in evidence


def test_words_are_explained_once_where_they_are_used_and_in_a_list() -> None:
    page = Page(export(leak_report(requests_per_round=4)))
    marked = [attributes for tag, attributes in page.tags if tag == "dfn"]
    assert marked
    assert len({a["title"] for a in marked}) == len(marked)
    assert all(a["tabindex"] == "0" for a in marked)
    glossary = Glossary()
    assert glossary.mark("the floors of a round").count("<dfn") == 2
    assert glossary.mark("the floor") == "the floor"
    assert glossary.mark("delivered roundabout") == "delivered roundabout"
    assert all(word in page.text and text in page.text for word, text in WORDS.items())


def test_sizes_are_those_of_the_measured_rounds() -> None:
    report = leak_report(requests_per_round=4)
    within = stretch(report.timeline)
    assert within is not None
    series = report.timeline.series["process.memory.pss", report.timeline.workers[1].info.key]
    found = sizes(series.t_ns, series.values, within)
    inside = series.values[(series.t_ns >= within[0]) & (series.t_ns <= within[1])]
    assert inside.size < series.values.size
    assert (found.start, found.end, found.peak) == (inside[0], inside[-1], inside.max())
    assert found.change == inside[-1] - inside[0]
    assert sizes(series.t_ns, series.values, None).end == series.values[-1]
    assert sizes(series.t_ns, series.values, (0, 1)) == Sizes()
    assert stretch(empty_report().timeline) is None
    assert "what probes and profilers take afterwards is left out" in Page(export(report)).text


def test_costs_are_sentences_and_what_has_none_keeps_its_name() -> None:
    shown = costs(
        {"load_max_lag_ms": 1683.2, "sampler_floors": 12.0, "sampler_floors_cpu_s": None, "relay_cpu_percent": 2.0}
    )
    assert "left 1\u202f683 ms after the moment" in shown
    assert "12 times memory was measured at a floor, in an unknown number of s" in shown
    assert "<li>Relay cpu percent: 2.</li>" in shown
    agent = {"agent_us_per_request": 9.1, "agent_us_per_request_p95": 14.2, "agent_requests_timed": 31.0}
    assert "took 9.1 µs of a request, and 14.2 µs or more of one in twenty" in costs(agent)
    assert "of 31 requests that timed it." in costs(agent)
    unknown = costs({**dict.fromkeys(agent), "agent_requests_timed": 0.0})
    assert unknown.startswith("<li>What the agent inside the target took of a request is unknown")
    assert unknown.count("<li>") == 1
    assert costs({}) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.00851348, "0.0085"),
        (-0.00001, "0"),
        (1683.2, "1\u202f683"),
        (12.0, "12"),
        (5.455, "5.455"),
        (123.456, "123.5"),
    ],
)
def test_numbers_have_no_powers_of_ten(value: float, said: str) -> None:
    assert plain(value) == said


def test_an_empty_run_says_so() -> None:
    text = Page(export(empty_report())).text
    for part in (
        "No finding.",
        "No request was sent",
        "No process was seen.",
        "No request was profiled",
        "Not a complete run",
    ):
        assert part in text


def test_same_report_same_bytes() -> None:
    assert export(leak_report()) == export(leak_report())


def test_json_in_a_script_cannot_end_it() -> None:
    shown = script_json({"a": "</script><!--\u2028"})
    assert "<" not in shown
    assert shown.isascii()


def test_third_party_notice_ships_with_the_bundle() -> None:
    static = files("harness.report").joinpath("static")
    notice = static.joinpath("THIRD-PARTY.txt").read_text()
    assert "uPlot 1.6.32" in notice
    assert "Permission is hereby granted" in notice
    assert "Permission is hereby granted" in static.joinpath("report.js").read_text()[:2000]


def test_profiles_go_first_when_the_page_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    report = leak_report(requests_per_round=8)
    whole = export(report)
    assert b'id="profile-0"' in whole
    monkeypatch.setattr(html, "PAGE_BYTES", html._ROOM_BYTES)
    assert b'id="profile-0"' not in export(report)
    assert b"the least and the most of every" not in whole
    monkeypatch.setattr(html, "POINTS", 1_000)
    assert re.search(rb"the charts show the least and the most of every \d+ sweeps", export(report))
