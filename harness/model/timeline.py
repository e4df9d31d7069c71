"""A run after correlation: everything on one clock, joined as far as the facts allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.model.host import LOCAL
from harness.model.process import Role, host_key

if TYPE_CHECKING:
    from harness.model.event import Event, Missing, Window
    from harness.model.host import HostClock
    from harness.model.process import ProcessInfo, ProcessKey
    from harness.model.profile import Artifact
    from harness.model.run import RunManifest, Series
    from harness.model.span import RequestRecord, Span


class JoinMethod(StrEnum):
    """How a request was tied to a worker, strongest first; NONE is counted and shown, never guessed away.

    RECORD is of requests that another program sent: the record is all that is known of them.
    """

    SPAN_ID = "span-id"
    PROFILE = "profile-file"
    ACCESS_LOG = "access-log"
    PID_TIME = "pid-and-time"
    RECORD = "record"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class JoinedSpan:
    """A span with the worker that answered it and the record that worker wrote, where known."""

    span: Span
    worker: ProcessKey | None
    method: JoinMethod
    record: RequestRecord | None


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a pool: what it was and what it did."""

    info: ProcessInfo
    role: Role
    requests: int  # joined requests it answered


@dataclass(frozen=True, slots=True)
class FloorPoint:
    """Levels of one process at the end of a drained block or round; None = not measured then."""

    process: ProcessKey
    phase: str
    round: int
    block: int | None  # None: the end of the whole round
    t_ns: int
    values: Mapping[str, int | None]  # metric name -> value


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much could be joined, and the cross-checks: two views of one thing must agree or be explained."""

    spans: int
    joined: int
    by_method: Mapping[JoinMethod, int]
    records: int
    records_unmatched: int
    checks: Sequence[tuple[str, str]]  # (what was compared, outcome in words)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The input of every rule and of every report."""

    manifest: RunManifest
    windows: Sequence[Window]
    workers: Sequence[Worker]
    series: Mapping[tuple[str, ProcessKey | None], Series]
    spans: Sequence[JoinedSpan]
    floors: Sequence[FloorPoint]
    events: Sequence[Event]
    artifacts: Sequence[Artifact]
    missing: Sequence[Missing]
    coverage: Coverage
    # Those watched over a line; the order of events on two hosts is known within their errors.
    hosts: Sequence[HostClock] = ()
    # Of hosts that swept at another instant for the same floor: that instant, by the one that all floors are named by.
    floors_elsewhere: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def swept_at(self, floor_ns: int, host: str) -> int:
        """When a host swept for the floor of that name."""
        return self.floors_elsewhere.get(host, {}).get(floor_ns, floor_ns)

    @property
    def judged(self) -> str:
        """Which machine the values of no process are of, as in `ProcessKey.host`; those of further ones are under `host_key`."""
        return next((each.host.name for each in self.hosts if each.host.first and each.host.place != LOCAL), "")

    def of_machine(self, metric: str, host: str) -> Series | None:
        """What a machine says of itself."""
        return self.series.get((metric, None if host == self.judged else host_key(host)))
