"""The lines of the pipe between session and sampler: ``docs/architecture.md`` is the contract."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Sequence, Union

VERSION = 1
LINE_CAP_BYTES = 1 << 20

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


class Roots(NamedTuple):
    """More trees to follow."""

    add: tuple[Root, ...]


class Match(NamedTuple):
    """Follow every process whose command line contains the text."""

    pool: str
    text: str


class Floor(NamedTuple):
    """Sweep everything now."""

    id: int


class Stop(NamedTuple):
    """Say goodbye."""


Command = Union[Start, Roots, Match, Floor, Stop]


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
        )
    if kind == "roots":
        return Roots(_roots(m["add"]))
    if kind == "match":
        text = _text(m["text"])
        if not text:
            raise ValueError("an empty text matches every process")
        return Match(_text(m["pool"]), text)
    if kind == "floor":
        return Floor(int(m["id"]))
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


def exit_line(who: Identity, t_ns: int) -> bytes:
    """A process that this sweep did not find any more."""
    return _line(k="exit", pid=who.pid, start=who.start_ticks, t=t_ns)


def tick_line(
    t_ns: int,
    end_ns: int,
    late_ns: int,
    missed: int,
    cpu_ns: int,
    floor_id: int | None,
    rows: Sequence[tuple[Identity, Row]],
    system: dict[str, int],
) -> bytes:
    """One sweep."""
    processes = [(who.pid, who.start_ticks, values) for who, values in rows]
    return _line(
        k="tick", t=t_ns, end=end_ns, late=late_ns, missed=missed, cpu=cpu_ns, floor=floor_id, p=processes, s=system
    )  # fmt: skip


def missing_line(signal: str, reason: str, costs: str) -> bytes:
    """A signal nobody will get."""
    return _line(k="missing", signal=signal, reason=reason, costs=costs)


def bye_line(t_ns: int, ticks: int, missed: int, cpu_ns: int) -> bytes:
    """The last line."""
    return _line(k="bye", t=t_ns, ticks=ticks, missed=missed, cpu=cpu_ns)


def _line(**message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
