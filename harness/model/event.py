"""Points and windows on the timeline that are not samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.model.process import ProcessKey
from harness.model.span import PhaseName

Scalar = str | int | float | bool | None

# What was done to a process after the last measured round, and what it gave: attributes in `harness/session/floors.py`.
# They are stamped where the run is recorded, when they were asked for.
PROBE = "probe."
PROBE_COLLECT = "probe.collect"
PROBE_COLLECT_AGAIN = "probe.collect.again"  # after one further round: what one round leaves as garbage
PROBE_TRIM = "probe.trim"
# What befell a container of the target: attributes ``container``, ``pool``; more in `harness/session/hosts/containers.py`.
# Kinds of events of containers; they are stamped on the host of the container, which attribute ``host`` names.
CONTAINER = "container."
CONTAINER_START = "container.start"
CONTAINER_EXIT = "container.exit"
CONTAINER_OOM = "container.oom"
CONTAINER_LIMIT = "container.limit"
SINCE_NS = "since_ns"  # attribute of a kill by the group's counter: the counter had not risen yet, by the same clock
CONTAINER_PROCESS = "container.process"  # of one of its processes, with ``inner_pid``
INNER_PID = "inner_pid"  # the id of the process in there
# What the session decided to profile (`profile: auto`): attributes ``cause``, and ``no_line``, why no tool can name a line of it.
PROFILE_PLAN = "profile.plan"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at an instant: ``kind`` is dotted (``process.exit``, ``guard.tripped``, ``clock.step``)."""

    t_ns: int
    kind: str
    process: ProcessKey | None
    text: str
    attributes: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a phase. ``round`` and ``block`` are set inside WARMUP and ROUNDS; blocks are inside rounds.

    ``end_ns`` is None when the run ended inside it. ``floor_ns`` is the instant of the forced sweep taken after the
    window's traffic had drained and the target was quiet: the sample rows of that sweep carry exactly this time.
    """

    phase: PhaseName
    round: int | None
    block: int | None
    start_ns: int
    end_ns: int | None
    floor_ns: int | None


@dataclass(frozen=True, slots=True)
class Missing:
    """A signal this run did not get, why, and what that costs the verdict."""

    signal: str
    reason: str
    costs: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The same instant on both clocks of a host."""

    host: str
    monotonic_ns: int
    wall_ns: int
