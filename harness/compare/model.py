"""What a comparison says: rows of quantities, findings and profile lines that changed, and one outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.measure import Unit


class Answer(StrEnum):
    """Of one quantity. BETTER and WORSE: the difference is certain, and by the best estimate beyond its threshold. SAME: it
    certainly lies within the threshold, though it may certainly not be zero (`Row.tiny`). UNKNOWN: neither."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = "cannot tell"


class Outcome(StrEnum):
    """Of the whole comparison."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNKNOWN = "cannot tell"


class Weight(StrEnum):
    """What a row means for the outcome. MUST: it must be known, and not worse. MAY: it must not be worse, but may be unknown.
    TELLS: it explains, and decides nothing."""

    MUST = "must"
    MAY = "may"
    TELLS = "tells"


class Method(StrEnum):
    """Where the interval of a difference comes from.

    RUNS: from how runs of one side differ from each other. WITHIN: from the intervals that the runs give themselves.
    ASSUMED: from how much two runs of one program usually differ, because there are too few runs to see it.
    """

    RUNS = "between runs"
    WITHIN = "within runs"
    ASSUMED = "assumed repeatability"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a row: the mean over its runs, with its 95 % interval, and the values of the runs. None: not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity on both sides, of a ``pool``, of an ``endpoint``, or of the whole application where both are None.

    ``metric``: as in ``expect:`` where it has a name there. ``difference``: head less base, with its 95 % interval, not adjusted
    for the number of rows. ``p``: two-sided, of no difference, not adjusted; ``answer`` is adjusted (Holm). ``threshold``: what
    matters, in the unit. ``tiny``: certainly not zero, and certainly does not matter. ``needs``: what would tell, in words;
    ``rounds_needed`` or ``runs_needed`` the same as a number. ``reason``: why nothing is known, a sentence without a full stop.
    """

    metric: str
    unit: Unit
    pool: str | None
    endpoint: str | None
    weight: Weight
    base: Side
    head: Side
    answer: Answer
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    threshold: float | None = None
    method: Method | None = None
    tiny: bool = False
    needs: str = ""
    rounds_needed: int | None = None
    runs_needed: int | None = None
    reason: str = ""

    @property
    def relative(self) -> float | None:
        """The difference as a share of the base; None where that is 0 or not known."""
        return self.difference / self.base.value if self.difference is not None and self.base.value else None


class Change(StrEnum):
    """What became of a finding, or of a line of a profile."""

    CAME = "came"
    WENT = "went"
    STAYED = "stayed"
    CAUSE = "changed cause"


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A finding of one subject. ``base_runs``, ``head_runs``: in how many runs of that side it was."""

    change: Change
    pool: str | None
    endpoint: str | None
    base_cause: str | None
    head_cause: str | None
    severity: str
    summary: str
    base_runs: int
    head_runs: int


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line or function that a tool says keeps more or less: bytes of one profiled request, the median where there are several.

    A profile is of one request and has no interval: this tells where to look, and proves nothing. ``base_line``, ``head_line``:
    lines move between versions, so they are no part of what is compared.
    """

    tool: str
    endpoint: str
    file: str
    function: str
    base_line: int | None
    head_line: int | None
    base_bytes: int | None
    head_bytes: int | None

    @property
    def difference(self) -> int:
        """Bytes more in head; what is in one of them only counts as 0 in the other."""
        return (self.head_bytes or 0) - (self.base_bytes or 0)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that is not the same in all runs. ``refuses``: then they must not be compared unless somebody insists.

    ``base`` and ``head`` are what it is there; empty where it may hold secrets and is not shown.
    """

    what: str
    base: str
    head: str
    refuses: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """Memory of a pool over a run: ``at`` counts measured rounds (0: the first begins; below 0: before), ``pss`` is bytes."""

    pool: str
    run: str
    head: bool
    at: tuple[float, ...]
    pss: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunName:
    """A run as people know it. ``started_wall_ns``: since 1970. ``stretch``: what its rounds are called."""

    id: str
    scenario: str
    started_wall_ns: int
    verdict: str
    rounds: int
    stretch: str = "round"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is said of two sides. ``summary``: the outcome in one sentence.

    ``rows``: what decides first, worst first within. ``mismatches`` that refuse are there only where somebody insisted.
    """

    base: Sequence[RunName]
    head: Sequence[RunName]
    outcome: Outcome
    summary: str
    rows: Sequence[Row]
    findings: Sequence[FindingChange] = ()
    lines: Sequence[LineChange] = ()
    mismatches: Sequence[Mismatch] = ()
    curves: Sequence[Curve] = ()
    counts: Mapping[Answer, int] = field(default_factory=dict)

    def row(self, metric: str, *, pool: str | None = None, endpoint: str | None = None) -> Row | None:
        """The row of a quantity; None where neither side has it."""
        return next((r for r in self.rows if (r.metric, r.pool, r.endpoint) == (metric, pool, endpoint)), None)


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One quantity over runs in order.

    ``slope``: each run (Theil and Sen), with its 95 % interval. ``p``: of no trend, one-sided in the direction of the slope, not
    adjusted. ``rise``: from the first run to the last, by the slope. ``step_after``: index of the run before the step, where one
    step describes it better than a line; ``step`` is its size. ``answer``: SAME means that nothing rises by what matters.
    """

    metric: str
    unit: Unit
    pool: str | None
    endpoint: str | None
    values: tuple[float, ...]
    answer: Answer
    slope: float
    low: float
    high: float
    p: float
    rise: float
    threshold: float
    step_after: int | None = None
    step: float | None = None
    tiny: bool = False
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """Many runs in order, oldest first."""

    runs: Sequence[RunName]
    outcome: Outcome
    summary: str
    rows: Sequence[DriftRow]
    mismatches: Sequence[Mismatch] = ()
    curves: Sequence[Curve] = ()
