"""The page as text: what it says without a script, and that nothing from a target can become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from reports import HOSTILE, empty_report, hostile_report, leak_report, single_sample_report

from harness.model.report import Report
from harness.report.exporters import html
from harness.report.exporters.html import export, script_json
from harness.report.words import clean

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
        "99.8 % of 1443 requests tied to their worker",
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
