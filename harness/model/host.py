"""The hosts of a run, and how well their clocks are known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.event import Event

# One look at the clock of another host: attributes ``host``, ``before_ns``, ``there_ns``, ``wall_ns``, ``after_ns``. It was
# ``there_ns`` by its CLOCK_MONOTONIC at some time between the other two, which are by the clock of the host that records.
HOST_CLOCK = "host.clock"
HOST_DOWN = "host.down"  # the line broke; the time is when the other host was last heard
HOST_UP = "host.up"
LOCAL = "local"  # place of this machine, where a run has it among several hosts
HOST = "host"  # attribute of events that are another host's
WITHIN_NS = "within_ns"  # attribute of an event: its time may be off by this; None where that is not known
# Attribute of an event: whether it came before or after a neighbour on another host is not known.
ORDER_UNKNOWN = "order_unknown"


@dataclass(frozen=True, slots=True)
class RunHost:
    """A host that the run watches over a line, as it was when the run began. ``place`` holds no secret.

    ``offset_ns``: how far its CLOCK_MONOTONIC was ahead. All its times were recorded less this. ``first``: what is recorded of
    "the machine" (memory, kernel, pressure) is this one's.
    """

    name: str
    place: str
    role: str
    measured: bool
    first: bool
    offset_ns: int
    version: str = ""  # of the application, where the scenario names it
    facts: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostClock:
    """How the times of a host were put on the clock of the host that recorded.

    ``error_ns``: no time of it is off by more when it was read, as far as ``readings`` tell; None = its clock was never read.
    ``drift_ppm``: how much faster it went, None where the readings do not tell, and ``drift_error`` by how much that may be off,
    as a share. ``read_ns`` rises; ``errors_ns`` are those of each reading.
    """

    host: RunHost
    readings: int
    error_ns: int | None
    drift_ppm: float | None
    read_ns: tuple[int, ...] = ()
    errors_ns: tuple[int, ...] = ()
    drift_error: float = 0.0

    def within(self, t_ns: int) -> int | None:
        """By how much a time of this host may be off: the larger error of the readings around it, and more the farther it is from
        them. None where its clock was never read."""
        if not self.read_ns:
            return self.error_ns
        after = bisect_left(self.read_ns, t_ns)
        around = range(max(after - 1, 0), min(after + 1, len(self.read_ns)))
        away_ns = min(abs(t_ns - self.read_ns[n]) for n in around)
        return ceil(max(self.errors_ns[n] for n in around) + self.drift_error * away_ns)

    def most(self, begin_ns: int, end_ns: int) -> int | None:
        """No time of this host between these two is off by more; None where its clock was never read."""
        halves = [(a + b) // 2 for a, b in pairwise(self.read_ns)]
        inside = (t_ns for t_ns in (*self.read_ns, *halves) if begin_ns <= t_ns <= end_ns)
        errors = [self.within(t_ns) for t_ns in (begin_ns, end_ns, *inside)]
        return max((error for error in errors if error is not None), default=None)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened. ``place`` names the host, "" is the one that records; ``within_ns`` None: its clock was never
    read."""

    t_ns: int
    place: str
    within_ns: int | None


def moment_of(event: Event) -> Moment:
    """Of an event. What was stamped on another host says how far its time may be off."""
    if WITHIN_NS not in event.attributes:
        return Moment(event.t_ns, "" if event.process is None else event.process.host, 0)
    within, host = event.attributes[WITHIN_NS], event.attributes.get(HOST)
    place = event.process.host if event.process is not None else host if isinstance(host, str) else ""
    return Moment(event.t_ns, place, within if type(within) is int and within >= 0 else None)


def unordered(moments: Sequence[Moment]) -> frozenset[int]:
    """Which of them may have come before or after one of another host: their errors allow both. On one host all is in order."""
    everywhere = _Stretches(moments)
    by_place: dict[str, list[Moment]] = defaultdict(list)
    for moment in moments:
        by_place[moment.place].append(moment)
    at_home = {place: _Stretches(there) for place, there in by_place.items()}
    return frozenset(n for n, m in enumerate(moments) if everywhere.near(m) > at_home[m.place].near(m))


class _Stretches:
    """The stretches of time in which moments may lie; those without error apart, for two of them have an order even if equal."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        doubtful = [moment for moment in moments if moment.within_ns != 0]
        self._ends = [(sorted(map(_begin, chosen)), sorted(map(_end, chosen))) for chosen in (moments, doubtful)]

    def near(self, moment: Moment) -> int:
        """How many have a part in common with this one's."""
        begins, ends = self._ends[moment.within_ns == 0]
        return bisect_right(begins, _end(moment)) - bisect_left(ends, _begin(moment))


def _begin(moment: Moment) -> int:
    return moment.t_ns - (_NEVER_READ if moment.within_ns is None else moment.within_ns)


def _end(moment: Moment) -> int:
    return moment.t_ns + (_NEVER_READ if moment.within_ns is None else moment.within_ns)


_NEVER_READ = 1 << 64  # an error beyond any run


@dataclass(frozen=True, slots=True)
class Sibling:
    """One host or container of a role. ``grows`` None: this run cannot tell. Bytes are those of one round, of its workers
    together, and ``requests_per_round`` the requests that these answered in it; None where that is not known.

    ``version``: as the scenario names it, else the ``image``, which only containers have. ``least_seen``: where it is not seen to
    grow, the bytes a round from which on growth would have shown; None elsewhere."""

    host: str
    version: str
    grows: bool | None
    bytes_per_round: float | None
    interval: tuple[float, float] | None
    requests_per_round: float | None = None
    image: str = ""
    least_seen: float | None = None

    @property
    def named_version(self) -> str:
        """The version that the scenario names; empty where it names none."""
        return "" if self.version == self.image else self.version


@dataclass(frozen=True, slots=True)
class Split:
    """That growth goes with the version, or with the image, whichever ``kind`` is: of those that grow, and of those that do
    not."""

    kind: str
    growing: tuple[str, ...]
    still: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Siblings:
    """Two or more hosts or containers of one role. ``differ``: those that grow, where others certainly grow less; ``blind``:
    those on which a growth such as that would not have shown; ``text``: one sentence."""

    role: str
    hosts: tuple[Sibling, ...]
    differ: tuple[str, ...]
    text: str
    blind: tuple[str, ...] = ()

    @property
    def split(self) -> Split | None:
        """What all those that grow have, and none of the others, like compared with like; None where they do not differ for
        certain, or nothing is known of all of them."""
        growing, still = ([h for h in self.hosts if h.grows is grows] for grows in (True, False))
        if not still or not growing or len(self.differ) < len(growing):
            return None
        for kind, of in (("version", attrgetter("named_version")), ("image", attrgetter("image"))):
            new, old = set(map(of, growing)), set(map(of, still))
            if "" not in new | old and not new & old:
                return Split(kind, tuple(sorted(new)), tuple(sorted(old)))
        return None
