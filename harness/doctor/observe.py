"""One real sweep: the sampler as a run starts it, with the same orders, and everything it says."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.doctor.model import Looked
from harness.errors import HarnessError
from harness.model.event import Missing
from harness.sampling.protocol import Depth
from harness.sampling.sources import pid_stat
from harness.sampling.sources.numbers import TICK_NS
from harness.session.pump import Child, Interrupted, Pump, own_module

_SWEEP_S = 20.0
# Heaps and mappings of most targets; what is not reached is reported as not looked at. CPU time: a busy machine is no reason.
_DEEP_CPU_NS, _DEEP_S = 1_000_000_000, 10.0
_COUNTERS, _HEAPS = 1, 2  # ids of the two floors
_PERCENT = 100.0  # of a core: one sweep is not spread out


@dataclass(slots=True)
class Observation:
    """What the sampler said. ``columns`` and ``more``: values by pid. ``heaps``: it was to look into the runtimes; ``deep``: it
    had the time to walk mappings and heaps as well."""

    columns: dict[int, Mapping[str, int | None]] = field(default_factory=dict)
    more: dict[int, set[str]] = field(default_factory=dict)
    uids: dict[int, int | None] = field(default_factory=dict)
    runtimes: dict[int, dict[str, Mapping[str, str | int]]] = field(default_factory=dict)
    system: dict[str, int] = field(default_factory=dict)
    facts: Mapping[str, str | int] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    heaps: bool = True
    deep: bool = False


def observe(processes: Sequence[Looked], others: Sequence[int], *, heaps: bool = True) -> Observation:
    """Look at these processes and at none of ``others``. Raises HarnessError when the sampler fails.

    The sweep that reads mappings and heaps ends once the sampler has used a second of CPU time: nobody waits for large heaps.
    """
    seen = Observation(heaps=heaps)
    listener = _Listener(seen)
    try:
        with Pump(lambda: None) as pump:
            child = Child("the sampler", own_module("harness.sampling"))
            try:
                pump.add(child, listener.on_message, listener.on_gone)
                child.send(
                    cmd="start", proc="/proc", interval_ns=60_000_000_000, budget_percent=_PERCENT, look=heaps,
                    roots=[{"pid": p.pid, "pool": p.pool} for p in processes], exclude=list(others),
                )  # fmt: skip
                child.send(cmd="floor", id=_COUNTERS, depth=int(Depth.COUNTERS))
                child.send(cmd="floor", id=_HEAPS, depth=int(Depth.HEAPS))
                if not pump.until(lambda: listener.floors >= _COUNTERS or listener.gone, _SWEEP_S) or listener.gone:
                    raise HarnessError(
                        "the sampler did not answer", hint=child.complaints.decode(errors="replace")[-400:]
                    )
                pump.until(lambda: listener.floors >= _HEAPS or listener.gone or _spent(child), _DEEP_S)
                seen.deep = listener.floors >= _HEAPS
            finally:
                _end(child)
    except Interrupted as interrupted:
        raise KeyboardInterrupt from interrupted
    return seen


def _spent(child: Child) -> bool:
    """Whether it has used up the CPU time it is given."""
    try:
        stat = pid_stat.read("/proc", child.process.pid)
    except OSError:
        return True
    return stat is None or (stat.cpu_ticks or 0) * TICK_NS > _DEEP_CPU_NS


def _end(child: Child) -> None:
    child.hang_up()
    try:
        child.process.wait(0.2)
    except subprocess.TimeoutExpired:  # in the middle of a walk; it only reads
        child.process.kill()
        child.process.wait()
    for pipe in (child.process.stdout, child.process.stderr):
        if pipe is not None:
            pipe.close()


class _Listener:
    """Takes the sampler's lines apart."""

    def __init__(self, seen: Observation) -> None:
        self._seen = seen
        self._columns: Sequence[str] = ()
        self._names: dict[int, Sequence[str]] = {}
        self.floors = 0
        self.gone = False

    def on_gone(self) -> None:
        self.gone = True

    def on_message(self, m: Mapping[str, Any]) -> None:
        seen, kind = self._seen, m["k"]
        if kind == "hello":
            self._columns = m["columns"]
        elif kind == "settings":
            seen.facts = m["facts"]
        elif kind == "missing":
            seen.missing.append(Missing(m["signal"], m["reason"], m["costs"]))
        elif kind == "proc":
            seen.uids[m["pid"]] = m["uid"]
        elif kind == "runtime":
            seen.runtimes.setdefault(m["pid"], {})[m["runtime"]] = m["facts"]
        elif kind == "names":
            self._names[m["set"]] = m["names"]
        elif kind == "more":
            for pid, _start, names, _values in m["x"]:
                seen.more.setdefault(pid, set()).update(self._names[names])
        elif kind == "tick":
            # A sweep on the grid may follow, which need not read everything.
            for pid, _start, values in m["p"] if m["floor"] is not None else ():
                seen.columns[pid] = dict(zip(self._columns, values, strict=True))
            seen.system.update(m["s"])
            self.floors = max(self.floors, m["floor"] or 0)
