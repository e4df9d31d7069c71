"""The lines of ``expect:``.

::

    verdict is [not] CAUSE[, CAUSE...]
    no CAUSE[, CAUSE...] [of pool NAME]
    METRIC OP VALUE [of endpoint NAME | of pool NAME]
    diff(METRIC) OP VALUE [of endpoint NAME | of pool NAME]

`METRICS` has the metrics, their values and what they may be narrowed to. A ``diff`` is what the run has more than its baseline:
an amount, or a share of the baseline. A cause matches its children: ``leak`` also means ``leak.objects``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.model.finding import Cause
from harness.model.measure import Unit
from harness.scenario.hints import did_you_mean
from harness.units import parse_bytes, parse_duration_ns, parse_share

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_MOST = 500  # characters
_MOST_PERCENT = 1e6


@dataclass(frozen=True, slots=True)
class Metric:
    """``subjects``: what "of ..." may narrow it to. ``per``: tolerated after the value, as in 256 B/request."""

    parse: Callable[[str], tuple[float, Unit]]
    subjects: tuple[str, ...]
    per: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One parsed line, of one of four kinds.

    verdict: ``causes``, ``negated``. causes: ``causes``, none of which may be found. metric and diff: ``metric``, ``op``,
    ``value``; the value is bytes, ns, a ratio (0 to 1) or a count, as ``unit`` says; of a ``relative`` diff it is a share of the
    baseline (0.05 is 5 %) and ``unit`` is that of the metric.
    """

    expr: str
    kind: str = "metric"
    causes: tuple[str, ...] = ()
    negated: bool = False
    metric: str | None = None
    op: str | None = None
    value: float | None = None
    unit: Unit | None = None
    endpoint: str | None = None
    pool: str | None = None
    relative: bool = False

    def names(self, cause: Cause) -> bool:
        """Whether ``cause``, or what it is a kind of, is among the causes of this line."""
        return any(cause == name or cause.startswith(f"{name}.") for name in self.causes)

    def accepts(self, cause: Cause) -> bool:
        """Whether a verdict of ``cause`` meets this expectation."""
        return self.names(cause) != self.negated

    def holds(self, actual: float) -> bool:
        """Whether ``actual``, in this expectation's unit, meets it."""
        if self.op is None or self.value is None:
            raise ValueError(f"{self.expr!r} is about the verdict, not about a number")
        return _OPERATORS[self.op](actual, self.value)


def _size(text: str) -> tuple[float, Unit]:
    return parse_bytes(text), Unit.BYTES


def _duration(text: str) -> tuple[float, Unit]:
    return parse_duration_ns(text), Unit.NS


def _share_or_count(text: str) -> tuple[float, Unit]:
    if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        return int(text), Unit.COUNT
    try:
        return parse_share(text), Unit.RATIO
    except ValueError:
        raise ValueError(f"{text!r} is neither a share such as 1% nor a count such as 0") from None


_OF_POOL = ("pool",)
_OF_ENDPOINT = ("endpoint",)
METRICS: Mapping[str, Metric] = {
    "retained_bytes_per_request": Metric(_size, ("endpoint", "pool"), "request"),
    "growth_per_round": Metric(_size, _OF_POOL, "round"),
    "growth_per_hour": Metric(_size, _OF_POOL, "h"),
    "peak_pss": Metric(_size, _OF_POOL),
    "peak_worker_pss": Metric(_size, _OF_POOL),
    "end_pss": Metric(_size, _OF_POOL),
    "pss_p50": Metric(_size, _OF_POOL),
    "pss_p95": Metric(_size, _OF_POOL),
    "pss_p99": Metric(_size, _OF_POOL),
    "peak_own": Metric(_size, _OF_POOL),
    "peak_worker_own": Metric(_size, _OF_POOL),
    "end_own": Metric(_size, _OF_POOL),
    "own_p50": Metric(_size, _OF_POOL),
    "own_p95": Metric(_size, _OF_POOL),
    "own_p99": Metric(_size, _OF_POOL),
    "request_peak": Metric(_size, _OF_ENDPOINT),
    "errors": Metric(_share_or_count, _OF_ENDPOINT),
    "p50": Metric(_duration, _OF_ENDPOINT),
    "p90": Metric(_duration, _OF_ENDPOINT),
    "p95": Metric(_duration, _OF_ENDPOINT),
    "p99": Metric(_duration, _OF_ENDPOINT),
}
# `leak` of `leak.objects` and `kernel` of `kernel.slab` are names too.
CAUSE_NAMES: tuple[str, ...] = tuple(sorted({c.value for c in Cause} | {c.value.split(".")[0] for c in Cause}))

_SUBJECT = r"(?:\s+of\s+(?P<kind>\w+)\s+(?P<subject>.+))?\Z"
_COMPARISON = r"\s*(?P<op><=|>=|==|<|>)\s*(?P<value>.*?)" + _SUBJECT
_METRIC = re.compile(r"(?P<metric>\w+)" + _COMPARISON, re.DOTALL)
_DIFF = re.compile(r"diff\s*\(\s*(?P<metric>[^)]*?)\s*\)" + _COMPARISON, re.DOTALL)
_VERDICT = re.compile(r"verdict\b\s*(?P<rest>.*)\Z", re.DOTALL)
_NO = re.compile(r"no\s+(?P<causes>.+?)" + _SUBJECT, re.DOTALL)
JSON_PATTERN = rf"^\s*(verdict\s+is\s|no\s|({'|'.join(METRICS)})\s*(<=?|>=?|==)|diff\s*\()"


def parse_expectation(text: str) -> Expectation:
    """One line of ``expect:``. Raises ValueError with what was meant."""
    expr = " ".join(text.split())
    if not expr:
        raise ValueError("an expectation is empty: write for example 'verdict is healthy'")
    if len(expr) > _MOST:
        raise ValueError(f"an expectation is longer than {_MOST} characters")
    if verdict := _VERDICT.match(expr):
        return _parse_verdict(expr, verdict["rest"])
    if absent := _NO.match(expr):
        return _parse_no(expr, absent)
    if re.match(r"diff\s*\(", expr):
        return _parse_diff(expr)
    return _parse_metric(expr)


def _parse_verdict(expr: str, rest: str) -> Expectation:
    match = re.match(r"is(?P<negated>\s+not)?\s+(?P<causes>.+)\Z", rest)
    if match is None:
        raise ValueError(f"{expr!r}: write 'verdict is healthy' or 'verdict is not leak'")
    return Expectation(expr, "verdict", causes=_causes(match["causes"]), negated=match["negated"] is not None)


def _parse_no(expr: str, match: re.Match[str]) -> Expectation:
    causes = _causes(match["causes"])
    if "healthy" in causes:
        raise ValueError(f"{expr!r}: 'healthy' is the absence of causes: write 'verdict is not healthy'")
    _endpoint, pool = _subject(expr, "the absence of a cause", match, _OF_POOL)
    return Expectation(expr, "causes", causes=causes, pool=pool)


def _causes(text: str) -> tuple[str, ...]:
    causes = tuple(name.strip().removesuffix(".*") for name in re.split(r",|\bor\b", text))
    for name in causes:
        if name not in CAUSE_NAMES:
            raise ValueError(
                f"{name!r} is not a cause{did_you_mean(name, CAUSE_NAMES) or '; causes: ' + ', '.join(CAUSE_NAMES)}"
            )
    return causes


def _parse_metric(expr: str) -> Expectation:
    match = _METRIC.match(expr)
    if match is None:
        name = re.split(r"\W", expr, maxsplit=1)[0]
        known = ("verdict", "no", "diff", *METRICS)
        raise ValueError(
            f"{expr!r} is not an expectation{did_you_mean(name, known) if name not in known else ''}: write "
            "'verdict is CAUSE', 'no CAUSE', 'METRIC < VALUE' or 'diff(METRIC) < VALUE', METRIC one of "
            + ", ".join(METRICS)
        )
    metric = _metric(match["metric"])
    endpoint, pool = _subject(expr, match["metric"], match, metric.subjects)
    value, unit = metric.parse(_without_per(match["value"], metric.per))
    return Expectation(
        expr, metric=match["metric"], op=match["op"], value=value, unit=unit, endpoint=endpoint, pool=pool
    )


def _parse_diff(expr: str) -> Expectation:
    match = _DIFF.match(expr)
    if match is None:
        raise ValueError(
            f"{expr!r}: write 'diff(METRIC) < 5 %', or an amount instead of the share; 'of endpoint NAME' or 'of pool NAME' "
            "comes last"
        )
    metric = _metric(match["metric"])
    endpoint, pool = _subject(expr, match["metric"], match, metric.subjects)
    value, unit, relative = _difference(_without_per(match["value"], metric.per), metric)
    return Expectation(expr, "diff", metric=match["metric"], op=match["op"], value=value, unit=unit, endpoint=endpoint,
                       pool=pool, relative=relative)  # fmt: skip


def _difference(text: str, metric: Metric) -> tuple[float, Unit, bool]:
    """(value, the metric's unit, whether the value is a share of the baseline). Errors are a share already: 1 % is a point."""
    percent = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%", text, re.ASCII)
    if percent is None or metric.parse is _share_or_count:
        return (*metric.parse(text), False)
    if float(percent[1]) > _MOST_PERCENT:
        raise ValueError(f"{text!r} is more than {_MOST_PERCENT:.0f} %")
    unit = Unit.NS if metric.parse is _duration else Unit.BYTES
    return float(percent[1]) / 100, unit, True


def _metric(name: str) -> Metric:
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(f"{name!r} is not a metric{did_you_mean(name, METRICS) or '; metrics: ' + ', '.join(METRICS)}")
    return metric


def _subject(expr: str, what: str, match: re.Match[str], allowed: tuple[str, ...]) -> tuple[str | None, str | None]:
    """(endpoint, pool)."""
    kind, subject = match["kind"], match["subject"]
    if kind is None:
        return None, None
    if kind not in allowed:
        ways = " or ".join(f"'of {each} NAME'" for each in allowed)
        raise ValueError(f"{expr!r}: {what} can be narrowed with {ways}, not with 'of {kind} ...'")
    return (subject, None) if kind == "endpoint" else (None, subject)


def _without_per(value: str, per: str) -> str:
    number, slash, unit = value.rpartition("/")
    return number.strip() if per and slash and unit.strip() == per else value
