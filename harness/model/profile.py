"""What a profiler said, in one shape for all tools. Frames and value types follow pprof; see docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ArtifactStatus(StrEnum):
    """How a collected file ended up."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    MISSING = "missing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file collected during the run. ``path`` is relative to the run directory and chosen by us, never by the target."""

    tool: str
    adapter: str
    path: str | None
    status: ArtifactStatus
    span_id: str | None
    endpoint: str | None
    pid: int | None
    t_ns: int
    size_bytes: int | None
    detail: str
    attributes: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)

    @property
    def opens_with(self) -> str | None:
        """The programs that open it, in words, where it is the same measurement in another format: a file beside a profile,
        for other tools than this one. None where it is to be read here. Adapters set it as the attribute of this name."""
        value = self.attributes.get("opens_with")
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class ValueType:
    """Meaning of one value column: (time, ns), (memory_growth, bytes), (alloc_space, bytes), (inuse_space, bytes)."""

    name: str
    unit: str
    title: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A function: name and file as the runtime gave them (hostile text, escape on output); line of definition or None."""

    function: str
    file: str
    line: int | None


@dataclass(frozen=True, slots=True)
class FunctionCost:
    """Totals of one function over the profile; tuples run parallel to ``Profile.value_types``.

    ``inclusive`` counts only outermost invocations, so recursion is not counted twice.
    """

    frame: int
    calls: int
    self_values: tuple[int, ...]
    inclusive_values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallEdge:
    """Calls from one function to another, by calling line."""

    caller: int
    callee: int
    line: int
    calls: int
    inclusive_values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallNode:
    """A node of the call tree, parents before children; ``parent`` is -1 for roots. Equal siblings may be folded."""

    frame: int
    parent: int
    calls: int
    self_values: tuple[int, ...]
    inclusive_values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LineCost:
    """One source line: bytes gained while it ran (or still held, see the profile's value type), and how often it ran."""

    file: str
    line: int
    function: str
    hits: int | None
    values: tuple[int | None, ...]
    source: str | None = None


class Owner(StrEnum):
    """Whose a line of source is: the application's, that of a package it uses, or the runtime's own."""

    APPLICATION = "application"
    PACKAGE = "package"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class Origin:
    """A line that memory which a request kept comes from: ``kept`` counts where it is the innermost line of the application on
    the way to the allocation (of a package, or the runtime, where there is none of the application), ``through`` also where
    another such line comes after it.

    ``line``: None where only the function is known. ``kept``: bytes still there at the end, what was given back taken off.
    ``freed``: bytes of garbage in cycles that were there until the collector ran. ``peak``: bytes at the high-water mark; None
    where that is not known by line. ``via``: what took the memory for that line, ``json/decoder.py:353`` or a native symbol;
    empty where it did so itself. ``callers``: the lines before it, ``orders.py:67``, outermost first, on the way most bytes took.
    ``calls``: how often it ran; None where that is not known. ``takes``: it calls what takes memory, or something else that
    may pile up, elsewhere, where the tool counts no bytes: a `harness.model.finding.Cause`.
    """

    owner: Owner
    file: str
    line: int | None
    function: str
    kept: int
    freed: int = 0
    peak: int | None = None
    through: int = 0
    via: str = ""
    callers: tuple[str, ...] = ()
    calls: int | None = None
    takes: str = ""


@dataclass(frozen=True, slots=True)
class ObjectGroup:
    """Living objects of one type (or another partition of the heap); ``values`` run parallel to ``Profile.value_types``."""

    kind: str
    values: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """One object on a path of references: what it is (``module shop.cache``, ``dict``, ``Order``), and by which attribute, key
    or index it refers to the next one; ``via`` is empty at the end of a path and where it is not known."""

    label: str
    via: str


@dataclass(frozen=True, slots=True)
class HolderChain:
    """Why objects of a type are still there: a path of references from what never dies (a module, a frame) to one of them.

    ``kind`` as in `ObjectGroup`; ``objects``: how many of the looked-at objects are held along this path.
    """

    kind: str
    objects: int
    path: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Memory held at one moment of the request, counted from its begin; ``label`` says what happened then, hostile text."""

    offset_ns: int
    bytes: int
    label: str


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest memory held during the request, when, and who was running: frame numbers, the outermost call first.

    ``offset_ns`` counts from the request's begin. As exact as the tool's moments: what lies between two of them is not seen.
    """

    offset_ns: int
    bytes: int
    stack: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CollectorRun:
    """One run of the runtime's cycle collector. ``offset_ns``: from the request's begin, None where the tool has no times.

    ``function``: where it happened, hostile text. ``roots``: what it looked at.
    """

    collected: int
    roots: int | None
    duration_ns: int | None
    before_bytes: int | None
    after_bytes: int | None
    function: str
    offset_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile of one request. Which sections are filled depends on the tool.

    ``origins``: the largest, by what they kept or left to the collector. ``cycles``: of garbage, paths that end where they begin.
    ``totals`` are the tool's own totals (``peak_bytes``, ``time_ns``) and are never recomputed from parts that may be
    clamped; ``notes`` say in words what the numbers are not. ``complete``: nothing was lost that the totals do not cover; to list
    the largest only is not that.
    """

    tool: str
    value_types: tuple[ValueType, ...]
    frames: tuple[Frame, ...] = ()
    functions: tuple[FunctionCost, ...] = ()
    edges: tuple[CallEdge, ...] = ()
    tree: tuple[CallNode, ...] = ()
    lines: tuple[LineCost, ...] = ()
    origins: tuple[Origin, ...] = ()
    objects: tuple[ObjectGroup, ...] = ()
    holders: tuple[HolderChain, ...] = ()
    cycles: tuple[HolderChain, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    peak: Peak | None = None
    collections: tuple[CollectorRun, ...] = ()
    totals: Mapping[str, int | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    complete: bool = True
