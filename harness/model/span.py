"""One request as its sender saw it, and one request as the target recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

COMMAND = "each_round"  # the endpoint of spans that are runs of the command of a round
CLOCK_ERROR = "load.clock_error_ns"  # fact: by how much times of spans can be off that were taken on other clocks


class PhaseName(StrEnum):
    """The phases of a run, in order. Growth is judged on ROUNDS only; in IDLE nothing is sent, so what grows grows with time."""

    PREFLIGHT = "preflight"
    LAUNCH = "launch"
    WARMUP = "warmup"
    ROUNDS = "rounds"
    IDLE = "idle"
    PROBES = "probes"
    PROFILED = "profiled"
    COOLDOWN = "cooldown"


@dataclass(frozen=True, slots=True)
class Span:
    """One request sent by the load generator (or one job run by ``each_round``).

    ``span_id`` is 16 hex digits and travels in the W3C ``traceparent`` header. ``intended_ns`` is the start the schedule
    wanted (arrival rates only); latency counts from it. ``status`` is None when no response arrived, then ``error`` says why.
    """

    span_id: str
    endpoint: str
    phase: PhaseName
    round: int | None
    block: int | None
    user: int
    intended_ns: int | None
    start_ns: int
    end_ns: int
    status: int | None
    error: str | None
    body_bytes: int
    failed_checks: tuple[str, ...]

    @property
    def latency_ns(self) -> int:
        """From the intended start where there was one, so that a stalled server cannot hide its queue."""
        return self.end_ns - (self.start_ns if self.intended_ns is None else self.intended_ns)

    @property
    def ok(self) -> bool:
        """True when a response came and every check on it passed."""
        return self.error is None and self.status is not None and not self.failed_checks


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as written down inside the target by an agent (or by the server's access log).

    ``start_ns``/``end_ns`` are CLOCK_MONOTONIC, None where the source knows wall time only or not at all.
    ``values`` holds integers by name, unit in the name (``rss_start_bytes``, ``gc_runs``, ``peak_bytes``); None = unknown.
    ``host``: which host the process is on, as in `ProcessKey`; empty where that is this one, or is not known.
    """

    source: str  # "python-agent" | "php-agent" | "fpm-access-log"
    pid: int
    span_id: str | None
    sequence: int | None  # per process, so that lost records show
    start_ns: int | None
    end_ns: int | None
    wall_end_ns: int | None
    name: str
    status: int | None
    first_in_process: bool | None
    values: Mapping[str, int | None]
    host: str = ""


@dataclass(frozen=True, slots=True)
class BootRecord:
    """An agent announced itself: it is loaded in this process. ``host`` as in `RequestRecord`."""

    source: str
    pid: int
    ppid: int | None
    t_ns: int
    runtime_version: str
    argv: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """A triggered tool finished inside the target; ``file`` is a bare name inside the agreed directory, already checked. ``host``
    as in `RequestRecord`."""

    source: str
    pid: int
    span_id: str | None
    t_ns: int
    tool: str
    file: str | None
    error: str | None
    values: Mapping[str, int | None]
    host: str = ""


@dataclass(frozen=True, slots=True)
class CostRecord:
    """What an agent took in one request, by its own clock: at the beginning and at the end, the writing of the record included.
    Requests of a sample only. ``host`` as in `RequestRecord`."""

    source: str
    pid: int
    t_ns: int
    cost_ns: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class FloorRecord:
    """What a runtime said of its own memory when it was asked, between requests. ``number`` is the question's.

    ``values``: integers by name, unit in the name; None = unknown. ``missing``: what it could not say -> why.
    """

    source: str
    pid: int
    number: int
    t_ns: int
    values: Mapping[str, int | None]
    missing: Mapping[str, str]
