"""One profile by itself, for people and for scripts. Names come from targets: the text passes each through `clean`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from harness.model.profile import CollectorRun, FunctionCost, Peak, Profile
from harness.report.words import clean
from harness.units import format_bytes, format_duration

SCHEMA = "harness-profile/1"
_STACK_SHOWN = 20
_NAME_LETTERS = 70
_NOTE_LETTERS = 600
_YEAR_9999_NS = 253_370_764_800_000_000_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show: the functions that have most of the value of number ``column``, and at most ``limit`` of anything."""

    column: int = 0
    inclusive: bool = False
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where the profile was read from: the file as the user named it, and its format's name and title."""

    file: str
    format: str
    title: str


def text(source: Source, profile: Profile, choice: Choice) -> str:
    """What the file is, what its numbers mean, its totals, its largest functions; peak and collector where it has them."""
    return "".join(f"{line}\n" for line in _lines(source, profile, choice))


def document(source: Source, profile: Profile, choice: Choice) -> str:
    """The same as one JSON object of ASCII letters."""
    largest = _largest(profile, choice)
    return json.dumps(
        {
            "schema": SCHEMA,
            **asdict(source),
            "complete": profile.complete,
            "notes": profile.notes,
            "totals": dict(profile.totals),
            "value_types": [asdict(kind) for kind in profile.value_types],
            "sorted_by": None if not profile.functions else {
                "value": profile.value_types[choice.column].name,
                "kind": "inclusive" if choice.inclusive else "self",
            },
            "function_count": len(profile.functions),
            "functions": [
                {
                    **asdict(profile.frames[cost.frame]),
                    "calls": cost.calls,
                    "self": cost.self_values,
                    "inclusive": cost.inclusive_values,
                }
                for cost in largest
            ],
            "peak": None if profile.peak is None else {
                "offset_ns": profile.peak.offset_ns,
                "bytes": profile.peak.bytes,
                "stack": [asdict(profile.frames[frame]) for frame in profile.peak.stack],
            },
            "collection_count": len(profile.collections),
            "collections": [asdict(run) for run in profile.collections[: choice.limit]],
        },
        indent=2,
    ) + "\n"  # fmt: skip


def _largest(profile: Profile, choice: Choice) -> Sequence[FunctionCost]:
    def size(cost: FunctionCost) -> int:
        return (cost.inclusive_values if choice.inclusive else cost.self_values)[choice.column]

    return sorted(profile.functions, key=size, reverse=True)[: choice.limit]


def _lines(source: Source, profile: Profile, choice: Choice) -> Iterator[str]:
    state = "" if profile.complete else ", incomplete"
    yield f"{clean(source.file)}: {clean(source.title)}{state}"
    for note in profile.notes:
        yield f"  note: {clean(note, _NOTE_LETTERS)}"
    if profile.totals:
        yield f"totals: {', '.join(_total(clean(name), value) for name, value in profile.totals.items())}"
    if profile.peak is not None:
        yield from _peak(profile, profile.peak)
    if profile.functions:
        yield from _functions(profile, choice)
    if profile.collections:
        yield from _collections(profile.collections, choice.limit)


def _total(name: str, value: int | None) -> str:
    if name.endswith("_unix_ns"):
        return f"{name.removesuffix('_unix_ns').replace('_', ' ')} {_moment(value)}"
    for suffix, unit in (("_ns", "ns"), ("_bytes", "bytes")):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')} {_amount(value, unit)}"
    return f"{name.replace('_', ' ')} {_amount(value, 'count')}"


def _moment(unix_ns: int | None) -> str:
    if unix_ns is None or not 0 <= unix_ns < _YEAR_9999_NS:
        return "unknown"
    return datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")


def _amount(value: int | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return format_duration(value) if unit == "ns" else format_bytes(value) if unit == "bytes" else f"{value}"


def _functions(profile: Profile, choice: Choice) -> Iterator[str]:
    kind = profile.value_types[choice.column]
    shown = _largest(profile, choice)
    yield ""
    yield (
        f"{clean(kind.title)}: the {len(shown)} largest of {len(profile.functions)} functions, "
        f"{'with what they called' if choice.inclusive else 'themselves'}"
    )
    rows = [("self", "with callees", "calls", "function", "")]
    for cost in shown:
        frame = profile.frames[cost.frame]
        own, whole = (_amount(values[choice.column], kind.unit) for values in (cost.self_values, cost.inclusive_values))
        calls = f"{cost.calls}" if cost.calls else "?"  # 0: the format does not tell
        rows.append((own, whole, calls, clean(frame.function, _NAME_LETTERS), _place(frame.file, frame.line)))
    yield from _table(rows)
    others = [clean(other.name) for number, other in enumerate(profile.value_types) if number != choice.column]
    if others:
        yield f"other values (--value): {', '.join(others)}"


def _table(rows: Sequence[tuple[str, str, str, str, str]]) -> Iterator[str]:
    """Numbers to the right, names to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for own, whole, calls, name, place in rows:
        line = f"  {own:>{widths[0]}}  {whole:>{widths[1]}}  {calls:>{widths[2]}}  {name:<{widths[3]}}  {place}"
        yield line.rstrip()


def _place(file: str, line: int | None) -> str:
    where = clean(file, _NAME_LETTERS)
    return where if line is None or not file else f"{where}:{line}"


def _peak(profile: Profile, peak: Peak) -> Iterator[str]:
    yield f"peak: {format_bytes(peak.bytes)}, {format_duration(peak.offset_ns)} after the begin, in"
    hidden = len(peak.stack) - _STACK_SHOWN
    if hidden > 0:
        yield f"  ... {hidden} outer calls"
    for number in peak.stack[-_STACK_SHOWN:]:
        frame = profile.frames[number]
        yield f"  {clean(frame.function, _NAME_LETTERS)}  {_place(frame.file, frame.line)}".rstrip()


def _collections(runs: Sequence[CollectorRun], limit: int) -> Iterator[str]:
    yield ""
    yield f"garbage collector: {len(runs)} runs{f', the first {limit} of them' if len(runs) > limit else ''}"
    for run in runs[:limit]:
        yield "  " + ", ".join(_run(run))


def _run(run: CollectorRun) -> Iterable[str]:
    yield f"{run.collected} collected"
    if run.roots is not None:
        yield f"of {run.roots} roots"
    if run.duration_ns is not None:
        yield f"in {format_duration(run.duration_ns)}"
    if run.before_bytes is not None and run.after_bytes is not None:
        yield f"{format_bytes(run.before_bytes)} before, {format_bytes(run.after_bytes)} after"
    if run.offset_ns is not None:
        yield f"{format_duration(run.offset_ns)} after the begin"
    yield f"in {clean(run.function, _NAME_LETTERS)}"
