"""The one object every exporter gets. Times inside are ns on the run's monotonic clock; exporters make them relative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.event import Missing
    from harness.model.finding import Cause, Finding, Verdict
    from harness.model.highwater import HighWater
    from harness.model.host import Siblings
    from harness.model.measure import Measure
    from harness.model.process import ProcessKey, Role
    from harness.model.profile import Artifact, Profile
    from harness.model.timeline import Timeline


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint over the measured rounds. Latencies in ns; retained bytes per request with a 95 % interval.

    ``request_peak``: the most memory that the runtime says one request held, by the records of its agent: median and highest, in
    bytes. None where the runtime does not tell.
    """

    name: str
    requests: int
    errors: int
    p50_ns: int | None
    p99_ns: int | None
    retained_bytes_per_request: float | None
    ci95: tuple[float, float] | None
    request_peak_p50: int | None = None
    request_peak: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One process: sizes in bytes, None = not measured."""

    key: ProcessKey
    pool: str
    role: Role
    comm: str
    started_ns: int
    ended_ns: int | None
    requests: int
    pss_start: int | None
    pss_end: int | None
    pss_peak: int | None
    longest_stall_ns: int | None = None  # the longest that reading its page tables held its mmap lock


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One process at one floor: PSS and its parts in bytes; None where this run had no source for the part.

    ``live``, ``allocator_held``, ``other_native``, ``image``, ``file``, ``shared``, ``stacks``, ``thp`` and ``unexplained`` add
    up to ``pss``, which is without ``swap``. ``live_runtime`` and ``live_native`` are the parts of ``live``. ``anon_huge``:
    memory in huge pages. ``source``: who told about the allocators. Meanings: docs/ledger.md.
    """

    key: ProcessKey
    runtime: str
    phase: str
    round: int
    t_ns: int
    pss: int | None
    live: int | None
    allocator_held: int | None
    file: int | None
    shared: int | None
    stacks: int | None
    thp: int | None
    unexplained: int | None
    other_native: int | None = None
    image: int | None = None
    swap: int | None = None
    live_runtime: int | None = None
    live_native: int | None = None
    held_by: Mapping[str, int] = field(default_factory=dict)
    anon_huge: int | None = None
    explained_share: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class PoolLedgerRow:
    """All processes of a pool at one floor: the sum of their rows, to the byte."""

    pool: str
    phase: str
    round: int
    t_ns: int
    processes: int
    pss: int | None
    parts: Mapping[str, int | None]  # named as in `LedgerRow`, with ``swap``


@dataclass(frozen=True, slots=True)
class PartGrowthRow:
    """How one part of a pool's workers moves from round to round: first and last level, and bytes a round with their interval.

    ``exact``: judged by what the allocators themselves count. ``shape``: of the curve, as in `harness.diagnose.growth`.
    """

    pool: str
    part: str
    exact: bool
    first: int
    last: int
    bytes_per_round: float | None
    interval: tuple[float, float] | None
    shape: str


@dataclass(frozen=True, slots=True)
class SharingRow:
    """One forked worker: (ns since the fork, private, shared, PSS) at some of its sweeps."""

    key: ProcessKey
    pool: str
    generation: int
    source: str
    unshared: int
    points: Sequence[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class RecyclingPolicy:
    """One way to replace workers, simulated on the measured curves; memory is private memory of all workers of the pool together.

    ``policy``: ``none``, ``max-requests`` (after ``requests`` and up to ``jitter`` more by chance) or ``memory-limit`` (a worker
    above ``limit_bytes``); ``text`` says it in words. ``hours_to_budget``: after so long the pool no longer fits into the memory
    there is; None: it does, or that is not known.
    """

    policy: str
    text: str
    requests: int | None
    jitter: int | None
    limit_bytes: int | None
    average_bytes: int
    peak_bytes: int
    cold_starts_per_hour: float
    hours_to_budget: float | None


@dataclass(frozen=True, slots=True)
class RecyclingRow:
    """Restart policies of one pool compared. ``fresh_bytes``, ``warm_bytes``: a worker at its start and when the rounds began.

    ``growth_bytes_per_request``: behind what was measured. ``cold_start_s``: extra time of a worker's first requests together,
    None where it is not known. ``horizon_s``: without replacement, memory is that after so long. ``chosen``: index of the policy
    to take, None: none pays. ``reason``: why, as a sentence without a full stop.
    """

    pool: str
    workers: int
    requests_per_hour: float
    fresh_bytes: int
    warm_bytes: int
    growth_bytes_per_request: float
    cold_start_s: float | None
    horizon_s: float
    policies: Sequence[RecyclingPolicy]
    chosen: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """One line of ``expect:``; ``passed`` is None when this run cannot tell (which counts as failed).

    ``note``: what was missing, why it failed, or how small a growth may go unseen though the line passed. ``file`` and ``line``:
    where the expectation is written, where that is known.
    """

    expr: str
    actual: str
    passed: bool | None
    note: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A collected profile, parsed; ``profile`` is None when the file was missing, refused or unreadable (see artifact.detail)."""

    artifact: Artifact
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader may want to know about one run.

    ``measures``: what expectations are judged by. ``unjudged``: causes that this run could not have found, with the reason.
    ``conditions``: what must be the same in a run that this one is compared with; what may hold secrets is a hash.
    """

    timeline: Timeline
    verdict: Verdict
    findings: Sequence[Finding]
    endpoints: Sequence[EndpointRow]
    workers: Sequence[WorkerRow]
    ledger: Sequence[LedgerRow]
    expectations: Sequence[ExpectationResult]
    profiles: Sequence[ProfileView]
    overhead: Mapping[str, float | None]
    missing: Sequence[Missing]
    recycling: Sequence[RecyclingRow] = ()
    pool_ledger: Sequence[PoolLedgerRow] = ()
    part_growth: Sequence[PartGrowthRow] = ()
    sharing: Sequence[SharingRow] = ()
    high_water: Sequence[HighWater] = ()
    measures: Sequence[Measure] = ()
    unjudged: Mapping[Cause, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    siblings: Sequence[Siblings] = ()
