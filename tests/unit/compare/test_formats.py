"""Text, Markdown, JSON and the page: what is told, and that hostile names stay names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import jsonschema
import pytest
from compared import ALIKE, facts, finding, kept, latency, level, simulated

from harness.compare import json_, markdown, page, text
from harness.compare.drift import drift
from harness.compare.engine import compare
from harness.compare.facts import LineFact
from harness.compare.model import Comparison, Curve, Drift
from harness.model.finding import Cause
from harness.report.terminal import width

MIB = 1024 * 1024
HOSTILE = '<script>alert(1)</script>\x1b[31m\u202e|`"&'


@pytest.fixture(scope="module")
def whole() -> Comparison:
    return compare([simulated(1)], [simulated(2, 8000)])


@pytest.fixture(scope="module")
def drifting() -> Drift:
    return drift([facts(kept(0), level(100 * MIB * 1.05**i), latency(2e6), name=f"run-{i}") for i in range(8)])


@pytest.fixture(scope="module")
def hostile() -> Comparison:
    curve = Curve(HOSTILE, HOSTILE, False, (-1.0, 0.0, 1.0), (1 * MIB, 2 * MIB, 2 * MIB))
    endpoint = kept(0, endpoint=HOSTILE)
    lines = [LineFact("tracemalloc", HOSTILE, f"/srv/{HOSTILE}.py", HOSTILE, 3, 0)]
    more = [LineFact("tracemalloc", HOSTILE, f"/srv/{HOSTILE}.py", HOSTILE, 3, 9000)]
    base = facts(
        kept(0),
        endpoint,
        level(MIB),
        name=HOSTILE,
        lines=lines,
        curves=[curve],
        conditions={**ALIKE, "version of harness": HOSTILE},
    )
    head = facts(
        kept(9000), kept(9000, endpoint=HOSTILE), level(9 * MIB), name=HOSTILE, lines=more,
        findings=[finding(Cause.LEAK_OBJECTS, HOSTILE)], conditions={**ALIKE, "version of harness": "1"},
    )  # fmt: skip
    return compare([base], [head])


def test_the_outcome_is_first_and_the_reason_second(whole: Comparison) -> None:
    lines = text.render(whole).splitlines()
    assert lines[0] == "✗ fail – 1 run against 1 run – test"
    assert "got worse" in lines[1]
    assert any(line.startswith("✗ kept per request") and "cart_add" in line for line in lines)
    assert "came: critical" in "\n".join(lines)


@pytest.mark.parametrize("columns", [60, 100])
def test_lines_are_as_wide_as_the_terminal_and_say_no_control_characters(hostile: Comparison, columns: int) -> None:
    rendered = text.render(hostile, columns=columns)
    assert all(width(line) <= columns for line in rendered.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", rendered)


def test_colour_is_only_there_when_wanted(whole: Comparison) -> None:
    assert "\x1b[" not in text.render(whole)
    assert "\x1b[31m" in text.render(whole, colour=True)


def test_a_drift_names_the_runs(drifting: Drift) -> None:
    rendered = text.render(drifting)
    assert rendered.startswith("✗ fail – drift over 8 runs – shop\n")
    assert "each run" in rendered
    assert "run-7" in rendered


def test_markdown_escapes_what_would_be_markup(hostile: Comparison) -> None:
    rendered = markdown.export(hostile).decode()
    assert not re.search(r"(?<!\\)<script", rendered)
    assert all(line.count("|") - line.count("\\|") == 9 for line in rendered.splitlines() if line.startswith("| ✗"))


@pytest.mark.parametrize("name", ["whole", "drifting", "hostile"])
def test_json_fits_its_schema(name: str, request: pytest.FixtureRequest) -> None:
    document = json.loads(json_.export(request.getfixturevalue(name)))
    schema = json.loads(json_.schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    assert document["format"] == "harness-compare/1"


def test_the_schema_is_strict_about_what_it_promises(whole: Comparison) -> None:
    document = json.loads(json_.export(whole))
    schema = json.loads(json_.schema_text())
    for broken in (
        {**document, "outcome": "perhaps"},
        {k: v for k, v in document.items() if k != "rows"},
        {**document, "rows": [{}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_json_has_every_row_and_unknown_is_null(whole: Comparison) -> None:
    document = json.loads(json_.export(whole))
    assert len(document["rows"]) == len(whole.rows)
    assert "NaN" not in json_.export(whole).decode()
    assert "curves" not in document


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("name", ["whole", "drifting", "hostile"])
def test_the_page_has_no_script_and_loads_nothing(name: str, request: pytest.FixtureRequest) -> None:
    html = page.export(request.getfixturevalue(name)).decode()
    found = _Tags()
    found.feed(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(found.tags)
    assert not [n for n, _ in found.attributes if n.startswith("on") or n in ("style", "src", "href")]
    policy = next(v for n, v in found.attributes if n == "content" and v and "default-src" in v)
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_page_draws_both_sides_and_tells_them_in_numbers(whole: Comparison) -> None:
    html = page.export(whole).decode()
    assert html.count('<polyline class="base"') == 1
    assert html.count('<polyline class="head"') == 1
    assert "The chart of app in numbers" in html


def test_the_same_comparison_gives_the_same_bytes(whole: Comparison) -> None:
    for export in (page.export, json_.export, markdown.export):
        assert export(whole) == export(whole)


def test_a_chart_of_one_value() -> None:
    flat = Curve("app", "a", False, (0.0,), (0,))
    found = compare([facts(kept(0), curves=[flat])], [facts(kept(0), curves=[])])
    assert b"<polyline" in page.export(found)
