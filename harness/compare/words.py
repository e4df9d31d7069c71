"""Quantities, amounts and answers of a comparison in words, the same in every format. Names from targets are cleaned."""

from __future__ import annotations

from collections.abc import Mapping

from harness.compare.model import Answer, Change, DriftRow, Method, Mismatch, Outcome, Row
from harness.model.measure import Unit
from harness.report.words import clean, known
from harness.units import format_bytes, format_duration

_TITLES: Mapping[str, str] = {
    "retained_bytes_per_request": "kept per request",
    "live_bytes_per_request": "live memory kept per request",
    "kept_by_endpoints": "kept per request, by endpoints",
    "growth_per_round": "growth per round",
    "growth_per_hour": "growth per hour",
    "live_per_round": "growth of live memory per round",
    "peak_own": "peak of own memory",
    "floor_own": "own memory between rounds",
    "peak_pss": "peak PSS",
    "floor_pss": "PSS between rounds",
    "peak_worker_pss": "peak PSS of a worker",
    "end_pss": "PSS at the end",
    "pss_p50": "PSS, median",
    "pss_p95": "PSS, p95",
    "pss_p99": "PSS, p99",
    "peak_worker_own": "peak of own memory of a worker",
    "end_own": "own memory at the end",
    "own_p50": "own memory, median",
    "own_p95": "own memory, p95",
    "own_p99": "own memory, p99",
    "request_peak": "peak of a request",
    "errors": "errors",
    "p50": "latency p50",
    "p90": "latency p90",
    "p95": "latency p95",
    "p99": "latency p99",
    "threads_per_round": "threads per round",
    "descriptors_per_round": "descriptors per round",
}
_PARTS: Mapping[str, str] = {
    "live": "live memory",
    "live_runtime": "live memory in the runtime's heap",
    "live_native": "live memory in malloc",
    "allocator_held": "memory held by allocators",
    "other_native": "other native memory",
    "image": "copies of file pages",
    "file": "file pages",
    "shared": "shared memory",
    "stacks": "stacks",
    "thp": "slack of huge pages",
    "swap": "swapped memory",
    "unexplained": "unexplained memory",
}
SIGNS: Mapping[Answer, str] = {Answer.BETTER: "✓", Answer.WORSE: "✗", Answer.SAME: "=", Answer.UNKNOWN: "?"}
OUTCOME_SIGNS: Mapping[Outcome, str] = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.UNKNOWN: "?"}
CHANGE_SIGNS: Mapping[Change, str] = {Change.CAME: "+", Change.WENT: "-", Change.CAUSE: "~", Change.STAYED: "="}
METHODS: Mapping[Method, str] = {
    Method.RUNS: "how the runs of a side differ",
    Method.WITHIN: "the intervals of the runs",
    Method.ASSUMED: "how much repeats usually differ",
}


def shown(text: str) -> str:
    """A name or value from a target, for people."""
    return clean(text)


def title(metric: str) -> str:
    """What a metric is called; the parts of the ledger by their names."""
    found = _TITLES.get(metric)
    if found is not None:
        return found
    part = metric.removeprefix("floor_").removesuffix("_per_round")
    name = _PARTS.get(part, part.replace("_", " "))
    return f"growth of {name} per round" if metric.endswith("_per_round") else f"{name} between rounds"


def subject(row: Row | DriftRow) -> str:
    """Whose it is; empty for the whole application."""
    return clean(row.endpoint or row.pool or "")


def named(row: Row) -> str:
    """``kept per request of app +1.2 KiB (+82 %)``."""
    whose = f" of {subject(row)}" if subject(row) else ""
    if row.difference is None:
        return f"{title(row.metric)}{whose}"
    return f"{title(row.metric)}{whose} {amount(row.difference, row.unit, sign=True)}{relative(row)}"


def relative(row: Row) -> str:
    """`` (+82 %)``; empty where the base is next to nothing, and for multiples."""
    share = row.relative
    if share is None or row.base.value is None or abs(share) >= 10 or abs(row.base.value) < (row.threshold or 0):
        return ""
    return f" ({100 * share:+.{0 if abs(share) >= 0.1 else 1}f} %)"


def amount(value: float | None, unit: Unit, *, sign: bool = False) -> str:
    """``+1.5 KiB``, ``12.3 ms``, ``0.2 %``, ``3``; a dash for what is not known."""
    number = known(value)
    if number is None:
        return "–"
    if unit is Unit.BYTES:
        return format_bytes(number, sign=sign)
    plus = "+" if sign and number > 0 else ""
    if unit is Unit.NS:
        return plus + format_duration(number)
    return f"{plus}{100 * number:.2f} %" if unit is Unit.RATIO else f"{plus}{number:.3g}"


def interval(low: float | None, high: float | None, unit: Unit) -> str:
    """``-1.0 to +2.0 KiB``; an end that is not known is a dash; empty where neither is."""
    if known(low) is None and known(high) is None:
        return ""
    first, last = amount(low, unit, sign=True), amount(high, unit, sign=True)
    number, _, of = first.partition(" ")
    return f"{number} to {last}" if of and last.endswith(f" {of}") else f"{first} to {last}"


def remark(row: Row) -> str:
    """What is to be said beside the numbers of a row."""
    if row.tiny:
        return f"certain, but less than the {amount(row.threshold, row.unit)} that matter"
    if row.answer is not Answer.UNKNOWN:
        return ""
    if row.difference is None:
        return clean(row.reason)
    certain = ""
    if row.high is not None and row.threshold is not None and row.high < row.threshold:
        certain = "certainly not worse; "
    return f"{certain}would need {row.needs}"


def mismatch_text(mismatch: Mismatch) -> str:
    """``host: kernel: 6.1 in base, 6.2 in head``."""
    if mismatch.base == mismatch.head == "":
        return f"{clean(mismatch.what)} differs"
    return f"{clean(mismatch.what)}: {clean(mismatch.base)} in base, {clean(mismatch.head)} in head"
