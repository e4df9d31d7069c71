"""Look into a response: captured values and failed checks. Pure; everything looked at is hostile and capped."""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.load.plan import CapturePlan, CheckPlan

KEPT_BODY_BYTES = 2 * 1024 * 1024
_MAX_VALUE_CHARS = 64 * 1024
# What pages are written in. Python knows more names, among them codecs that are no charsets, raise or take quadratic time.
_CHARSET = re.compile(
    r"charset=\"?'?(us-ascii|latin-?1|iso-8859-\d{1,2}|windows-125\d|utf-16(?:le|be)?|shift_jis|euc-(?:jp|kr)|gb(?:k|2312|18030)"
    r"|big5|koi8-[ru])\b",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as captures and checks see it: lower-case header names, decoded text of the first 2 MiB."""

    status: int
    headers: Mapping[str, str]
    text: str
    latency_ns: int


Extract = Callable[[Answer], str | None]


def decode_body(body: bytes, headers: Mapping[str, str]) -> str:
    """The text of a (possibly cut) body; gzip and deflate are undone, again up to 2 MiB; what cannot be read is empty."""
    if headers.get("content-encoding", "").strip().lower() in {"gzip", "x-gzip", "deflate"}:
        try:
            body = zlib.decompressobj(wbits=47).decompress(body, KEPT_BODY_BYTES)  # 47: zlib or gzip, by its header
        except zlib.error:
            return ""
    named = _CHARSET.search(headers.get("content-type", ""))
    try:
        return body.decode(named[1] if named else "utf-8", "replace")
    except LookupError:  # looks like one, but is none: iso-8859-99
        return body.decode("utf-8", "replace")


def extractor(capture: CapturePlan) -> Extract:
    """How to get the capture's value out of an answer; None where it is not there or above 64 Ki characters."""
    if capture.regex is not None:
        return _limit(_by_regex(re.compile(capture.regex), capture.group))
    if capture.header is not None:
        name = capture.header.lower()
        return _limit(lambda answer: answer.headers.get(name))
    steps = (capture.json or "").split(".")
    return _limit(lambda answer: _by_path(answer.text, steps))


def failed_checks(checks: CheckPlan, answer: Answer) -> tuple[str, ...]:
    """Names of the checks that failed, see `CheckPlan`."""
    failed = []
    if answer.status not in checks.statuses if checks.statuses else answer.status >= 400:
        failed.append("status")
    if not all(text in answer.text for text in checks.contains):
        failed.append("contains")
    if any(text in answer.text for text in checks.not_contains):
        failed.append("not_contains")
    if checks.max_latency_ns is not None and answer.latency_ns > checks.max_latency_ns:
        failed.append("latency")
    return tuple(failed)


def _limit(extract: Extract) -> Extract:
    def limited(answer: Answer) -> str | None:
        value = extract(answer)
        if value is None or len(value) > _MAX_VALUE_CHARS:
            return None
        return value.encode("utf-8", "replace").decode(
            "utf-8"
        )  # JSON may hold half a surrogate pair, which cannot be sent

    return limited


def _by_regex(pattern: re.Pattern[str], group: int) -> Extract:
    # Nothing in the standard library stops a pattern that backtracks exponentially; the input's size is all that can be
    # bounded. The pattern is the scenario author's, only the text is the target's.
    def extract(answer: Answer) -> str | None:
        match = pattern.search(answer.text)
        value = match[group] if match else None
        if value is not None and "html" in answer.headers.get("content-type", ""):
            return html.unescape(value)  # what stands in an attribute as &amp; is sent as &
        return value

    return extract


def _by_path(text: str, steps: list[str]) -> str | None:
    try:
        value = json.loads(text)
        for step in steps:
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, int | float) else None
