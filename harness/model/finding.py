"""What the tool concludes, with evidence, uncertainty and what was missing. Shapes follow DESIGN section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """Stable identifiers used in reports and expectations.

    LEAK is the parent of leak.*: that memory grows per request is certain, of which kind it is, is not.
    """

    HEALTHY = "healthy"
    WARMUP = "warmup"
    LEAK = "leak"
    LEAK_OBJECTS = "leak.objects"
    LEAK_NATIVE = "leak.native"
    LEAK_MMAP = "leak.mmap"
    GC_DELAY = "gc-delay"
    FRAGMENTATION = "fragmentation"
    RETENTION = "retention"
    COW_UNSHARING = "cow-unsharing"
    MAPPED_FILES = "mapped-files"
    SHARED_MEMORY = "shared-memory"
    THREADS = "threads"
    DESCRIPTORS = "descriptors"
    THP = "thp"
    PAGE_CACHE = "page-cache"
    KERNEL_SLAB = "kernel.slab"
    KERNEL_PRESSURE = "kernel.pressure"
    KERNEL_FRAGMENTATION = "kernel.fragmentation"
    INCONCLUSIVE = "inconclusive"


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Location:
    file: str
    line: int | None
    function: str | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What the finding is about; unknown parts are None."""

    host: str | None = None
    runtime: str | None = None
    pool: str | None = None
    pid: int | None = None
    endpoint: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """How fast it grows. Intervals are 95 %. ``mdl_bytes_per_request`` and ``..._per_hour``: the smallest growth this run could
    have seen, with 90 % power; None where it is not known, or where what was found is smaller."""

    bytes_per_request: float | None
    ci95: tuple[float, float] | None
    bytes_per_hour: float | None
    mdl_bytes_per_request: float | None
    mdl_bytes_per_hour: float | None = None


class Side(StrEnum):
    """What a row of evidence says about its finding: it speaks for it, against it, or only tells what was the case."""

    FOR = "for"
    AGAINST = "against"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed number and the sentence that says what it means."""

    signal: str
    value: float | None
    unit: str
    text: str
    side: Side = Side.FOR


class Advice(StrEnum):
    """DO: a recommendation. ANSWER: why something that is often recommended here would not help."""

    DO = "do"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Prescription:
    """A recommendation; ``command`` may be None when it is not a command. ``because``: the observed numbers that led to it.

    ``change``: what to change in the scenario to verify it by running it again (YAML), None where only the application changes.
    An answer has no effect, risk or rollback: these are empty.
    """

    id: str
    action: str
    command: str | None
    expected: str
    risk: str
    rollback: str
    verify: str
    because: str = ""
    change: str | None = None
    kind: Advice = Advice.DO


TIME_SHARE = (
    "time_share"  # in ``Finding.numbers`` where time, and not requests, makes it grow: the share that goes with time
)
EXPLAINS = "explains_bytes_per_round"  # in ``Finding.numbers``: of the pool's growth, so much is this


@dataclass(frozen=True, slots=True)
class Finding:
    """``secondary``: it goes with another finding that explains more, and would not be there, or not matter, without it.

    ``numbers``: what was observed, by name, for those who decide what to do about it (`harness.diagnose.prescribe`); the unit is
    the end of the name (``..._bytes``, ``..._share``).
    """

    cause: Cause
    severity: Severity
    confidence: Confidence
    subject: Subject
    summary: str  # one plain sentence
    growth: Growth
    evidence: Sequence[Evidence]
    prescriptions: Sequence[Prescription]
    range_ns: tuple[int, int] | None  # what to show on the timeline
    secondary: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run in one line."""

    cause: Cause
    confidence: Confidence
    summary: str
