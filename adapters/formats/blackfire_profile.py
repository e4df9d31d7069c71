"""A Blackfire profile (`adapters.formats.blackfire_probe`) as a `Profile`: functions, calls, and memory over the request. Pure.

mu is what was still held when a call returned, its own and its callees'; locals die after that, so a function that returns
``len(rows)`` still holds ``rows`` there. pmu is by how much a call raised the highest memory of the *session*: a second, smaller
spike has 0. So leaks are judged on the root and on the curve, and peaks that set no record are seen in the curve only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.formats.blackfire_probe import BODY_CAP_BYTES, ProbeFile, features, parse, split_key
from adapters.formats.dominance import dominance
from adapters.formats.unpacking import unpacked
from harness.model.profile import CallEdge, CurvePoint, Frame, FunctionCost, Profile, ValueType
from harness.plugins.formats import FileFormat

NOTE_HELD = (
    "Held at return (mu): bytes allocated in the call and not freed when it returned. Local variables die after that, so a "
    "function at the bottom may show what is free a moment later: a leak shows in main() and in the curve, never in one "
    "function alone."
)
NOTE_PEAK = (
    "Raised the peak by (pmu): by how much the call raised the highest memory of the whole session. It is not the call's own "
    "peak: after a large one, smaller ones show as 0."
)
_NOTE_FREES = (
    "Memory that was there before the request and was freed in it is not counted: the request can only look larger."
)
_NOTE_THREAD = (
    "What other threads did for the request is in it only where an asyncio application gave them work with its context."
)
_NOTE_PHP = "In profiles of PHP the curve is the highest memory so far and never falls."
_NOTE_SAMPLED = "The profile is statistical: numbers are estimates from samples."
_NOTE_TWICE = (
    "Some functions show more time with callees than the whole request: the probe adds up calls by name and caller, and which of "
    "these ran within each other cannot be told."
)
_LEVEL = re.compile(r"@\d{1,9}\Z")
_INT64 = 2**63
_US = 1000
_ROOTS = ("main()", "go")

# The dimensions of the probes: unit of ours, factor to it, and the flag without which the probe writes zeros.
_KNOWN: Mapping[str, tuple[ValueType, int, str]] = {
    "wt": (ValueType("time", "ns", "time"), _US, ""),
    "cpu": (ValueType("cpu", "ns", "CPU time"), _US, "flag_cpu"),
    "mu": (ValueType("memory_held", "bytes", "held at return (mu)"), 1, "flag_memory"),
    "pmu": (ValueType("peak_raised", "bytes", "raised the peak by (pmu)"), 1, "flag_memory"),
    "nw_in": (ValueType("network_in", "bytes", "received"), 1, "flag_nw"),
    "nw_out": (ValueType("network_out", "bytes", "sent"), 1, "flag_nw"),
    "mem.na": (ValueType("allocations", "count", "allocations (mem.na)"), 1, ""),  # of tideways_xhprof, as the next one
    "mem.aa": (ValueType("allocated", "bytes", "allocated, freed or not (mem.aa)"), 1, ""),
}


def read(data: bytes) -> Profile:
    """A profile from the bytes of a file; ValueError with the reason when it is none."""
    return to_profile(parse(data))


def to_profile(file: ProbeFile) -> Profile:
    """Functions are named as the probe names them, without file and line. ``f``, ``f@1``, ``f@2`` (recursion) are one function
    here, and its inclusive values are those of ``f``. The probe tells recursion by code, so functions of one name, wrappers for
    example, may call each other as ``f``: calls that can only have happened within another one of the name do not count again."""
    columns = _columns(file)
    sums = _Sums(columns)
    for key, (calls, *values) in file.costs.items():
        sums.add(*split_key(key), calls, values)
    frames = sums.frames()
    in_parts = file.header("probed-language").lower() == "php"
    whole = None if sums.root is None or (in_parts and not sums.covers(sums.root)) else sums.root
    functions = tuple(sums.functions(frames))
    twice = any(f.inclusive_values[0] > whole[0] for f in functions) if whole else False
    return Profile(
        tool="blackfire",
        value_types=tuple(column.type for column in columns),
        frames=tuple(Frame(name, "", None) for name in frames),
        functions=functions,
        edges=tuple(sums.edges(frames)),
        curve=tuple(_curve(file)),
        totals=_totals(file, columns, whole),
        notes=(*_notes(file, rooted=whole is not None), *([_NOTE_TWICE] if twice and not in_parts else [])),
        complete=file.complete and whole is not None,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    position: int
    dimension: str
    type: ValueType
    factor: int


def _columns(file: ProbeFile) -> list[_Column]:
    """What was measured: a probe that was not asked for memory writes zeros there, and zeros would be a lie."""
    asked = features(file)
    told = bool(asked) and file.header("probed-language").lower() in ("python", "php")
    columns = []
    for position, dimension in enumerate(file.dimensions):
        kind, factor, flag = _KNOWN.get(dimension, (ValueType(dimension, "count", dimension), 1, ""))
        if not (told and flag and asked.get(flag, "0") in ("", "0")):
            columns.append(_Column(position, dimension, kind, factor))
    return columns


@dataclass(slots=True)
class _Variant:
    """One function at one depth of recursion: what calls to it cost, and what its own calls cost."""

    came: bool = False
    calls: int = 0
    inclusive: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)


class _Sums:
    """Adds up the costs by function and by call."""

    def __init__(self, columns: list[_Column]) -> None:
        self._columns = columns
        self._variants: dict[str, dict[int, _Variant]] = defaultdict(dict)  # by name and depth
        self._edges: dict[tuple[str, str], list[int]] = {}
        self._calls: dict[tuple[str, str], list[int]] = {}  # the same, with depths of recursion
        self.root: list[int] | None = None

    def add(self, caller: str, callee: str, calls: int, raw: list[int]) -> None:
        values = [raw[column.position] * column.factor for column in self._columns]
        target = self._variant(callee)
        target.came = True
        target.calls += calls
        _add(target.inclusive, values)
        if not caller:
            if callee in _ROOTS:
                self.root = target.inclusive
            return
        _add(self._variant(caller).given, values)
        _add(self._calls.setdefault((caller, callee), [0] * len(values)), values)
        edge = self._edges.setdefault((_plain(caller)[0], _plain(callee)[0]), [0] * (1 + len(values)))
        _add(edge, [calls, *values])

    def _variant(self, name: str) -> _Variant:
        plain, level = _plain(name)
        found = self._variants[plain].get(level)
        if found is None:
            width = len(self._columns)
            found = self._variants[plain][level] = _Variant(inclusive=[0] * width, given=[0] * width)
        return found

    def covers(self, root: list[int]) -> bool:
        """Whether no call took longer than the root, by the first dimension. In what PHP sends in parts ``main()`` is a rest."""
        rest = (v.inclusive[0] for levels in self._variants.values() for v in levels.values() if v.inclusive)
        return not root or max(rest, default=0) <= root[0]

    def frames(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._variants)}

    def functions(self, frames: Mapping[str, int]) -> Iterator[FunctionCost]:
        nested = self._nested()
        for name, levels in self._variants.items():
            own = [0] * len(self._columns)
            for variant in levels.values():
                if variant.came:  # else nobody was seen calling it, and its own share is not known
                    _add(own, variant.inclusive)
                    _add(own, [-value for value in variant.given])
            level = min(levels)
            outer = levels[level]
            within = nested.get(_full(name, level), [0] * len(own))
            inclusive = [value - less for value, less in zip(outer.inclusive, within, strict=True)]
            [calls] = _fitting([sum(variant.calls for variant in levels.values())])
            yield FunctionCost(
                frames[name],
                calls,
                _fitting(own),
                _fitting(inclusive if outer.came else outer.given),
            )

    def _nested(self) -> Mapping[str, list[int]]:
        """What calls cost that happened within another call of the same function at the same depth."""
        known = dominance(self._calls)
        found: dict[str, list[int]] = {}
        for (caller, callee), values in self._calls.items():
            if known.dominates(callee, caller):
                _add(found.setdefault(callee, [0] * len(values)), values)
        return found

    def edges(self, frames: Mapping[str, int]) -> Iterator[CallEdge]:
        for (caller, callee), numbers in self._edges.items():
            calls, *values = _fitting(numbers)
            yield CallEdge(frames[caller], frames[callee], 0, calls, tuple(values))


def _add(into: list[int], values: list[int]) -> None:
    for position, value in enumerate(values):
        into[position] += value


def _plain(name: str) -> tuple[str, int]:
    """A function's name without its depth of recursion, and that depth."""
    found = _LEVEL.search(name)
    return (name, 0) if found is None else (name[: found.start()], int(name[found.start() + 1 :]))


def _full(name: str, level: int) -> str:
    return f"{name}@{level}" if level else name


def _fitting(values: list[int]) -> tuple[int, ...]:
    if any(abs(value) >= _INT64 for value in values):
        raise ValueError("the profile holds impossible numbers")
    return tuple(values)


def _curve(file: ProbeFile) -> Iterator[CurvePoint]:
    """Memory held since the session began, at the begin and end of calls that took long enough to be noted, by time."""
    if "wt" not in file.dimensions or "mu" not in file.dimensions:
        return
    wall, held = file.dimensions.index("wt"), file.dimensions.index("mu")
    names = {(m.kind, m.index): split_key(m.key)[1] for m in file.timeline if m.key}
    for moment in sorted(file.timeline, key=lambda m: m.values[wall]):
        name = names.get((moment.kind, moment.index), "")
        [offset_ns] = _fitting([moment.values[wall] * _US])
        yield CurvePoint(offset_ns, moment.values[held], f"{'leaving' if moment.at_end else 'entering'} {name}")


def _totals(file: ProbeFile, columns: list[_Column], whole: list[int] | None) -> dict[str, int | None]:
    at = {column.dimension: number for number, column in enumerate(columns)}
    names = {"wt": "time_ns", "cpu": "cpu_ns", "mu": "kept_bytes", "pmu": "peak_bytes"}
    totals: dict[str, int | None] = {}
    for dimension, name in names.items():
        if whole is not None and dimension in at:
            [totals[name]] = _fitting([whole[at[dimension]]])
        else:
            totals[name] = None
    for name in ("request-mu", "request-pmu"):  # PHP: of the whole process, so beside the others
        value = file.header(name)
        if value.isascii() and value.isdigit() and len(value) < 19:
            totals[f"{name.replace('-', '_')}_bytes"] = int(value)
    return totals


def _notes(file: ProbeFile, *, rooted: bool) -> Iterator[str]:
    language = file.header("probed-language").lower()
    if file.header("profiler-type") == "statistical":
        yield _NOTE_SAMPLED
    elif "mu" in file.dimensions:
        yield NOTE_HELD
    if "pmu" in file.dimensions and language != "go":
        yield NOTE_PEAK
    if language == "python":
        yield _NOTE_FREES
        yield _NOTE_THREAD
    if language == "php" and file.timeline:
        yield _NOTE_PHP
    if not file.complete or not rooted:
        why = "it was cut" if not file.complete else "it has no line for the whole request"
        yield f"The profile is incomplete: {why}."


def read_file(path: Path) -> Profile:
    """The same of a file, plain or gzip; OSError when it cannot be read."""
    return read(b"".join(unpacked(path, BODY_CAP_BYTES)))


def _recognises(head: bytes) -> bool:
    return re.match(rb"file-format:\s*BlackfireProbe\s*\n", head, re.IGNORECASE) is not None


FORMAT = FileFormat("blackfire_probe", "profile of a Blackfire probe", _recognises, read_file)
