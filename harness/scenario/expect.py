"""The lines of ``expect:``.

::

    verdict is [not] CAUSE[, CAUSE...]
    METRIC OP VALUE [of endpoint NAME | of pool NAME]

    retained_bytes_per_request, growth_per_hour, peak_pss   sizes
    p50, p99                                                durations
    errors                                                  a share (1%) or a count (3)

A cause matches its children: ``leak`` also means ``leak.objects``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.model.finding import Cause
from harness.scenario.hints import did_you_mean
from harness.units import parse_bytes, parse_duration_ns, parse_share

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


class Unit(StrEnum):
    """Unit of ``Expectation.value``. RATIO is 0 to 1."""

    BYTES = "bytes"
    NS = "ns"
    RATIO = "ratio"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class _Metric:
    parse: Callable[[str], tuple[float, Unit]]
    subject: str | None  # what "of ..." may narrow it to
    per: str  # tolerated after the value: 256 B/request


@dataclass(frozen=True, slots=True)
class Expectation:
    """One parsed line. ``metric``, ``op``, ``value`` and ``unit`` are None for a verdict; ``causes`` is empty for a metric.

    ``value`` is bytes, ns, a ratio (0 to 1) or a count, as ``unit`` says.
    """

    expr: str
    causes: tuple[str, ...] = ()
    negated: bool = False
    metric: str | None = None
    op: str | None = None
    value: float | None = None
    unit: Unit | None = None
    endpoint: str | None = None
    pool: str | None = None

    @property
    def kind(self) -> str:
        """``verdict`` or ``metric``."""
        return "verdict" if self.metric is None else "metric"

    def accepts(self, cause: Cause) -> bool:
        """Whether a verdict of ``cause`` meets this expectation."""
        named = any(cause == name or cause.startswith(f"{name}.") for name in self.causes)
        return named != self.negated

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


METRICS: Mapping[str, _Metric] = {
    "retained_bytes_per_request": _Metric(_size, "endpoint", "request"),
    "growth_per_hour": _Metric(_size, "pool", "h"),
    "peak_pss": _Metric(_size, "pool", ""),
    "errors": _Metric(_share_or_count, "endpoint", ""),
    "p50": _Metric(_duration, "endpoint", ""),
    "p99": _Metric(_duration, "endpoint", ""),
}
# `leak` of `leak.objects` and `kernel` of `kernel.slab` are names too.
CAUSE_NAMES: tuple[str, ...] = tuple(sorted({c.value for c in Cause} | {c.value.split(".")[0] for c in Cause}))

_SYNTAX = re.compile(
    r"(?P<metric>\w+)\s*(?P<op><=|>=|==|<|>)\s*(?P<value>.*?)(?:\s+of\s+(?P<kind>\w+)\s+(?P<subject>.+))?\Z", re.DOTALL
)
_VERDICT = re.compile(r"verdict\b\s*(?P<rest>.*)\Z", re.DOTALL)


def parse_expectation(text: str) -> Expectation:
    """One line of ``expect:``. Raises ValueError with what was meant."""
    expr = " ".join(text.split())
    if not expr:
        raise ValueError("an expectation is empty: write for example 'verdict is healthy'")
    if len(expr) > 500:
        raise ValueError("an expectation is longer than 500 characters")
    verdict = _VERDICT.match(expr)
    return _parse_verdict(expr, verdict["rest"]) if verdict else _parse_metric(expr)


def _parse_verdict(expr: str, rest: str) -> Expectation:
    match = re.match(r"is(?P<negated>\s+not)?\s+(?P<causes>.+)\Z", rest)
    if match is None:
        raise ValueError(f"{expr!r}: write 'verdict is healthy' or 'verdict is not leak'")
    causes = tuple(name.strip() for name in re.split(r",|\bor\b", match["causes"]))
    for name in causes:
        if name not in CAUSE_NAMES:
            raise ValueError(
                f"{name!r} is not a cause{did_you_mean(name, CAUSE_NAMES) or '; causes: ' + ', '.join(CAUSE_NAMES)}"
            )
    return Expectation(expr, causes=causes, negated=match["negated"] is not None)


def _parse_metric(expr: str) -> Expectation:
    match = _SYNTAX.match(expr)
    if match is None:
        name = expr.split(maxsplit=1)[0]
        known = ("verdict", *METRICS)
        raise ValueError(
            f"{expr!r} is not an expectation{did_you_mean(name, known) if name not in known else ''}: "
            "write 'verdict is CAUSE' or 'METRIC < VALUE', METRIC one of " + ", ".join(METRICS)
        )
    name = match["metric"]
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(f"{name!r} is not a metric{did_you_mean(name, METRICS) or '; metrics: ' + ', '.join(METRICS)}")
    kind = match["kind"]
    if kind is not None and kind != metric.subject:
        raise ValueError(f"{expr!r}: {name} can be narrowed with 'of {metric.subject} NAME', not with 'of {kind} ...'")
    value, unit = metric.parse(_without_per(match["value"], metric.per))
    subject = match["subject"]
    return Expectation(
        expr,
        metric=name,
        op=match["op"],
        value=value,
        unit=unit,
        endpoint=subject if kind == "endpoint" else None,
        pool=subject if kind == "pool" else None,
    )


def _without_per(value: str, per: str) -> str:
    number, slash, unit = value.rpartition("/")
    return number.strip() if per and slash and unit.strip() == per else value
