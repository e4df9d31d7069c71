"""Looks at machines that do not exist, for tests of what `harness top` makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.sampling.protocol import Identity
from harness.sampling.sources.pid_smaps import Walk
from harness.top.families import families
from harness.top.model import Look, Process

MIB = 1 << 20
SECOND = 1_000_000_000


def walk(pss: int, uss: int | None = None, **parts: int | None) -> Walk:
    """Of a process whose memory is anonymous, as far as ``parts`` do not say otherwise."""
    fields: dict[str, int | None] = dict.fromkeys(Walk._fields, 0)
    fields.update({"rss": pss, "pss": pss, "uss": pss if uss is None else uss, "pss_anon": pss, **parts})
    return Walk(**fields)


def process(pid: int, pss: int | None = MIB, *, at_s: float = 0, **fields: Any) -> Process:
    """A process with this PSS; None = not readable. It was born ``pid`` ticks after the machine."""
    values: dict[str, Any] = {
        "who": Identity(pid, fields.pop("start", pid)),
        "ppid": 1,
        "name": f"p{pid}",
        "command": f"/bin/p{pid}",
        "program": f"p{pid}",
        "image": None,
        "uid": 0,
        "cgroup": "/",
        "threads": 1,
        "age_ns": 60 * SECOND,
        "rss": 2 * (pss or MIB),
        "swap": 0,
        "walk": None if pss is None else walk(pss),
        "known_ns": round((100 + at_s) * SECOND),
        "stale": False,
    }
    values.update(fields)
    return Process(**values)


def look(
    processes: Sequence[Process], *, at_s: float = 0, meminfo: Mapping[str, int] | None = None, complete: bool = True
) -> Look:
    """These processes, ``at_s`` after the first look."""
    return Look(
        taken_ns=round((100 + at_s) * SECOND),
        wall_ns=1_795_000_000 * SECOND,
        took_ns=SECOND // 100,
        cpu_ns=SECOND // 100,
        processes=tuple(processes),
        families=families(processes),
        meminfo={} if meminfo is None else meminfo,
        complete=complete,
    )
