"""The hosts of a run, and how well their clocks are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# One look at the clock of another host: attributes ``host``, ``before_ns``, ``there_ns``, ``wall_ns``, ``after_ns``. It was
# ``there_ns`` by its CLOCK_MONOTONIC at some time between the other two, which are by the clock of the host that records.
HOST_CLOCK = "host.clock"
HOST_DOWN = "host.down"  # the line broke; the time is when the other host was last heard
HOST_UP = "host.up"
HOST = "host"  # attribute of events that are another host's


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

    ``error_ns``: no time of it is off by more, as far as ``readings`` tell; None = its clock was never read. ``drift_ppm``: how
    much faster it went, None where the readings do not tell.
    """

    host: RunHost
    readings: int
    error_ns: int | None
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class Sibling:
    """One host of a role. ``grows`` None: this run cannot tell. Bytes are those of one round, of its workers together."""

    host: str
    version: str
    grows: bool | None
    bytes_per_round: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Siblings:
    """Two or more hosts of one role. ``differ``: those that grow, where others certainly grow less; ``text``: one sentence."""

    role: str
    hosts: tuple[Sibling, ...]
    differ: tuple[str, ...]
    text: str
