"""The lines of the pipe between session and sampler: ``docs/architecture.md`` is the contract."""

from __future__ import annotations

import enum
import json
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Union

from .outside.fast_lane import Lane
from .outside.reader import TypeCount
from .sources.pid_smaps_classes import MappedFile

VERSION = 2
LINE_CAP_BYTES = 1 << 20
FASTEST_NS = 500_000
SHORTEST_ID = 12  # of a container; engines print so many letters of 64
_MORE_ROWS = 200  # processes a line: at some hundred values each well below the cap

COLUMNS = (
    "process.memory.rss",
    "process.memory.pss",
    "process.memory.uss",
    "process.memory.pss_anon",
    "process.memory.pss_file",
    "process.memory.pss_shmem",
    "process.memory.shared_dirty",
    "process.memory.anon_huge",
    "process.memory.swap",
    "process.memory.swap_pss",
    "process.memory.hwm",
    "process.threads",
    "process.fds",
    "process.faults.minor",
    "process.faults.major",
    "process.cpu",
    "process.walk",
)


class ProtocolError(Exception):
    """The other end said something that is not in the contract: a defect of ours."""


class Root(NamedTuple):
    """Follow this process and everything below it."""

    pid: int
    pool: str


class Start(NamedTuple):
    """The first line."""

    proc: str
    interval_ns: int
    budget_percent: float  # of one core, for the whole sampler
    roots: tuple[Root, ...]
    exclude: frozenset[int]
    sys: str = "/sys"
    look: bool = True  # into the runtimes of the processes, through their memory
    freeze: bool = False  # stop a process while its heap is walked; never unless the user asked


class Roots(NamedTuple):
    """More trees to follow."""

    add: tuple[Root, ...]


class Match(NamedTuple):
    """Follow every process whose command line contains the text."""

    pool: str
    text: str


class Container(NamedTuple):
    """Follow every process in the control group of a container, of which ``pid`` is one and whose name has ``id`` in it."""

    pool: str
    pid: int
    id: str


class Depth(enum.IntEnum):
    """How much a floor looks at, beside everything that a sweep reads."""

    COUNTERS = 0  # nothing else
    LIVE = 1  # and walk the heaps
    HEAPS = 2  # and every mapping
    TYPES = 3  # and count living objects by type


class Floor(NamedTuple):
    """Sweep everything now."""

    id: int
    depth: Depth = Depth.COUNTERS


class Fast(NamedTuple):
    """Read the counters of PHP heaps this often from now on; None: only in sweeps. Beyond the budget, because asked for."""

    interval_ns: int | None


class Stop(NamedTuple):
    """Say goodbye."""


Command = Union[Start, Roots, Match, Container, Floor, Fast, Stop]


def decode(line: bytes) -> Command:
    """One line from the session. Raises ProtocolError."""
    try:
        message = json.loads(line)
        return _command(message)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError("not understood: {!r} ({!r})".format(line[:200], error)) from error


def _command(m: Any) -> Command:
    kind = m["cmd"]
    if kind == "start":
        return Start(
            proc=_text(m.get("proc", "/proc")),
            interval_ns=_at_least(m["interval_ns"], 1_000_000),
            budget_percent=float(m.get("budget_percent", 1.0)),
            roots=_roots(m.get("roots", [])),
            exclude=frozenset(int(pid) for pid in m.get("exclude", [])),
            sys=_text(m.get("sys", "/sys")),
            look=bool(m.get("look", True)),
            freeze=bool(m.get("freeze", False)),
        )
    if kind == "roots":
        return Roots(_roots(m["add"]))
    if kind == "match":
        text = _text(m["text"])
        if not text:
            raise ValueError("an empty text matches every process")
        return Match(_text(m["pool"]), text)
    if kind == "container":
        identifier = _text(m["id"])
        if len(identifier) < SHORTEST_ID:
            raise ValueError("an id this short is part of many names")
        return Container(_text(m["pool"]), _at_least(m["pid"], 1), identifier)
    if kind == "floor":
        return Floor(int(m["id"]), Depth(m.get("depth", 0)))
    if kind == "fast":
        return Fast(None if m["interval_ns"] is None else _at_least(m["interval_ns"], FASTEST_NS))
    if kind == "stop":
        return Stop()
    raise ValueError("unknown command")


def _roots(items: Any) -> tuple[Root, ...]:
    return tuple(Root(_at_least(item["pid"], 1), _text(item["pool"])) for item in items)


def _at_least(value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError("{!r} is not a whole number of at least {}".format(value, least))
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("{!r} is not text".format(value))
    return value


class Identity(NamedTuple):
    """Pids are reused; with the start time they are unique until the next boot."""

    pid: int
    start_ticks: int


Row = Sequence[Union[int, None]]  # one value per column, None = unknown


def hello_line(pid: int, t_ns: int, clock_ticks: int, boot_ns: int) -> bytes:
    """Who we are; ``boot_ns`` is what CLOCK_MONOTONIC would have read at boot: 0, or minus the time spent suspended."""
    return _line(
        k="hello", pid=pid, version=VERSION, t=t_ns, columns=COLUMNS, clock_ticks=clock_ticks, boot_ns=boot_ns
    )  # fmt: skip


def process_line(
    who: Identity, ppid: int, comm: str, command: str, uid: int | None, pool: str, born_ns: int, t_ns: int
) -> bytes:
    """A process seen for the first time, or changed."""
    return _line(
        k="proc", pid=who.pid, start=who.start_ticks, ppid=ppid, comm=comm, cmd=command, uid=uid, pool=pool,
        born=born_ns, t=t_ns,
    )  # fmt: skip


def exit_line(who: Identity, t_ns: int, code: int | None, signal: int | None, last: Mapping[str, int]) -> bytes:
    """A process that is no more: when and how as the kernel said, else when this sweep did not find it any more; and what
    the kernel's account of it says."""
    return _line(k="exit", pid=who.pid, start=who.start_ticks, t=t_ns, code=code, signal=signal, last=last)


class Tick(NamedTuple):
    """One sweep."""

    t_ns: int
    end_ns: int
    late_ns: int
    missed: int
    cpu_ns: int
    floor_id: int | None
    rows: Sequence[tuple[Identity, Row]]
    system: Dict[str, int]


def tick_line(tick: Tick) -> bytes:
    """One sweep."""
    processes = [(who.pid, who.start_ticks, values) for who, values in tick.rows]
    return _line(
        k="tick", t=tick.t_ns, end=tick.end_ns, late=tick.late_ns, missed=tick.missed, cpu=tick.cpu_ns,
        floor=tick.floor_id, p=processes, s=tick.system,
    )  # fmt: skip


class MoreLines:
    """Lines of process values that are no columns: of runtimes, of mappings.

    The names of the values go over the pipe once for every set of them that occurs; a process's row then names its set.
    """

    def __init__(self) -> None:
        self._sets: Dict[tuple[str, ...], int] = {}

    def lines(self, t_ns: int, values: Mapping[Identity, Mapping[str, int]]) -> list[bytes]:
        """Before the tick of the sweep that starts at ``t_ns``."""
        lines: list[bytes] = []
        rows: list[tuple[int, int, int, list[int]]] = []
        for who, found in values.items():
            names = tuple(found)
            number = self._sets.get(names)
            if number is None:
                number = self._sets[names] = len(self._sets)
                lines.append(_line(k="names", set=number, names=names))
            rows.append((who.pid, who.start_ticks, number, list(found.values())))
        lines += [
            _line(k="more", t=t_ns, x=rows[start : start + _MORE_ROWS]) for start in range(0, len(rows), _MORE_ROWS)
        ]
        return lines


def settings_line(facts: Mapping[str, str | int]) -> bytes:
    """How this kernel is set up, once."""
    return _line(k="settings", facts=facts)


def runtime_line(who: Identity, runtime: str, facts: Mapping[str, str | int], t_ns: int) -> bytes:
    """A runtime was found in a process and can be read from outside."""
    return _line(k="runtime", pid=who.pid, start=who.start_ticks, runtime=runtime, facts=facts, t=t_ns)


def files_line(who: Identity, rows: Sequence[MappedFile], t_ns: int) -> bytes:
    """The data files a process has most of in memory: (name, size, rss, pss)."""
    return _line(k="files", pid=who.pid, start=who.start_ticks, rows=rows, t=t_ns)


def types_line(who: Identity, runtime: str, every: int, rows: Sequence[TypeCount], t_ns: int) -> bytes:
    """Living objects by type: (name, number, bytes), from every ``every``-th pool and scaled up."""
    return _line(k="types", pid=who.pid, start=who.start_ticks, runtime=runtime, every=every, rows=rows, t=t_ns)


def fast_line(who: Identity, t_ns: int, lane: Lane) -> bytes:
    """A PHP heap between two sweeps, from ``t_ns`` on: only what changed, as size, peak and real in bytes."""
    return _line(
        k="fast", pid=who.pid, start=who.start_ticks, t=t_ns, dt=list(lane.times_ns), v=[list(c) for c in lane.columns],
        taken=lane.taken, refused=lane.refused, dropped=lane.dropped, highest=lane.highest,
    )  # fmt: skip


def pause_line(who: Identity, t_ns: int, paused_ns: int) -> bytes:
    """A process was stopped while its heap was walked, because the user asked for that."""
    return _line(k="pause", pid=who.pid, start=who.start_ticks, t=t_ns, paused=paused_ns)


def missing_line(signal: str, reason: str, costs: str) -> bytes:
    """A signal nobody will get."""
    return _line(k="missing", signal=signal, reason=reason, costs=costs)


def bye_line(t_ns: int, ticks: int, missed: int, cpu_ns: int) -> bytes:
    """The last line."""
    return _line(k="bye", t=t_ns, ticks=ticks, missed=missed, cpu=cpu_ns)


def _line(**message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
