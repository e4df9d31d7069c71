from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from harness.load.inspect_body import KEPT_BODY_BYTES, Answer, decode_body, extractor, failed_checks
from harness.load.plan import CapturePlan, CheckPlan

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def answer(
    text: str = "", *, status: int = 200, headers: Mapping[str, str] = NO_HEADERS, latency_ns: int = 0
) -> Answer:
    return Answer(status, headers, text, latency_ns)


def test_regex_takes_the_group() -> None:
    capture = CapturePlan("v", "s", regex=r"(\w+)=(\w+)", group=2)
    assert extractor(capture)(answer("..a=b c=d")) == "b"
    assert extractor(capture)(answer("nothing")) is None
    assert extractor(CapturePlan("v", "s", regex="x+", group=0))(answer("axxb")) == "xx"


def test_a_group_that_took_no_part_is_no_value() -> None:
    assert extractor(CapturePlan("v", "s", regex="a(b)?"))(answer("ac")) is None


def test_references_are_resolved_in_html_only() -> None:
    capture = CapturePlan("v", "s", regex='href="([^"]*)"')
    text = '<a href="/x?a=1&amp;b=2">'
    assert extractor(capture)(answer(text, headers={"content-type": "text/html; charset=utf-8"})) == "/x?a=1&b=2"
    assert extractor(capture)(answer(text)) == "/x?a=1&amp;b=2"


def test_header() -> None:
    capture = CapturePlan("v", "s", header="X-Token")
    assert extractor(capture)(answer(headers={"x-token": "t"})) == "t"
    assert extractor(capture)(answer()) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [("data.items.1.id", "7"), ("data.name", "é"), ("data.flag", "true"), ("data.none", None), ("data.items", None),
     ("data.items.9.id", None), ("data.items.x", None), ("data.name.x", None), ("missing", None)],
)  # fmt: skip
def test_json_path(path: str, value: str | None) -> None:
    document = {"data": {"items": [{}, {"id": 7}], "name": "é", "flag": True, "none": None}}
    assert extractor(CapturePlan("v", "s", json=path))(answer(json.dumps(document))) == value


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_json_that_is_none(text: str) -> None:
    assert extractor(CapturePlan("v", "s", json="a"))(answer(text)) is None


def test_values_are_bounded() -> None:
    assert extractor(CapturePlan("v", "s", regex="(x+)"))(answer("x" * 100_000)) is None


def test_decoding() -> None:
    assert decode_body("ü".encode("latin-1"), {"content-type": 'text/html; charset="latin-1"'}) == "ü"
    assert decode_body(b"\xff", {}) == "\ufffd"
    assert decode_body(b"x", {"content-type": "text/html; charset=klingon"}) == "x"
    assert decode_body(b"x", {"content-type": "text/html; charset=iso-8859-99"}) == "x"
    assert decode_body("я".encode("koi8-r"), {"content-type": "text/html; charset=KOI8-R"}) == "я"
    assert decode_body(gzip.compress(b"abc"), {"content-encoding": "gzip"}) == "abc"
    assert decode_body(zlib.compress(b"abc"), {"content-encoding": "Deflate"}) == "abc"
    assert decode_body(gzip.compress(b"abcdef" * 1000)[:40], {"content-encoding": "gzip"}).startswith("abc")
    assert decode_body(b"rubbish", {"content-encoding": "gzip"}) == ""


@pytest.mark.parametrize("codec", ["base64", "idna", "punycode", "undefined", "unicode_escape", "utf-7", "rot13"])
def test_codecs_that_are_no_charsets_are_not_used(codec: str) -> None:
    assert decode_body(b"\\x41+AGE-", {"content-type": f"text/html; charset={codec}"}) == "\\x41+AGE-"


def test_half_a_surrogate_pair_becomes_something_that_can_be_sent() -> None:
    assert extractor(CapturePlan("v", "s", json="a"))(answer('{"a": "x\\ud800"}')) == "x?"


def test_a_compression_bomb_stays_small() -> None:
    assert len(decode_body(gzip.compress(bytes(50_000_000)), {"content-encoding": "gzip"})) == KEPT_BODY_BYTES


@pytest.mark.parametrize(
    ("checks", "given", "failed"),
    [
        (CheckPlan(), answer(status=302), ()),
        (CheckPlan(), answer(status=404), ("status",)),
        (CheckPlan(statuses=(404,)), answer(status=404), ()),
        (CheckPlan(statuses=(302,)), answer(status=200), ("status",)),
        (CheckPlan(contains=("a", "b")), answer("ab"), ()),
        (CheckPlan(contains=("a", "b")), answer("a"), ("contains",)),
        (CheckPlan(not_contains=("a", "b")), answer("b"), ("not_contains",)),
        (CheckPlan(max_latency_ns=5), answer(latency_ns=5), ()),
        (CheckPlan(max_latency_ns=5), answer(latency_ns=6, status=500), ("status", "latency")),
    ],
)
def test_checks(checks: CheckPlan, given: Answer, failed: tuple[str, ...]) -> None:
    assert failed_checks(checks, given) == failed
