"""Judge the lines of ``expect:``. Pure.

Fails closed: where the data is missing, or a limit lies inside an interval, the answer is None, which counts as failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.baseline import Baseline
from harness.analysis.differences import difference, relative, together
from harness.analysis.unjudged import OF_MEMORY
from harness.compare.conditions import mismatches
from harness.model.finding import Cause, Confidence, Finding
from harness.model.measure import Measure, Unit
from harness.model.report import ExpectationResult, Report
from harness.model.run import RunStatus
from harness.model.timeline import Timeline
from harness.scenario.expect import Expectation, parse_expectation
from harness.scenario.hints import did_you_mean
from harness.units import format_bytes, format_duration

_NO_BASELINE = "there is no baseline: name one with --baseline"
GROWTH = ("retained_bytes_per_request", "growth_per_round", "growth_per_hour")
_PER = {"retained_bytes_per_request": " per request", "growth_per_round": " a round", "growth_per_hour": " an hour"}
_INSIDE_DIFFERENCE = (
    "the limit lies inside the 95 % interval of the difference: more baselines, rounds or requests narrow it"
)
_MOST_DIFFERENT = 3
_LEAST_PERCENT = 0.0005  # that is shown
_INSIDE = "the limit lies inside the 95 % interval: more rounds or requests narrow it"


def lines_of(timeline: Timeline) -> tuple[str, ...] | None:
    """The lines of the scenario's ``expect``, as they were when it ran; None when it is not a list."""
    lines = timeline.manifest.scenario.get("expect") or ()
    return tuple(str(line) for line in lines) if isinstance(lines, list | tuple) else None


def not_judged(timeline: Timeline) -> tuple[ExpectationResult, ...]:
    """The same lines, none of them met: where they could not be judged."""
    lines = lines_of(timeline)
    if lines is None:
        told = f"not a list: {timeline.manifest.scenario.get('expect')!r}"[:200]
        return (ExpectationResult("expect", told, None),)
    return tuple(ExpectationResult(line, "could not be judged", None) for line in lines)


def judge(report: Report, lines: Sequence[str], baselines: Sequence[Baseline] = ()) -> tuple[ExpectationResult, ...]:
    """One result per line, in order. ``report.expectations`` are not looked at."""
    unfinished = _unfinished(report)
    different = _different(report, baselines) if baselines else ()
    results = (_judge(line, report, baselines, different) for line in lines)
    return tuple(r if unfinished is None or r.passed is not True else _not_enough(r, unfinished) for r in results)


def _judge(line: str, report: Report, baselines: Sequence[Baseline], different: Sequence[str]) -> ExpectationResult:
    try:
        expectation = parse_expectation(line)
    except ValueError as error:
        return ExpectationResult(line, "not understood", None, str(error))
    if expectation.kind == "verdict":
        return _verdict(expectation, report)
    if expectation.kind == "causes":
        return _absent(expectation, report)
    if expectation.kind == "diff":
        return _difference(expectation, report, baselines, different)
    return _compared(expectation, _find(expectation, report.measures))


def _unfinished(report: Report) -> str | None:
    """Why what is missing of the run may be what would have failed; a watch is ended by whoever watches."""
    manifest = report.timeline.manifest
    load = manifest.scenario.get("load")
    watched = isinstance(load, dict) and "observe" in load
    if manifest.status is RunStatus.COMPLETE or (watched and manifest.status is RunStatus.INTERRUPTED):
        return None
    return (
        f"it held as far as the run went, but the run did not finish ({manifest.status_text or manifest.status.value})"
    )


def _not_enough(result: ExpectationResult, why: str) -> ExpectationResult:
    return replace(result, passed=None, note=why)


def _different(report: Report, baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """What is not the same in all runs, so that a difference may be that of the traffic or of the machine."""
    if not report.conditions or not all(baseline.conditions for baseline in baselines):
        return ("under which conditions the runs were recorded is not known",)
    if len({baseline.run for baseline in baselines}) < len(baselines):
        return ("one run is among the baselines twice, and would count as two",)
    if report.timeline.manifest.run_id in {baseline.run for baseline in baselines}:
        return ("the baseline is this run itself, which never differs from itself",)
    runs = [(baseline.name, baseline.conditions) for baseline in baselines]
    sides = [False] * len(runs) + [True]
    found = [m for m in mismatches([*runs, (report.timeline.manifest.run_id, report.conditions)], sides) if m.refuses]
    told = [
        f"{m.what}: {m.base} in the baseline, {m.head} here" if m.base or m.head else f"{m.what}: not the same"
        for m in found[:_MOST_DIFFERENT]
    ]
    return (*told, f"and {len(found) - len(told)} more") if len(found) > len(told) else tuple(told)


# --- causes ---------------------------------------------------------------------------------------------------------


def _verdict(expectation: Expectation, report: Report) -> ExpectationResult:
    verdict = report.verdict
    actual = verdict.cause.value
    if verdict.cause is Cause.INCONCLUSIVE and "inconclusive" not in expectation.causes:
        # "is not leak" is not met by "we could not tell"
        return ExpectationResult(expectation.expr, actual, None, verdict.summary)
    passed = expectation.accepts(verdict.cause)
    reassuring = passed and expectation.accepts(Cause.HEALTHY)
    note = _blind_spot(report, None) if reassuring else "" if passed else verdict.summary
    return ExpectationResult(expectation.expr, actual, passed, note)


def _absent(expectation: Expectation, report: Report) -> ExpectationResult:
    """None of the causes may have been found, by any finding; and each must have been looked for."""
    pools = sorted({m.pool for m in report.measures if m.metric == "growth_per_round" and m.pool is not None})
    if expectation.pool is not None and expectation.pool not in pools:  # of others, such as a proxy, nothing is judged
        return ExpectationResult(expectation.expr, "not measured", None, _nobody("pool", expectation.pool, pools))
    about = [f for f in report.findings if expectation.pool in (None, f.subject.pool) or f.subject.pool is None]
    found = [f for f in about if expectation.names(f.cause)]
    if found:
        sure = any(f.confidence is not Confidence.LOW for f in found)
        actual = ", ".join(dict.fromkeys(f"{f.cause.value} ({f.confidence.value} confidence)" for f in found))
        return ExpectationResult(expectation.expr, actual, False if sure else None, found[0].summary)
    doubt = _doubt(expectation, report, about)
    if doubt is not None:
        return ExpectationResult(expectation.expr, "none found", None, doubt)
    of_memory = any(expectation.names(cause) for cause in OF_MEMORY)
    return ExpectationResult(
        expectation.expr, "none found", True, _blind_spot(report, expectation.pool) if of_memory else ""
    )


def _doubt(expectation: Expectation, report: Report, about: Sequence[Finding]) -> str | None:
    """Why it proves nothing that none of the causes was found; None where it does."""
    if not about:
        return "nothing was concluded from this run"
    for cause, reason in report.unjudged.items():
        if expectation.names(cause):
            return f"{cause.value} could not be judged: {reason}"
    if any(expectation.names(cause) for cause in OF_MEMORY):
        for finding in about:
            if finding.cause in (Cause.INCONCLUSIVE, Cause.LEAK):  # memory grows, but as what is not known
                return finding.summary
    return None


def _blind_spot(report: Report, pool: str | None) -> str:
    """What may have grown unseen, per request where there are requests; jobs are none."""
    load = report.timeline.manifest.scenario.get("load")
    jobs = isinstance(load, dict) and "each_round" in load
    for metric in ("growth_per_round",) if jobs else ("retained_bytes_per_request", "growth_per_round"):
        found = next((m for m in report.measures if m.metric == metric and m.pool == pool and m.endpoint is None), None)
        if found is not None and found.blind is not None:
            return _blind_text(found)
    return "how small a growth this run could have seen is not known"


def _blind_text(measure: Measure) -> str:
    where = "" if measure.endpoint is None else f" of {measure.endpoint}"
    return f"blind spot: growth below {format_bytes(measure.blind)}{_PER.get(measure.metric, '')}{where} may go unseen"


def _reassures(expectation: Expectation) -> bool:
    """Whether it says that something is small; that it is large needs no word about what is not seen."""
    return (expectation.op or "").startswith("<")


def _of_growth(measure: Measure, limit: float | None) -> str:
    """What has to be said with a line about growth that passed."""
    if measure.blind is None:
        return "how small a growth this run could have seen is not known"
    below = limit is not None and limit < measure.blind
    return _blind_text(measure) + (", and the limit is below that: more requests a round lower it" if below else "")


# --- numbers --------------------------------------------------------------------------------------------------------


def _find(expectation: Expectation, measures: Sequence[Measure]) -> Measure:
    """The measure a line is about; one without a value, and with the reason, where there is none."""
    unit = expectation.unit or Unit.BYTES
    if unit is Unit.RATIO and expectation.kind == "metric" and not expectation.value:
        unit = Unit.COUNT  # no share of errors at all is none of them, however few the requests were
    of_metric = [m for m in measures if m.metric == expectation.metric and m.unit is unit]
    for measure in of_metric:
        if (measure.endpoint, measure.pool) == (expectation.endpoint, expectation.pool):
            return measure
    missing = Measure(str(expectation.metric), unit, None, endpoint=expectation.endpoint, pool=expectation.pool)
    for kind, name in (("endpoint", expectation.endpoint), ("pool", expectation.pool)):
        if name is not None:
            known = sorted({str(getattr(m, kind)) for m in of_metric} - {"None"})
            return replace(missing, reason=_nobody(kind, name, known))
    return replace(missing, reason="nothing of the kind was measured")


def _nobody(kind: str, name: str, known: Sequence[str]) -> str:
    what = "no request to" if kind == "endpoint" else "no pool called"
    close = did_you_mean(name, known)
    return f"{what} {name!r} was measured{close}" + (
        f"; measured: {', '.join(known[:8])}" if known and not close else ""
    )


def _compared(expectation: Expectation, found: Measure) -> ExpectationResult:
    if found.value is None:
        return ExpectationResult(expectation.expr, "not measured", None, found.reason)
    passed = _decide(expectation, found)
    note = ""
    if passed is None:
        note = found.reason or _INSIDE
    elif passed and found.metric in GROWTH:
        note = _of_growth(found, expectation.value) if _reassures(expectation) else ""
    return ExpectationResult(expectation.expr, _shown(found), passed, note)


def _decide(expectation: Expectation, found: Measure) -> bool | None:
    """By both ends of the interval: a limit inside it can be neither confirmed nor denied by this run."""
    low = -math.inf if found.low is None else found.low
    high = math.inf if found.high is None else found.high
    if math.isnan(low) or math.isnan(high) or expectation.value is None:
        return None
    if expectation.op == "==":
        inside = low <= expectation.value <= high
        return None if inside and low < high else inside
    answers = {expectation.holds(low), expectation.holds(high)}
    return answers.pop() if len(answers) == 1 else None


def _difference(
    expectation: Expectation, report: Report, baselines: Sequence[Baseline], different: Sequence[str]
) -> ExpectationResult:
    """How much more the run has than its baselines."""
    if not baselines:
        return ExpectationResult(expectation.expr, "not compared", None, _NO_BASELINE)
    if different:
        return ExpectationResult(expectation.expr, "not comparable", None, "; ".join(different))
    head = _find(expectation, report.measures)
    bases = [_find(expectation, baseline.measures) for baseline in baselines]
    sides = [("this run", head), *((f"the baseline {b.name}", m) for b, m in zip(baselines, bases, strict=True))]
    for who, side in sides:
        if side.value is None:
            return ExpectationResult(expectation.expr, "not measured", None, f"{who}: {side.reason}")
    base, change = together(bases), difference(head, bases)
    if expectation.relative:
        share = relative(head, bases)
        if share is None:
            note = "the baseline is not certainly above 0, so nothing is a share of it: give an amount"
            return ExpectationResult(expectation.expr, f"{_shown(change, sign=True)}, from {_shown(base)}", None, note)
        change = share
    passed = _decide(expectation, change)
    note = ""
    if passed is None:
        note = next((side.reason for _, side in sides if side.reason), _INSIDE_DIFFERENCE)
    elif passed and head.metric in GROWTH and _reassures(expectation):
        known = head.blind is not None and base.blind is not None
        note = _of_growth(replace(head, blind=max(head.blind or 0, base.blind or 0) if known else None), None)
    if (doubt := _of_files(expectation, base, report, baselines, passed)) is not None:
        passed, note = None, doubt
    mean = f" (mean of {len(bases)} runs)" if len(bases) > 1 else ""
    shown = f"{_shown(change, sign=True)}, from {_plain(base)}{mean} to {_plain(head)}"
    return ExpectationResult(expectation.expr, shown, passed, note)


def _of_files(
    expectation: Expectation, base: Measure, report: Report, baselines: Sequence[Baseline], passed: bool | None
) -> str | None:
    """Why it cannot be told, when own memory alone gives another answer: PSS counts pages of files in proportion to how many
    processes of the machine map them. None where it gives the same one, and where it is not known."""
    metric = str(expectation.metric).replace("pss", "own")
    if metric == expectation.metric:
        return None
    own = replace(expectation, metric=metric)
    head, *bases = (_find(own, measures) for measures in (report.measures, *(b.measures for b in baselines)))
    if head.value is None or any(each.value is None for each in bases):
        return None
    change = difference(head, bases)
    shown = _shown(change, sign=True)
    if expectation.relative:  # of the baseline's PSS: what that would have changed by with the same pages of files
        low, high = (None if end is None else end / (base.value or 1) for end in (change.low, change.high))
        change = replace(change, unit=Unit.RATIO, value=(change.value or 0) / (base.value or 1), low=low, high=high)
    if _decide(expectation, change) is passed:
        return None
    return (
        f"without pages of files, whose PSS depends on what else on the machine maps them, it is {shown}: "
        f"diff({metric}) judges that alone"
    )


# --- words ----------------------------------------------------------------------------------------------------------


def _shown(measure: Measure, *, sign: bool = False) -> str:
    """The value and, where there is doubt, its interval."""
    text = _plain(measure, sign=sign)
    if measure.exact:
        return text
    low, high = (_amount(v, measure.unit, sign=sign) for v in (measure.low, measure.high))
    if measure.low is None and measure.high is None:
        return f"{text} (95 % interval unknown)"
    if measure.high is None:
        return f"{text} (95 % CI from {low})"
    return f"{text} (95 % CI up to {high})" if measure.low is None else f"{text} (95 % CI {low} to {high})"


def _plain(measure: Measure, *, sign: bool = False) -> str:
    return _amount(measure.value, measure.unit, sign=sign)


def _amount(value: float | None, unit: Unit, *, sign: bool) -> str:
    if value is None:
        return "unknown"
    plus = "+" if sign and value > 0 else ""
    if unit is Unit.BYTES:
        return format_bytes(value, sign=sign)
    if unit is Unit.NS:
        return plus + format_duration(value)
    if unit is Unit.RATIO:
        percent = 100 * value
        if abs(percent) < _LEAST_PERCENT:
            return "0 %"
        return f"{plus}{percent:.0f} %" if abs(percent) >= 10 else f"{plus}{percent:.2g} %"
    return f"{plus}{value:g}"
